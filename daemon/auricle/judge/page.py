"""A recording's portrait as one page of HTML, to be looked through in a browser: it stands alone and loads nothing.

Hours of sound are tens of thousands of columns. They are in the page as grey pictures (PNG), which every browser
unpacks by itself and which zlib packs here, so that neither side needs a library.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.config import printable
from auricle.judge.portrait import SILENCE_DB, Curve, Detail, Portrait

PAGE = Detail(columns=32_768, bands=128, labels=12)
"""Of ten hours a column is half a second to one second, and the page has some ten megabytes."""
TILE = 4096
"""The width of one picture: every browser draws as much."""
RANGE_DB = 80.0
"""What is so much quieter than the loudest is black."""


def write(found: Portrait, path: Path) -> None:
    """Write the page.

    Raises:
        OSError: it cannot be written.
    """
    top_db = float(found.spectrogram.max())
    shades = _bytes((found.spectrogram[::-1] - (top_db - RANGE_DB)) * (255 / RANGE_DB))
    data = {
        "name": printable(found.name),
        "about": _about(found),
        "duration_s": found.duration_s,
        "start_ms": None if found.start_us is None else found.start_us // 1000,
        "top_hz": found.top_hz,
        "bands": len(shades),
        "column_s": found.column_s,
        "floor_db": top_db - RANGE_DB,
        "top_db": top_db,
        "tile": TILE,
        "level": _text(_bytes((found.level - SILENCE_DB) * 2).tobytes()),
        "curves": [_curve(curve) for curve in found.curves],
        "events": [[*_places(event), printable(event.label), round(event.peak, 4)] for event in found.events],
        "truth": None if found.truth is None else [[*_places(event), printable(event.label)] for event in found.truth],
    }
    here = resources.files("auricle.judge")
    script = (here / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Template((here / "page.html").read_text("utf-8")).substitute(
        title=escape(printable(found.name)),
        allowed=f"sha256-{digest}",
        tiles="".join(f'<img src="data:image/png;base64,{_text(tile)}">' for tile in _tiles(shades)),
        # In a script's text nothing but the end of the script means anything.
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script=script,
    )
    path.write_text(page, encoding="utf-8")


def _about(found: Portrait) -> str:
    """Write one line: how long, from when, how many events, and what is missing."""
    parts = [f"{found.duration_s:.2f} s", f"{len(found.events)} events"]
    if found.start_us is not None:
        parts.insert(0, f"{datetime.fromtimestamp(found.start_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC")
    if found.note:
        parts.append(printable(found.note))
    return " - ".join(parts)


def _curve(curve: Curve) -> dict[str, Any]:
    step_s = float(curve.times_s[1] - curve.times_s[0]) if len(curve.times_s) > 1 else 1.0
    scores = np.rint(np.clip(curve.scores, 0, 1) * 65_535).astype("<u2")
    return {
        "label": printable(curve.label),
        "threshold": curve.threshold,
        "first_s": float(curve.times_s[0]),
        "step_s": step_s,
        "scores": _text(scores.tobytes()),
    }


def _places(event: Any) -> list[Any]:
    return [round(event.onset_s, 4), round(event.offset_s, 4)]


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _tiles(shades: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield grey pictures of `TILE` columns each, the last of what is left, of ``(bands, columns)``."""
    for begin in range(0, shades.shape[1], TILE):
        yield _png(shades[:, begin : begin + TILE])


def _png(shades: NDArray[np.uint8]) -> bytes:
    """Make a picture of 8 bits of grey (ISO/IEC 15948), each row as it is."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = shades.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), shades], 1).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(rows, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
