"""All that there is to read, by name."""

from __future__ import annotations

from helpers.fuzz import messages, models, sound, texts

KINDS = {
    "recording": sound.RECORDING,
    "pipe": sound.PIPE,
    "card": models.CARD,
    "bundle": models.BUNDLE,
    "graph": models.GRAPH,
    "state": models.STATE,
    "truth": texts.TRUTH,
    "configuration": texts.CONFIGURATION,
    "environment": texts.ENVIRONMENT,
    "question": messages.QUESTION,
    "history": messages.HISTORY,
}

ORDER = (
    "recording", "card", "configuration", "truth", "state", "recording", "question",
    "configuration", "bundle", "recording", "graph", "recording", "card", "truth",
    "history", "recording", "environment", "configuration", "state", "recording", "pipe",
)  # fmt: skip
"""The kinds of the cases in turn: more of what comes from further away."""
