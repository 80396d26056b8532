"""A backlog holds what waits for a slow reader: in the order it came, so many at most."""

from __future__ import annotations

from collections import deque

from auricle.client.follow import Item, Missed
from auricle.messages import Fleeting
from auricle.messages.topics import topic_of

_Waiting = tuple[int, str, Item]


class Backlog:
    """Takes items and gives them in the order they came; of more than it may hold the oldest scores,
    spectra and `health` are dropped.

    In front of the next message of such a topic stands a `Missed` with their number. Other messages can be had again
    from the daemon and are not dropped: a backlog that is `full` of them is to be given nothing more until it has been
    read.

    Args:
        most: items that wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._n = 0
        self._fleeting: deque[_Waiting] = deque()
        self._lasting: deque[_Waiting] = deque()
        self._lost: dict[tuple[str, str], int] = {}
        self._next: Item | None = None

    @property
    def full(self) -> bool:
        """Return whether nothing more should come before something is taken."""
        return len(self._lasting) >= self._most

    def put(self, endpoint: str, item: Item) -> None:
        """Add the newest item, from this endpoint."""
        (self._fleeting if isinstance(item, Fleeting) else self._lasting).append((self._n, endpoint, item))
        self._n += 1
        if self._fleeting and len(self._fleeting) + len(self._lasting) > self._most:
            _, of, oldest = self._fleeting.popleft()
            key = of, _topic(oldest)
            self._lost[key] = self._lost.get(key, 0) + 1

    def take(self) -> Item | None:
        """Take the oldest item; ``None`` if there is none."""
        if self._next is not None:
            item, self._next = self._next, None
            return item
        queues = [queue for queue in (self._fleeting, self._lasting) if queue]
        if not queues:
            return self._missed(next(iter(self._lost))) if self._lost else None
        _, endpoint, item = min(queues, key=lambda queue: queue[0][0]).popleft()
        if self._lost and isinstance(item, Fleeting) and (endpoint, _topic(item)) in self._lost:
            self._next = item
            return self._missed((endpoint, _topic(item)))
        return item

    def _missed(self, key: tuple[str, str]) -> Missed:
        return Missed(*key, self._lost.pop(key))


def _topic(item: Item) -> str:
    assert isinstance(item, Fleeting)
    return topic_of(item)
