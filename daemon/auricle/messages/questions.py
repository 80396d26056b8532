"""These are the questions that can be asked at the query socket, and the answers: one JSON object each way."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from auricle.messages.published import VERSION, Clip, Event, Gap, Label, Mark, Model, SourceHealth, Status, Time
from auricle.messages.words import MarkKind

Tag = Annotated[str | int | None, Meta(description="given back in the answer, so that the two are known to belong")]


TOPICS = 256
"""How many prefixes one question may hold; a subscriber may have no more."""


class Question(msgspec.Struct, kw_only=True, tag_field="ask", forbid_unknown_fields=True):
    """Holds what every question may say."""

    v: int = VERSION
    tag: Tag = None


class AskSnapshot(Question, kw_only=True, tag="snapshot"):
    """How things stand, between two messages."""


class AskStatus(Question, kw_only=True, tag="status"):
    """Whether the daemon hears."""


class Position(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a subscriber holds of one instance: everything up to these."""

    instance: str
    last_seq: dict[str, Annotated[int, Meta(ge=0, le=2**53)]]


class AskEvents(Question, kw_only=True, tag="events"):
    """Events that began or changed since a time, from the history; or messages missed since a position, from memory.

    Of a position, only topics that begin with one of `topics` are told.
    """

    since: Annotated[
        str | Position | None, Meta(description="a time, RFC 3339; a position; null: from the oldest one held")
    ] = None
    after: Annotated[str | None, Meta(description="`next` of the answer before")] = None
    label: str | None = None
    source: str | None = None
    topics: Annotated[list[str], Meta(max_length=TOPICS)] = msgspec.field(default_factory=lambda: [""])


class AskMark(Question, kw_only=True, tag="mark"):
    """Mark this moment, or an event, in the stream and in the history.

    `false` and `right` are about an event: the one whose `id` has `event` in it, else the one that went on at `at`,
    else the last one; of `label` and `source`, where these are given.
    """

    text: Annotated[str, Meta(max_length=1000)] = ""
    label: Annotated[Label | None, Meta(description="of `missed`: what should have been heard")] = None
    source: Annotated[str | None, Meta(description="of `missed`, null: the only one")] = None
    kind: MarkKind = "note"
    event: Annotated[
        Annotated[str, Meta(min_length=4, max_length=36)] | None, Meta(description="an event's `id`, or a part of it")
    ] = None
    at: Annotated[str | None, Meta(description="a time, RFC 3339; null: now")] = None
    new: Annotated[
        bool, Meta(description="of `missed`: the label is one that no model here has, to be taught later")
    ] = False


class AskExplain(Question, kw_only=True, tag="explain"):
    """Why there was an event, or none: the decisions of a time, as far as they are remembered, with what they hung
    on."""

    since: Annotated[str, Meta(description="a time, RFC 3339")]
    until: Annotated[str, Meta(description="a time, RFC 3339; two minutes after `since` at most")]
    source: Annotated[str | None, Meta(description="null: the only one")] = None
    labels: Annotated[
        list[Label],
        Meta(max_length=100, description="none: those with the highest scores, and those that were held back"),
    ] = msgspec.field(default_factory=list)


class AskPause(Question, kw_only=True, tag="pause"):
    """Close a source's microphone or stream for a while; a restart does not open it."""

    source: Annotated[str | None, Meta(description="null: all that can be paused")] = None
    for_s: Annotated[float, Meta(gt=0, le=366 * 86400)] | None = None


class AskResume(Question, kw_only=True, tag="resume"):
    """Hear a paused source again."""

    source: Annotated[str | None, Meta(description="null: all")] = None


class Trusted(Question, kw_only=True):
    """Holds what a question says that not everybody may ask: only who connects with a key, or shows the token."""

    token: Annotated[
        Annotated[str, Meta(max_length=4096)] | None,
        Meta(description="what the file of `publish.token` holds; null: a key will do"),
    ] = None


class AskThreshold(Trusted, kw_only=True, tag="threshold"):
    """Begin events of a label at another score, from the next decision on; a restart keeps it."""

    label: Label
    threshold: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None, Meta(description="null: what the configuration says again")
    ]
    source: Annotated[str | None, Meta(description="null: all that have the label")] = None


class AskUndo(Trusted, kw_only=True, tag="undo"):
    """Take the last change of a threshold back; once."""


AnyQuestion = AskSnapshot | AskStatus | AskEvents | AskMark | AskExplain | AskPause | AskResume | AskThreshold | AskUndo


class Answer(msgspec.Struct, kw_only=True, tag_field="type"):
    """Holds what every answer says."""

    v: int = VERSION
    node: str
    instance: str
    tag: Tag = None


class SourceReport(SourceHealth, kw_only=True):
    """A source, its counters and its model."""

    model: Model | None = None


class Anew(msgspec.Struct, kw_only=True):
    """The history's file had to begin anew: what it held before is in no answer."""

    t: Time
    why: Annotated[str, Meta(description="for people")]


class HistoryReport(msgspec.Struct, kw_only=True):
    """How the history fares."""

    enabled: bool
    trouble: Annotated[str | None, Meta(description="why events are not stored now")] = None
    events: int = 0
    missed: Annotated[int, Meta(description="changes of events that could not be stored since the start")] = 0
    mb: float = 0.0
    anew: Annotated[
        Anew | None,
        Meta(
            description="when its file was last found deleted, replaced or broken since the start, and a new one began"
        ),
    ] = None


class ClipsReport(msgspec.Struct, kw_only=True):
    """How the keeping of clips fares."""

    enabled: bool
    trouble: Annotated[str | None, Meta(description="why none are written now")] = None
    files: Annotated[int, Meta(description="clips in the folder")] = 0
    mb: float = 0.0
    kept: Annotated[int, Meta(description="clips that were written since the start")] = 0
    missed: Annotated[int, Meta(description="events since the start that have none although they should")] = 0


class OverridesReport(msgspec.Struct, kw_only=True):
    """What was set while the daemon ran, over what its configuration says."""

    thresholds: Annotated[dict[str, dict[str, float]], Meta(description="by source, by label")] = msgspec.field(
        default_factory=dict
    )
    waiting: Annotated[list[str], Meta(description="which of them are not in force, and why")] = msgspec.field(
        default_factory=list
    )
    undo: Annotated[bool, Meta(description="whether the last change can be taken back")] = False
    trouble: Annotated[str | None, Meta(description="why a restart will not know of the last change")] = None


class Snapshot(Answer, kw_only=True, tag="snapshot"):
    """How things stand. Messages with a `seq` up to `last_seq` of their topic are in it, later ones are not."""

    t: Time
    version: str
    config: Annotated[str, Meta(description="changes when the configuration does")]
    sources: dict[str, SourceReport]
    open: Annotated[list[Event], Meta(description="the newest message of every event that goes on")]
    last_seq: dict[str, int]
    history: HistoryReport


class Report(Answer, kw_only=True, tag="report"):
    """Whether the daemon hears, and if not all is well, why."""

    t: Time
    version: str
    config: str
    uptime_s: float
    hearing: bool
    reasons: Annotated[list[str], Meta(description="empty if it hears")]
    sources: dict[str, SourceReport]
    history: HistoryReport
    clips: ClipsReport = msgspec.field(default_factory=lambda: ClipsReport(enabled=False))
    overrides: OverridesReport = msgspec.field(default_factory=OverridesReport)


class History(Answer, kw_only=True, tag="history"):
    """Messages of the past. Of the history, an event's onset, its newest message and its clip; from memory, every
    one."""

    messages: list[Event | Gap | Status | Mark | Clip]
    next: Annotated[str | Position | None, Meta(description="ask on with it as `after` or `since`; null: no more")]
    complete: Annotated[bool, Meta(description="false if memory does not reach back to the position")] = True


class Marked(Answer, kw_only=True, tag="marked"):
    """The mark is made."""

    id: str
    mark: Annotated[Mark | None, Meta(description="as it was sent")] = None
    no_clip: Annotated[
        str | None,
        Meta(description="of `missed`: why there will be no sound of it; null: a `clip` with the mark's `id` comes"),
    ] = None


class RuleReport(msgspec.Struct, kw_only=True):
    """By what a label's events were decided."""

    threshold: float
    hysteresis: float
    min_duration_s: float
    refractory_s: float
    smoothing_s: Annotated[float, Meta(description="its scores are means over so much sound, in whole decisions")]


class Decision(msgspec.Struct, kw_only=True):
    """One decision that is remembered."""

    t: Time
    sample: int
    level_dbfs: float
    scores: Annotated[dict[str, float], Meta(description="smoothed, by label")]
    held_back: Annotated[
        dict[str, str], Meta(description="labels above their thresholds that had no event, and why, as in `score`")
    ]


class Explained(Answer, kw_only=True, tag="explained"):
    """What is remembered of a time; events and marks of it are in the history."""

    source: str
    model: Model | None
    gate: Annotated[str | None, Meta(description="how the noise gate stood; null: nothing is remembered")]
    remembered: Annotated[Time | None, Meta(description="from when on decisions are; null: none are")]
    rules: Annotated[
        dict[str, RuleReport | None],
        Meta(description="by label, as at the end of the time; null: it raises no events"),
    ]
    decisions: list[Decision]
    news: Annotated[list[Gap | Status], Meta(description="what was told of the source's sound in this time")]


class Paused(Answer, kw_only=True, tag="paused"):
    """What is paused now."""

    paused: Annotated[dict[str, Time | None], Meta(description="by source, until when; null: until it is resumed")]
    scheduled: Annotated[list[str], Meta(description="sources that are not heard now by their schedule")] = (
        msgspec.field(default_factory=list)
    )
    trouble: Annotated[str | None, Meta(description="why a restart will not know of it")] = None


class Overridden(Answer, kw_only=True, tag="overridden"):
    """What is set now over the configuration."""

    overrides: OverridesReport


class Refused(Answer, kw_only=True, tag="error"):
    """The question was not understood, or cannot be answered now."""

    error: str
    later_s: Annotated[
        float | None, Meta(description="ask again after so many seconds: more was asked than one asker may")
    ] = None


class Welcome(Answer, kw_only=True, tag="welcome"):
    """The publisher's word to one subscriber: everything it subscribed to before ``welcome.`` is in force now."""

    query: Annotated[str | None, Meta(description="the endpoint of the query socket; null if there is none")]


AnyAnswer = Snapshot | Report | History | Marked | Explained | Paused | Overridden | Refused | Welcome
