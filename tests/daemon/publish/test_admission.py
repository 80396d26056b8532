"""Who comes in is asked for, and not too many come in at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import zmq

from auricle.publish import admission, subscriptions
from auricle.publish.admission import Pace
from auricle.publish.subscriptions import Subscriptions
from helpers.wire import Daemon, daemon

LIMIT_S = 30.0


def until(one: Daemon, ready: Callable[[], bool]) -> None:
    """Serve until it is so."""
    deadline_s = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < deadline_s
        one.serve()


def test_so_many_at_once_and_so_many_in_a_second() -> None:
    """Of 1,000 who come at once so many come in, and with time so many more; after a flood nobody for a while."""
    pace = Pace()
    first = sum(pace.admits(100.0) for _ in range(1000))
    assert first == admission.NEWCOMERS
    later = sum(pace.admits(100.0 + n / 1000) for n in range(2000))
    assert abs(later - 2 * admission.NEWCOMERS_PER_S) <= 1
    pace.close(200.0)
    assert not pace.admits(200.0 + admission.CLOSED_S - 0.01)
    assert pace.admits(200.0 + admission.CLOSED_S + 0.01)


def test_who_comes_in_a_crowd_comes_in_all_the_same(tmp_path: Path) -> None:
    """Of 40 who come at once, far more than may come in at once, each comes in, in time."""
    with daemon(tmp_path, store=False) as one, zmq.Context() as context:
        callers = []
        for n in range(40):
            callers.append(context.socket(zmq.SUB))
            callers[-1].subscribe(f"welcome.{n}")
            callers[-1].connect(one.endpoint)
        waiting = dict(enumerate(callers))

        def welcomed() -> bool:
            for n, caller in list(waiting.items()):
                if caller.poll(0):
                    assert caller.recv_multipart()[0] == f"welcome.{n}".encode()
                    del waiting[n]
            return not waiting

        until(one, welcomed)
        for caller in callers:
            caller.close(0)


def test_all_prefixes_together_are_bounded() -> None:
    """Once all connections' different prefixes have too many bytes, the one that holds most is named, and what it held
    is free again; those who hold the same hold it once."""
    held = Subscriptions()
    own = {number: [f"{number}.{n}".encode().ljust(500, b"x") for n in range(16)] for number in range(9)}
    for number in range(1000):
        assert held.note(1000 + number, b"\x01event.", 0.0) is None
    assert held.note(8, b"\x01" + own[8][0], 0.0) is None
    named = [
        over for number in range(8) for prefix in own[number] if (over := held.note(number, b"\x01" + prefix, 1.0))
    ]
    assert not named  # 8 * 8,000 bytes and a little
    for n in range(1, 4):
        over = held.note(8, b"\x01" + own[8][n], 2.0)
    assert over is not None
    assert over[0] in range(8)
    assert f"{subscriptions.TOGETHER_BYTES} bytes of prefixes of all" in over[1]
    for number in (*range(9), *range(1000, 2000)):
        held.forget(number)
    assert held._size == 0
    assert not held._times
