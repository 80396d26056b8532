"""What the history has still to write, and what of the events that go on it has written: in memory, and bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from auricle.publish.table import Row

WAITING = 10_000
"""Messages that wait in memory while the disk is full."""
MARKS = 10
"""One in so many of them may be a mark: they push out marks, and never an event."""


class Waiting:
    """Rows in the order in which they were told; of too many the oldest go, marks among themselves."""

    def __init__(self) -> None:
        self.lost = 0
        """Messages that went before they were written."""
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
        """All of them are written: what is held on to is the first and the newest row of every event that goes on."""
        while self._rows:
            row = self._rows[0]
            if row.going_on:
                self._going_on[row.id] = (*self._going_on.get(row.id, ())[:1], row)
            else:
                self._going_on.pop(row.id, None)
            self._marks -= row.mark
            self._rows.popleft()

    def again(self) -> int:
        """Let what was written of events that go on wait once more, for a file that begins anew; how many events."""
        self._rows.extendleft(reversed([row for rows in self._going_on.values() for row in rows]))
        return len(self._going_on)
