"""The history has still to write what waits here, and keeps in memory what it has written of the events that go on;
both are bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from auricle.publish.table import Row

WAITING = 10_000
"""How many messages wait in memory while the disk is full."""
MARKS = 10
"""One in so many of the messages that wait may be a mark: marks push out marks, and never an event."""


class Waiting:
    """Holds rows in the order in which they were published; where too many wait the oldest goes, and of too many marks
    the oldest mark."""

    def __init__(self) -> None:
        self.lost = 0
        """How many messages went before they were written."""
        self._rows: deque[Row] = deque()
        self._marks = 0
        self._going_on: dict[str, tuple[Row, ...]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def add(self, row: Row) -> None:
        """Keep a row until it is written."""
        self._rows.append(row)
        self._marks += row.mark
        if row.mark and self._marks > WAITING // MARKS:
            oldest = next(n for n, each in enumerate(self._rows) if each.mark)
        elif len(self._rows) > WAITING:
            oldest = 0
        else:
            return
        self._marks -= self._rows[oldest].mark
        del self._rows[oldest]
        self.lost += 1

    def written(self) -> None:
        """Take note that all rows are written; the first and the newest row of every event that goes on is still
        held."""
        while self._rows:
            row = self._rows[0]
            if row.clip:
                pass  # says nothing of whether its event goes on
            elif row.going_on:
                self._going_on[row.id] = (*self._going_on.get(row.id, ())[:1], row)
            else:
                self._going_on.pop(row.id, None)
            self._marks -= row.mark
            self._rows.popleft()

    def again(self) -> int:
        """Let what was written of events that go on wait once more, for a file that begins anew; return how many
        events."""
        self._rows.extendleft(reversed([row for rows in self._going_on.values() for row in rows]))
        return len(self._going_on)
