"""The section of clips, the sound that is kept around events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auricle.config.compounds import Many
from auricle.config.keys import key
from auricle.config.kinds import Choice, File, Flag, Name, Number

_LABEL = Name("a label, letters, digits, '_' and '-'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """The sound around events, kept in files (docs/clips.md)."""

    enabled: bool = key(
        False,
        Flag(),
        "live",
        "Keep the sound around events. Without it no sound ever leaves memory (docs/privacy.md).",
    )
    before_s: float = key(
        3.0,
        Number(0, 60, "s"),
        "live",
        "Sound before the onset. It is held in memory all the time: 0.2 MB a second at 48 kHz.",
    )
    after_s: float = key(
        2.0,
        Number(0, 60, "s"),
        "live",
        "Sound after the offset.",
    )
    max_s: float = key(
        60.0,
        Number(1, 600, "s"),
        "live",
        "The longest clip; of a longer event its beginning is kept. It is held in memory while the event lasts.",
    )
    missed_s: float = key(
        10.0,
        Number(0, 60, "s"),
        "live",
        "Sound before a moment that somebody marks as missed, which is mostly late; held as that before onsets is.",
    )
    labels: tuple[str, ...] | None = key(
        None,
        Many(_LABEL),
        "live",
        "Labels and groups whose events have clips. null: all.",
        example=["dog_bark", "siren"],
    )
    format: str = key(
        "flac",
        Choice(("flac", "opus")),
        "live",
        "flac: each sample as it was heard. opus: a tenth of the size, lossy, at 48 kHz.",
    )
    beside: tuple[str, ...] = key(
        (),
        Many(Choice(("json", "png"))),
        "live",
        "What to lay beside each clip: json, what was said of it; png, a picture of its spectrum.",
        example=["json", "png"],
    )
    max_mb: float = key(
        1000.0,
        Number(1, 10_000_000, "MB"),
        "live",
        "The oldest clips go when the folder is larger.",
    )
    max_days: float = key(
        30.0,
        Number(0.01, 36500, "days"),
        "live",
        "Clips go when they are older, as soon as the time of day is certain (docs/service.md).",
    )
    folder: Path | None = key(
        None,
        File("the path of a folder"),
        "live",
        "Where. null: clips in the daemon's state folder. The unit may write nowhere else unless told so.",
    )
    privacy_threshold: float = key(
        0.3,
        Number(0, 1, above=True),
        "live",
        "The score from which a label of a source's privacy counts as heard. Lower it to be surer.",
    )
