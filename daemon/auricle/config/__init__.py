"""The configuration lies here: its sections as they are declared, `load`, which reads them, and what a declaration is
made of.

Another file of keys is declared with the same pieces: `key`, `value`, `section` and the kinds; `Walk` reads it.
"""

from __future__ import annotations

from auricle.config.bridges import Metrics, Mqtt, broker_of, served_at
from auricle.config.clips import Clips
from auricle.config.compounds import Many, OneOf, Pair, Table, each
from auricle.config.explain import Explain
from auricle.config.keys import REQUIRED, key, keys_of, section, value, values
from auricle.config.kinds import Choice, Flag, Kind, Misfit, Name, Number, Text, plain
from auricle.config.layers import Expected, document
from auricle.config.notify import Bridges, Notify, NotifyRule
from auricle.config.read import load, no_label
from auricle.config.room import Room
from auricle.config.schedule import within
from auricle.config.schema import Config
from auricle.config.sections import Capture, Decision, Gate, LabelRule, Log, Publish, Store, UserRule
from auricle.config.sources import SOURCE_KINDS, Ffmpeg, Microphone, Recording, Source, Stdin
from auricle.config.spectra import Spectra
from auricle.config.tree import Branch, Leaf, Node, Problems, Row, Where, from_object
from auricle.config.walk import Walk
from auricle.config.wording import listed, nearest, printable, shown

__all__ = [
    "REQUIRED",
    "SOURCE_KINDS",
    "Branch",
    "Bridges",
    "Capture",
    "Choice",
    "Clips",
    "Config",
    "Decision",
    "Expected",
    "Explain",
    "Ffmpeg",
    "Flag",
    "Gate",
    "Kind",
    "LabelRule",
    "Leaf",
    "Log",
    "Many",
    "Metrics",
    "Microphone",
    "Misfit",
    "Mqtt",
    "Name",
    "Node",
    "Notify",
    "NotifyRule",
    "Number",
    "OneOf",
    "Pair",
    "Problems",
    "Publish",
    "Recording",
    "Room",
    "Row",
    "Source",
    "Spectra",
    "Stdin",
    "Store",
    "Table",
    "Text",
    "UserRule",
    "Walk",
    "Where",
    "broker_of",
    "document",
    "each",
    "from_object",
    "key",
    "keys_of",
    "listed",
    "load",
    "nearest",
    "no_label",
    "plain",
    "printable",
    "section",
    "served_at",
    "shown",
    "value",
    "values",
    "within",
]
