"""What a bridge keeps between two lives is believed whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.client import Bookmark
from auricle.connectors import kept
from auricle.connectors.kept import Left

FILES = (
    Left(["auricle/test/status", "homeassistant/device/auricle-test/config"], {"mic_rain": "binary_sensor"}),
    Bookmark("a" * 16, {"event.porch.rain.": 7, "gap.porch.": 1}, "2026-03-01T06:30:00.000000Z"),
)


@pytest.mark.parametrize("good", FILES, ids=["left", "progress"])
def test_no_damage_is_believed(tmp_path: Path, good: Left | Bookmark) -> None:
    """Whichever bit tips, wherever it is cut, what else lies there: it begins anew; whole, it is as written."""
    path = tmp_path / "kept.json"
    kept.write(path, good)
    written = path.read_bytes()
    assert kept.read(path, type(good)) == good
    flips = (
        bytes([*written[:at], written[at] ^ 1 << bit, *written[at + 1 :]])
        for at in range(len(written))
        for bit in range(8)
    )
    cuts = (written[:at] for at in range(len(written)))
    for damaged in (*flips, *cuts, written * 2, b"[]\n", b"\0" * len(written)):
        path.write_bytes(damaged)
        assert kept.read(path, type(good)) is None, damaged


@pytest.mark.parametrize("topic", ["", "auricle/#", "auricle/+/state/rain", "auricle/\0"])
def test_a_topic_that_no_broker_takes_is_not_believed(tmp_path: Path, topic: str) -> None:
    """A file that is whole and names a topic with which a broker would end the connection, over and over: it begins
    anew."""
    path = tmp_path / "kept.json"
    kept.write(path, Left(["auricle/test/status", topic]))
    assert kept.read(path, Left) is None
