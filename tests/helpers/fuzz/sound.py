"""Mutated sound is read here as a source reads it: recordings of every container, and raw samples through a pipe."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from auricle.capture import transcoded
from auricle.capture.conditioning import LOUDEST
from auricle.capture.pcm import SAMPLE_BYTES, StdinPcm
from auricle.capture.poller import Poller
from auricle.capture.reader import Reader
from auricle.capture.recording import Recordings
from auricle.capture.source import End, Gap, Piece, Segment, Skipped, Sound, Terms
from auricle.clips.encode import encode
from auricle.clips.folder import name_of
from auricle.clips.reading import clips, sound
from auricle.clips.writer import comment
from auricle.errors import AudioError
from helpers.fuzz import mutate
from helpers.fuzz.kind import Kind
from helpers.kept import order
from helpers.sounds import RATE, varied

LENGTH_S = 0.4


def _recordings(folder: Path) -> dict[str, bytes]:
    """Return recordings of every container that libsndfile writes here, in the codings that matter; and what is chained
    or has no length."""
    sound = varied(LENGTH_S)
    found: dict[str, bytes] = {}
    for form in soundfile.available_formats():
        for coding in (
            "PCM_16",
            "PCM_24",
            "FLOAT",
            "ULAW",
            "IMA_ADPCM",
            "MS_ADPCM",
            "ALAC_16",
            "VORBIS",
            "OPUS",
            "MPEG_LAYER_III",
        ):
            path = folder / f"{coding.lower()}.{form.lower()}"
            if form not in ("RAW", "SD2") and soundfile.check_format(form, coding):
                try:
                    soundfile.write(path, sound, RATE, coding, format=form)
                except soundfile.LibsndfileError:
                    continue  # a container that wants a rate of its own
                found[path.name] = path.read_bytes()
    stereo = folder / "stereo.wav"
    soundfile.write(stereo, np.repeat(sound[:, None], 2, axis=1), 44_100)
    found[stereo.name] = stereo.read_bytes()
    for name in ("vorbis.ogg", "mpeg_layer_iii.mp3", "pcm_16.flac"):
        found[f"twice_{name}"] = found[name] + b"junk" * 9 + found[name]
    found["samples.raw"] = (sound * 32767).astype("<i2").tobytes()
    found["text.wav"] = b"no sound at all\n" * 99
    return found


def _hear(chance: random.Random, folder: Path, seeds: dict[str, bytes]) -> str:
    name = chance.choice(list(seeds))
    path = folder / (name if chance.random() < 0.9 else f"x{Path(chance.choice(list(seeds))).suffix}")
    path.write_bytes(mutate.content(chance, seeds[name], chance.choice((mutate.HEAD, 2000))))
    if chance.random() < 15 / 16:  # ffmpeg, which is asked of what libsndfile refuses, takes its time
        transcoded.ask = _not_asked
    rate = chance.choice((RATE, 44_100, 8000))
    source = Recordings("x", [str(path)], model_rate=rate, speed=None, block_samples=chance.choice((77, 640, 50_000)))
    source.open()
    said = _pieces(lambda: source.poll(0.0), lambda: source.done)
    reader = Reader(str(path))  # what cannot be opened has been skipped before, and is a line here
    assert reader.cut is None or "\n" not in reader.cut
    reader.start_us()
    reader.close()
    return f"{name} {said}"


def _not_asked(path: str) -> transcoded.About:
    raise transcoded.Undecodable("not asked")


def _pieces(poll: Callable[[], Iterator[Piece]], done: Callable[[], bool]) -> str:
    """Take what a source gives until it is done, and hold it to its order and bounds; return how much there was, and
    what the source said was skipped."""
    said, inside, samples = [], False, 0
    while not done():
        for piece in poll():
            match piece:
                case Segment():
                    assert not inside
                    inside = True
                case Sound():
                    assert inside
                    assert piece.samples.dtype == np.float32
                    assert np.isfinite(piece.samples).all()
                    assert (
                        not len(piece.samples) or np.abs(piece.samples).max() <= 8 * LOUDEST
                    )  # a resampler overshoots
                    samples += len(piece.samples)
                case End():
                    assert inside
                    inside = False
                case Gap():
                    assert not inside
                    assert piece.samples > 0
                case Skipped():
                    assert "\n" not in piece.reason
                    said.append(piece.reason)
    assert not inside
    return f"{samples} samples; {said}"


def _pipe(chance: random.Random, folder: Path, seeds: None) -> str:
    """Read raw samples of any kind, in any pieces, ended anywhere, as from a pipe."""
    form = chance.choice(list(SAMPLE_BYTES))
    channels = chance.choice((1, 2, 3, 64))
    rate = chance.choice((4000, RATE, 384_000))
    data = chance.randbytes(chance.choice((0, 1, 7, 1000, 30_000)))
    if chance.random() < 0.5:
        data = mutate.content(chance, np.tile(np.float32([0, 1, -1, 1e30, np.nan, np.inf, 1e-40]), 400).tobytes())
    # As a file: a pipe would be read at the pace at which it is written here.
    path = folder / "samples"
    path.write_bytes(data[: rate * SAMPLE_BYTES[form] * channels // 10])
    fd = os.open(path, os.O_RDONLY)
    with Poller() as poller:
        terms = Terms(model_rate=RATE, ring_s=1.0)
        source = StdinPcm("x", terms, poller=poller, rate=rate, form=form, channels=channels, fd=fd)
        source.open()
        said = _pieces(lambda: source.poll(_soon()), lambda: source.done)
        counters = source.counters()
        source.close()
    assert counters.lost == 0
    assert counters.heard == len(path.read_bytes()) // (SAMPLE_BYTES[form] * channels)
    return f"{form} {channels} {rate}: {said}"


def _soon() -> float:
    time.sleep(0.001)
    return time.monotonic()


RECORDING = Kind(_recordings, _hear)
PIPE = Kind(lambda folder: None, _pipe)


def _clips(folder: Path) -> dict[str, bytes]:
    """Return a clip of each form, each with its name and what it says of itself."""
    found = {}
    for form in ("flac", "opus"):
        asked = order(1, LENGTH_S, form=form)  # type: ignore[arg-type]
        content, _ = encode(asked.sound, asked.clip.format, lambda facts, clip=asked.clip: comment(clip, facts))  # type: ignore[misc]
        found[name_of(asked.clip)] = content
    return found


def _clip(chance: random.Random, folder: Path, seeds: dict[str, bytes]) -> str:
    """Read a folder of clips as `auricle clips` does: what each says of itself, and its sound."""
    name = chance.choice(list(seeds))
    (folder / "s").mkdir()
    (folder / "s" / name).write_bytes(mutate.content(chance, seeds[name], chance.choice((mutate.HEAD, 2000))))
    ((path, clip),) = clips(folder)
    if isinstance(clip, AudioError):
        assert "\n" not in str(clip)
        return str(clip)
    heard = sum(len(block) for block in sound(path, 1000))
    return f"{clip.label}: {heard} samples"


CLIP = Kind(_clips, _clip)
