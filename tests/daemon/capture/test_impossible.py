"""What no sound can have, and no recording: bounded where it is read, and counted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle import config
from auricle.capture.conditioning import LOUDEST, clean, mono
from auricle.capture.reader import Reader
from auricle.capture.source import NominalClock, Segment, Sound
from auricle.commands.replay import parse_start
from auricle.errors import ConfigError, UsageError
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.messages import decode
from auricle.model import bundle
from auricle.publish.publisher import Publisher
from helpers import sounds
from helpers.sounds import RATE


def test_amplitudes_are_bounded_and_counted() -> None:
    """Samples that are not finite become 0, larger ones the largest, and what a sound may be stays as it is."""
    block = np.array([0.5, -1.2, 1e12, -1e38, np.nan, np.inf, -np.inf], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cleaned, changed = clean(block)
        np.testing.assert_array_equal(cleaned, np.array([0.5, -1.2, LOUDEST, -LOUDEST, 0, 0, 0], np.float32))
        assert changed == 5
        assert clean(block[:2])[0] is not None
        assert clean(block[:2])[1] == 0
        assert clean(block[:0])[1] == 0
        assert clean(mono(np.full((4, 3), 3e38, np.float32)))[1] == 4


class _Still:
    """A source that gives nothing, and remembers that it failed."""

    name = "porch"
    live = None
    cleaned = 0
    done = False

    def __init__(self) -> None:
        self.failures: list[str] = []

    def counters(self) -> None:
        return None

    def fail(self, reason: str, at: int | None) -> None:
        self.failures.append(reason)


def heard(rounds: list[np.ndarray[Any, Any]], clocks: list[NominalClock]) -> tuple[list[_Still], list[bytes]]:
    """Sources of these clocks given the same sound, together: they, and the scores that were told."""
    told: list[bytes] = []
    cfg = config.load(None, environ={})
    publisher = Publisher("node", [lambda topic, payload: told.append(payload)])
    sources, lanes = [], []
    for clock in clocks:
        source = _Still()
        rules = {"decision": cfg.decision, "gate": cfg.gate, "publish": cfg.publish}
        lane = Lane(source, bundle.load("esc10"), publisher=publisher, **rules)  # type: ignore[arg-type]
        sources.append(source)
        lanes.append(lane)
        lane.take(Segment(0, RATE, clock))
    told.clear()
    together = Together()
    for samples in rounds:
        for lane in lanes:
            if not lane.source.failures:  # type: ignore[attr-defined]
                lane.draw(iter([Sound(samples)]))
        together.hear(lanes, 0.0)
    return sources, told


@pytest.mark.filterwarnings("error")
def test_no_finite_sample_makes_a_message_that_is_refused() -> None:
    """Sound of 1e38 throughout, as a source gives it: every message can be read by its own schema."""
    samples = clean(np.full(1600, 3e38, np.float32))[0]
    sources, told = heard([samples] * 30, [NominalClock(RATE)])
    assert told
    assert not sources[0].failures
    for payload in told:
        decode(payload)


def test_what_fails_at_telling_is_one_sources() -> None:
    """A clock at the end of the calendar fails its own source, and the other's scores are told."""
    last_us = 253_402_300_799_000_000
    samples = sounds.varied(3.0)
    rounds = [samples[at : at + 1600] for at in range(0, len(samples), 1600)]
    sources, told = heard(rounds, [NominalClock(RATE, last_us, True), NominalClock(RATE)])
    assert "OverflowError" in sources[0].failures[0]
    assert not sources[1].failures
    assert told


@pytest.mark.parametrize("year", ["0001", "1601", "2400", "9999"])
def test_dates_that_no_recording_has_are_not_believed(tmp_path: Path, year: str) -> None:
    """By name it is a recording without a date; on the command line and in the configuration it is refused."""
    path = sounds.write(tmp_path / f"{year}-12-31_235959.wav", sounds.varied(0.2))
    assert Reader(str(path), RATE).start_us() is None
    with pytest.raises(UsageError, match="--start-time"):
        parse_start(f"{year}-12-31T23:59:59Z")
    (tmp_path / "a.yaml").write_text(
        f"sources:\n- name: a\n  recording: {{path: {path}, start_time: '{year}-12-31T23:59:59Z'}}\n"
    )
    with pytest.raises(ConfigError, match="cannot be published"):
        config.load(tmp_path / "a.yaml", environ={})
