"""An outbox holds what waits for a broker: the newest of what is retained, everything that must not be lost in its
order, and the newest of what changes all the time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from auricle.client import Health
from auricle.client.follow import Item
from auricle.connectors.letters import Letter
from auricle.connectors.mirror import Retained


class Waiting(NamedTuple):
    """An item of the daemon's, and the letter that it makes, if any."""

    item: Item
    letter: Letter | None


class Outbox:
    """Is filled by one task and emptied by another.

    Args:
        most: items that may wait in their order. Of more nothing is taken until all of these are gone: the daemon has
            them too, and can be asked again.
    """

    def __init__(self, most: int) -> None:
        self.behind = False
        """Whether something was not taken, so that the daemon has to be asked again once this is empty."""
        self._most = most
        self._retained: dict[str, bytes] = {}
        self._lasting: deque[Waiting] = deque()
        self._fleeting: dict[str, bytes] = {}
        self._filled = asyncio.Event()

    @property
    def drained(self) -> bool:
        """Return whether all that must not be lost is gone."""
        return not self._lasting

    @property
    def settled(self) -> bool:
        """Return whether all that is retained is gone."""
        return not self._retained

    def retain(self, changed: Iterable[Retained]) -> None:
        """Put in what is retained, over what waits of the same topic."""
        self._retained.update(changed)
        self._filled.set()

    def put(self, waiting: Waiting) -> None:
        """Put in an item in its order."""
        if self.behind or len(self._lasting) >= self._most:
            self.behind = True
            return
        if waiting.letter is None and self._lasting and _time_alone(self._lasting[-1]) and _time_alone(waiting):
            self._lasting.pop()  # the newer says it all
        self._lasting.append(waiting)
        self._filled.set()

    def tell(self, letters: Iterable[Letter]) -> None:
        """Put in what may be lost."""
        self._fleeting.update(letters)
        if self._fleeting:
            self._filled.set()

    async def wait(self) -> None:
        """Wait until there is something."""
        while not (self._retained or self._lasting or self._fleeting):
            self._filled.clear()
            await self._filled.wait()

    def take_retained(self, most: int) -> list[Retained]:
        """Take so much of what is retained, in the order in which it was put in."""
        return [(topic, self._retained.pop(topic)) for topic in list(islice(self._retained, most))]

    def first(self, most: int) -> list[Waiting]:
        """Return the first items in their order, which stay until they are `done`."""
        return list(islice(self._lasting, most))

    def done(self, n: int) -> None:
        """Forget the first so many items: they were handed on."""
        for _ in range(n):
            self._lasting.popleft()

    def take_fleeting(self) -> list[Letter]:
        """Take all that may be lost."""
        told = [Letter(topic, payload) for topic, payload in self._fleeting.items()]
        self._fleeting.clear()
        return told


def _time_alone(waiting: Waiting) -> bool:
    return isinstance(waiting.item, Health) and waiting.letter is None
