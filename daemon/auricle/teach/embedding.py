"""Sound becomes embeddings here: windows of clips as a room might give them, and whole recordings as the daemon hears
them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle import config
from auricle.capture.reader import Reader
from auricle.errors import AudioError, ModelError
from auricle.hearing import pipeline
from auricle.model.bundle import Bundle
from auricle.model.network import dequantise, quantise, scores_of
from auricle.teach.clips import Clip, Sound

Embeddings = NDArray[np.int8]
"""``(n, size)``, as the network gives them."""

DRAWS = 14
"""Windows that are drawn of a clip."""
_BEGUN = 0.35
"""So many of the windows hold only the beginning or the end of the sound: a daemon must speak before it is over."""
GAINS_DB = (-25.0, 6.0)
"""So much louder a window may be than it was recorded: clips are recorded near and heard from afar, and what a network
makes of a sound changes with its level."""
_ABOVE_ROOM_DB = (3.0, 30.0)
JUDGED_AT_DB = 10.0
"""How far above the room a clip is judged."""
_NOISE_SLOPES = (0.0, 1.0, 2.0)
"""White, pink and brown noise, where no room is given."""
ROOM_WINDOWS = 1500
_ROOM_KEPT = 64
_READ = 16_384


class Trunk:
    """Gives the embeddings, and the network's own scores, of windows of sound.

    Args:
        bundle: whose network has an embedding.

    Raises:
        ModelError: it has none, or is one of those that nothing stands behind.
    """

    def __init__(self, bundle: Bundle) -> None:
        card = bundle.card
        if bundle.trunk is None or card.embedding is None:
            raise ModelError(f"model {card.name}: its network gives no embedding to teach; use home or audioset")
        self.bundle, self.card, self._affine = bundle, card, card.embedding
        self._front = pipeline.front_end_of(bundle, config.Gate())
        self.frames = card.timing.window_frames
        self.rate = card.front_end.sample_rate
        self.span = self._front.span + (self.frames - 1) * self._front.hop
        """Samples in a window."""
        decision = config.Decision()
        self.hop_frames = pipeline.hop_frames(decision, bundle)
        self.hop = self.hop_frames * self._front.hop
        """Samples from one decision to the next."""

    def windows(self, sound: Sound, hop_frames: int | None = None) -> tuple[Embeddings, NDArray[np.float32]]:
        """Return the embedding ``(k, size)`` of every window of a sound ``(n,)``, a decision hop apart unless told, and
        the network's scores ``(k, n_scores)``."""
        self._front.reset()
        rows = quantise(self._front.process(sound), self.card.quantisation.input, self.card.input.dtype)
        hop = hop_frames or self.hop_frames
        embeddings, scores = [], []
        for begin in range(0, len(rows) - self.frames + 1, hop):
            given, embedding = self.bundle.windows.with_embedding(rows[begin : begin + self.frames])
            embeddings.append(embedding.copy())
            scores.append(scores_of(given, self.card))
        size = self._affine.size
        return (
            np.array(embeddings, np.int8).reshape(-1, size),
            np.array(scores, np.float32).reshape(-1, self.card.n_scores),
        )

    def golden(self) -> Embeddings:
        """Return the embeddings of the bundle's golden windows, which were checked when it was loaded."""
        with np.load(self.bundle.path / "golden.npz") as golden:
            frames, hop, n = golden["frames"], int(golden["hop_frames"]), len(golden["scores"])
        rows = quantise(frames, self.card.quantisation.input, self.card.input.dtype)
        windows = [rows[j * hop : j * hop + self.frames] for j in range(n)]
        return np.stack([self.bundle.windows.with_embedding(window)[1] for window in windows])

    def values(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """Return what embeddings stand for, for a head to be fitted upon."""
        return dequantise(embeddings, self._affine).astype(np.float64)


class Room:
    """Gives the background of a place: pieces of a recording, or noise of our own where there is none.

    Args:
        trunk: hears it.
        path: the recording, as long as it likes.
        pieces: sound of the place, where there is no recording.

    Raises:
        AudioError: it cannot be read, or is shorter than a window.
    """

    def __init__(
        self,
        trunk: Trunk,
        path: Path | None,
        progress: Callable[[float], None] | None = None,
        pieces: Sequence[Sound] = (),
    ) -> None:
        self._span, self._rate = trunk.span, trunk.rate
        self._pieces: list[Sound] = []
        self.embeddings = np.empty((0, 0), np.int8)
        self.hours = 0.0
        """How long the recording is."""
        if path is None:
            for seen, piece in enumerate(pieces, start=1):
                self._keep(piece, seen)
            return
        reader = Reader(str(path), trunk.rate)
        every = max(trunk.span, round(reader.duration_s * trunk.rate / ROOM_WINDOWS))
        heard, at = [], 0
        for piece in _pieces(reader, trunk.span, every):
            heard.append(trunk.windows(piece)[0][:1])
            self._keep(piece, len(heard))
            at += every
            if progress is not None and reader.duration_s:
                progress(min(1.0, at / (reader.duration_s * trunk.rate)))
        if not heard:
            raise AudioError(
                f"{reader.name}: {reader.duration_s:.2f} s; a room has at least {self._span / self._rate:g} s"
            )
        self.embeddings, self.hours = np.concatenate(heard), reader.duration_s / 3600

    def _keep(self, piece: Sound, seen: int) -> None:
        """Keep some of the pieces, each as likely as any (reservoir sampling, Vitter 1985)."""
        if len(self._pieces) < _ROOM_KEPT:
            self._pieces.append(piece.copy())
        elif (place := int(np.random.default_rng(seen).integers(seen))) < _ROOM_KEPT:
            self._pieces[place] = piece.copy()

    def piece(self, rng: np.random.Generator, samples: int) -> Sound:
        """Return so much background, of an RMS of 1."""
        if not self._pieces:
            return noise(rng, samples)
        parts: list[Sound] = []
        while sum(map(len, parts)) < samples:
            parts.append(self._pieces[int(rng.integers(len(self._pieces)))])
        whole = np.concatenate(parts)[:samples]
        rms = float(np.sqrt(np.mean(np.square(whole, dtype=np.float64))))
        return whole / np.float32(rms) if rms > 1e-9 else noise(rng, samples)


def noise(rng: np.random.Generator, samples: int) -> Sound:
    """Make white, pink or brown noise ``(samples,)`` of an RMS of 1."""
    slope = _NOISE_SLOPES[int(rng.integers(len(_NOISE_SLOPES)))]
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (slope / 2)
    spectrum[0] = 0
    made = np.fft.irfft(spectrum, samples)
    return np.asarray(made / np.sqrt(np.mean(made**2)), np.float32)


def _pieces(reader: Reader, span: int, every: int) -> Iterator[Sound]:
    """Yield a window's length of sound after every so many samples."""
    held = np.empty(0, np.float32)
    skip = 0
    for block in reader.heard(_READ):
        if skip:
            block, skip = block[skip:], max(0, skip - len(block))
        held = np.concatenate((held, block))
        while len(held) >= span:
            yield held[:span]
            skip = max(0, every - len(held))
            held = held[every:]


def drawn(trunk: Trunk, clip: Clip, room: Room, rng: np.random.Generator, draws: int = DRAWS) -> Embeddings:
    """Return embeddings of windows that hold a clip, or most of its beginning or end, at many levels: every other one
    by itself, the rest in a room.

    The background of a bank is in no room but its own, so that a head of windows in rooms alone would learn the room.
    """
    sound, span = clip.sounding, trunk.span
    windows = []
    for draw in range(draws):
        n = len(sound)
        if n >= span:
            first = int(rng.integers(n - span + 1))
            window = sound[first : first + span].copy()
        else:
            # Where the sound begins in the window: all of it is in, or sticks out by half of it at most.
            out = n // 2 if draw and rng.random() < _BEGUN else 0
            begin = int(rng.integers(-out, span - n + out + 1))
            window = np.zeros(span, np.float32)
            window[max(0, begin) : begin + n] = sound[max(0, -begin) : max(0, span - begin)]
        window = _mixed(window, room, rng) if draw % 2 else window
        gain = np.float32(10 ** (rng.uniform(*GAINS_DB) / 20))
        windows.append(np.clip(window * gain, -1, 1).astype(np.float32))
    return np.concatenate([trunk.windows(window)[0][:1] for window in windows])


def _mixed(window: Sound, room: Room, rng: np.random.Generator) -> Sound:
    """Put a sound into a room."""
    level = float(np.sqrt(np.mean(np.square(window, dtype=np.float64))))
    above_db = float(rng.uniform(*_ABOVE_ROOM_DB))
    return window + np.float32(level * 10 ** (-above_db / 20)) * room.piece(rng, len(window))


def passing(
    trunk: Trunk, clip: Clip, room: Room, rng: np.random.Generator
) -> tuple[Embeddings, NDArray[np.float32], int]:
    """Return what the daemon hears while a clip sounds in a room, `JUDGED_AT_DB` above it: the embeddings ``(k, size)``
    and the network's own scores ``(k, n_scores)``, a decision hop apart, and the sample at which the sound begins."""
    sound = clip.sounding
    before = trunk.span
    whole = np.concatenate((np.zeros(before, np.float32), sound, np.zeros(trunk.span + trunk.hop, np.float32)))
    level = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    whole += np.float32(level * 10 ** (-JUDGED_AT_DB / 20)) * room.piece(rng, len(whole))
    embeddings, scores = trunk.windows(np.clip(whole, -1, 1).astype(np.float32))
    return embeddings, scores, before
