"""Recordings that follow each other are one stream, and no bit depends on how it is divided or who hears what."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from auricle import config
from auricle.capture.conditioning import Resampler, joints
from auricle.capture.reader import Reader
from auricle.model import bundle
from auricle.scan.finisher import Account, Finisher
from auricle.scan.ledger import Ledger
from auricle.scan.listener import Listener, _Sieve, stages_of
from auricle.scan.streams import Cutter, Facts, Stream, plan
from auricle.scan.survey import Survey
from auricle.scan.work import Finding, Settings, Stamp, Unit, stamp_of
from auricle.stages.stage import Pipeline, Slices
from helpers.sounds import varied

RULES = {"model": "digits", "decision": {"threshold": 0.1, "hysteresis": 0.05, "min_duration_ms": 100}}
START = 1_714_532_400_000_000
"""2024-05-01 03:00 UTC, in microseconds."""


class Scan:
    """A scan without processes, in a folder of its own."""

    def __init__(self, folder: Path, overrides: dict[str, object], stretch_s: float) -> None:
        self.settings = Settings(config.load(None, environ={}, overrides={**RULES, **overrides}), "mix", False)
        self.bundle = bundle.load(self.settings.cfg.model, None)
        self.path = folder / "ledger.jsonl"
        self.stages, _ = stages_of(self.settings, self.bundle)
        self.cutter = Cutter(self.stages, self.bundle.card.front_end.sample_rate, stretch_s)
        self.listener = Listener(self.settings, self.bundle)
        self.heard: list[Unit] = []
        """What was not in the ledger."""

    def __call__(self, files: Sequence[Path], *, backwards: bool = False) -> list[Account]:
        """Hear what is missing, the last first if told so, and return what came of all files."""
        ledger = Ledger(self.path, "")
        survey = Survey(ledger, "mix", False, lambda line: None)
        names = [str(file) for file in files]
        self.heard = []
        anew = True
        while anew:
            anew = False
            units = [unit for _, unit in plan(names, survey, self.cutter) if unit is not None]
            for unit in units[:: -1 if backwards else 1]:
                if unit.key not in ledger:
                    self.heard.append(unit)
                    ledger.add(result := self.listener.hear(unit))
                    if isinstance(result, Finding):
                        anew = True
                        survey.forget(os.fsdecode(result.path))
        finisher = Finisher(self.settings.cfg, self.bundle, self.stages)
        accounts = list(finisher.accounts(plan(names, survey, self.cutter), ledger))
        ledger.close()
        return accounts


def recorded(folder: Path, sound: NDArray[np.float32], rate: int, lengths_s: Iterable[float]) -> list[Path]:
    """Write a sound as files that follow each other, named by their times, and give their paths."""
    folder.mkdir()
    paths, at = [], 0
    for length_s in lengths_s:
        second = 3 * 3600 + at // rate
        name = f"SM4_20240501_{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}.flac"
        paths.append(folder / name)
        soundfile.write(paths[-1], sound[at : at + round(length_s * rate)], rate, subtype="PCM_16")
        at += round(length_s * rate)
    assert at >= len(sound)
    return paths


def told(accounts: Iterable[Account]) -> list[tuple[object, ...]]:
    """Every event by its time of day, with all its figures."""
    rows = [row for account in accounts for row in account.rows]
    return sorted((row.begin, row.end, row.label, row.peak, row.mean, row.also) for row in rows)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])
def test_a_resampler_may_be_begun_at_its_joints(rate: int) -> None:
    """From any of them on it gives, once it is warm, the bits of one that heard everything."""
    found = joints(rate, 16_000)
    assert found is not None
    noise = varied(2.5 + 3 * found.every / rate, rate=rate)
    whole = Resampler(rate, 16_000).process(noise)
    for times in (1, 3):
        at = times * found.every
        later = Resampler(rate, 16_000).process(noise[at:])
        assert len(later) > 2 * found.warm
        np.testing.assert_array_equal(later[found.warm :], whole[at * 16_000 // rate + found.warm :])


@pytest.mark.parametrize(("name", "subtype"), [("a.flac", "PCM_24"), ("a.wav", "PCM_16"), ("a.aiff", "ULAW")])
def test_samples_are_the_same_from_any_place_on(tmp_path: Path, name: str, subtype: str) -> None:
    """Read from the middle they are what they are when all is read; behind the end there are none."""
    soundfile.write(tmp_path / name, np.stack([varied(2.0), varied(2.0, seed=1)], 1), 16_000, subtype=subtype)
    path = str(tmp_path / name)
    whole = np.concatenate(list(Reader(path).blocks(1000)))
    for begin, end in ((0, 32_000), (12_345, 23_456), (31_990, 32_010)):
        part = np.concatenate(list(Reader(path).samples(begin, end)))
        np.testing.assert_array_equal(part, whole[begin:end])
    assert Reader(path).exact
    assert not list(Reader(path).samples(40_000, 40_001))


@pytest.mark.parametrize(
    ("rate", "overrides"),
    [
        (48_000, {}),
        (44_100, {}),
        (16_000, {"decision": {**RULES["decision"], "smoothing_ms": 400, "labels": {"one": {"smoothing_ms": 900}}}}),  # type: ignore[dict-item]
        (16_000, {"gate": {"enabled": "on"}}),
    ],
    ids=["48 kHz", "44.1 kHz", "means of two lengths", "a gate that learns"],
)
def test_a_stream_is_what_it_is_as_one_recording(tmp_path: Path, rate: int, overrides: dict[str, object]) -> None:
    """In files or in one, heard in stretches of seconds from the last to the first or all at once: the same events."""
    sound = varied(26.0, rate=rate)
    files = recorded(tmp_path / "files", sound, rate, [7, 9, 1, 1, 8])
    one = recorded(tmp_path / "one", sound, rate, [26])
    whole = Scan(tmp_path / "a", overrides, 1e6)
    wanted = told(whole(one))
    assert len(wanted) > 5
    assert len(whole.heard) == 1
    parts = Scan(tmp_path / "b", overrides, 2.5)
    accounts = parts(files, backwards=True)
    assert told(accounts) == wanted
    assert len(parts.heard) == 1 if "gate" in overrides else len(parts.heard) > 8
    assert [account.path for account in accounts] == [str(file) for file in files]
    assert all(account.state == "heard" and len(account.sha256) == 64 for account in accounts)
    assert [account.seconds for account in accounts] == [7, 9, 1, 1, 8]
    for account in accounts:
        assert all(0 <= row.begin_s < account.seconds and row.file == account.path for row in account.rows)


def test_a_changed_file_renews_what_reaches_it(tmp_path: Path) -> None:
    """Of the same length: the stretches that read it; longer: all from there on. The rest is not heard again."""
    sound = varied(30.0)
    files = recorded(tmp_path / "files", sound, 16_000, [10, 10, 10])
    scan = Scan(tmp_path / "a", {}, 2.0)
    first = scan(files)
    n = len(scan.heard)
    scan(files)
    assert not scan.heard
    soundfile.write(files[1], varied(10.0, seed=5), 16_000, subtype="PCM_16")
    os.utime(files[1], ns=(1, 1))
    second = scan(files)
    assert {part.path for unit in scan.heard for part in unit.parts} >= {os.fsencode(files[1])}
    assert all(os.fsencode(files[1]) in [part.path for part in unit.parts] for unit in scan.heard)
    assert n / 4 < len(scan.heard) < n / 2
    assert first[1].sha256 != second[1].sha256
    assert told(second) == told(Scan(tmp_path / "b", {}, 1e6)(files))


def test_a_broken_file_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    """What its header promises is found to be missing: it is told, the others are heard, in whatever order."""
    sound = varied(25.0)
    files = recorded(tmp_path / "files", sound, 16_000, [10, 10, 5])
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: len(whole) // 2])
    accounts = [Scan(tmp_path / str(back), {}, 2.0)(files, backwards=back) for back in (False, True)]
    assert accounts[0] == accounts[1]
    assert [account.state for account in accounts[0]] == ["heard", "cut", "heard"]
    assert "broken after" in accounts[0][1].reason
    left = round(accounts[0][1].seconds * 16_000)
    assert 0 < left < 10 * 16_000
    cut = recorded(tmp_path / "cut", sound[: 10 * 16_000 + left], 16_000, [10, left / 16_000])
    last = recorded(tmp_path / "last", sound[-5 * 16_000 :], 16_000, [5])
    apart = [row for each in (cut, last) for row in told(Scan(tmp_path / each[0].parent.name, {}, 1e6)(each))]
    assert [row[2:] for row in told(accounts[0])] == [row[2:] for row in apart]


def test_files_without_a_time_are_heard_by_themselves(tmp_path: Path) -> None:
    """No event, and no file that is none, reaches into the next."""
    (tmp_path / "b.flac").write_bytes(b"nothing")
    for name, seed in (("a.flac", 1), ("c.flac", 2)):
        soundfile.write(tmp_path / name, varied(6.0, seed=seed), 16_000)
    files = [tmp_path / f"{name}.flac" for name in "abc"]
    scan = Scan(tmp_path / "all", {}, 1e6)
    together = scan(files)
    assert [account.state for account in together] == ["heard", "refused", "heard"]
    for file, account in zip(files, together, strict=True):
        assert Scan(tmp_path / f"only-{file.stem}", {}, 2.0)([file]) == [account]


def facts(number: int, start_s: float, **known: object) -> Facts:
    """A recording of ten seconds."""
    made = Facts(f"folder/{number}.wav", Stamp(1, 1), 16_000, 1, 160_000, START + round(start_s * 1e6))
    return replace(made, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ({}, {"start_s": 10}, True),
        ({}, {"start_s": 9}, False),
        ({}, {"start_s": 11}, False),
        ({"frames": 163_200}, {"start_s": 11}, True),
        ({"start_s": 0.5}, {"start_s": 10.51}, True),
        ({"start_s": 0.5}, {"start_s": 10.6}, False),
        ({}, {"start_s": 10, "rate": 48_000}, False),
        ({}, {"start_s": 10, "channels": 2}, False),
        ({}, {"start_s": 10, "path": "other/2.wav"}, False),
        ({}, {"start_s": 10, "start_us": None}, False),
        ({}, {"start_s": 10, "alone": True}, False),
        ({"reason": "cut short"}, {"start_s": 10}, False),
    ],
)
def test_what_follows_without_a_gap(first: dict[str, object], second: dict[str, object], joined: bool) -> None:
    """Times that fit, as closely as they are told, of one recorder in one folder."""
    cutter = Cutter(Pipeline([Slices(100, 10)]), 16_000)
    one = facts(1, **{"start_s": 0, **first})  # type: ignore[arg-type]
    assert Stream(cutter, one).joins(facts(2, **second)) == joined  # type: ignore[arg-type]


def test_small_gaps_do_not_add_up_unseen() -> None:
    """Names of whole seconds do not show a quarter of a second lost at every file, until it is a second in all."""
    stream = Stream(Cutter(Pipeline([Slices(100, 10)]), 16_000), facts(0, 0))
    joined = []
    for number in range(1, 6):
        following = facts(number, round(number * 10.25 - 0.5))
        joined.append(stream.joins(following))
        stream.add(following)
    assert joined[0]
    assert not all(joined)


@pytest.mark.parametrize("lengths_s", [(72,), (31, 100, 5, 5), (600,), (10, 200, 60, 60, 60)])
def test_how_a_stream_is_divided_depends_on_its_recordings_alone(lengths_s: tuple[int, ...]) -> None:
    """Whether it is known at once or file by file; every decision is in one stretch, and none is a short rest."""
    cutter = Cutter(Pipeline([Slices(100, 10)]), 16_000)
    at = np.cumsum((0, *lengths_s))[:-1].tolist()
    files = [
        facts(number, start_s, frames=16_000 * length_s)
        for number, (start_s, length_s) in enumerate(zip(at, lengths_s, strict=True))
    ]
    whole = Stream(cutter, files[0])
    for each in files[1:]:
        whole.add(each)
    units = list(whole.units(ended=True))
    grown = [unit for _, unit in plan(map(str, range(len(files))), lambda name: files[int(name)], cutter)]
    assert grown == [*units, None]
    total = (sum(lengths_s) * 16_000 - 100) // 10 + 1
    rows = [unit.rows for unit in units if unit.rows is not None]
    assert len(rows) == len(units) - 1
    assert len(units) == {72: 1, 141: 2, 600: 6, 390: 4}[sum(lengths_s)]
    assert len(units) == 1 or total - sum(rows) >= cutter.least
    assert [part.path for unit in units for place, part in enumerate(unit.parts) if place in unit.ends] == [
        os.fsencode(each.path) for each in files
    ]


@pytest.mark.parametrize("busy", [0.0, 0.003, 0.1, 0.9])
def test_rules_hear_no_difference_where_nothing_counts(busy: float) -> None:
    """However seldom a score counts: passing over the others changes no event."""
    settings = Settings(config.load(None, environ={}, overrides=RULES), "mix", False)
    loaded = bundle.load(settings.cfg.model, None)
    stages, _ = stages_of(settings, loaded)
    finisher = Finisher(settings.cfg, loaded, stages)
    rng = np.random.default_rng(0)
    least = finisher._detector.least
    rows, labels = 5_000, len(least)
    loud = np.repeat(rng.random((rows // 5, labels)) < busy, 5, axis=0)
    scores = np.where(loud, rng.uniform(0.0, 1.0, (rows, labels)), 0.0).astype(np.float32)
    sieve = _Sieve(least, 0, None)
    sieve.take(scores, 0)
    passed = list(finisher._changes(sieve.run(0, 16_000)))
    finisher._detector.reset()
    assert passed == finisher._detector.process(np.where(scores < least, np.float32(0), scores))
    assert bool(passed) == bool(busy)


def test_who_is_refused_stops_nobody(tmp_path: Path) -> None:
    """A recording over which workers ended, and a pipe that waits for ever: named, and the others are heard."""
    files = recorded(tmp_path / "files", varied(9.0), 16_000, [3, 3, 3])
    os.mkfifo(pipe := tmp_path / "files" / "pipe.wav")
    scan = Scan(tmp_path / "a", {}, 2.0)
    ledger = Ledger(scan.path, "")
    ledger.add(Finding(os.fsencode(files[1]), stamp_of(str(files[1])), -1, "it ends whoever hears it"))
    ledger.close()
    accounts = scan([*files, pipe])
    assert [account.state for account in accounts] == ["heard", "refused", "heard", "refused"]
    assert accounts[1].reason == "it ends whoever hears it"
    assert accounts[3].reason.endswith("pipe.wav: a pipe, a socket or a device, not a file; it is not heard")


def test_what_a_chain_keeps_is_packed_as_it_comes() -> None:
    """Whatever the size of the pieces: the same scores at the same places, and some bytes a score."""
    least = np.full(10, 0.5, np.float32)
    scores = np.random.default_rng(0).uniform(0.0, 0.6, (3_000, 10)).astype(np.float32)
    sieve = _Sieve(least, 7, None)
    for begin in range(0, len(scores), 2):
        sieve.take(scores[begin : begin + 2], 1)
    for _ in range(2):
        where, kept = sieve.run(0, 16_000).kept()
        np.testing.assert_array_equal(where, np.flatnonzero(scores[7:] >= 0.5))
        np.testing.assert_array_equal(kept, scores[7:][scores[7:] >= 0.5])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1_000):
        sieve.take(scores[:2], 1)
    assert tracemalloc.get_traced_memory()[0] - before < 20_000
    tracemalloc.stop()
