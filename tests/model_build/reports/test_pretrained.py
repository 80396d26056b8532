"""A pretrained network's cross-validation: what is done, in which order, and what its page tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("tensorflow", reason="missing here: the build extra")

from auricle.errors import ConfigError
from auricle.model import bundle as bundles
from auricle_build import finetune, ship
from auricle_build.grammar import read
from auricle_build.grammar.recipes import PretrainedRecipe
from auricle_build.judge import calibration, verdicts
from auricle_build.judge.alarms import Quiet
from auricle_build.reports import pretrained
from helpers.bundles import made_up, tone
from helpers.sounds import RATE

TONES = {"low": [440.0], "high": [2500.0], "talk": [1200.0], "bell": [5000.0]}


@pytest.fixture
def recipe(tmp_path: Path) -> PretrainedRecipe:
    """Two sets of two labels each in folds 1 and 2, one of one label, places, and a label without recordings."""
    data = tmp_path / "data"
    (data / "talk").mkdir(parents=True)
    (data / "places").mkdir()
    for number, labels in (("a", ("low", "high")), ("b", ("low", "high"))):
        rows = ["file,fold,label"]
        for fold in (1, 2):
            for label in labels:
                name = f"{fold}-{number}{fold}{label}-0.wav"
                # Set b's high tones are low ones in truth: each is a mistake.
                hz = TONES["low" if number == "b" else label][0]
                soundfile.write(data / name, tone(hz, seconds=0.4), RATE)
                rows.append(f"{name},{fold},{label}")
        (data / f"{number}.csv").write_text("\n".join(rows) + "\n")
    for i in range(8):
        soundfile.write(data / "talk" / f"{i}.wav", tone(1200.0, seconds=0.3), RATE)
        soundfile.write(data / "places" / f"{i}.wav", tone(seconds=0.5), RATE)
    common = {"licence": "CC0", "source": "made here"}
    rec = read.of(
        {
            "name": "mini",
            "seed": 1,
            "head": "sigmoid",
            "labels": [{"name": name, "audioset": ["Music"]} for name in TONES],
            "front_end": {
                "sample_rate": RATE,
                "n_fft": 512,
                "hop_length": 160,
                "features": [{"kind": "log_mel", "n_mels": 40, "offset": 1e-5, "natural": True}],
            },
            "data": {
                "root": str(data),
                "held_out": [5],
                "sets": [
                    {"name": "A", "reader": "table", "path": "a.csv", **common},
                    {"name": "B", "reader": "table", "path": "b.csv", **common},
                    {"name": "talk", "reader": "folders", "path": "talk", "label": "talk", **common},
                    {"name": "places", "reader": "folders", "path": "places", "place": True, **common},
                ],
            },
            "network": {
                "kind": "mobilenet_v3",
                "weights": "w.npz",
                "sha256": "0" * 64,
                "classes": "c.csv",
                "licence": "MIT",
                "source": "x",
                "window_frames": 32,
            },
            "schedule": {"steps": 2, "learning_rate": 0.001, "check_every": 1},
        },
        "mini",
    )
    assert isinstance(rec, PretrainedRecipe)
    return rec


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Training and shipping by others that are quick; what was done, in order."""
    found: list[str] = []

    def train(rec: PretrainedRecipe, held_out: Sequence[int], folder: Path, **_: Any) -> SimpleNamespace:
        found.append(f"train {held_out[0]}")
        rng = np.random.default_rng(held_out[0])
        y = (rng.random((200, 4)) < 0.3).astype(np.float32)
        y[:, 3] = 0.0
        logits = (4 * (y - 0.5) + rng.normal(0, 1, y.shape)).astype(np.float32)
        calibration.UnseenWindows(logits, y, np.ones_like(y)).save(folder / "aside.npz")
        return SimpleNamespace(recipe=rec)

    def write(trained: SimpleNamespace, folder: Path, others: Sequence[Path]) -> bundles.Bundle:
        found.append(f"ship {folder.parent.name[-1]}")
        figures = {"steps": 2, "calibration": {"by": [path.parent.name for path in others]}}
        measured = {"bell": "no recording: AudioSet's word"}
        return bundles.load(str(made_up(folder, TONES, figures=figures, measured=measured)))

    monkeypatch.setattr(finetune, "train", train)
    monkeypatch.setattr(ship, "ship", write)
    return found


def run(
    rec: PretrainedRecipe, tmp_path: Path, folds: Sequence[int] | None = None, told: list[str] | None = None
) -> str:
    page = pretrained.run(
        rec,
        folds,
        None,
        root=Path(rec.data.root or ""),
        runs=tmp_path / "runs",
        out=tmp_path,
        threads=1,
        say=(told if told is not None else []).append,
    )
    return page.read_text()


def test_all_are_trained_before_the_first_is_shipped(recipe: PretrainedRecipe, tmp_path: Path, done: list[str]) -> None:
    """So that each is calibrated by all others; and nothing is done twice as long as it would be the same."""
    page = run(recipe, tmp_path)
    assert done == ["train 1", "train 2", "train 1", "ship 1", "train 2", "ship 2"]
    bundle = bundles.load(str(tmp_path / "runs" / "mini-without-1" / "bundle"))
    assert bundle.raw["figures"]["calibration"]["by"] == ["mini-without-2"]
    told: list[str] = []
    assert run(recipe, tmp_path, told=told) == page
    assert len(done) == 6
    assert told == [f"fold {fold}: judged before, in {tmp_path}/runs/mini-without-{fold}" for fold in (1, 2)]
    (tmp_path / "runs" / "mini-without-2" / "aside.npz").unlink()
    run(recipe, tmp_path)
    assert done[6:] == ["train 2"], "the bundle of fold 1 was calibrated by what is there again"


def test_the_page(recipe: PretrainedRecipe, tmp_path: Path, done: list[str]) -> None:
    """Folds, sets apart and together, labels with what they rest on, mistakes, calibration and a picture."""
    page = run(recipe, tmp_path, [1])
    assert "| 1 | 2 | 4 | 100.0 % | 50.0 % | 75.0 % | 75.0 % |" in page
    assert "Not measured: fold 2." in page
    assert "What scores mean" not in page
    page = run(recipe, tmp_path)
    assert "| fold | steps | clips | A, among 2 | B, among 2 | A and B, among 2 | of all labels |" in page
    assert "| all |  | 8 | 100.0 % | 50.0 % | 75.0 % | 75.0 % |" in page
    assert "| low | 4 | 1.000 |" in page
    assert "| high | 4 | 0.500 |" in page
    assert "| talk | 0 | - | - | by no clip: its sets hold nothing else |" in page
    assert "| bell | 0 | - | - | no recording: AudioSet's word |" in page
    assert "2 of 8 clips" in page
    assert "| high | low | 2 |" in page
    assert "| 0.9 to 1.0 |" in page
    assert (tmp_path / "images" / "models-mini.png").stat().st_size > 5000
    _, said = verdicts.load(tmp_path / "runs" / "mini-without-1" / "judged.npz")
    assert {file[0] for file in said.files} == {"1"}
    with np.load(tmp_path / "runs" / "mini-without-1" / "judged.npz") as stored:
        assert set(Quiet.of_arrays(stored).origins) == {"places"}


def test_a_fold_without_clips_is_refused(recipe: PretrainedRecipe, tmp_path: Path, done: list[str]) -> None:
    """One that is always held out, or not there, is named with those that are."""
    with pytest.raises(ConfigError, match="--fold: 5 has no clips to judge by; use 1, 2"):
        run(recipe, tmp_path, [5])
    assert done == []


def test_yardsticks_stand_beside_it(recipe: PretrainedRecipe, tmp_path: Path, done: list[str]) -> None:
    """Another bundle names the same clips, in whatever order its labels are; one that lacks a label is refused."""
    others = dict(reversed(TONES.items()))
    made_up(tmp_path / "other", {**others, "more": [3500.0]})
    told: list[str] = []

    def again(bundle: Path) -> str:
        given: dict[str, Any] = {"root": Path(recipe.data.root or ""), "runs": tmp_path / "runs", "out": tmp_path}
        beside = {"Other": str(bundle)}
        return pretrained.run(recipe, None, None, **given, threads=1, say=told.append, beside=beside).read_text()

    page = again(tmp_path / "other")
    (row,) = (line for line in page.splitlines() if line.startswith("| Other |"))
    assert row.startswith("| Other | 8 | 100.0 % | 50.0 % | 75.0 % | ")
    assert "Other: judging" in told
    assert again(tmp_path / "other") == page
    assert any(line.startswith("Other: judged before") for line in told)
    made_up(tmp_path / "poor", {"low": [440.0]})
    with pytest.raises(ConfigError, match="--beside: 'Other' lacks 'high'"):
        again(tmp_path / "poor")
