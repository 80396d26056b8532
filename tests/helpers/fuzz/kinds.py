"""Every kind of input that Auricle reads is listed here by name."""

from __future__ import annotations

from helpers.fuzz import bridges, messages, models, sound, texts

KINDS = {
    "recording": sound.RECORDING,
    "pipe": sound.PIPE,
    "card": models.CARD,
    "bundle": models.BUNDLE,
    "heads": models.HEADS,
    "bank": models.BANK,
    "graph": models.GRAPH,
    "state": models.STATE,
    "room": models.ROOM,
    "truth": texts.TRUTH,
    "configuration": texts.CONFIGURATION,
    "environment": texts.ENVIRONMENT,
    "question": messages.QUESTION,
    "history": messages.HISTORY,
    "clip": sound.CLIP,
    "bridge": bridges.BRIDGE,
}

ORDER = (
    "recording", "card", "configuration", "truth", "state", "recording", "question",
    "configuration", "bundle", "recording", "graph", "recording", "card", "truth",
    "history", "recording", "environment", "configuration", "state", "recording", "pipe", "heads", "clip", "bank",
    "bridge", "room",
)  # fmt: skip
"""The cases are of these kinds in turn: the further away input comes from, the more of it."""
