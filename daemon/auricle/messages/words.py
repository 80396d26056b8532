"""Messages choose from these words: states of a source and of the daemon, causes of gaps and of offsets.

Sets of words that others ask about stand here too, so that whoever adds a word sees where it belongs.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

SourceState: TypeAlias = Literal[
    "starting", "running", "lost", "found", "silent", "paused", "overloaded", "relieved", "stopped"
]
"""How a source stands."""
SourceNews: TypeAlias = Literal[SourceState, "clock", "questioned"]
"""What a `status` says of a source: its new state, or news that leave its state as it is."""
DaemonNews: TypeAlias = Literal["store", "clips", "reloaded", "reload_refused", "slow", "crowded", "trouble", "clock"]
"""What a `status` without a source says."""
Phase: TypeAlias = Literal["onset", "update", "offset"]
"""Which part of an event a message is about."""
GapCause: TypeAlias = Literal["overrun", "overflow", "lost", "load", "pause"]
"""Why sound was not heard."""
OffsetCause: TypeAlias = Literal["score", "end", "gap", "stop", "reload", "restart"]
"""Why an event ended."""
ClipForm: TypeAlias = Literal["flac", "opus"]
"""How the sound of a clip is written."""
MarkKind: TypeAlias = Literal["note", "false", "missed", "right"]
"""What somebody says by a mark."""
ClipLoss: TypeAlias = Literal["privacy", "disk", "slow", "memory", "gone", "rate"]
"""Why there is no clip of an event that should have one."""

NOT_HEARD: frozenset[SourceState] = frozenset({"starting", "lost", "silent", "paused", "overloaded", "stopped"})
"""A source in one of these states is not heard as it should be."""
AWAY: frozenset[SourceState] = frozenset({"lost", "paused"})
"""In these states nobody waits for sound: its absence is declared."""
UNDER_WAY: frozenset[SourceState] = frozenset({"running", "found"})
"""In these states it is no news that a segment begins."""
