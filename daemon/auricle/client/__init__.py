"""A subscriber that misses nothing it can have, for programs: an iterator of typed messages, sync or asyncio.

    from auricle.client import Client, Event

    with Client("tcp://127.0.0.1:5557", topics=["event."]) as client:
        for item in client:
            if isinstance(item, Event):
                print(item.phase, item.label)

Needs ``pyzmq`` and ``msgspec`` alone of what Auricle depends on.
"""

from __future__ import annotations

from auricle.client.client import Client, ask
from auricle.client.follow import Bookmark, Item, Missed
from auricle.messages import AnyMessage, Clip, Event, Gap, Health, Mark, Scores, Spectrum, Status
from auricle.messages.questions import (
    AskEvents,
    AskExplain,
    AskMark,
    AskPause,
    AskResume,
    AskSnapshot,
    AskStatus,
    AskThreshold,
    AskUndo,
    Explained,
    History,
    Marked,
    Overridden,
    Paused,
    Report,
    Snapshot,
)

__all__ = [
    "AnyMessage",
    "AskEvents",
    "AskExplain",
    "AskMark",
    "AskPause",
    "AskResume",
    "AskSnapshot",
    "AskStatus",
    "AskThreshold",
    "AskUndo",
    "Bookmark",
    "Client",
    "Clip",
    "Event",
    "Explained",
    "Gap",
    "Health",
    "History",
    "Item",
    "Mark",
    "Marked",
    "Missed",
    "Overridden",
    "Paused",
    "Report",
    "Scores",
    "Snapshot",
    "Spectrum",
    "Status",
    "ask",
]
