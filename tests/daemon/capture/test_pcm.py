"""Raw samples on standard input: every format, any cut, pipes and files, stalls and the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.capture.pcm import SAMPLE_BYTES, StdinPcm, to_float
from auricle.capture.poller import Poller
from auricle.capture.source import End, Gap, Segment, Terms
from helpers.listener import Hearing, terms_of

RATE = 16000
WHOLE = np.array([0, 1, -1, 12345, 2**23 - 1, -(2**23)], np.int64)


def written(form: str, values: np.ndarray) -> bytes:
    """24-bit values as samples of this format, as a sound card would round them."""
    if form == "f32le":
        return (values / 2**23).astype("<f4").tobytes()
    if form == "u8":
        return ((values >> 16) + 128).astype(np.uint8).tobytes()
    if form == "s16le":
        return (values >> 8).astype("<i2").tobytes()
    if form == "s32le":
        return (values << 8).astype("<i4").tobytes()
    return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


@pytest.mark.parametrize(("form", "bits"), [("u8", 8), ("s16le", 16), ("s24le", 24), ("s32le", 24), ("f32le", 24)])
def test_every_format_has_the_same_scale(form: str, bits: int) -> None:
    """Full scale is 1.0, zero is 0, and no bit is lost up to the 24 that float32 holds."""
    expected = (WHOLE >> (24 - bits)).astype(np.float32) / 2 ** (bits - 1)
    samples = to_float(memoryview(written(form, WHOLE)), form)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected)


def test_an_unknown_format_is_refused() -> None:
    """With the formats there are."""
    with Poller() as poller, pytest.raises(ValueError, match="u8, s16le"):
        StdinPcm("in", Terms(model_rate=RATE), poller=poller, rate=RATE, form="mp3")


class Pipe:
    """Standard input as a test writes it."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    def write(self, data: bytes) -> None:
        os.write(self.write_fd, data)

    def end(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        self.end()
        os.close(self.read_fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that is closed afterwards."""
    own = Pipe()
    yield own
    own.close()


@pytest.fixture
def hears() -> Iterator[Callable[..., Hearing]]:
    """Make listeners to a descriptor, and let go of them."""
    with Poller() as poller:
        made: list[Hearing] = []

        def make(fd: int, *, keep: bool = True, **options: Any) -> Hearing:
            options = {"rate": RATE, **options}
            made.append(Hearing(StdinPcm("in", terms_of(options), poller=poller, fd=fd, **options), keep=keep))
            return made[-1]

        yield make
        for hearing in made:
            hearing.source.close()


@pytest.mark.parametrize("form", SAMPLE_BYTES)
def test_cuts_within_a_sample_do_no_harm(pipe: Pipe, hears: Callable[..., Hearing], form: str) -> None:
    """Two channels, written in pieces of any length: the mean of both, sample for sample, then the end."""
    rng = np.random.default_rng(3)
    values = rng.integers(-(2**23), 2**23, 2000)
    data = written(form, values)
    hearing = hears(pipe.read_fd, form=form, channels=2)
    while data:
        n = int(rng.integers(1, 500))
        pipe.write(data[:n])
        data = data[n:]
        hearing.poll()
    pipe.end()
    hearing.until(lambda: hearing.source.done)
    pairs = to_float(memoryview(written(form, values)), form).reshape(-1, 2)
    np.testing.assert_array_equal(hearing.samples(), (pairs[:, 0] + pairs[:, 1]) / np.float32(2))
    assert [piece.cause for piece in hearing.all(End)] == ["end"]
    assert hearing.states() == []


def test_a_file_is_heard_at_the_pace_of_time_and_whole(tmp_path: Path, hears: Callable[..., Hearing]) -> None:
    """``auricle run < file``: a file could be read at once; it is heard in real time, to its end."""
    values = np.random.default_rng(4).integers(-(2**15), 2**15, 2 * RATE).astype("<i2")
    (tmp_path / "x.raw").write_bytes(values.tobytes())
    with open(tmp_path / "x.raw", "rb") as file:
        hearing = hears(file.fileno(), ring_s=1.0)
        took_s = hearing.until(lambda: hearing.source.done)
    np.testing.assert_array_equal(hearing.samples(), values.astype(np.float32) / 2**15)
    assert took_s > 1.2
    assert hearing.all(Gap) == []
    assert hearing.source._feed is None


def test_a_stall_is_a_loss_until_bytes_come_again(pipe: Pipe, hears: Callable[..., Hearing]) -> None:
    """arecord stopped and went on: lost, found at the next bytes, a gap by the clock, samples in step."""
    hearing = hears(pipe.read_fd, stall_s=0.5)
    pipe.write(np.full(1600, 256, "<i2").tobytes() + b"\x00")  # half a sample more
    hearing.until(lambda: hearing.source.counters().heard == 1600)
    stopped_s = time.monotonic()
    assert 0.3 < hearing.until(lambda: hearing.states() == ["lost"]) < 1.0
    hearing.until(lambda: time.monotonic() > stopped_s + 1.5)
    pipe.write(b"\x01" + np.full(1599, 256, "<i2").tobytes())
    hearing.until(lambda: hearing.source.counters().heard == 3200)
    assert hearing.states() == ["lost", "found"]
    (gap,) = hearing.all(Gap)
    assert gap.estimated
    assert gap.samples / RATE == pytest.approx(time.monotonic() - stopped_s - 0.1, abs=0.15)
    np.testing.assert_array_equal(hearing.samples(), np.full(3200, 256 / 2**15, np.float32))
    hearing.check()
    pipe.end()
    hearing.until(lambda: hearing.source.done)
    assert len(hearing.all(Segment)) == 2


def test_nothing_at_all_is_an_end(pipe: Pipe, hears: Callable[..., Hearing]) -> None:
    """An empty standard input: done, without a segment."""
    hearing = hears(pipe.read_fd)
    pipe.end()
    hearing.until(lambda: hearing.source.done)
    assert hearing.pieces == []
