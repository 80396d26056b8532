"""A picture of what is heard is drawn on the terminal here, in blocks of colour: for those who only have ssh."""

from __future__ import annotations

import math
from collections import deque
from functools import cache
from typing import TYPE_CHECKING

from auricle.config import printable
from auricle.messages import Event, Spectrum, microseconds

if TYPE_CHECKING:
    from rich.text import Text

BANDS = 64
MOST_COLUMNS = 1000
"""So many columns are kept: more than any terminal is wide."""
MARGIN = 6
"""The cells at the left in which frequencies stand."""
_AXIS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)
_SHADES = " .:-=+*#%@"
"""Levels, where the terminal has no colours."""
_LEVELS = 24
_SPAN = 60
"""From the darkest to the brightest at least so many steps of half a dB: a quiet room stays dark."""
_NOT_HEARD = "grey23"
_RAMP = ((0, 0, 20), (60, 15, 110), (160, 45, 110), (235, 105, 50), (250, 190, 60), (255, 250, 210))


class Picture:
    """Draws the spectra of one source, the newest at the right, with the events that began."""

    def __init__(self) -> None:
        self._columns: deque[bytes | None] = deque(maxlen=MOST_COLUMNS)
        """A column each, ``None`` where nothing was heard."""
        self._count = 0
        self._end_us: int | None = None
        self._column_s, self._top_hz = 0.08, 8000.0
        self._marks: deque[tuple[int, str]] = deque(maxlen=64)
        """How many columns there were before the one in which an event began, and its label."""

    @property
    def empty(self) -> bool:
        """Return whether no spectrum has come yet."""
        return self._count == 0

    def add(self, message: Spectrum) -> None:
        """Put the columns of a message behind those before; what lies between, if anything, was not heard."""
        begin_us = microseconds(message.t)
        if self._end_us is not None:
            apart = round((begin_us - self._end_us) / 1e6 / message.column_s)
            # Time that runs backwards is another stream: one column sets it apart.
            self._put([None] * min(apart if apart >= 0 else 1, MOST_COLUMNS))
        self._column_s, self._top_hz = message.column_s, message.top_hz
        self._end_us = begin_us + round(1e6 * message.columns * message.column_s)
        self._put([message.bands[at : at + BANDS] for at in range(0, len(message.bands), BANDS)])

    def mark(self, event: Event) -> None:
        """Write an event's label under the place where it began."""
        if self._end_us is not None:
            back = (self._end_us - microseconds(event.onset)) / 1e6 / self._column_s
            self._marks.append((self._count - math.ceil(back), event.label))

    def draw(self, width: int, height: int, *, colours: bool) -> Text:
        """Return the picture in so many cells, with frequencies at its left and time and labels below it.

        Args:
            colours: whether the terminal has any; else characters say how loud it is.
        """
        from rich.text import Text

        shown = list(self._columns)[-max(1, width - MARGIN) :]
        rows = max(2, min(BANDS // 2, height - 2))
        low, high = _bounds([column for column in shown if column is not None])
        heights = [_pooled(column, 2 * rows if colours else rows, low, high) for column in shown]
        text = Text(no_wrap=True)
        axis = {self._row(hz, rows): f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in _AXIS_HZ}
        for row in range(rows):
            text.append(f"{axis.get(row, ''):>{MARGIN - 1}} ", style="dim")
            for levels in heights:
                if levels is None:
                    text.append("╱" if colours else "/", style=_NOT_HEARD)
                elif colours:
                    text.append("▀", style=_style(levels[2 * row], levels[2 * row + 1]))
                else:
                    text.append(_SHADES[levels[row] * len(_SHADES) // _LEVELS])
            text.append("\n")
        text.append(" " * MARGIN + self._labels(len(shown)) + "\n", style="bold")
        text.append(" " * MARGIN + self._seconds(len(shown)), style="dim")
        return text

    def _put(self, columns: list[bytes | None]) -> None:
        self._columns.extend(columns)
        self._count += len(columns)

    def _row(self, hz: float, rows: int) -> int:
        """Return the row, from the top, in which a frequency lies; below the last one if it is too high."""
        if hz > self._top_hz:
            return rows
        share = math.log10(1 + hz / 700) / math.log10(1 + self._top_hz / 700)
        band = min(BANDS - 1, max(0, round((BANDS + 1) * share) - 1))
        return rows - 1 - band * rows // BANDS

    def _labels(self, columns: int) -> str:
        cells = [" "] * columns
        for at, label in self._marks:
            begin = at - (self._count - columns)
            if 0 <= begin < columns:
                word = printable(f"↑{label} ")[: columns - begin]
                cells[begin : begin + len(word)] = word
        return "".join(cells)

    def _seconds(self, columns: int) -> str:
        cells = [" "] * columns
        step = max(1, round(5 / self._column_s))
        for back in range(step, columns, step):
            word = f"-{round(back * self._column_s)} s"
            begin = columns - 1 - back
            cells[begin : begin + len(word)] = word
        return "".join(cells[:columns])


def _bounds(columns: list[bytes]) -> tuple[int, int]:
    """Return the steps that are darkest and brightest: the quiet ones of these columns, and the loudest."""
    if not columns:
        return 0, _SPAN
    steps = sorted(b"".join(columns[::2] or columns))
    low = steps[len(steps) // 5]
    return low, max(steps[-1], low + _SPAN)


def _pooled(column: bytes | None, rows: int, low: int, high: int) -> list[int] | None:
    """Return levels from the top row to the bottom one, each the loudest of its bands."""
    if column is None:
        return None
    edges = [row * BANDS // rows for row in range(rows + 1)]
    loudest = [max(column[edges[row] : max(edges[row] + 1, edges[row + 1])]) for row in range(rows)]
    span = high - low
    return [min(_LEVELS - 1, max(0, (step - low) * _LEVELS // span)) for step in reversed(loudest)]


@cache
def _style(above: int, below: int) -> str:
    return f"{_colour(above)} on {_colour(below)}"


def _colour(level: int) -> str:
    place = level / (_LEVELS - 1) * (len(_RAMP) - 1)
    at = min(len(_RAMP) - 2, int(place))
    part = place - at
    mixed = [round(a + (b - a) * part) for a, b in zip(_RAMP[at], _RAMP[at + 1], strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)
