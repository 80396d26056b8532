"""`make ear`: one command from networks trained fold by fold to the pages about how well `home` hears."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def steps(*given: str) -> list[str]:
    """What the target would run, a line each."""
    done = subprocess.run(["make", "-n", "ear", *given], cwd=ROOT, capture_output=True, text=True, check=True)
    text = done.stdout.replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if "auricle-build" in line]


def test_its_places_are_options() -> None:
    """Networks, scenes, yardsticks and pages lie where it is told; a fold's network hears that fold's scenes."""
    found = steps(
        "RUNS=/r", "SCENES=/s/test-{fold}", "PHONES=/p/far-{fold}", "OUT=/o", "FOLDS=1 2", "SHIPPED=/r/home/bundle"
    )
    clips, made, everything, scenes, phones = found[-5:]
    assert "crossval home --data ../shared/data --runs /r --out /o --beside AudioSet=/r/untaught/bundle" in clips
    for page in (everything, scenes, phones):
        assert "--model 'home=/r/home-without-{fold}/bundle' --rules home=/r/home/bundle" in page
        assert "--fold 1 --fold 2 --cache /r/heard --out /o" in page
    assert "--scenes '/r/all-{fold}' --name all" in everything
    assert "--scenes '/s/test-{fold}' --name home" in scenes
    assert "esc10" not in scenes
    assert "--scenes '/p/far-{fold}' --name phones --label baby_cry --label dog_bark" in phones
    assert "for fold in 1 2;" in made
    for folder in ("/s/test", "/p/far", "/r/all"):
        assert f"[ -e {folder}-$fold ] ||" in made
    assert "--phone" in made


def test_another_model_stands_beside_it() -> None:
    """Networks of `esc10` without a fold join the scenes where they are given."""
    assert "--model 'esc10=/r/esc10-without-{fold}/bundle'" in steps("ESC10=/r/esc10-without-{fold}/bundle")[-2]
