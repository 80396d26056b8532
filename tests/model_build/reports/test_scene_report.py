"""Models side by side in scenes: the page, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from auricle.errors import ConfigError
from auricle.judge import truth
from auricle.judge.truth import Event
from auricle_build.cli import app
from helpers.bundles import made_up, tone
from helpers.sounds import RATE


def scene(folder: Path) -> None:
    """A minute of silence with two low tones and a high one; negatives in which a low one sounds for nothing."""
    sound = np.zeros(60 * RATE, np.float32)
    events = [Event(10.0, 12.0, "low"), Event(25.0, 27.0, "high"), Event(40.0, 42.0, "low")]
    for event, hz in zip(events, (440.0, 2500.0, 440.0), strict=True):
        first = round(event.onset_s * RATE)
        sound[first : first + 2 * RATE] = tone(hz, seconds=2.0)
    negative = np.zeros(30 * RATE, np.float32)
    negative[10 * RATE : 12 * RATE] = tone(440.0, seconds=2.0)
    (folder / "negatives").mkdir(parents=True)
    soundfile.write(folder / "scene-001.flac", sound, RATE)
    truth.write(folder / "scene-001.txt", events)
    soundfile.write(folder / "negatives" / "place.flac", negative, RATE)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Two folds' scenes; a model of both labels for each fold, one of a single label for all, and rules."""
    for fold in (1, 2):
        scene(tmp_path / f"scenes-{fold}")
        made_up(tmp_path / f"both-{fold}", {"low": [440.0], "high": [2500.0]})
    (tmp_path / "scenes-1" / "about.yaml").write_text(
        yaml.safe_dump(
            {"recipe": "mini", "folds": [1], "seed": 7, "snr_db": [10, 10], "labels": ["low", "high"]}, sort_keys=False
        )
    )
    made_up(tmp_path / "single", {"low": [440.0]})
    figures = {"detector": {"budget_per_hour": 0.5, "scenes_and_negatives": {"hours": 3.2}}}
    deaf = {"low": 1.0, "high": 0.5}
    made_up(tmp_path / "tuned", {"low": [440.0], "high": [2500.0]}, thresholds=deaf, figures=figures)
    return tmp_path


def report(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["scene-report", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_page(made: Path) -> None:
    """Models in columns, folds together; labels that one lacks are said; the rules are whose they are."""
    report(
        *("--model", f"both={made}/both-{{fold}}", "--model", f"tuned={made}/both-{{fold}}"),
        *("--rules", f"tuned={made}/tuned", "--model", f"single={made}/single"),
        *("--scenes", f"{made}/scenes-{{fold}}", "--fold", "1", "--fold", "2", "--name", "mini", "--out", str(made)),
    )
    page = (made / "scenes-mini.md").read_text()
    lines = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in page.splitlines()}
    assert page.startswith("# Events noticed in scenes: mini\n")
    assert "4 recordings of 0.05 h, 0.02 h of them without any event; 6 events of 2 labels." in page
    assert "- scenes-1: recipe mini, folds 1, seed 7, snr_db 10 to 10, labels low high" in page
    assert "- scenes-2: it does not say how it was made" in page
    assert "`single` lacks high: its figures are of the others." in page
    both, tuned, single = lines["noticed (95 %)"][1:]
    assert both.startswith("100 % (")
    assert tuned.startswith("33 % ("), "low is silenced"
    assert single.startswith("100 % (")
    rates = [cell.split(" ")[0] for cell in lines["false alarms an hour (95 %)"][1:]]
    hours = 2 * (60 + 30 - 2 * 0.27) / 3600
    assert float(rates[0]) == pytest.approx(2 / hours, rel=0.02)
    assert rates[1] == "0.00"
    assert "tuned to 0.5 false alarms an hour of all labels on 3.2 h" in page
    assert "which proposes no thresholds: 0.5 for all" in page
    assert "extrapolat" in page
    assert (made / "images" / "scenes-mini.png").stat().st_size > 5000
    (high,) = (line for line in page.splitlines() if line.startswith("| high | 2 | 100 %;"))
    assert high.endswith("| - |")


def test_one_folder_for_all(made: Path) -> None:
    """Without folds a bundle hears one folder; only the labels asked for are judged."""
    report(
        *("--model", f"both={made}/both-1", "--scenes", f"{made}/scenes-1", "--label", "low"),
        *("--name", "low", "--out", str(made)),
    )
    page = (made / "scenes-low.md").read_text()
    assert "2 recordings" in page
    assert "2 events of 1 labels" in page
    assert "| high |" not in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "both"], r"--model: 'both' is no NAME=BUNDLE"),
        (["--model", "a={made}/both-1", "--model", "a={made}/both-2"], r"--model: 'a' is given twice"),
        (["--model", "both={made}/both-1", "--rules", "bot={made}/tuned"], r"--rules: 'bot' .* did you mean 'both'"),
        (["--model", "both={made}/both-{fold}"], r"but --scenes are one folder"),
        (["--model", "both={made}/both-1", "--scenes", "{made}/scenes-{fold}"], r"say which with --fold"),
        (["--model", "both={made}/both-1", "--scenes", "{made}/both-1"], r"holds no scenes"),
        (["--model", "both={made}/both-1", "--label", "sheep"], r"'both' has none of the labels sheep"),
    ],
)
def test_what_cannot_be_is_said(made: Path, arguments: list[str], said: str) -> None:
    """One line each."""
    given = [argument.replace("{made}", str(made)) for argument in arguments]
    if "--scenes" not in given:
        given += ["--scenes", f"{made}/scenes-1"]
    with pytest.raises(ConfigError, match=said):
        report(*given, "--out", str(made))
