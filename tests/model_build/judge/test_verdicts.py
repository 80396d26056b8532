"""Clips as `classify` names them: accuracy, average precision and mistakes, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle import config
from auricle.hearing.whole import Classifier
from auricle.model import bundle
from auricle_build.grammar.material import ClipSet
from auricle_build.judge import verdicts
from auricle_build.judge.alarms import Quiet
from auricle_build.judge.verdicts import Verdicts
from auricle_build.material.clips import Clip
from helpers.bundles import made_up, tone
from helpers.sounds import RATE

LABELS = ["cat", "dog", "cow", "animal"]


def said(truth: list[int], scores: list[list[float]], origin: str = "zoo") -> Verdicts:
    names = [f"{i}.wav" for i in range(len(truth))]
    return Verdicts(LABELS, [origin] * len(truth), names, np.asarray(truth), np.asarray(scores, np.float32))


def test_accuracy_is_among_the_labels_that_the_clips_hold() -> None:
    """A label that no clip is of is left out; of all labels, one that contains the right one is right."""
    found = said([0, 1, 1], [[0.6, 0.1, 0.0, 0.9], [0.2, 0.5, 0.9, 0.1], [0.7, 0.4, 0.0, 0.2]])
    assert found.held == [0, 1]
    assert found.named().tolist() == [0, 1, 0]
    assert found.accuracy() == pytest.approx(2 / 3)
    assert found.recall(0) == 1.0
    assert found.recall(1) == 0.5
    assert np.isnan(found.recall(2))
    assert found.accuracy_of_all({}) == 0.0
    assert found.accuracy_of_all({"animal": ["cat"]}) == pytest.approx(1 / 3)
    assert found.mistakes() == [("dog", "cat", 1)]


def test_average_precision_is_that_of_the_ranking() -> None:
    """Positives at ranks 1 and 3 of four: (1 + 2/3) / 2; where scores are equal, clips stand or fall together."""
    column = [0.9, 0.8, 0.7, 0.1]
    found = said([0, 1, 0, 1], [[score, 0.0, 0.0, 0.0] for score in column])
    assert found.average_precision(0) == pytest.approx((1 + 2 / 3) / 2)
    level = said([0, 1, 0, 1], [[0.5, 0.0, 0.0, 0.0]] * 4)
    assert level.average_precision(0) == pytest.approx(0.5)
    assert np.isnan(found.average_precision(2))


def test_sets_are_judged_alone_and_together(tmp_path: Path) -> None:
    """What was kept comes back; a set's own clips are among its own labels."""
    one, other = said([0], [[0.1, 0.9, 0.0, 0.0]], "cats"), said([1], [[0.1, 0.9, 0.0, 0.0]], "dogs")
    every = Verdicts.joined([one, other])
    assert every.accuracy() == 0.5
    assert every.of(["cats"]).accuracy() == 1.0, "there is nothing else to take it for"
    opened = bundle.load(str(made_up(tmp_path / "tones", {"low": [440.0]})))
    verdicts.save(tmp_path / "judged.npz", opened, every, Quiet(["place"], [np.zeros((3, 4), np.float32)]))
    hash_of, back = verdicts.load(tmp_path / "judged.npz")
    assert hash_of == opened.hash
    np.testing.assert_array_equal(back.scores, every.scores, strict=True)
    assert (back.labels, back.origins, back.files) == (LABELS, ["cats", "dogs"], ["0.wav", "0.wav"])


def test_scores_are_those_of_classify(tmp_path: Path) -> None:
    """File by file, to the last digit; a file that cannot be read is named and left out."""
    opened = bundle.load(str(made_up(tmp_path / "tones", {"low": [440.0], "high": [2500.0]})))
    clips = []
    for name, hz in (("low", 440.0), ("high", 2500.0)):
        soundfile.write(tmp_path / f"{name}.wav", tone(hz, seconds=0.8), RATE)
        clips.append(Clip(tmp_path / f"{name}.wav", name, name, 1, origin="tones"))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    told: list[str] = []
    found = verdicts.judge(opened, [*clips, Clip(tmp_path / "broken.wav", "low", "x", 1, origin="tones")], told.append)
    assert len(told) == 1
    assert "broken.wav" in told[0]
    classifier = Classifier(opened, config.Decision(), config.Gate())
    for clip, mine in zip(clips, found.scores, strict=True):
        np.testing.assert_array_equal(mine, np.float32(list(classifier.verdict(str(clip.path)).scores.values())))
    assert found.accuracy() == 1.0
    (windows,) = verdicts.quiet(opened, clips[:1], told.append).windows
    np.testing.assert_array_equal(windows, classifier.scores(str(clips[0].path))[0])


def test_sets_of_one_label_are_not_judged_by_clips() -> None:
    """Nor are places, nor what the recipe says is not judged: one label cannot be taken for another."""
    from auricle_build.grammar import read

    common = {"reader": "table", "path": "x", "licence": "x", "source": "x"}
    sets = (
        ClipSet(name="many", **common),
        ClipSet(name="one", **common),
        ClipSet(name="left out", judged=False, **common),
        ClipSet(name="places", place=True, **common),
    )
    rec = read.load(Path("home"))
    import dataclasses

    rec = dataclasses.replace(rec, data=dataclasses.replace(rec.data, sets=sets))
    clips = [Clip(Path("a.wav"), label, "g", 1, origin=each.name) for each in sets for label in ("rain", "cat")]
    clips = [clip for clip in clips if clip.origin != "one" or clip.label == "cat"]
    assert verdicts.judged_sets(rec, clips) == ["many"]
