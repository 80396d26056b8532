"""Messages are numbered per topic here and sent to every outlet."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from auricle import messages
from auricle.messages.ids import uuid7
from auricle.messages.topics import topic

log = logging.getLogger("auricle")

Outlet = Callable[[str, bytes], None]
"""An outlet takes a topic and a message's JSON. One that has no memory for it takes nothing, so that it may be given
the same again."""


class Publisher:
    """Numbers messages per exact topic and hands them to outlets.

    Args:
        node: the name of this machine in every message.
        outlets: take the messages in this order: the history before the socket, so that nothing is published that
            is not kept.
    """

    def __init__(self, node: str, outlets: Sequence[Outlet]) -> None:
        self.node = node
        self.instance = uuid7().hex
        self.last_seq: dict[str, int] = {}
        self._outlets = tuple(outlets)

    def send(self, topic: str, message: messages.AnyMessage) -> None:
        """Give the message its `seq` and hand it to every outlet; never blocks on a subscriber.

        Raises:
            msgspec.ValidationError: the message breaks its own contract; nobody gets it, and no number is missing.
        """
        message.seq = seq = self.last_seq.get(topic, 0) + 1
        payload = messages.encode(message)
        self.last_seq[topic] = seq
        for outlet in self._outlets:
            try:
                outlet(topic, payload)
            except MemoryError:
                log.warning("no memory is left for a message on %s; tried again without what is garbage", topic)
                gc.collect()
                outlet(topic, payload)

    def tell(self, state: messages.DaemonNews, detail: str) -> None:
        """Publish news of the daemon itself, on ``status.``."""
        self.send(
            topic("status"),
            messages.Status(
                node=self.node,
                instance=self.instance,
                seq=0,
                source=None,
                model=None,
                t=messages.rfc3339(time.time_ns() // 1000),
                sample=None,
                state=state,
                detail=detail,
            ),
        )


class Lines:
    """Writes messages as JSON lines, each with its `topic`, as an outlet."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream

    def __call__(self, topic: str, payload: bytes) -> None:
        """Write one line."""
        self._stream.write(f'{{"topic":"{topic}",{payload[1:].decode()}\n')

    def flush(self) -> None:
        """Let a reader of a pipe see what was written."""
        self._stream.flush()
