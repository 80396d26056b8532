"""Why there was an event, or none, is told from the decisions that a daemon remembers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle import config, messages
from auricle.capture.recording import Recordings
from auricle.capture.source import Gap, NominalClock, Segment, Sound
from auricle.client import AskEvents, Event, Explained, History, ask
from auricle.errors import UsageError
from auricle.hearing.lane import Lane
from auricle.hearing.recall import Recall
from auricle.hearing.together import Together
from auricle.judge.explained import parted
from auricle.messages.questions import AskExplain, Decision, RuleReport
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from auricle.service.explaining import explained
from auricle.terminal import reasons
from helpers import kept
from helpers.running import running, wait_for
from helpers.sounds import RATE, varied

WHO = {"node": "n", "instance": "i"}
CLOCK = NominalClock(RATE, 0)


def told_by(recall: Recall, seconds: float) -> tuple[Lane, list[dict[str, object]]]:
    """Let a lane that remembers so hear a varied sound, and return it with what it told."""
    cfg = config.load(None, environ={}, overrides={"decision.threshold": 0.2, "decision.min_duration_ms": 300})
    told: list[dict[str, object]] = []
    lane = Lane(
        Recordings("porch", [], model_rate=RATE),
        bundle.load("esc10"),
        decision=cfg.decision,
        gate=cfg.gate,
        publish=cfg.publish,
        publisher=Publisher("node", [lambda topic, payload: told.append(json.loads(payload))]),
    )
    lane.recall = recall
    lane.take(Segment(0, RATE, CLOCK))
    sound = varied(seconds)
    Together().feed(lane, (Sound(sound[at : at + 1280], None) for at in range(0, len(sound), 1280)))
    return lane, told


def test_every_decision_is_remembered_as_it_was_told() -> None:
    """Times, samples, scores and what was held back are those of the published decisions, each label's and the highest
    alike."""
    lane, told = told_by(Recall(1), 20.0)
    scores = [message for message in told if message["type"] == "score"]
    found = explained([lane], _asked(0, 30, labels=list(lane.ear.labels)), WHO)
    assert [row.t for row in found.decisions] == [message["t"] for message in scores]
    assert [row.sample for row in found.decisions] == [message["sample"] for message in scores]
    assert [row.scores for row in found.decisions] == [message["scores"] for message in scores]
    assert [row.held_back for row in found.decisions] == [message.get("held_back", {}) for message in scores]
    highest = explained([lane], _asked(0, 30), WHO)
    held = {label for row in found.decisions for label in row.held_back}
    assert held <= set(highest.rules)
    peaks = {label: max(row.scores[label] for row in found.decisions) for label in lane.ear.labels}
    assert set(sorted(peaks, key=lambda label: -peaks[label])[:5]) <= set(highest.rules)
    few = explained([lane], _asked(5, 8), WHO).decisions
    assert [row.t for row in few] == [row.t for row in found.decisions if 5 <= _seconds(row.t) <= 8]


def _asked(since_s: float, until_s: float, **more: list[str]) -> AskExplain:
    since, until = (messages.rfc3339(round(1e6 * each)) for each in (since_s, until_s))
    return AskExplain(since=since, until=until, **more)


def _seconds(time: str) -> float:
    return messages.microseconds(time) / 1e6


@pytest.mark.parametrize("keep_min", [0.0, 0.1, 1.0])
def test_what_is_held_is_bounded(keep_min: float) -> None:
    """The newest decisions of so many minutes are held and no more; a shorter time counts from the next decision on."""
    recall = Recall(keep_min)
    lane, told = told_by(recall, 20.0)
    times = [message["t"] for message in told if message["type"] == "score"]
    found = explained([lane], _asked(0, 30), WHO)
    most = int(np.ceil(60 * keep_min / lane.ear.hop_s))
    assert [row.t for row in found.decisions] == (times[-most:] if most else [])
    assert found.remembered == (None if not most else found.decisions[0].t)
    recall.keep_min = 0.0
    Together().feed(lane, iter([Sound(varied(2.0), None)]))
    assert not explained([lane], _asked(0, 30), WHO).decisions


def test_gaps_and_news_are_told() -> None:
    """What was not heard in this time is told with it, by its ends."""
    lane, _ = told_by(Recall(1), 3.0)
    lane.take(Gap(3 * RATE, 2 * RATE, RATE, "lost", estimated=False, clock=CLOCK))
    for since_s, until_s, n in ((0, 2.5, 0), (0, 3.5, 1), (4, 4.5, 1), (5.5, 6, 0)):
        gaps = [
            each for each in explained([lane], _asked(since_s, until_s), WHO).news if isinstance(each, messages.Gap)
        ]
        assert [each.cause for each in gaps] == ["lost"] * n


def test_what_cannot_be_asked() -> None:
    """Each is refused in a line that says what to ask instead."""
    lane, _ = told_by(Recall(1), 2.0)
    for lanes, question, line in (
        ([lane], AskExplain(since="yesterday", until="now"), "since, until: .*; use a time such as"),
        ([lane], _asked(5, 4), "give a time after since"),
        ([lane], _asked(0, 121), "by 120 s at most"),
        ([lane], _asked(0, 9, labels=["dog"]), "the source's model has no label 'dog'"),
        ([lane, lane], _asked(0, 9), "say which one: porch, porch"),
    ):
        with pytest.raises(UsageError, match=line):
            explained(lanes, question, WHO)


RULE = RuleReport(threshold=0.5, hysteresis=0.1, min_duration_s=0.4, refractory_s=2.0, smoothing_s=0.2)


def found_with(score: float, held: str | None, rule: RuleReport | None = RULE) -> Explained:
    """Make an answer of two decisions about one label."""
    rows = [
        Decision(
            t=messages.rfc3339(1_000_000 * n), sample=n, level_dbfs=-20.0, scores={"dog": score},
            held_back={} if held is None else {"dog": held},
        )
        for n in (1, 2)
    ]  # fmt: skip
    return Explained(
        **WHO, source="porch", model=None, gate="on", remembered=rows[0].t, rules={"dog": rule}, decisions=rows, news=[]
    )


@pytest.mark.parametrize(
    ("score", "held", "rule", "line"),
    [
        (0.4, None, RULE, "no event. Its highest score was 0.40 at 00:00:01.00, below its threshold of 0.50"),
        (0.7, "short", RULE, "from 00:00:01.00 to 00:00:02.00, not for the 0.4 s that it must last (min_duration_ms)"),
        (0.7, "refractory", RULE, "sooner than 2 s after an event (refractory_ms)"),
        (0.7, "in:puppy", RULE, "told as puppy, which it contains"),
        (0.7, None, RULE, "which the history does not hold"),
        (0.7, None, None, "it raises no events"),
    ],
)
def test_the_reason_in_words(score: float, held: str | None, rule: RuleReport | None, line: str) -> None:
    """Each reason that a decision can have is a sentence with its figures."""
    assert line in reasons.why("dog", found_with(score, held, rule), [])


def test_what_came_again_and_again() -> None:
    """Of a label that was held back several times, how often, and the longest stretch: not all of it as one."""
    found = found_with(0.7, "short")
    found.decisions = [
        Decision(
            t=messages.rfc3339(1_000_000 * n), sample=n, level_dbfs=-20.0, scores={"dog": 0.7 if held else 0.1},
            held_back={"dog": "short"} if held else {},
        )
        for n, held in enumerate((True, False, True, True, True, False, True))
    ]  # fmt: skip
    said = reasons.why("dog", found, [])
    assert "above its threshold of 0.50 3 times, the longest from 00:00:02.00 to 00:00:04.00, not for the 0.4 s" in said


def test_no_curve_leads_over_a_gap() -> None:
    """A curve is parted where a gap lies between two of its points, and nowhere else."""
    points = [(0.0, 0.1), (1.0, 0.2), (4.0, 0.3), (5.0, 0.4)]
    for gaps, times in (([], 4), ([(1.0, 3.5)], 5), ([(1.2, 3.0), (3.0, 3.9)], 5), ([(5.0, 7.0)], 4)):
        found = parted(points, gaps)
        assert len(found[0]) == len(found[1]) == times
        assert [n for n, value in enumerate(found[1]) if np.isnan(value)] == ([2] if times == 5 else [])


def test_a_daemon_explains_itself(tmp_path: Path) -> None:
    """Of two tones of a second, one has an event and one does not last long enough: so says the command of a real
    daemon, in words, as JSON and as a picture; of a time before it says from when on it remembers."""
    wanted = kept.configuration(
        tmp_path, kept.model(tmp_path), {"enabled": False}, {"name": "hall", "stdin": {"rate": RATE}}
    )
    wanted |= {"decision": {"labels": {"low": {"min_duration_ms": 2000}}}, "capture": {"ring_s": 30}}
    with running(tmp_path, wanted, stdin=subprocess.PIPE) as one:
        assert one.process.stdin is not None
        one.process.stdin.write(kept.scene().tobytes() + bytes(4 * RATE))
        one.process.stdin.flush()

        def ended() -> Event | None:
            told = ask(one.query, AskEvents(), History, timeout_s=30).messages
            return next((each for each in told if isinstance(each, Event) and each.offset is not None), None)

        event = wait_for(ended, "the high tone's event")
        assert event.label == "high"

        def says(*words: str) -> str:
            command = [sys.executable, "-m", "auricle", "explain", "--endpoint", one.query, *words]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        around = ("--at", event.onset, "--for", "100s")
        lines = says(*around).splitlines()
        assert lines[0].startswith("hall, ")
        (high,) = [line for line in lines if line.startswith("high: ")]
        assert high.endswith(f"peak {event.peak:.2f} ({event.id})")
        (low,) = [line for line in lines if line.startswith("low: ")]
        assert low.startswith("low: no event. above its threshold of 0.50 from ")
        assert low.endswith("not for the 2 s that it must last (min_duration_ms)")
        found, *events = [json.loads(line) for line in says(*around, "--json").splitlines()]
        assert found["rules"]["low"]["min_duration_s"] == 2.0
        assert [each["id"] for each in events] == [event.id]
        pytest.importorskip("matplotlib")
        says(*around, "--plot", str(tmp_path / "why.png"))
        assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
        assert "decisions are remembered from" in says("--at", "2026-03-01T06:30:00Z")
        one.process.stdin.close()
