"""`auricle evaluate`: what it judges is what the daemon says."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from auricle import config
from auricle.capture.recording import Recordings
from auricle.commands.cli import app
from auricle.commands.synth import scene
from auricle.config.sections import DEFAULT_MODEL
from auricle.errors import ConfigError, UsageError
from auricle.hearing.hearer import Hearer, Hearing
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.judge import evaluate as evaluates
from auricle.judge import truth
from auricle.judge.evaluate import Heard
from auricle.judge.truth import Event
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from auricle.start import main
from helpers.sounds import RATE, varied, write


@pytest.fixture(scope="module")
def esc10() -> bundle.Bundle:
    """The default model."""
    return bundle.load("esc10")


@pytest.fixture
def hearer(esc10: bundle.Bundle) -> Hearer:
    """With rules that do not depend on what the model ships with."""
    rules = {"decision.threshold": 0.5, "decision.hysteresis": 0.1, "decision.min_duration_ms": 100}
    cfg = config.load(None, environ={}, overrides=rules)
    return Hearer(esc10, cfg.decision, cfg.gate)


def spoken(hearer: Hearer, label: str, spans: list[tuple[float, float]], seconds: float = 60.0) -> Hearing:
    """A hearing whose scores of one label are 0.9 in some spans of time, and 0 elsewhere."""
    span, hop = hearer.span, hearer.hop
    rows = (round(seconds * hearer.rate) - span) // hop + 1
    at = (span + np.arange(rows) * hop) / hearer.rate
    scores = np.zeros((rows, len(hearer.bundle.labels)), np.float32)
    for onset, offset in spans:
        scores[(at >= onset) & (at < offset), hearer.bundle.labels.index(label)] = 0.9
    return Hearing("made", scores, round(seconds * hearer.rate))


@pytest.mark.parametrize("gate", ["off", "on"])
def test_what_is_judged_is_what_the_daemon_says(tmp_path: Path, esc10: bundle.Bundle, gate: str) -> None:
    """Events heard for judging are those that a lane publishes: label, onset, offset and peak, to the sample."""
    sound, _ = scene(["rain", "clock_tick", "baby_cry"], RATE, sound_s=3.0, pause_s=1.0)
    path = str(write(tmp_path / "a.wav", np.concatenate((sound, varied(2.0)))))
    rules = {"decision.threshold": 0.2, "decision.min_duration_ms": 100, "gate.enabled": gate}
    cfg = config.load(None, environ={}, overrides=rules)
    said = []

    def outlet(topic: str, payload: bytes) -> None:
        message = json.loads(payload)
        if topic.startswith("event.") and message["phase"] == "offset":
            said.append((message["onset_s"], message["offset_s"], message["label"], message["peak"]))

    source = Recordings("test", [path], model_rate=RATE, speed=None)
    lane = Lane(
        source, esc10, decision=cfg.decision, gate=cfg.gate, publish=cfg.publish, publisher=Publisher("node", [outlet])
    )
    source.open()
    together = Together()
    while not source.done:
        together.feed(lane, source.poll(0.0))
    hearer = Hearer(esc10, cfg.decision, cfg.gate)
    for _ in range(2):  # the second time from the very same state
        heard = hearer.decide(hearer.hear(path))
        found = [(round(e.onset_s, 6), round(e.offset_s, 6), e.label, round(e.peak, 6)) for e in heard]
        assert found == sorted(said)
    assert said, "a scene without an event proves nothing"


def test_kept_scores_are_the_scores(tmp_path: Path, esc10: bundle.Bundle) -> None:
    """The cache gives the same bits; another gate or another hop is another entry."""
    path = str(write(tmp_path / "a.wav", varied(4.0)))
    plain = config.load(None, environ={})
    other = config.load(None, environ={}, overrides={"gate.enabled": "on"})
    cache = tmp_path / "kept"
    first = Hearer(esc10, plain.decision, plain.gate, cache=cache).hear(path)
    again = Hearer(esc10, plain.decision, plain.gate, cache=cache).hear(path)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.samples == again.samples == 4 * RATE
    assert len(list(cache.iterdir())) == 1
    assert not np.array_equal(Hearer(esc10, other.decision, other.gate, cache=cache).hear(path).scores, first.scores)
    assert len(list(cache.iterdir())) == 2


def test_one_channel_is_judged(tmp_path: Path, esc10: bundle.Bundle) -> None:
    """The channel that is chosen is heard alone, and its kept scores are not those of another."""
    sound = varied(3.0)
    two = str(write(tmp_path / "two.wav", np.stack([np.zeros_like(sound), sound], 1)))
    alone = str(write(tmp_path / "one.wav", sound))
    cfg = config.load(None, environ={})

    def heard(path: str, channel: int | str) -> np.ndarray:
        return Hearer(esc10, cfg.decision, cfg.gate, cache=tmp_path / "kept", channel=channel).hear(path).scores

    for _ in ("heard", "kept"):
        np.testing.assert_array_equal(heard(two, 2), heard(alone, "mix"))
        assert not np.array_equal(heard(two, 1), heard(two, 2))
        assert not np.array_equal(heard(two, "mix"), heard(two, 2))


def test_the_figures_of_a_hearing_that_is_known(hearer: Hearer) -> None:
    """Two dogs, one of them noticed, an owl that nobody knows; one false alarm in a minute beside two of silence."""
    timing = hearer.bundle.card.timing
    onset_lag, offset_lag = timing.onset_lag_samples / hearer.rate, timing.offset_lag_samples / hearer.rate
    hearing = spoken(hearer, "dog_bark", [(10 + onset_lag, 13 + offset_lag), (40.0, 42.0)])
    true = [Event(10.0, 13.0, "dog_bark"), Event(20.0, 22.0, "dog_bark"), Event(30.0, 31.0, "owl")]
    quiet = Heard(spoken(hearer, "dog_bark", [], seconds=120.0), (), negative=True)
    report = evaluates.evaluate(hearer, [Heard(hearing, true), quiet])
    dog = report.labels["dog_bark"]
    assert (dog.true, dog.reported, dog.noticed) == (2, 2, 1)
    assert dog.event_f1 == dog.event_f1_with_offset == 0.5
    assert dog.false_alarms.count == report.overall.false_alarms.count == 1
    hours = (len(hearing.scores) + len(quiet.hearing.scores)) * hearer.hop / hearer.rate / 3600
    assert dog.false_alarms.per_hour == pytest.approx(1 / hours, rel=1e-4)
    # Garwood's limits of a count of one: chi-squared quantiles, halved.
    assert (dog.false_alarms.low, dog.false_alarms.high) == pytest.approx(
        (0.025318 / hours, 5.571643 / hours), rel=1e-3
    )
    hop_s = hearer.hop / hearer.rate
    # The minimum duration of 100 ms is two whole hops of 80 ms; up to one more until the next decision.
    assert 2 * hop_s - 1e-3 <= dog.delay_s - onset_lag < 3 * hop_s
    assert report.labels["rain"].event_f1 is None
    assert report.labels["rain"].false_alarms.high == pytest.approx(3.689 / hours, rel=1e-3)
    assert report.unknown_labels == ["owl"]
    quiet_hours = len(quiet.hearing.scores) * hearer.hop / hearer.rate / 3600
    assert (report.hours, report.hours_without_events) == (round(hours, 4), round(quiet_hours, 4))
    at_half = next(point for point in report.curves["dog_bark"] if point.threshold == 0.5)
    assert (at_half.precision, at_half.recall) == (0.5, 0.5)
    above = next(point for point in report.curves["dog_bark"] if point.threshold == 0.95)
    assert (above.precision, above.recall, above.false_alarms_per_hour) == (None, 0.0, 0.0)


def test_the_command_writes_a_report(tmp_path: Path) -> None:
    """Markdown, JSON and curves; --json on standard output is the same figures."""
    sound, parts = scene(["rain", "clock_tick"], RATE, sound_s=3.0, pause_s=1.0)
    write(tmp_path / "a.wav", sound)
    write(tmp_path / "quiet.wav", varied(3.0))
    truth.write(tmp_path / "a.txt", [Event(p.onset_s, p.onset_s + 3.0, p.label) for p in parts])
    arguments = [
        "evaluate",
        str(tmp_path / "a.wav"),
        "--truth",
        str(tmp_path),
        "--negatives",
        str(tmp_path / "quiet.wav"),
    ]
    result = CliRunner().invoke(app, [*arguments, "--json", "--report", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    said = msgspec.json.decode(result.stdout, type=evaluates.Evaluation)
    assert said == msgspec.json.decode((tmp_path / "out" / "report.json").read_bytes(), type=evaluates.Evaluation)
    assert (said.recordings, said.overall.true) == (2, 2)
    text = (tmp_path / "out" / "report.md").read_text()
    assert all(label in text for label in said.labels)
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_negatives_alone(tmp_path: Path) -> None:
    """A folder of quiet recordings needs no truth, and is judged by its false alarms."""
    write(tmp_path / "quiet.wav", 0.001 * varied(3.0))
    result = CliRunner().invoke(app, ["evaluate", "--negatives", str(tmp_path), "--json"])
    report = json.loads(result.stdout)
    hearer = Hearer(bundle.load(DEFAULT_MODEL), config.Decision(), config.Gate())
    decided_s = ((3 * hearer.rate - hearer.span) // hearer.hop + 1) * hearer.hop / hearer.rate
    assert report["hours_without_events"] == report["hours"] == round(decided_s / 3600, 4), "no decision, no hour"
    assert report["overall"]["event_f1"] is None


def test_what_cannot_be_judged_is_told(
    tmp_path: Path, hearer: Hearer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recordings without truth, nothing to hear, truth that is missing; a broken file is named and passed over."""
    path = str(write(tmp_path / "a.wav", varied(3.0)))
    with pytest.raises(UsageError, match="--truth"):
        evaluates.gather(hearer, [path], None, ())
    with pytest.raises(UsageError, match="nothing to hear"):
        evaluates.gather(hearer, (), None, ())
    with pytest.raises(ConfigError, match=r"a\.txt"):
        evaluates.gather(hearer, [path], tmp_path, ())
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    monkeypatch.setattr("sys.argv", ["auricle", "evaluate", "--negatives", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "broken.wav" in capsys.readouterr().err
