"""One event in one recording is a row of a table; what its columns hold is declared here."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from auricle import messages

COLUMNS = {
    "file": "the recording, as it was named; empty of a live source",
    "begin_s": "seconds from the start of the file to the event; of a live source from the first event of the table",
    "end_s": "likewise to its end",
    "begin": "when it began, RFC 3339 in UTC; empty where nobody told when the recording was made",
    "end": "when it ended, likewise",
    "label": "the label, as the model has it",
    "name": "the label as people write it",
    "peak": "the highest score while it lasted",
    "mean": "the mean score while it lasted",
    "also": "labels that contain this one and were heard too, parted by blanks",
    "source": "the source's name",
    "model": "the model's name",
    "hash": "of the model's files: another one is another model",
}
"""The columns of a CSV or Parquet file, in this order, and what stands in them."""


@dataclass(frozen=True, slots=True)
class Row:
    """Says what was heard, where, and how surely; `COLUMNS` tells of each field."""

    file: str
    begin_s: float
    end_s: float
    begin: str | None
    end: str | None
    label: str
    name: str
    peak: float
    mean: float | None
    also: str
    source: str
    model: str
    hash: str


def readable(label: str) -> str:
    """Write a label as people do: ``dog_bark`` is Dog bark."""
    return label.replace("_", " ").capitalize()


def row_of(event: messages.Event, since_us: int = 0) -> Row:
    """Make the row of an event that has ended.

    Args:
        event: the message of its offset.
        since_us: of a live source, the time from which seconds are counted, in microseconds since 1970 UTC.
    """
    assert event.offset is not None
    if event.file is not UNSET and isinstance(event.onset_s, float) and isinstance(event.offset_s, float):
        file, begin_s, end_s = event.file, event.onset_s, event.offset_s
    else:
        file = ""
        begin_s, end_s = ((messages.microseconds(t) - since_us) / 1e6 for t in (event.onset, event.offset))
    known = event.t_known is not False
    return Row(
        file=file,
        begin_s=begin_s,
        end_s=end_s,
        begin=event.onset if known else None,
        end=event.offset if known else None,
        label=event.label,
        name=readable(event.label),
        peak=event.peak,
        mean=event.mean if isinstance(event.mean, float) else None,
        also=" ".join(event.also) if isinstance(event.also, list) else "",
        source=event.source or "",
        model=event.model.name if event.model else "",
        hash=event.model.hash if event.model else "",
    )
