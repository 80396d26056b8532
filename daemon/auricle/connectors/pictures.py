"""Pictures of what was heard are drawn here, by a thread of its own: a disk that hangs holds up no message."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from auricle.client import Clip
from auricle.connectors.notices import Notice
from auricle.errors import AuricleError

log = logging.getLogger("auricle")

WAITING = 20
"""So many clips wait to be drawn; of more the newest have no picture, which is told."""

Draw: TypeAlias = Callable[[Clip], bytes]
"""Returns the picture of a clip's sound as PNG; raises `AuricleError` where there is no such clip."""


class Pictures:
    """Draws the clips of notices, one after the other.

    Args:
        draw: draws a clip; may take long.
        give: is called from the thread, with a notice and its picture.
    """

    def __init__(self, draw: Draw, give: Callable[[Notice, bytes], None]) -> None:
        self._draw, self._give = draw, give
        self._waiting: queue.Queue[tuple[Notice, Clip]] = queue.Queue(WAITING)
        threading.Thread(target=self._run, name="pictures", daemon=True).start()

    def put(self, notice: Notice, clip: Clip) -> None:
        """Have a clip drawn; does not block."""
        try:
            self._waiting.put_nowait((notice, clip))
        except queue.Full:
            log.warning("%s: no picture: %d wait already; the folder of clips answers slowly", notice.rule, WAITING)

    def _run(self) -> None:
        while True:
            notice, clip = self._waiting.get()
            try:
                picture = self._draw(clip)
            except AuricleError as e:
                remedy = "docs/notifications.md says how the bridge may read clips"
                log.warning("%s: no picture: %s: %s; %s", notice.rule, clip.path, e, remedy)
            except Exception as e:  # whatever is in a file, or no memory for it: the next one is drawn all the same
                log.warning("%s: no picture: %s: %s", notice.rule, clip.path, type(e).__name__)
            else:
                self._give(notice, picture)
