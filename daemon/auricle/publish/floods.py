"""Connections that send without a pause are found here, beside the engine, and cut off.

A subscriber says what it wants when it comes, and then next to nothing. ZeroMQ takes up what subscribers say inside the
call of whoever uses the socket next, and returns when nothing is left. A connection can send more than it can take up:
then the caller, the engine, would be held for as long as that lasts, and memory would grow. Nobody but a second thread
can end that. It sleeps until something comes in, and the engine's calls into ZeroMQ leave it the interpreter.
"""

from __future__ import annotations

import os
import select
import socket as sockets
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from auricle.publish.connections import Address, connection, cut_off, waiting

LOOK_S = 0.002
"""The time from news of a connection to the look at it: what is said with a pause after it is taken up by then."""
UNREAD, UNREAD_PER_S = 24 * 1024.0, 12 * 1024.0
"""So many bytes may be found waiting of one connection, all looks together, and so many more in a second. All that it
may subscribe to is 8,192, with a few bytes to each, and may be seen twice while the engine is busy."""
LEAST = 1024
"""What waits counts as so many bytes at least: by small steps too one can send without a pause."""
CROWD, CROWD_S = 16, 0.02
"""With more connections than so many, all are looked at so often."""
TOGETHER = 64 * 1024
"""So many bytes of all connections together may wait; of more, those with the most are cut off."""
FAREWELL_S, FAREWELL_LOOK_S = 2.0, 0.02
"""After the socket was closed, connections are looked at so often, and for so long at most."""
WHY = "sending without a pause"


@dataclass(slots=True)
class _Watched:
    inode: int
    """The number of the connection among all sockets of the machine; a descriptor's may be another's meanwhile."""
    unread: float = 0.0
    """The bytes that were found waiting, less what was forgiven since."""
    last_s: float = 0.0


class Floods:
    """Watches the connections of one bound socket, in a thread that runs until the socket has none any more.

    Args:
        address: where the socket is bound.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._watched: dict[int, _Watched] = {}
        self._cut: deque[int] = deque()
        self._epoll = select.epoll()
        self._wake = os.eventfd(0)
        self._epoll.register(self._wake, select.EPOLLIN | select.EPOLLET)
        self._end_s: float | None = None
        self._ending = threading.Lock()
        threading.Thread(target=self._run, name="floods", daemon=True).start()

    def watch(self, number: int) -> None:
        """Watch the connection with this descriptor from now on, until it ends."""
        if (each := connection(number, self._address)) is None:
            return  # it has gone already
        with each:
            self._watched[number] = _Watched(os.fstat(each.fileno()).st_ino)
        # On the edge: news of what comes in, not of what waits.
        with suppress(OSError):  # gone meanwhile
            try:
                self._epoll.register(number, select.EPOLLIN | select.EPOLLET)
            except FileExistsError:
                self._epoll.modify(number, select.EPOLLIN | select.EPOLLET)

    def forget(self, number: int) -> None:
        """Watch this descriptor no more: its connection has gone."""
        self._watched.pop(number, None)

    def cut(self) -> int:
        """Return how many were cut off since this was asked last."""
        n = 0
        with suppress(IndexError):
            while True:
                self._cut.popleft()
                n += 1
        return n

    def look(self) -> None:
        """Look at all connections now: of some that are held (`Turns`) nothing else tells."""
        os.eventfd_write(self._wake, 1)

    def finish(self, linger_s: float) -> None:
        """Watch until every connection of the socket, which was closed, has ended; after so long they are ended.

        ZeroMQ ends no connection over which more comes in all the time.
        """
        # The thread may be awake already, see that it is over, and close what is written to here: not before it was.
        with self._ending:
            self._end_s = time.monotonic() + linger_s
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while self._end_s is None:
            crowded = len(self._watched) > CROWD
            found = self._epoll.poll(CROWD_S if crowded else None)
            if crowded or any(number == self._wake for number, _ in found):
                self._look_at_all(time.monotonic())
            time.sleep(LOOK_S)
            for number, _ in found:
                self._look(number, time.monotonic())
        while self._watched and (now_s := time.monotonic()) < self._end_s + FAREWELL_S:
            for number in list(self._watched):
                if (each := self._find(number)) is None:
                    self.forget(number)
                    continue
                with each:
                    if now_s > self._end_s:
                        cut_off(each)
                self._look(number, now_s)
            time.sleep(FAREWELL_LOOK_S)
        with self._ending:
            self._epoll.close()
            os.close(self._wake)

    def _look_at_all(self, now_s: float) -> None:
        unread = sorted(((waiting(number), number) for number in list(self._watched)), reverse=True)
        together = sum(n for n, _ in unread)
        for n, number in unread:
            if n <= UNREAD and together <= TOGETHER:
                return
            self._look(number, now_s, too_many=together > TOGETHER)
            together -= n

    def _look(self, number: int, now_s: float, *, too_many: bool = False) -> None:
        if not waiting(number) or (each := self._find(number)) is None:
            return
        with each:
            unread = waiting(each.fileno())
            if not unread or (watched := self._watched.get(number)) is None:
                return  # it was read, or has gone, just now
            watched.unread = max(0.0, watched.unread - UNREAD_PER_S * (now_s - watched.last_s))
            watched.unread += max(unread, LEAST)
            watched.last_s = now_s
            if too_many or watched.unread > UNREAD:
                cut_off(each)
                self._cut.append(number)

    def _find(self, number: int) -> sockets.socket | None:
        """Find the connection that is watched under this number, if it is still there; to be closed by the caller."""
        watched = self._watched.get(number)
        if watched is None or (each := connection(number, self._address)) is None:
            return None
        if os.fstat(each.fileno()).st_ino == watched.inode:
            return each
        each.close()
        return None
