"""The sections of the configuration that a source may carry, or that all sources share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from auricle.config.compounds import Many, OneOf
from auricle.config.keys import key, section
from auricle.config.kinds import Choice, Endpoint, File, Flag, KeyFile, Name, Number

DEFAULT_MODEL = "home"
"""The packaged model with which sound is heard where nobody names another."""
FORMER_MODELS = ("esc10",)
"""The default models of earlier versions; a configuration of that time may still name one."""
DEFAULT_HOP_MS = 80.0
DEFAULT_SMOOTHING_MS = 200.0
DEFAULT_THRESHOLD = 0.5
DEFAULT_HYSTERESIS = 0.1
DEFAULT_MIN_DURATION_MS = 100.0
"""What holds where neither the user nor the model's card says anything."""

_LABEL = Name("a label, letters, digits, '_' and '-'")
_SMOOTHING = Number(0, 10_000, "ms")
_THRESHOLD = Number(0, 1, above=True)
_HYSTERESIS = Number(0, 1)
_MIN_DURATION = Number(0, 60_000, "ms")
_REFRACTORY = Number(0, 3_600_000, "ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The noise gate, which takes steady noise out of the sound before the model hears it."""

    enabled: str = key(
        "auto",
        Choice(("auto", "on", "off")),
        "segment",
        "auto: as the model was trained. The model hears what it knows only that way; force it for a trial, and "
        "look at the scores.",
    )
    sensitivity: float = key(
        1.5,
        Number(0, 10),
        "live",
        "How many standard deviations above the noise's mean sound must rise to pass. MORE removes MORE: lower it "
        "when faint sounds are lost, raise it when noise sets off events.",
    )
    reduction: float = key(
        1.0,
        Number(0, 1),
        "live",
        "How much of what does not pass is taken away: 1 all, 0 nothing. Lower it when sounds come out torn.",
    )
    frequency_smoothing_hz: float = key(
        500.0,
        Number(0, 8000, "Hz"),
        "segment",
        "The width over which the gate's decision is smoothed in frequency. Raise it when single tones flicker "
        "through.",
    )
    time_smoothing_ms: float = key(
        50.0,
        Number(0, 2000, "ms"),
        "segment",
        "The same in time. Lower it when short sounds are damped, raise it when the noise bubbles.",
    )
    lookahead_frames: int = key(
        0,
        Number(0, 200, "frames", whole=True),
        "segment",
        "Frames that the smoothing in time looks ahead; each delays every decision by one frame. Raise it when the "
        "first instants of sounds are damped.",
    )
    noise_profile: Path | None = key(
        None,
        File("the path of a profile, made by auricle noise"),
        "segment",
        "A recorded profile of the room's noise. null: the noise is learned from the first start_up_s of sound.",
    )
    start_up_s: float = key(
        2.0,
        Number(0.1, 600, "s"),
        "segment",
        "Sound that the noise is learned from when there is no profile and nothing was kept from before. Let the "
        "room be quiet for as long.",
    )
    adaptation_s: float = key(
        0.0,
        Number(0, 86400, "s"),
        "live",
        "How fast the noise is learned anew while running; 0 never. It follows a new fan, and deletes rain, waves "
        "and engines just as well.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """Sets what one label needs, where it differs."""

    smoothing_ms: float | None = key(
        None,
        _SMOOTHING,
        "segment",
        "As decision.smoothing_ms, for this label.",
    )
    threshold: float | None = key(
        None,
        _THRESHOLD,
        "live",
        "As decision.threshold, for this label.",
        example=0.6,
    )
    hysteresis: float | None = key(
        None,
        _HYSTERESIS,
        "live",
        "As decision.hysteresis, for this label.",
    )
    min_duration_ms: float | None = key(
        None,
        _MIN_DURATION,
        "live",
        "As decision.min_duration_ms, for this label.",
    )
    refractory_ms: float | None = key(
        None,
        _REFRACTORY,
        "live",
        "As decision.refractory_ms, for this label.",
    )

    includes: tuple[str, ...] | None = key(
        None,
        Many(_LABEL, fewest=1),
        "segment",
        "Makes it a group, with a name of its own: its score is the highest of these labels' or groups', and they "
        "raise no event themselves unless decision.only names them or they have a rule here.",
    )


@dataclass(frozen=True, slots=True)
class UserRule:
    """Holds the rules of one label as far as the user wrote them, ``None`` where the model's card has the word."""

    smoothing_ms: float | None
    threshold: float | None
    hysteresis: float | None
    min_duration_ms: float | None
    refractory_ms: float


_NO_RULE = LabelRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """From scores to events. What is written here holds over the model's card, for all labels."""

    hop_ms: float | None = key(
        None,
        Number(10, 10000, "ms"),
        "segment",
        "From one decision to the next. null: what the model's card says, 80 where it says nothing. Lower answers "
        "sooner and costs more; must suit the model's own hop.",
        example=80,
    )
    smoothing_ms: float | None = key(
        None,
        _SMOOTHING,
        "segment",
        "Scores are averaged over this long; 0 not at all. null: what the model's card says for each label, 200 where "
        "it says nothing. Raise it when events flicker, lower it for short sounds.",
        example=200,
    )
    threshold: float | None = key(
        None,
        _THRESHOLD,
        "live",
        "The smoothed score at which an event begins. null: what the model's card says for each label, 0.5 where it "
        "says nothing. Raise it against false alarms, lower it when events are missed, or let auricle tune find it.",
        example=0.5,
    )
    hysteresis: float | None = key(
        None,
        _HYSTERESIS,
        "live",
        "An event ends when its score falls this far below the threshold. null: what the model's card says for each "
        "label, 0.1 where it says nothing, and half of a threshold that is lower. Raise it when one sound is reported "
        "as many.",
        example=0.1,
    )
    min_duration_ms: float | None = key(
        None,
        _MIN_DURATION,
        "live",
        "What is shorter is no event. null: what the model's card says for each label, 100 where it says nothing. "
        "Raise it against clicks, lower it when short sounds are missed or told late.",
        example=100,
    )
    refractory_ms: float = key(
        500.0,
        _REFRACTORY,
        "live",
        "After an event, its label stays quiet this long. Raise it when a barking dog should be one event.",
    )
    only: tuple[str, ...] | None = key(
        None,
        Many(_LABEL),
        "live",
        "Labels and groups that may raise events. null: all. Name them when a model knows hundreds and you want few.",
        example=["dog_bark", "rooster"],
    )
    except_: tuple[str, ...] = key(
        (),
        Many(_LABEL),
        "live",
        "Labels and groups that raise no event.",
        example=["rain"],
    )
    labels: Mapping[str, LabelRule] = section(
        LabelRule,
        "The same rules for single labels: only what differs.",
        many="labels",
        factory=dict,
        example="dog_bark",
    )

    def for_label(self, label: str) -> UserRule:
        """Return what the user wrote for ``label``, or for all."""
        own = self.labels.get(label, _NO_RULE)
        return UserRule(**{
            item.name: getattr(self if getattr(own, item.name) is None else own, item.name)
            for item in dataclasses.fields(UserRule)
        })  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreMessages:
    """Sets what score messages say."""

    top: int | None = key(
        None,
        Number(1, 100_000, "labels", whole=True),
        "live",
        "Only so many of the highest scores. null: every label's. Set it with models of hundreds of labels, whose "
        "scores are 10 kB a message.",
        example=5,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """The two ZeroMQ sockets: messages go out on one, questions are answered on the other."""

    endpoint: str = key(
        "tcp://127.0.0.1:5557",
        Endpoint(),
        "restart",
        "Where subscribers connect. ipc:///PATH keeps other users of this machine out.",
    )
    query: str = key(
        "tcp://127.0.0.1:5558",
        Endpoint(),
        "restart",
        "Where auricle status, auricle events and clients that join late ask.",
    )
    score_interval_ms: float = key(
        0.0,
        Number(0, 3600000, "ms"),
        "live",
        "At most one score message per source in this time; 0 every decision. Raise it when only events matter.",
    )
    scores: ScoreMessages = section(
        ScoreMessages,
    )
    update_interval_s: float = key(
        1.0,
        Number(0.1, 3600, "s"),
        "live",
        "How often an event that lasts is told again.",
    )
    allow_plaintext: bool = key(
        False,
        Flag(),
        "restart",
        "Allow an endpoint that other machines reach without keys. Anyone on that network can then hear what is heard.",
    )
    secret_key: Path | str | None = key(
        None,
        OneOf((Choice(("credential",)), KeyFile()), "the path of a pair of keys, or credential"),
        "restart",
        "The daemon's own keys, made by auricle keys new. With them both sockets are encrypted, any address may be "
        "reached, and only who is in allowed_keys can connect. credential: systemd's, auricle.key. null: no keys.",
    )
    allowed_keys: Path = key(
        Path("/etc/auricle/allowed.keys"),
        File("the path of a list of keys"),
        "live",
        "Who may connect where there is a secret_key: names and public keys, written by auricle keys allow and revoke, "
        "read at every reload.",
    )
    client_key: Path | None = key(
        None,
        KeyFile(),
        "live",
        "The keys with which auricle listen, status, events and mark connect here; --key goes before it.",
    )
    token: Path | str | None = key(
        None,
        OneOf((Choice(("credential",)), File("the path of a file with a token")), "the path of a token, or credential"),
        "live",
        "What a program must show that changes thresholds while Auricle runs, as auricle web can: a line of a file. "
        "Who connects with a key need not. credential: systemd's, auricle.token. null: nobody without a key.",
    )
    ipc_group: str | None = key(
        None,
        Name("a group's name"),
        "restart",
        "The group that may use an ipc endpoint (mode 0660). null: the daemon's own.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """From the sound card to the first stage."""

    ring_s: float = key(
        10.0,
        Number(1, 600, "s"),
        "segment",
        "Sound kept waiting for a machine that is busy; what does not fit is a gap. Raise it where gaps with "
        "cause overrun appear.",
    )
    silence_alarm_s: float = key(
        30.0,
        Number(0, 86400, "s"),
        "live",
        "Samples that are exactly zero for this long are reported as suspicious (a muted microphone); 0 never.",
    )
    stall_s: float = key(
        2.0,
        Number(0.5, 60, "s"),
        "live",
        "Without a block for this long a microphone counts as lost and is opened anew.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The history of events, which auricle events reads and late clients fill their holes from."""

    enabled: bool = key(
        True,
        Flag(),
        "restart",
        "Keep a history.",
    )
    path: Path | None = key(
        None,
        File("the path of a database"),
        "restart",
        "Where. null: events.db in the daemon's state folder.",
    )
    max_mb: float = key(
        200.0,
        Number(1, 1000000, "MB"),
        "live",
        "The oldest events go when the history is larger.",
    )
    max_days: float = key(
        90.0,
        Number(1, 36500, "days"),
        "live",
        "Events go when they are older, as soon as the time of day is certain (docs/service.md).",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Sets what the daemon says about itself, on standard error or in the journal."""

    level: str = key(
        "info",
        Choice(("debug", "info", "warning", "error")),
        "live",
        "The least that is said.",
    )
    format: str = key(
        "text",
        Choice(("text", "json")),
        "restart",
        "text for people, json for a log collector.",
    )
