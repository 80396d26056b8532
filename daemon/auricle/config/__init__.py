"""The configuration: its sections as they are declared, and `load`, which reads them."""

from __future__ import annotations

from auricle.config.read import load
from auricle.config.schema import Config
from auricle.config.sections import Capture, Clips, Decision, Gate, LabelRule, Log, Publish, Rule, Store
from auricle.config.sources import SOURCE_KINDS, Ffmpeg, Microphone, Recording, Source, Stdin

__all__ = [
    "SOURCE_KINDS",
    "Capture",
    "Clips",
    "Config",
    "Decision",
    "Ffmpeg",
    "Gate",
    "LabelRule",
    "Log",
    "Microphone",
    "Publish",
    "Recording",
    "Rule",
    "Source",
    "Stdin",
    "Store",
    "load",
]
