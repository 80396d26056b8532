"""YAMNet as a yardstick: cut where its features are quantised, it says what it says whole."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("tensorflow", reason="missing here: the build extra")

from ai_edge_litert.interpreter import Interpreter

from auricle import config
from auricle.errors import ConfigError
from auricle.hearing import pipeline
from auricle.hearing.whole import Classifier
from auricle.model import bundle as bundles
from auricle_build.grammar import read
from auricle_build.reports import yamnet
from helpers.sounds import RATE, varied

HOME = Path("home")


@pytest.fixture(scope="module")
def whole(data_folder: Path) -> Path:
    """YAMNet's file; skips where it is absent."""
    path = data_folder.parent / "models" / "yamnet.tflite"
    if not path.exists():
        pytest.skip("missing here: shared/models/yamnet.tflite")
    return path


def test_it_says_what_the_whole_graph_says(whole: Path, data: Path, tmp_path: Path) -> None:
    """Window by window: the highest label is the same, but for ties, in 99 % of windows, and scores are near."""
    rec = read.load(HOME)
    bundle = yamnet.write(whole, rec, tmp_path / "yamnet")
    assert list(bundle.labels) == rec.names
    classifier = Classifier(bundle, config.Decision(), config.Gate())
    assert classifier.span == 15_600
    hop = pipeline.hop_frames(config.Decision(), bundle) * 160
    with zipfile.ZipFile(whole) as tail:
        names = tail.read(tail.namelist()[0]).decode().splitlines()
    resting = [[names.index(name) for name in label.audioset if name in names] for label in rec.labels]
    interpreter = Interpreter(str(whole), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (said,) = interpreter.get_input_details(), interpreter.get_output_details()
    same, off = [], []
    for path in [*sorted((data / "esc50").rglob("*.ogg"))[::200], None]:
        sound = varied(3.0) if path is None else soundfile.read(path, dtype="float32")[0]
        if len(sound) < classifier.span:
            continue
        soundfile.write(tmp_path / "clip.wav", sound, RATE, subtype="FLOAT")
        for i, scores in enumerate(classifier.scores(str(tmp_path / "clip.wav"))[0][::4]):
            interpreter.set_tensor(given["index"], sound[4 * i * hop : 4 * i * hop + 15_600])
            interpreter.invoke()
            all_said = interpreter.get_tensor(said["index"])[0]
            wanted = np.asarray([all_said[mine].max() for mine in resting])
            same.append(wanted[scores.argmax()] >= wanted.max() - 1 / 128)
            off.append(np.abs(scores - wanted).max())
    assert len(same) > 40
    assert np.mean(same) >= 0.99
    assert np.median(off) <= 1 / 64
    assert np.max(off) < 0.2


def test_what_is_no_yamnet_is_refused(tmp_path: Path) -> None:
    """A file that is not there, no TFLite file, one without names of classes, one of another kind: one line each."""
    rec = read.load(HOME)

    def refused(path: Path, said: str) -> None:
        with pytest.raises(ConfigError, match=said) as found:
            yamnet.write(path, rec, tmp_path / "out")
        assert len(list(found.value.lines())) == 1

    refused(tmp_path / "none.tflite", "No such file or directory; give YAMNet's")
    (tmp_path / "text.tflite").write_text("no network at all")
    refused(tmp_path / "text.tflite", "is no TFLite file")
    ours = bundles.find("esc10") / "model.tflite"
    refused(ours, "holds no names of classes")
    named = tmp_path / "named.tflite"
    named.write_bytes(ours.read_bytes())
    classes = [name for label in rec.labels for name in label.audioset]
    with zipfile.ZipFile(named, "a") as tail:
        tail.writestr("labels.txt", "\n".join(classes))
    refused(named, "is no YAMNet with an int8 tower")
    with zipfile.ZipFile(named, "w") as tail:
        tail.writestr("labels.txt", "Speech\n")
    named.write_bytes(ours.read_bytes() + named.read_bytes())
    refused(named, r"labels\[0\].audioset: 'Baby cry, infant cry' is no class of YAMNet")
    assert not (tmp_path / "out").exists()
