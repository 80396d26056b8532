"""Reads the buffer TFLITE_METADATA of a `.tflite` file, which is a flatbuffer of its own (tflite-support's
metadata_schema.fbs).

No package that Auricle needs anyway brings code for this schema. Its tables are few and only some of their fields are
wanted, so that the buffer is walked by hand: a field is known by its place in its table.
"""

from __future__ import annotations

from collections.abc import Iterator

import flatbuffers  # type: ignore[import-untyped]
from flatbuffers import number_types as types

from auricle.adopt.facts import Told

_AUDIO = 4
"""The place of AudioProperties in the union ContentProperties."""
_AXIS_LABELS, _CALIBRATION = 2, 4
"""Values of the enumeration AssociatedFileType."""


class _Table:
    """Wraps a table of a flatbuffer, whose fields are known by their place."""

    def __init__(self, table: flatbuffers.table.Table) -> None:
        self._table = table

    def _at(self, field: int) -> int:
        """Return where a field lies, 0 if the table does not have it."""
        offset = int(self._table.Offset(4 + 2 * field))
        return offset and offset + int(self._table.Pos)

    def text(self, field: int) -> str:
        at = self._at(field)
        return bytes(self._table.String(at)).decode("utf-8", "replace") if at else ""

    def number(self, field: int, flags: type = types.Uint32Flags) -> int:
        at = self._at(field)
        return int(self._table.Get(flags, at)) if at else 0

    def table(self, field: int) -> _Table | None:
        at = self._at(field)
        return _Table(flatbuffers.table.Table(self._table.Bytes, self._table.Indirect(at))) if at else None

    def tables(self, field: int) -> Iterator[_Table]:
        if not (offset := int(self._table.Offset(4 + 2 * field))):
            return
        start, n = int(self._table.Vector(offset)), int(self._table.VectorLen(offset))
        for i in range(n):
            yield _Table(flatbuffers.table.Table(self._table.Bytes, self._table.Indirect(start + 4 * i)))


def told(content: bytes) -> Told:
    """Return what stands in the metadata.

    Raises:
        struct.error, IndexError, TypeError: the buffer is damaged.
    """
    root = flatbuffers.encode.Get(types.UOffsetTFlags.packer_type, content, 0)
    model = _Table(flatbuffers.table.Table(content, root))
    graph = next(model.tables(3), None)
    rate = channels = None
    labels: list[tuple[bool, str]] = []
    calibrated = False
    for tensor in graph.tables(2) if graph is not None else ():
        content_of = tensor.table(3)
        if content_of is not None and content_of.number(0, types.Uint8Flags) == _AUDIO:
            audio = content_of.table(1)
            if audio is not None:
                rate, channels = audio.number(0) or None, audio.number(1) or None
    for tensor in graph.tables(3) if graph is not None else ():
        for file in tensor.tables(6):
            kind = file.number(2, types.Int8Flags)
            if kind == _AXIS_LABELS:
                locale = file.text(3)
                labels.append((locale not in ("", "en") and not locale.startswith("en-"), file.text(0)))
            calibrated |= kind == _CALIBRATION
    return Told(
        name=model.text(0),
        description=model.text(1),
        licence=model.text(5),
        author=model.text(4),
        sample_rate=rate,
        channels=channels,
        label_files=[name for _, name in sorted(labels, key=lambda each: each[0])],
        calibrated=calibrated,
    )
