"""Rows go into one table for all recordings, or into one beside each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from auricle.errors import UsageError
from auricle.model.bundle import Bundle
from auricle.tables.formats import FORMATS, Table
from auricle.tables.row import Row


def form_of(out: Path | None, form: str | None) -> str:
    """Return the form that is wanted: the one that is named, else the one that the file's name ends with.

    Raises:
        UsageError: there is no such form, or the name does not say which.
    """
    if form is not None:
        if form not in FORMATS:
            raise UsageError(f"--format: {form!r} is no form of a table; use {', '.join(FORMATS)}")
        return form
    name = "" if out is None else out.name
    # The longest ending first: a selection table is a .txt too, but what a .txt is nobody knows.
    found = next((form for form in ("raven", "csv", "parquet") if name.endswith(FORMATS[form][0])), None)
    if found is None:
        raise UsageError(f"--out: which form has {name or 'a table beside each'}? add --format {', '.join(FORMATS)}")
    return found


def beside(recording: Path, form: str) -> Path:
    """Return where the table of one recording stands: ``night.auricle.csv`` for ``night.wav``."""
    return recording.with_name(f"{recording.stem}.auricle{FORMATS[form][0]}")


class Tables:
    """Takes the rows of recordings that are heard one after the other, and writes their tables.

    Args:
        form: one of `FORMATS`.
        high_hz: the highest frequency that the model hears.
        out: the one table for all; ``None`` for one beside each.
        recordings: how many of them there are, as far as is known.
        names: what people call labels, where the model says so.

    Raises:
        UsageError: so many recordings cannot be in one table of this form.
        OutputError: a table cannot be written.
    """

    def __init__(
        self, form: str, high_hz: float, out: Path | None, recordings: int, names: Mapping[str, str] | None = None
    ) -> None:
        if form == "audacity" and out is not None and recordings > 1:
            raise UsageError(f"--out: labels of {recordings} recordings in one file do not say whose; use --beside")
        self._form = form
        self._high_hz = high_hz
        self._names = names or {}
        self._all = None if out is None else FORMATS[form][1](out, high_hz)
        self._own: tuple[str, Table] | None = None
        self._before_s = 0.0

    def add(self, path: str, row: Row) -> None:
        """Write a row of the recording at this path."""
        if row.label in self._names:
            row = replace(row, name=self._names[row.label])
        self._table(path).add(row, 0.0 if self._all is None else self._before_s)

    def heard(self, path: str, duration_s: float) -> None:
        """Take note that a recording was heard to its end: it has its table also where nothing was in it."""
        self._table(path)
        self._close_own()
        self._before_s += duration_s

    def close(self) -> None:
        """Close what is open."""
        self._close_own()
        if self._all is not None:
            self._all.close()

    def _table(self, path: str) -> Table:
        if self._all is not None:
            return self._all
        if self._own is None or self._own[0] != path:
            self._close_own()
            self._own = path, FORMATS[self._form][1](beside(Path(path), self._form), self._high_hz)
        return self._own[1]

    def _close_own(self) -> None:
        if self._own is not None:
            self._own[1].close()
            self._own = None


def tables(out: Path | None, form: str | None, bundle: Bundle, *, beside: bool, recordings: int) -> Tables | None:
    """Make what ``--out``, ``--format`` and ``--beside`` ask for; ``None`` where they ask for nothing.

    Raises:
        UsageError: they cannot be together.
        OutputError: the table cannot be written.
    """
    if out is None and not beside:
        if form is not None:
            raise UsageError("--format: of which table? add --out FILE, or --beside")
        return None
    if out is not None and beside:
        raise UsageError("--out and --beside: one of them at a time")
    card = bundle.card
    return Tables(form_of(out, form), card.front_end.sample_rate / 2, out, recordings, card.display)
