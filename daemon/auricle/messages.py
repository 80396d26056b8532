"""The messages: what stands in them, and their JSON. The schema is made from these types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

VERSION = 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Score = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Time = Annotated[
    str, Meta(description="RFC 3339, UTC, microseconds", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
]


def rfc3339(us: int) -> str:
    """Microseconds since 1970 UTC as RFC 3339 with all six digits."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Model(msgspec.Struct, frozen=True):
    """The model that spoke."""

    name: str
    hash: str


class Message(msgspec.Struct, kw_only=True):
    """What every message says.

    `sample` counts at the source's own rate, lost samples included; `t` is its time. `seq` counts per exact topic.
    """

    v: int = VERSION
    node: str
    instance: str
    seq: Count
    source: str | None
    model: Model | None
    t: Time
    sample: Count | None


class Heard(Message, kw_only=True):
    """A message about sound. `file`, and `t_known` where the time of day is not known, only of recordings."""

    file: str | UnsetType = UNSET
    t_known: bool | UnsetType = UNSET
    latency_ms: float | None


class Scores(Heard, kw_only=True, tag="score", tag_field="type"):
    """``score.<source>.``: one decision. `level_dbfs` is that of the newest decision hop."""

    scores: dict[str, Score]
    level_dbfs: float


class Event(Heard, kw_only=True, tag="event", tag_field="type"):
    """``event.<source>.<label>.``: an event began, goes on or ended; one `id` for all three.

    `sample` and `t` are those of the decision; `onset` and `offset` are back-dated by the model's measured lag.
    `cause` of an offset: ``score``, or why the segment ended (``end``, ``gap``, ``stop``, ``reload``, ``restart``).
    """

    phase: Literal["onset", "update", "offset"]
    id: str
    label: str
    score: Score
    peak: Score
    onset: Time
    onset_sample: Count
    offset: Time | None
    offset_sample: Count | None
    duration_s: Annotated[float, Meta(ge=0)]
    cause: str | UnsetType = UNSET
    estimated: bool | UnsetType = UNSET
    onset_s: float | UnsetType = UNSET
    offset_s: float | UnsetType | None = UNSET


class Gap(Message, kw_only=True, tag="gap", tag_field="type"):
    """``gap.<source>.``: sound that was not heard. `sample` is the first one lost."""

    cause: str
    samples: Count
    duration_s: float
    estimated: bool
    decisions_resume_s: float


class Status(Message, kw_only=True, tag="status", tag_field="type"):
    """``status.<source>.``: the source, or the daemon, changed its state."""

    state: str
    detail: str


class SourceHealth(msgspec.Struct, kw_only=True):
    """One source's counters since the start."""

    state: str
    heard_s: float
    heard_samples: Count
    lost_samples: Count
    gaps: Count
    decisions: Count
    events: Count
    cleaned_samples: Count
    skipped: Count
    gate: str
    level_dbfs: float | None
    age_s: float | None


class Health(Message, kw_only=True, tag="health", tag_field="type"):
    """``health.``: once a second. `last_seq` is that of every topic, so that a subscriber sees what it missed."""

    uptime_s: float
    sources: dict[str, SourceHealth]
    last_seq: dict[str, int]
    latency_p99_ms: float | None
    cpu_percent: float
    rss_mb: float


AnyMessage = Scores | Event | Gap | Status | Health

_encoder = msgspec.json.Encoder()


def encode(message: AnyMessage) -> bytes:
    """UTF-8 JSON, without spaces."""
    return _encoder.encode(message)
