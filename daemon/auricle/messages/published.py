"""The messages that are published stand here, and their JSON; the schema and the docs are made from these types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from auricle.messages.words import (
    ClipForm,
    ClipLoss,
    DaemonNews,
    GapCause,
    MarkKind,
    OffsetCause,
    Phase,
    SourceNews,
    SourceState,
)

VERSION = 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Score = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Time = Annotated[
    str, Meta(description="RFC 3339, UTC, microseconds", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
]
Label = Annotated[str, Meta(description="a slug: small letters, digits, underscores", pattern=r"^[a-z0-9_]+$")]

HeldBack = Annotated[str, Meta(pattern=r"^(short|refractory|in:[a-z0-9_]+)$")]


def rfc3339(us: int) -> str:
    """Write microseconds since 1970 UTC as RFC 3339 with all six digits."""
    return (_EPOCH + timedelta(0, 0, us)).isoformat("T", "microseconds")[:-6] + "Z"


def microseconds(time: str) -> int:
    """Read RFC 3339 as microseconds since 1970 UTC.

    Raises:
        ValueError: the text is no such time, or has no zone.
    """
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone; add Z for UTC, or an offset such as +01:00")
    return (moment - _EPOCH) // timedelta(microseconds=1)


class Model(msgspec.Struct, frozen=True):
    """The model that spoke."""

    name: str
    hash: Annotated[str, Meta(description="of the bundle's files: another one is another model, whatever its name")]


class Message(msgspec.Struct, kw_only=True):
    """Holds what every message says."""

    v: Annotated[int, Meta(description="version of this contract; 1")] = VERSION
    node: Annotated[str, Meta(description="the machine, `node` in its configuration")]
    instance: Annotated[str, Meta(description="one start of the daemon; another one after a restart")]
    seq: Annotated[int, Meta(ge=0, description="counts from 1 per instance and exact topic: a hole is a loss")]
    source: Annotated[str | None, Meta(description="the source's name as configured; null: the daemon itself")]
    model: Annotated[Model | None, Meta(description="the model that hears the source")]
    t: Annotated[
        Time, Meta(description="when `sample` was heard; of messages without a sample, when it was said. RFC 3339, UTC")
    ]
    sample: Annotated[
        Count | None,
        Meta(description="counts at the source's own rate since the source began, lost samples included"),
    ]


class AboutSound(Message, kw_only=True):
    """A message about sound."""

    file: Annotated[str | UnsetType, Meta(description="the recording, where the source plays some")] = UNSET
    t_known: Annotated[
        bool | UnsetType, Meta(description="of recordings: false if nobody told when it began; t is then of 1970")
    ] = UNSET
    latency_ms: Annotated[
        float | None,
        Meta(description="from the delivery of the decision's last sample to the send; null at full speed"),
    ]


class Scores(AboutSound, kw_only=True, tag="score", tag_field="type"):
    """A decision: the smoothed score of every label."""

    scores: Annotated[dict[str, Score], Meta(description="by label")]
    level_dbfs: Annotated[float, Meta(description="of the newest decision hop; a full-scale sine is -3")]
    held_back: Annotated[
        dict[str, HeldBack] | UnsetType,
        Meta(
            description="labels above their thresholds that have no event now, and why: `short` (not for as long as "
            "`min_duration_ms` yet), `refractory` (too soon after the event before), `in:LABEL` (this one, which it "
            "contains, is told instead)"
        ),
    ] = UNSET
    thresholds: Annotated[
        dict[str, Score] | UnsetType,
        Meta(description="those in force, by label: with the first decision of a segment, and every 2 s of sound"),
    ] = UNSET
    display: Annotated[
        dict[str, str] | UnsetType,
        Meta(
            description="what people call the labels, in any script, where the model's card says so: by label, in the "
            "messages that have `thresholds`"
        ),
    ] = UNSET


class Spectrum(AboutSound, kw_only=True, tag="spectrum", tag_field="type"):
    """What the model hears, as a coarse picture: the level in 64 bands, a few columns a message. `sample` and `t` are
    where the first column begins."""

    columns: Annotated[int, Meta(ge=1, description="how many")]
    column_s: Annotated[float, Meta(gt=0, description="from where one column begins to the next, in seconds")]
    top_hz: Annotated[
        float,
        Meta(
            gt=0,
            description="the middle of band b, counted from 1, is at b / 65 of the way from 0 Hz to this, over "
            "mel = 2595 log10(1 + Hz / 700)",
        ),
    ]
    bands: Annotated[
        bytes,
        Meta(
            description="64 bytes a column, lowest band first, one column after the other; dBFS = byte / 2 - 127.5, "
            "so that 0 is -127.5 or less. The bands add up to the level: a full-scale sine is -3"
        ),
    ]
    gated: Annotated[
        bytes | UnsetType, Meta(description="the same columns behind the noise gate; absent where there is none")
    ] = UNSET


class Event(AboutSound, kw_only=True, tag="event", tag_field="type"):
    """An event began, goes on or ended. `sample` and `t` are those of the decision that says so."""

    phase: Annotated[Phase, Meta(description="one onset, any number of updates, one offset")]
    id: Annotated[str, Meta(description="one UUIDv7 for all phases of an event")]
    label: Label
    display: Annotated[
        str | UnsetType,
        Meta(description="what people call the label, in any script, where the model's card says so"),
    ] = UNSET
    score: Annotated[Score, Meta(description="of the label, now")]
    peak: Annotated[Score, Meta(description="the highest so far")]
    mean: Annotated[
        Score | UnsetType, Meta(description="of an offset: the label's mean score while the event lasted")
    ] = UNSET
    onset: Annotated[Time, Meta(description="when it began, back-dated by the model's measured lag")]
    onset_sample: Count
    offset: Annotated[Time | None, Meta(description="when it ended; null before the offset")]
    offset_sample: Count | None
    duration_s: Annotated[
        Seconds, Meta(description="so far; of an offset, of the whole event. One decision hop at least")
    ]
    also: Annotated[
        list[Label] | UnsetType,
        Meta(
            description="labels that contain this one, as the model's card has it, and were above their thresholds too "
            "while the event lasted, so far: the sound is theirs as well, and no event of theirs begins for it"
        ),
    ] = UNSET
    cause: Annotated[
        OffsetCause | UnsetType,
        Meta(
            description="of an offset: `score` (it fell below the threshold), or why hearing stopped: `end` (of a "
            "recording), `gap`, `stop`, `reload`, `restart` (the daemon died, and closed the event at its next start)"
        ),
    ] = UNSET
    estimated: Annotated[
        bool | UnsetType, Meta(description="of an offset: true if it is the last sample known of, not a decision")
    ] = UNSET
    onset_s: Annotated[float | UnsetType, Meta(description="of recordings: from the start of the file")] = UNSET
    offset_s: Annotated[float | UnsetType | None, Meta(description="of recordings: from the start of the file")] = UNSET


class Gap(Message, kw_only=True, tag="gap", tag_field="type"):
    """Sound that was not heard. `sample` is the first one lost."""

    cause: Annotated[
        GapCause,
        Meta(
            description="`overrun` (the daemon was too slow), `overflow` (in the sound system), `lost` (the device), "
            "`load` (more sound than computing), `pause` (somebody wanted it)"
        ),
    ]
    samples: Annotated[int, Meta(ge=0, description="how many were lost")]
    duration_s: Seconds
    estimated: Annotated[bool, Meta(description="true if counted by a clock instead of by samples")]
    decisions_resume_s: Annotated[
        Seconds, Meta(description="seconds of new sound needed after the gap before the next decision")
    ]


class Status(Message, kw_only=True, tag="status", tag_field="type"):
    """The source, or without one the daemon, changed its state."""

    state: Annotated[
        Literal[SourceNews, DaemonNews],
        Meta(
            description="of a source its new state, or news that leave its state as it is: `clock` (the system's clock "
            "has stepped), `questioned` (its sound can hardly be what a microphone heard, told once; `detail` says "
            "why); of the daemon `store` (its history has a trouble, or has it no more), `reloaded`, "
            "`reload_refused`, `slow` (a subscriber's queue ran full), `crowded` (connections were cut off, "
            "docs/security.md), `trouble` (an error of the system that hearing survived), `clock` (the time of day "
            "jumped)"
        ),
    ]
    detail: Annotated[str, Meta(description="for people; may be empty")]


class Mark(Message, kw_only=True, tag="mark", tag_field="type"):
    """Somebody marked this moment, or an event, through the query socket."""

    id: Annotated[str, Meta(description="a UUIDv7")]
    text: str
    label: Annotated[
        Label | None,
        Meta(
            description="of a `note` what it really was, if that was told; of `false` and `right` the event's; of "
            "`missed` what should have been heard"
        ),
    ] = None
    kind: Annotated[
        MarkKind,
        Meta(
            description="`note`: the text says it; `false`: the event was none; `right`: it was one; `missed`: there "
            "was no event, and should have been one. Of several about an event the last one counts"
        ),
    ] = "note"
    event: Annotated[str | None, Meta(description="the `id` of the event that is meant")] = None
    at: Annotated[Time | None, Meta(description="when it was, what is meant: of an event its onset; null: at `t`")] = (
        None
    )


class Silence(msgspec.Struct, frozen=True):
    """Sound that was not heard, which is silence in a clip."""

    sample: Annotated[int, Meta(ge=0, description="the first one, counted as the clip's `sample`")]
    samples: Count


class Clip(Message, kw_only=True, tag="clip", tag_field="type"):
    """The sound around an event lies in a file now, or there is none, and why. `sample` and `t` are the clip's first
    ones, and `model` the one that heard the event."""

    id: Annotated[str, Meta(description="the event's; where somebody marked what was missed, the mark's")]
    label: Label
    path: Annotated[str | None, Meta(description="of the file, on the daemon's machine; null if there is none")]
    why: Annotated[
        ClipLoss | None,
        Meta(
            description="there is none: `privacy` (it would hold what the source's `privacy` names), `disk` (it could "
            "not be written), `slow` (the disk does not keep up), `memory` (none was left), `gone` (the sound was not "
            "held), `rate` (no FLAC has it)"
        ),
    ]
    format: Annotated[ClipForm, Meta(description="of the file; Opus is lossy")]
    exact: Annotated[
        bool,
        Meta(
            description="whether every sample is just as it was heard: not of Opus, nor of sound with more than 24 "
            "bits or beyond full scale"
        ),
    ]
    sha256: Annotated[str | None, Meta(description="of the file, hexadecimal")]
    rate: Annotated[int, Meta(ge=0, description="of the file, in Hz: the source's own, of Opus 48000")]
    samples: Annotated[int, Meta(ge=0, description="how many are in the file")]
    duration_s: Seconds
    source_rate: Annotated[int, Meta(ge=0, description="the source's own, in Hz, by which `sample` counts")]
    onset: Annotated[Time, Meta(description="the event's")]
    onset_s: Annotated[float, Meta(description="from the clip's first sample to the event's onset")]
    offset_s: Annotated[
        float | None,
        Meta(
            description="the same to its offset; null where the event went on beyond the longest clip; `onset_s` again "
            "of what was missed"
        ),
    ]
    gaps: Annotated[list[Silence], Meta(description="what was not heard, silence in the clip")] = []
    file: Annotated[str | UnsetType, Meta(description="the recording, where the source plays some")] = UNSET
    t_known: Annotated[
        bool | UnsetType, Meta(description="of recordings: false if nobody told when it began; t is then of 1970")
    ] = UNSET


class SourceCapture(msgspec.Struct, kw_only=True):
    """How a live source is captured; samples at its own rate since it was opened."""

    heard_samples: Annotated[int, Meta(ge=0, description="with lost_samples, exactly all that has elapsed")]
    lost_samples: Annotated[int, Meta(ge=0, description="those of a pause too")]
    overruns: Annotated[int, Meta(ge=0, description="gaps because the daemon was too slow")]
    restarts: Annotated[int, Meta(ge=0, description="of the capturing process")]
    drift_ppm: Annotated[
        float | None, Meta(description="by which the card runs fast against the system; null in its first minute")
    ]
    waiting_s: Annotated[float, Meta(ge=0, description="sound in the ring, not yet heard")]
    ring_s: Annotated[float, Meta(ge=0, description="how much the ring holds")]


class SourceHealth(msgspec.Struct, kw_only=True):
    """One source's counters since the start."""

    state: Annotated[SourceState, Meta(description="the last one that a `status` told")]
    heard_s: float
    heard_samples: Count
    lost_samples: Count
    gaps: Annotated[int, Meta(ge=0, description="in which these were lost")]
    decisions: Count
    events: Count
    cleaned_samples: Annotated[int, Meta(ge=0, description="not finite, replaced by 0")]
    skipped: Annotated[int, Meta(ge=0, description="recordings that could not be read")]
    gate: Annotated[str, Meta(description="`off`, `learning` or `on`")]
    level_dbfs: float | None
    age_s: Annotated[float | None, Meta(description="since sound was last processed")]
    late: Annotated[int, Meta(ge=0, description="decisions over one decision hop after their sound was delivered")] = 0
    overloads: Annotated[int, Meta(ge=0, description="steps that were taken because decisions could not keep up")] = 0
    unsound: Annotated[int, Meta(ge=0, description="decisions in which the model gave what is no finite number")] = 0
    paused_samples: Annotated[
        int, Meta(ge=0, description="not heard since the source was paused, which are not in `lost_samples`")
    ] = 0
    clips: Annotated[int, Meta(ge=0, description="clips that were written")] = 0
    clips_missed: Annotated[int, Meta(ge=0, description="events that have none although they should")] = 0
    capture: Annotated[SourceCapture | None, Meta(description="of a live source; null of a recording")] = None


class Health(Message, kw_only=True, tag="health", tag_field="type"):
    """The daemon is alive: once a second."""

    uptime_s: float
    sources: dict[str, SourceHealth]
    last_seq: Annotated[
        dict[str, int], Meta(description="the newest seq of every topic so far: shows what was lost at the end")
    ]
    latency_p99_ms: float | None
    cpu_percent: float
    rss_mb: float


AnyMessage = Scores | Spectrum | Event | Gap | Status | Mark | Clip | Health
Fleeting = Scores | Spectrum | Health
"""Messages that nobody keeps, since the next one of their topic says it all."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytes:
    """Write a message as UTF-8 JSON, without spaces.

    Raises:
        msgspec.ValidationError: the schema refuses the message: a number is none, or out of its bounds.
    """
    payload = _encoder.encode(message)
    # Read back as a subscriber reads it. The many scores keep their bounds where they are made: only what is no number
    # could be wrong there, which is written as null, and where no null is to be but this one.
    if type(message) is not Scores or payload.count(b"null") != (message.latency_ms is None):
        _decoder.decode(payload)
    return payload


def decode(payload: bytes) -> AnyMessage:
    """Read the message in a payload.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the payload is no message of ours. UnicodeDecodeError: the payload
        is no text at all.
    """
    return _decoder.decode(payload)
