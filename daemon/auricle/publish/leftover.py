"""A crash may leave events going on: here is decided which of them can be closed, and the message is made that closes
one."""

from __future__ import annotations

import msgspec

from auricle import messages
from auricle.messages import Event
from auricle.messages.topics import topic


def closable(id: object, told_on: object, event: Event) -> bool:
    """Return whether an event that was kept under this id and topic is what it was, and its end can be sent and
    read."""
    if event.source is None or (id, told_on) != (event.id, topic("event", event.source, event.label)):
        return False
    try:
        messages.decode(messages.encode(closed(event, event.instance)))
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError):
        return False
    return True


def closed(event: Event, instance: str) -> Event:
    """Return the offset of an event that a crash left going on: at the last sample that is known of it."""
    onset_us = messages.microseconds(event.onset)
    # An event is never shorter than was published before.
    duration_s = max(event.duration_s, (messages.microseconds(event.t) - onset_us) / 1e6)
    ending = msgspec.structs.replace(
        event,
        instance=instance,
        phase="offset",
        offset=messages.rfc3339(onset_us + round(duration_s * 1e6)),
        offset_sample=None if event.sample is None else max(event.sample, event.onset_sample + 1),
        duration_s=duration_s,
        cause="restart",
        estimated=True,
        latency_ms=None,
    )
    if isinstance(event.onset_s, float):
        ending.offset_s = round(event.onset_s + duration_s, 6)
    return ending
