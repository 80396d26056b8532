"""A configuration that changes while the daemon hears: what comes in when, and that nothing is lost by it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle.capture.reader import Reader
from auricle.client import Client, Scores
from auricle.errors import AuricleError
from auricle.hearing import pipeline
from helpers.reloading import Daemon, configuration, daemon, model_beside, recording, rule, seconds
from helpers.sounds import RATE, varied, write
from helpers.supervised import configured, supervised, until

__all__ = ["daemon", "recording"]

HOP = RATE * 80 // 1000


def scores(messages: list[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    return [(message["sample"], message["scores"]) for message in messages]


def test_a_threshold_holds_from_the_very_next_decision(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """A lower threshold is in force at the next decision; every score is that of a daemon that was left alone; no seq
    is missing and no segment ends."""
    quiet = {"decision": {"threshold": 1.0, "hysteresis": 0.0, "min_duration_ms": 0, "refractory_ms": 0}}
    here = daemon(configuration(recording, **quiet))
    here.listen(seconds(2.5))
    before = here.of("score.porch.")
    assert not here.of("event.")
    assert here.change(configuration(recording, decision={**quiet["decision"], "threshold": 0.001})) == []
    here.listen(1)
    first = here.of("event.")[0]
    assert (first["phase"], first["sample"]) == ("onset", before[-1]["sample"] + HOP)
    here.listen(seconds(30))
    other = daemon(configuration(recording, **quiet))
    other.listen(seconds(30))
    assert scores(here.of("score.porch.")) == scores(other.of("score.porch."))
    assert [message["seq"] for message in here.of("score.porch.")] == [*range(1, len(here.of("score.porch.")) + 1)]
    assert {message["cause"] for message in here.of("event.") if message["phase"] == "offset"} <= {"end", "score"}
    (told,) = [m for m in here.of("status.") if m["source"] is None]
    assert told["topic"] == "status."
    assert (told["state"], told["detail"]) == ("reloaded", "decision.threshold")


def test_a_new_segment_begins_at_the_next_sample(daemon: Callable[[dict[str, Any]], Daemon], recording: Path) -> None:
    """A key that needs other stages ends the segment at a decision, with its events; the next begins at the very next
    sample and gives what a daemon gives that begins to hear there; heard samples add up to the file's."""
    rules = {"threshold": 0.001, "min_duration_ms": 0, "hysteresis": 0.0}
    here = daemon(configuration(recording, decision={**rules, "smoothing_ms": 400}))
    here.listen(seconds(3.3))
    assert here.change(configuration(recording, decision={**rules, "smoothing_ms": 0})) == []
    here.listen(seconds(60))
    (at,) = {message["sample"] for message in here.of("event.") if message.get("cause") == "reload"}
    span = here.lane().ear.stages.span
    samples = [message["sample"] for message in here.of("score.porch.")]
    assert at in samples, "the old segment ends with a decision"
    assert samples[samples.index(at) + 1] == at + span
    sound = pipeline.scorer(here.lane().bundle, here.reload.cfg.decision, here.reload.cfg.gate).stages
    whole = np.concatenate([sound.process(block) for block in np.array_split(heard_from(recording, at), 50)])
    given = [list(message["scores"].values()) for message in here.of("score.porch.") if message["sample"] > at]
    np.testing.assert_array_equal(np.round(np.clip(whole, 0, 1).astype(float), 6), np.array(given))
    assert here.lane().health(0.0).heard_samples == len(heard_from(recording, 0))


def test_the_smoothing_of_a_label_needs_other_stages(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path
) -> None:
    """A label's threshold changes within the segment, its smoothing with a new one."""
    here = daemon(configuration(recording))
    here.listen(seconds(3))
    ear = here.lane().ear
    assert here.change(configuration(recording, decision={"labels": {"rain": {"threshold": 0.4}}})) == []
    here.listen(seconds(1))
    assert here.lane().ear is ear
    assert here.change(configuration(recording, decision={"labels": {"rain": {"smoothing_ms": 800}}})) == []
    here.listen(seconds(1))
    assert here.lane().ear is not ear
    (told,) = [m["detail"] for m in here.of("status.") if "rain.smoothing_ms" in m["detail"]]
    assert "at the next start" not in told
    lengths = dict(zip(here.lane().bundle.labels, here.lane().ear.chain[-1].lengths, strict=True))  # type: ignore[attr-defined]
    assert (lengths["rain"], lengths["sneeze"]) == (10, 2)


def test_rules_that_cannot_be_with_the_model_are_refused(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path
) -> None:
    """A hysteresis that reaches a threshold of the card changes nothing, and is told."""
    here = daemon(configuration(recording))
    rules = here.lane().ear.detector
    (line,) = here.change(configuration(recording, decision={"hysteresis": 0.25}))
    assert "decision.hysteresis: a hysteresis of 0.25 is not below the threshold 0.25 of clock_tick" in line
    assert here.lane().ear.detector is rules
    assert here.reload.cfg.decision.hysteresis is None


def heard_from(recording: Path, start: int) -> np.ndarray:
    return np.concatenate(list(Reader(str(recording)).blocks(RATE)))[start:]


def test_no_rounding_adds_up(daemon: Callable[[dict[str, Any]], Daemon], tmp_path: Path) -> None:
    """At 44.1 kHz, after five new segments, samples heard are the file's to the sample."""
    write(tmp_path / "cd.wav", varied(8.0, rate=44_100), 44_100)
    here = daemon(configuration(tmp_path / "cd.wav"))
    for smoothing_ms in (0, 200, 0, 200, 0):
        here.listen(seconds(1.5))
        here.change(configuration(tmp_path / "cd.wav", decision={"smoothing_ms": smoothing_ms}))
    here.listen(10**9)
    assert here.lane().counters.heard == 8 * 44_100
    assert sum(m["detail"].startswith("reload") for m in here.of("status.porch.")) == 5


def test_sources_come_and_go(daemon: Callable[[dict[str, Any]], Daemon], recording: Path) -> None:
    """A source is added, another removed; the one that stays loses nothing; events of the one that goes are closed."""
    wanted = configuration(recording, decision={"threshold": 0.001, "hysteresis": 0.0, "min_duration_ms": 0})
    here = daemon(wanted)
    here.listen(seconds(2))
    porch = here.lane()
    garden = {"name": "garden", "recording": {"path": str(recording), "speed": "max"}}
    assert here.change({**wanted, "sources": [*wanted["sources"], garden]}) == []
    assert [lane.source.name for lane in here.roster.lanes] == ["porch", "garden"]
    here.listen(seconds(2))
    assert here.lane() is porch
    assert [m["state"] for m in here.of("status.garden.")] == ["starting", "running"]
    assert here.change({**wanted, "sources": [garden]}) == []
    assert porch.source.done
    last = {m["id"]: m for m in here.of("event.porch.")}
    assert {m["phase"] for m in last.values()} == {"offset"}
    assert "reload" in {m["cause"] for m in last.values()}
    assert not porch.ear.detector.open
    assert here.of("status.porch.")[-1]["state"] == "stopped"
    heard = len(here.of("score.porch."))
    here.listen(seconds(2))
    assert len(here.of("score.porch.")) == heard
    assert [m["seq"] for m in here.of("score.garden.")] == [*range(1, len(here.of("score.garden.")) + 1)]


def test_a_model_is_swapped_at_a_decision(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """Another model speaks from the next segment on, under its own name; nothing is lost between the two."""
    model_beside(tmp_path / "models" / "other", name="other")
    wanted = configuration(recording, models_dir=str(tmp_path / "models"))
    here = daemon(wanted)
    here.listen(seconds(2.2))
    assert here.change({**wanted, "model": "other"}) == []
    here.listen(seconds(2.2))
    names = [message["model"]["name"] for message in here.of("score.porch.")]
    first = names.index("other")
    assert set(names[:first]) == {"esc10"}
    assert set(names[first:]) == {"other"}
    last, after = (here.of("score.porch.")[i]["sample"] for i in (first - 1, first))
    assert after - last == here.lane().ear.stages.span


def test_of_two_reloads_in_a_row_the_last_one_holds(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """A second reload before the first one's ear has heard anything: what it says is in force."""
    model_beside(tmp_path / "models" / "other", name="other")
    wanted = configuration(recording, models_dir=str(tmp_path / "models"))
    here = daemon(wanted)
    here.listen(seconds(2))
    here.change({**wanted, "model": "other"})
    here.change(wanted)
    here.listen(seconds(2))
    assert {message["model"]["name"] for message in here.of("score.porch.")} == {"esc10"}
    here.change({**wanted, "model": "other"})
    here.change({**wanted, "model": "other", "decision": {"threshold": 0.75}})
    here.listen(seconds(2))
    assert here.lane().bundle.card.name == "other"
    assert rule(here).threshold == 0.75


def test_a_model_that_does_not_hold_is_kept_out(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """Golden vectors that fail, a missing file, rules for labels it has not: the old model goes on, and it is told."""
    broken = model_beside(tmp_path / "models" / "broken", name="broken")
    card = yaml.safe_load((broken / "card.yaml").read_text())
    with np.load(broken / "golden.npz") as golden:
        arrays = {**golden, "scores": np.roll(golden["scores"], 3, axis=1)}
    np.savez(broken / "golden.npz", **arrays)
    card["files"]["golden.npz"] = hashlib.sha256((broken / "golden.npz").read_bytes()).hexdigest()
    (broken / "card.yaml").write_text(yaml.safe_dump(card))
    gone = model_beside(tmp_path / "models" / "gone", name="gone")
    (gone / "model.tflite").unlink()
    labels = [f"sound_{i}" for i in range(len(card["labels"]))]
    model_beside(tmp_path / "models" / "foreign", name="foreign", labels=labels, background=None, thresholds={})
    wanted = configuration(recording, models_dir=str(tmp_path / "models"), decision={"labels": {"rain": {}}})
    wanted["decision"]["labels"]["rain"]["threshold"] = 0.9
    here = daemon(wanted)
    for model in ("broken", "gone", "foreign"):
        here.listen(seconds(1))
        ear = here.lane().ear
        problems = here.change({**wanted, "model": model})
        assert problems, model
        assert here.lane().ear is ear
        told = here.of("status.")[-1]
        assert told["state"] == "reload_refused"
        assert problems[0] in told["detail"]
    here.listen(seconds(1))
    assert {message["model"]["name"] for message in here.of("score.porch.")} == {"esc10"}
    assert here.change(wanted) == []


@pytest.mark.parametrize(
    "text",
    [
        "gate: {sensitivity: high}",
        "sources: [{name: porch, microphone: {devise: x}}]\ndecision: {threshold: 2}",
        "gate: {sensitivity: 1\n",
        "",
        "sources: [{name: porch, recording: {path: PATH}}]\ndecision: {hop_ms: 33}",
        "sources: [{name: porch, recording: {path: PATH}}]\ngate: {enabled: on, noise_profile: nowhere.npz}",
    ],
)
def test_an_invalid_file_changes_nothing(
    daemon: Callable[[dict[str, Any]], Daemon],
    recording: Path,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The messages are those of a start with that file; the lanes are the very same; the next valid file is taken."""
    wanted = configuration(recording)
    here = daemon(wanted)
    here.listen(seconds(1.5))
    lane, ear, cfg = here.lane(), here.lane().ear, here.reload.cfg
    here.path.write_text(text.replace("PATH", str(recording)))
    with caplog.at_level(logging.ERROR, "auricle"):
        logging.getLogger("auricle").propagate = True
        problems = here.reload.now()
    with pytest.raises(AuricleError) as at_start:
        here.start()
    assert problems == at_start.value.lines()
    assert [f"not reloaded: {line}" for line in problems] == [entry.getMessage() for entry in caplog.records]
    assert here.lane() is lane
    assert here.lane().ear is ear
    assert here.reload.cfg is cfg
    assert here.of("status.")[-1]["state"] == "reload_refused"
    assert here.change(wanted) == []


def test_the_gate_goes_on_with_what_it_knows(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """New stages in the same room keep the noise; a daemon that starts again finds it; another device begins anew."""
    wanted = configuration(recording, gate={"enabled": "on", "start_up_s": 0.5})
    here = daemon(wanted)
    here.listen(seconds(3))
    known = here.lane().gate
    assert known is not None
    assert not known.learning
    assert here.change({**wanted, "gate": {**wanted["gate"], "time_smoothing_ms": 0}}) == []
    here.listen(seconds(1))
    assert here.lane().gate is not known
    assert_same(here.lane().gate, known.learned)
    here.close()
    again = daemon(wanted)
    assert again.lane().gate is not None
    assert_same(again.lane().gate, known.learned)
    copy = tmp_path / "elsewhere.wav"
    shutil.copy(recording, copy)
    assert again.change({**configuration(copy), "gate": wanted["gate"]}) == []
    assert again.lane().gate is not None
    assert again.lane().gate.learned == {}


def assert_same(gate: Any, learned: dict[str, np.ndarray]) -> None:
    assert gate is not None
    assert set(gate.learned) == set(learned) != set()
    for name, values in learned.items():
        np.testing.assert_allclose(gate.learned[name], values, rtol=1e-12)


def test_broken_state_is_learned_anew(
    daemon: Callable[[dict[str, Any]], Daemon], recording: Path, tmp_path: Path
) -> None:
    """A state file that is garbage, or cut short, is named and passed over; the next save mends it."""
    wanted = configuration(recording, gate={"enabled": "on", "start_up_s": 0.5})
    here = daemon(wanted)
    here.listen(seconds(3))
    here.close()
    (kept,) = (tmp_path / "noise").iterdir()
    whole = kept.read_bytes()
    for content in (b"", b"garbage", whole[: len(whole) // 2]):
        kept.write_bytes(content)
        again = daemon(wanted)
        assert again.lane().gate is not None
        assert again.lane().gate.learning
        again.listen(seconds(3))
        again.close()
        np.load(kept, allow_pickle=False).close()


def test_a_hop_above_the_window_comes_by_reload_to_a_real_daemon(tmp_path: Path) -> None:
    """A hop of 2.4 s, and of 9.6 s, by SIGHUP: decisions stand so far apart, the daemon hears on, and comes back."""
    write(tmp_path / "noise.wav", 0.1 * varied(300.0))
    source = {"name": "porch", "recording": {"path": str(tmp_path / "noise.wav"), "speed": 20, "loop": True}}
    with supervised(tmp_path, sources=[source]) as one, Client(one.endpoint, topics=["score."]) as client:

        def apart(hop_ms: int) -> bool:
            """Whether three decisions in a row stand so far apart."""
            while (item := client.receive(0.2)) is not None:
                if isinstance(item, Scores) and item.sample is not None:
                    samples.append(item.sample)
                if len(samples) > 3 and set(np.diff(samples[-4:])) == {RATE * hop_ms // 1000}:
                    return True
            return False

        samples: list[int] = []
        one.until_logged("publishing on")
        for n, hop_ms in enumerate((80, 2400, 9600, 80)):
            if n:
                wanted = configured(tmp_path, sources=[source], decision={"hop_ms": hop_ms})
                (tmp_path / "auricle.yaml").write_text(json.dumps(wanted))
                one.process.send_signal(signal.SIGHUP)
                until(lambda n=n: one.log.count("reloaded in") == n, lambda: one.log)
                samples.clear()
            until(lambda hop_ms=hop_ms: apart(hop_ms), lambda: f"{samples[-4:]}\n{one.log}")
        assert "Traceback" not in one.log
