"""With a network of thousands of labels every command stays as it is with ten."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from auricle.adopt.add import add
from auricle.adopt.wish import Wish
from auricle.commands.cli import app
from auricle.config import layers
from helpers import graphs
from helpers.sounds import write

RATE = 48_000
LABELS = 6522
NAMES = (
    "Turdus merula_Eurasian Blackbird",
    "Parus major_Большая синица",
    *(f"Avis genus{i}_Bird number {i}" for i in range(2, LABELS)),
)
"""As those of BirdNET are written, one of them in another script."""


def run(*arguments: object) -> str:
    """What a command that succeeds says."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def song(pitch: int | None, seconds: float) -> NDArray[np.float64]:
    """A hush, with the pitch of a bird in it."""
    n = round(seconds * RATE)
    hush = 1e-3 * np.random.default_rng(0).standard_normal(n)
    return hush if pitch is None else hush + 0.3 * np.sin(2 * np.pi * graphs.PITCHES_HZ[pitch] * np.arange(n) / RATE)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models, in it one that knows thousands of birds."""
    folder = tmp_path_factory.mktemp("birds")
    network, names = folder / "birds.tflite", folder / "Birds_Labels.txt"
    network.write_bytes(graphs.singing(LABELS))
    names.write_text("\n".join(NAMES), encoding="utf-8")
    add(Wish(network), folder / "models")
    return folder / "models"


@pytest.fixture
def recording(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three birds, of which the truth beside it names two."""
    monkeypatch.setattr(layers, "SYSTEM_FILE", Path("/absent/auricle.yaml"))
    monkeypatch.setenv("AURICLE__MODELS_DIR", str(models))
    monkeypatch.setenv("AURICLE__MODEL", "birds")
    sound = [song(None, 6.0), song(0, 4.0), song(None, 6.0), song(1, 4.0), song(None, 6.0), song(7, 4.0)]
    (tmp_path / "a.txt").write_text("6.0\t10.0\teurasian_blackbird\n16.0\t20.0\tparus_major\n")
    return write(tmp_path / "a.wav", np.concatenate(sound).astype(np.float32), RATE)


def test_names_of_any_script_are_in_the_table(recording: Path) -> None:
    """A table of events has what people call a bird beside its slug, which is made of its scientific name."""
    table = recording.with_name("a.csv")
    run("replay", recording, "--speed", "max", "--no-publish", "--out", table)
    with table.open(encoding="utf-8") as file:
        assert ("parus_major", "Большая синица") in {(row["label"], row["name"]) for row in csv.DictReader(file)}


def test_messages_say_what_people_call_a_label(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event has its label's name; scores have those of the labels that they tell, where they tell thresholds. A
    person reads the name, and the label beside it where it cannot be read out of that."""
    monkeypatch.setenv("AURICLE__PUBLISH__SCORES__TOP", "3")

    def replayed(*more: str) -> list[str]:
        replay = [sys.executable, "-m", "auricle", "replay", recording, "--speed", "max", "--no-publish", *more]
        return subprocess.run(replay, check=True, capture_output=True, text=True).stdout.splitlines()

    told = [json.loads(line) for line in replayed("--json")]
    names = {each["label"]: each["display"] for each in told if each["type"] == "event"}
    assert names == {
        "eurasian_blackbird": "Eurasian Blackbird", "parus_major": "Большая синица", "bird_number_7": "Bird number 7",
    }  # fmt: skip
    scores = [each for each in told if each["type"] == "score"]
    assert any("display" in each for each in scores)
    for each in scores:
        assert ("display" in each) == ("thresholds" in each)
        assert list(each.get("display", each["scores"])) == list(each["scores"])
    lines = [line for line in replayed() if "begins" in line]
    assert [re.split(" +begins", line)[0].split("  ")[-1] for line in lines] == [
        "Eurasian Blackbird", "Большая синица (parus_major)", "Bird number 7",
    ]  # fmt: skip


def test_a_verdict_says_what_people_call_a_label(recording: Path) -> None:
    """Who classifies files reads names, as who replays them does."""
    other = write(recording.with_name("b.wav"), song(1, 4.0).astype(np.float32), RATE)
    blackbird, tit = run("classify", recording, other).splitlines()
    assert "a.wav  Eurasian Blackbird  " in blackbird
    assert "b.wav  Большая синица (parus_major)  " in tit


def test_of_thousands_of_labels_those_are_judged_of_which_there_is_something(recording: Path) -> None:
    """The report has a row, a curve and a name in the legend of what occurred or was reported, and of no other."""
    folder = recording.parent
    judged = run("evaluate", recording, "--truth", folder, "--report", folder / "report")
    assert "Of 6519 other labels there was nothing" in judged
    assert len(judged.splitlines()) < 15
    report = json.loads((folder / "report" / "report.json").read_text())
    for told in (report["labels"], report["curves"]):
        assert list(told) == ["eurasian_blackbird", "parus_major", "bird_number_7"]
    assert report["others"] == 6519


def test_of_thousands_of_labels_those_are_tuned_of_which_there_is_something(recording: Path) -> None:
    """A bird whose score is the highest where there is none is silenced; a name that is not there is told shortly."""
    folder = recording.parent
    tune = ("tune", recording, "--truth", folder, "--dry-run")
    tuned = run(*tune)
    assert "bird_number_7: {threshold: 1," in tuned
    assert len(tuned.splitlines()) < 15
    refused = str(CliRunner().invoke(app, [*map(str, tune), "--label", "zzz=1"]).exception)
    assert len(refused) < 1200
    assert refused.endswith("and 6482 more (auricle models NAME)")
