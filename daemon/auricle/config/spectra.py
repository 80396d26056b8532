"""The section of the spectrum that is published for those who look."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.config.keys import key
from auricle.config.kinds import Flag, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectra:
    """Sets who may see what the model hears, as a coarse picture on the topic `spectrum.` (docs/privacy.md)."""

    enabled: bool = key(
        False,
        Flag(),
        "live",
        "Publish it to those who subscribe to spectrum. or to a source's. Nothing is computed while nobody does.",
    )
    columns_per_s: float = key(
        12.5,
        Number(1, 50, "columns a second"),
        "live",
        "At most so many columns a second. Lower shows less of speech; above the usual, words may be made out of it.",
    )
