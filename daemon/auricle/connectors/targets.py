"""Targets are told here, each by a thread of its own: one that does not answer is tried again and holds up no other."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import apprise
from apprise.attachment.memory import AttachMemory

from auricle.errors import ConfigError

log = logging.getLogger("auricle")

WAITING = 100
"""So many lines wait for a target; of more the oldest go, and the next message says how many."""
GATHER_S = 2.0
"""What comes within this is one message: a burst is one."""
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0

MOST_PICTURES = 10
"""So many go with a message; of more the newest."""

Send: TypeAlias = Callable[[str, str, Sequence[bytes]], bool]
"""Takes title, text and pictures as PNG, and returns whether they were delivered."""


class Line(NamedTuple):
    """Something to be told, its title, and the picture that belongs to it, as PNG."""

    title: str
    text: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Service:
    """Reaches a target by what apprise knows of it."""

    target: apprise.Apprise

    @property
    def takes_pictures(self) -> bool:
        """Return whether pictures can be sent there."""
        return any(plugin.attachment_support for plugin in self.target)

    def __call__(self, title: str, text: str, pictures: Sequence[bytes] = ()) -> bool:
        """Send a message; return whether it was delivered."""
        attached = apprise.AppriseAttachment()
        for n, picture in enumerate(pictures, 1):
            memory = AttachMemory(content=picture, name=f"sound-{n}.png", mimetype="image/png")  # type: ignore[no-untyped-call]
            attached.add(memory)
        return bool(self.target.notify(body=text, title=title, attach=attached if pictures else None))


def read(text: str, where: str) -> dict[str, Service]:
    """Read a list of targets: in each line a name, a blank and an address of apprise.

    Args:
        text: of the file.
        where: key and file, for the errors; an address may hold a password and is in none.

    Raises:
        ConfigError: a line does not hold.
    """
    return {name: Service(target) for name, target in _targets(text, where).items()}


def places(text: str, where: str) -> dict[str, tuple[str, int] | None]:
    """Read a list of targets as `read` does; return the host and port that each connects to, ``None`` where only its
    service knows."""
    return {name: _place(target[0]) for name, target in _targets(text, where).items()}


def _place(target: Any) -> tuple[str, int] | None:
    """Return where a plugin of apprise connects to: its mail server, the host in its address, or its service."""
    if host := getattr(target, "smtp_host", None):
        return str(host), int(target.port or 25)
    if target.host and any("{host}" in template for template in target.templates):
        return str(target.host), int(target.port or (443 if target.secure else 80))
    service = urlsplit(getattr(target, "notify_url", None) or "")
    if not service.hostname or "{" in service.netloc:
        return None
    return service.hostname, service.port or (443 if service.scheme == "https" else 80)


def _targets(text: str, where: str) -> dict[str, apprise.Apprise]:
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would show addresses
    found: dict[str, apprise.Apprise] = {}
    problems = []
    for n, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, address = line.strip().partition(" ")
        target = apprise.Apprise()
        if not address.strip():
            problems.append(f"{where}, line {n}: has one word; write a name, a blank and an address of apprise")
        elif name in found:
            problems.append(f"{where}, line {n}: names {name!r} again; choose another name")
        elif not target.add(address.strip()):
            what = "has an address that apprise does not know; see its list of services"
            problems.append(f"{where}, line {n}: {name!r} {what}")
        else:
            found[name] = target
    if not found and not problems:
        problems.append(f"{where}: names no target; write a name, a blank and an address of apprise in each line")
    if problems:
        raise ConfigError(problems)
    return found


class Target:
    """Tells one target what it is given, in order, as long as it takes.

    Args:
        name: of the target, for the log.
        send: delivers a message; may take long, and fail.
        pictures: whether it takes them.
        gather_s, first_wait_s, longest_wait_s: how long what comes is gathered, and failures are waited after.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        *,
        pictures: bool = False,
        gather_s: float = GATHER_S,
        first_wait_s: float = FIRST_WAIT_S,
        longest_wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        self._name = name
        self._send = send
        self.pictures = pictures
        """Whether it takes pictures."""
        self._gather_s = gather_s
        self._waits = first_wait_s, longest_wait_s
        self._waiting: deque[Line] = deque()
        self._dropped = 0
        self._changed = threading.Condition()
        self._ended = False
        self.delivered = 0
        """How many messages have been taken."""
        threading.Thread(target=self._run, name=f"target {name}", daemon=True).start()

    def put(self, line: Line) -> None:
        """Have something told; does not block."""
        with self._changed:
            self._waiting.append(line)
            if len(self._waiting) > WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._changed.notify()

    def close(self, patience_s: float) -> bool:
        """Give what waits so long to be told; return whether it was."""
        end_s = time.monotonic() + patience_s
        with self._changed:
            self._ended = True
            self._changed.notify()
            while self._waiting and (left_s := end_s - time.monotonic()) > 0:
                self._changed.wait(left_s)
            return not self._waiting

    def _run(self) -> None:
        first_s, longest_s = self._waits
        wait_s = first_s
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._changed.wait_for(lambda: self._ended, self._gather_s)
                lines, dropped = list(self._waiting), self._dropped
            if self._deliver(lines, dropped):
                wait_s = first_s
                with self._changed:
                    # Of a full queue the oldest may have gone meanwhile.
                    gone = self._dropped - dropped
                    for _ in range(len(lines) - gone):
                        self._waiting.popleft()
                    self._dropped = max(0, gone - len(lines))
                    self.delivered += 1
                    self._changed.notify_all()
                continue
            log.warning("%s: was not told, and is tried again in %g s", self._name, wait_s)
            with self._changed:
                self._changed.wait_for(lambda: self._ended, wait_s)
                if self._ended:
                    return
            wait_s = min(2 * wait_s, longest_s)

    def _deliver(self, lines: list[Line], dropped: int) -> bool:
        titles = dict.fromkeys(line.title for line in lines)
        text = "\n".join(line.text for line in lines)
        pictures = [line.picture for line in lines if line.picture is not None]
        if dropped:
            text = f"{dropped} earlier lines are not told\n{text}"
        try:
            return self._send(", ".join(titles), text, pictures[-MOST_PICTURES:])
        except Exception as e:  # whatever a service's plugin does: others are told all the same
            log.warning("%s: %s", self._name, type(e).__name__)
            return False


def test(targets: Mapping[str, Service], title: str) -> dict[str, bool]:
    """Send each target a message at once; return whether it was delivered, by name."""
    return {name: send(title, "This is a test: what is heard will be told here.") for name, send in targets.items()}
