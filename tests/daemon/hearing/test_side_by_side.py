"""Models of different rates, windows and hops hear side by side in one daemon, and the sources of each share its
network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from auricle import config
from auricle.adopt import add as adopting
from auricle.capture.recording import Recordings
from auricle.hearing import engine
from auricle.hearing.lane import Lane
from auricle.model import bundle as bundles
from auricle.model import litert
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from helpers import graphs
from helpers.bundles import made_up
from helpers.foreign import bundled, timing
from helpers.sounds import varied, write


def of_sound(folder: Path, rate: int, samples: int, hop: int) -> Bundle:
    """A bundle that hears how loud a window of so many samples at this rate is."""
    frames = -(-samples // hop)
    weights = np.stack([np.linspace(0, 100, samples) / samples, np.full(samples, -50 / samples)])
    bundled(
        folder,
        graphs.linear((1, samples), weights, [-1.0, 1.0], head="LOGISTIC", squared=True),
        varied(2 * frames * hop / rate, rate=rate).reshape(2 * frames, hop),
        labels=["loud", "quiet"],
        input={"kind": "waveform", "shape": [samples], "dtype": "float32"},
        output={"dtype": "float32"},
        front_end={"sample_rate": rate, "n_fft": 4 * hop, "hop_length": hop, "features": [{"kind": "sound"}]},
        timing=timing(frames),
    )
    return bundles.load(str(folder))


def heard(wanted: list[tuple[str, Bundle, float, Path]]) -> dict[str, list[dict[str, Any]]]:
    """What every source says, when all of them are heard together: name, model, hop in ms, recording."""
    told: dict[str, list[dict[str, Any]]] = {}

    def outlet(topic: str, payload: bytes) -> None:
        message = json.loads(payload)
        if message["type"] == "score":
            told.setdefault(message["source"], []).append(message)

    publisher, stop = Publisher("node", [outlet]), engine.Stop()
    lanes = [
        Lane(
            Recordings(name, [str(path)], model_rate=model.card.front_end.sample_rate), model,
            decision=config.Decision(hop_ms=hop_ms), gate=config.Gate(), publish=config.Publish(), publisher=publisher,
        )
        for name, model, hop_ms, path in wanted
    ]  # fmt: skip
    for lane in lanes:
        lane.source.open()
    engine.run(lanes, publisher, stop)
    for lane in lanes:
        lane.source.close()
    stop.close()
    return told


def scores(messages: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Their scores, a row a message."""
    return np.asarray([list(message["scores"].values()) for message in messages])


def test_each_source_hears_with_its_own_model(tmp_path: Path) -> None:
    """Rates of 8, 16 and 48 kHz, sound and features, hops of 20 to 500 ms: each says what it says alone, to the bit."""
    models = {
        "low": (of_sound(tmp_path / "low", 8000, 4100, 80), 500.0),
        "high": (of_sound(tmp_path / "high", 48000, 9600, 480), 20.0),
        "tones": (bundles.load(str(made_up(tmp_path / "tones", {"siren": [1000.0]}))), 80.0),
    }
    files = [write(tmp_path / f"{i}.wav", varied(4.0, rate=44100, seed=i), 44100) for i in range(2)]
    wanted = [(f"{name}{i}", *models[name], files[i]) for name in models for i in range(2)]
    together = heard(wanted)
    for each in wanted:
        alone = heard([each])[each[0]]
        np.testing.assert_array_equal(scores(together[each[0]]), scores(alone))
        assert {message["model"]["name"] for message in alone} == {each[0][:-1]}
        steps = np.diff([message["sample"] for message in alone])
        assert np.abs(steps - 44.1 * each[2]).max() <= 1
    assert len(together["low0"]) < len(together["tones0"]) < len(together["high0"])
    assert not np.array_equal(scores(together["high0"]), scores(together["high1"]))


def test_sources_of_a_model_share_its_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sources hear with a model, its graph is in memory once."""
    model = of_sound(tmp_path / "loud", 16000, 1600, 160)
    made, load = [], litert.load
    monkeypatch.setattr(litert, "load", lambda *given, **more: made.append(given) or load(*given, **more))
    files = [write(tmp_path / f"{i}.wav", varied(1.0, seed=i)) for i in range(4)]
    heard([(f"s{i}", model, 80.0, file) for i, file in enumerate(files)])
    assert made == [], "it was loaded when the bundle was checked"


def test_yamnet_and_audioset_hear_side_by_side(tmp_path: Path, data: Path) -> None:
    """Two networks of AudioSet's classes, one of them somebody else's, name dogs and speech on two sources."""
    whole = data.parent / "models" / "yamnet.tflite"
    if not whole.exists():
        pytest.skip("missing here: shared/models/yamnet.tflite")
    yamnet = adopting.add(adopting.Wish(whole, cut=True), tmp_path / "models").bundle
    audioset = bundles.load("audioset")
    dogs = sorted((data / "esc10" / "dog_bark").iterdir())[:3]
    spoken = sorted((data / "speech" / "computer").iterdir())[:6]
    for i, (sounds, labels) in enumerate([(dogs, ("dog", "animal", "bark")), (spoken, ("speech",))]):
        parts = [soundfile.read(path, dtype="float32") for path in sounds]
        rate = parts[0][1]
        sound = write(tmp_path / f"{i}.wav", np.concatenate([np.ravel(each) for each, _ in parts]), rate)
        told = heard([("a", yamnet, 480.0, sound), ("b", audioset, 160.0, sound)])
        assert len(told["b"]) > 2 * len(told["a"]) > 4
        for source, messages in told.items():
            best = [max(message["scores"], key=message["scores"].__getitem__) for message in messages]
            assert any(label in labels for label in best), (source, best)
