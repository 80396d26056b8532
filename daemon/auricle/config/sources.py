"""These are the sources of the configuration: what can be listened to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from auricle.config.compounds import Many, OneOf
from auricle.config.keys import REQUIRED, key, section
from auricle.config.kinds import Choice, Device, Flag, MediaAddress, Model, Moment, Name, Number, Option, Pattern
from auricle.config.schedule import Hours
from auricle.config.sections import DEFAULT_MODEL, Decision, Gate

SOURCE_KINDS = ("microphone", "recording", "ffmpeg", "stdin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Microphone:
    """A sound card's input."""

    device: int | str = key(
        "default",
        OneOf(
            (Number(0, 999, whole=True), Device()),
            "a device's name, part of it, or its number",
        ),
        "segment",
        "Which one, as auricle devices lists them. Prefer a name: numbers change when something is plugged in. A "
        "name that is a number goes in quotes.",
    )
    channel: int | str = key(
        "mix",
        OneOf((Number(1, 64, whole=True), Choice(("mix",))), "mix or 1 to 64"),
        "segment",
        "The channel to listen to, 1 is the first; mix: the mean of all. Choose one when another hums.",
    )
    sample_rate: int | None = key(
        None,
        Number(4000, 384000, "Hz", whole=True),
        "segment",
        "The rate to open the device at. null: the model's where the device has it, else the device's own, resampled.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Recordings, played as if they were heard now."""

    path: tuple[str, ...] = key(
        REQUIRED,
        Many(Pattern("a file, a folder, a pattern such as night/*.wav"), 1),
        "segment",
        "What to play, one after the other.",
        example="night/*.wav",
    )
    speed: float | str = key(
        1.0,
        OneOf((Number(0.01, 1000), Choice(("max",))), "0.01 to 1000, or max"),
        "segment",
        "1 is real time, 10 ten times as fast; max: as fast as the machine can.",
    )
    loop: bool = key(
        False,
        Flag(),
        "segment",
        "Begin again at the end, for ever.",
    )
    start_time: datetime | None = key(
        None,
        Moment(),
        "segment",
        "When the recording began. null: from the file's name or header, where they tell.",
    )
    channel: int | str = key(
        "mix",
        OneOf((Number(1, 64, whole=True), Choice(("mix",))), "mix or 1 to 64"),
        "segment",
        "The channel to listen to, 1 is the first; mix: the mean of all.",
    )
    zone: str = key(
        "utc",
        Choice(("utc", "local")),
        "segment",
        "What a time without a zone means, in a file's name or header: utc, or local as this machine's clock shows it.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ffmpeg:
    """Anything that ffmpeg reads: an RTSP camera, an Icecast stream."""

    url: str = key(
        REQUIRED,
        MediaAddress("an address that ffmpeg reads, such as rtsp://camera.lan/stream"),
        "segment",
        "What ffmpeg opens. A password in it is never shown.",
        example="rtsp://camera.lan/stream",
        secret=True,
    )
    options: tuple[str, ...] = key(
        (),
        Many(Option()),
        "segment",
        "Options for ffmpeg, put before its -i, such as [-rtsp_transport, tcp].",
        secret=True,
    )
    stall_s: float = key(
        5.0,
        Number(0.5, 600, "s"),
        "segment",
        "Without a byte for this long the stream counts as lost and is opened anew. Raise it for a stream that "
        "comes in bursts.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdin:
    """Raw samples on standard input, as from arecord."""

    rate: int = key(
        REQUIRED,
        Number(4000, 384000, "Hz", whole=True),
        "segment",
        "The samples' rate.",
        example=16000,
    )
    format: str = key(
        "s16le",
        Choice(("u8", "s16le", "s24le", "s32le", "f32le")),
        "segment",
        "How a sample is written, named as ffmpeg does.",
    )
    channels: int = key(
        1,
        Number(1, 64, whole=True),
        "segment",
        "Interleaved channels; they are mixed down.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something to listen to: a name, exactly one of microphone, recording, ffmpeg and stdin, and what differs here."""

    name: str = key(
        REQUIRED,
        Name(),
        "segment",
        "Names the source in every message and topic.",
        example="mic",
    )
    microphone: Microphone | None = section(
        Microphone,
        optional=True,
    )
    recording: Recording | None = section(
        Recording,
        optional=True,
    )
    ffmpeg: Ffmpeg | None = section(
        Ffmpeg,
        optional=True,
    )
    stdin: Stdin | None = section(
        Stdin,
        optional=True,
    )
    model: str = key(
        DEFAULT_MODEL,
        Model("a model's name or folder"),
        "segment",
        "Another model for this source.",
        inherits="model",
    )
    privacy: tuple[str, ...] = key(
        (),
        Many(Name("a label, letters, digits, '_' and '-'")),
        "live",
        "Labels of sound that no clip of this source may hold, such as speech: where one scores "
        "clips.privacy_threshold there is no clip.",
        example="speech",
    )
    schedule: tuple[str, ...] = key(
        (),
        Many(Hours()),
        "live",
        "Hear it only then, by this machine's clock; else it is paused (docs/service.md). Of microphones and ffmpeg.",
        example=["mon-fri 07:00-19:00", "sat 09:00-12:00"],
    )
    gate: Gate = section(
        Gate,
        "Another gate for this source: only what differs.",
        example="sensitivity: 1.0",
        inherits="gate",
    )
    decision: Decision = section(
        Decision,
        "Other rules for this source: only what differs.",
        example="threshold: 0.6",
        inherits="decision",
    )

    @property
    def kind(self) -> str:
        """Return which of SOURCE_KINDS this source is."""
        return next(kind for kind in SOURCE_KINDS if getattr(self, kind) is not None)


def default_sources() -> tuple[Source, ...]:
    """Return what is listened to when nothing is configured."""
    return (Source(name="mic", microphone=Microphone()),)
