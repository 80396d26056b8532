"""The whole configuration is put together here.

Every key is declared once, in ``sections``, ``sources`` and ``Config`` below: its default, what it may
be, what it is for, when a change takes effect. From the declarations come the reading and its errors (``read``),
``config/auricle.yaml``, the table in the docs and the JSON Schema (``show``). To add a key, add a field.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from auricle.config.bridges import Metrics, Mqtt
from auricle.config.clips import Clips
from auricle.config.explain import Explain
from auricle.config.keys import key, section, values
from auricle.config.kinds import File, Model, Text
from auricle.config.notify import Bridges, Notify, NotifyRule
from auricle.config.room import Room
from auricle.config.sections import (
    DEFAULT_MODEL,
    Capture,
    Decision,
    Gate,
    LabelRule,
    Log,
    Publish,
    Store,
    UserRule,
)
from auricle.config.sources import SOURCE_KINDS, Ffmpeg, Microphone, Recording, Source, Stdin, default_sources
from auricle.config.spectra import Spectra
from auricle.config.web import Web

__all__ = [
    "SOURCE_KINDS",
    "Bridges",
    "Capture",
    "Clips",
    "Config",
    "Decision",
    "Ffmpeg",
    "Gate",
    "LabelRule",
    "Log",
    "Metrics",
    "Microphone",
    "Mqtt",
    "Notify",
    "NotifyRule",
    "Publish",
    "Recording",
    "Room",
    "Source",
    "Spectra",
    "Stdin",
    "Store",
    "UserRule",
    "Web",
]


def host_name() -> str:
    """Return this machine's name."""
    return os.uname().nodename or "auricle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Holds the whole configuration, valid; each source with its own model, gate and decision, resolved."""

    node: str = key(
        host_name,
        Text("a name", longest=64),
        "restart",
        "Names this machine in every message.",
        example="porch-pi",
        default_text="the host's name",
    )
    model: str = key(
        DEFAULT_MODEL,
        Model("a model's name or folder"),
        "segment",
        "The model: a name that auricle models lists, or a folder (with a slash in it).",
    )
    models_dir: Path | None = key(
        None,
        File("the path of a folder"),
        "segment",
        "A folder of models of your own, found by name before those in the package.",
    )
    sources: tuple[Source, ...] = section(
        Source,
        "What to listen to. Without this key: the default microphone, named mic.",
        many="list",
        fewest=1,
        noun="source",
        default_text="a microphone",
        factory=default_sources,
    )
    gate: Gate = section(
        Gate,
    )
    decision: Decision = section(
        Decision,
    )
    publish: Publish = section(
        Publish,
    )
    spectrum: Spectra = section(
        Spectra,
    )
    capture: Capture = section(
        Capture,
    )
    store: Store = section(
        Store,
    )
    clips: Clips = section(
        Clips,
    )
    explain: Explain = section(
        Explain,
    )
    room: Room = section(
        Room,
    )
    web: Web = section(
        Web,
    )
    bridges: Bridges = section(
        Bridges,
    )
    log: Log = section(
        Log,
    )
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Key path -> where its value was written: 'default', FILE:LINE, an environment variable, 'command line'."""

    def hash(self) -> str:
        """Return twelve hex digits that change when a value does; what may be a secret is left out, since they are
        published."""
        text = json.dumps(values(self, masked=True), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]
