"""A clip's spectrogram as a PNG, written without anything that draws: the daemon has no such library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 1000, 256
"""The widest picture, and the height of every one: 0 Hz at the bottom, half the rate at the top."""
LOW_DB, HIGH_DB = -90.0, -10.0
"""Black and white, as levels of a sine below full scale."""
_AT_ONCE = 16
"""How many columns are computed at once, so that whoever hears beside this waits no longer."""
_STOPS = ((0, 0, 0), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
_MARK = 255
"""The colour of the lines at the event's begin and end, a green that no level has."""


def spectrogram(samples: NDArray[np.float32], rate: int, event_s: tuple[float, float]) -> bytes:
    """Draw ``(n,)`` float32 as a PNG of 256 rows, time to the right: levels by colour, lines where the event begins and
    ends.

    Args:
        rate: in Hz.
        event_s: begin and end of the event, in seconds from the first sample.
    """
    frame = 2 * ROWS
    hop = max(frame // 2, -(-len(samples) // COLUMNS))
    columns = max(1, -(-len(samples) // hop))
    padded = np.zeros((columns - 1) * hop + frame, np.float32)
    kept = samples[: len(padded)]
    padded[: len(kept)] = kept
    hann = np.hanning(frame).astype(np.float32)
    picture = np.empty((ROWS, columns), np.uint8)
    for at in range(0, columns, _AT_ONCE):
        frames = np.stack([padded[i * hop : i * hop + frame] for i in range(at, min(at + _AT_ONCE, columns))])
        # A sine of full scale sums to half of the window's sum in its bin.
        level = np.abs(np.fft.rfft(frames * hann)[:, 1:]) * (2 / hann.sum())
        db = 20 * np.log10(np.maximum(level, 1e-9))
        shade = np.clip((db - LOW_DB) / (HIGH_DB - LOW_DB), 0, 1) * (_MARK - 1)
        picture[:, at : at + len(frames)] = shade.astype(np.uint8).T[::-1]
    for second in event_s:
        if 0 <= (column := int(second * rate / hop)) < columns:
            picture[::2, column] = _MARK
    return _png(picture)


def _png(picture: NDArray[np.uint8]) -> bytes:
    """Write ``(rows, columns)`` of colours from the palette (PNG specification, third edition, colour type 3)."""
    rows, columns = picture.shape
    stops = np.array(_STOPS, float)
    place = np.linspace(0, len(stops) - 1, _MARK)
    shades = np.stack([np.interp(place, np.arange(len(stops)), stops[:, i]) for i in range(3)], axis=1)
    palette = np.vstack([np.rint(shades), [[0, 230, 118]]]).astype(np.uint8)
    lines = np.hstack([np.zeros((rows, 1), np.uint8), picture])  # each begins with its filter: none
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _part(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            _part(b"PLTE", palette.tobytes()),
            _part(b"IDAT", zlib.compress(lines.tobytes())),
            _part(b"IEND", b""),
        )
    )


def _part(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
