"""A listener hears one recording after another as `replay` does, each from the same beginning."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator

from auricle import config, messages
from auricle.capture.recording import Recordings
from auricle.capture.source import Piece, Skipped, Status
from auricle.hearing import pipeline
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from auricle.scan.ledger import Result, hash_of, stamp_of
from auricle.tables.row import Row, row_of

log = logging.getLogger("auricle")


class Listener:
    """Hears recordings; what comes of one does not depend on those before.

    Args:
        cfg: rules and gate.
        bundle: the model.
        channel, local: as of `Recordings`.
    """

    def __init__(self, cfg: config.Config, bundle: Bundle, *, channel: int | str, local: bool) -> None:
        self._cfg, self._bundle = cfg, bundle
        self._channel, self._local = channel, local
        self._together = Together()

    def hear(self, path: str) -> Result:
        """Hear a recording to its end; whatever is wrong with it stands in the result."""
        stamp = stamp_of(path)
        rows: list[Row] = []

        def outlet(topic: str, payload: bytes) -> None:
            if topic.startswith("event."):
                event = messages.decode(payload)
                if isinstance(event, messages.Event) and event.phase == "offset":
                    rows.append(row_of(event))

        source = Recordings(
            "scan",
            [path],
            model_rate=self._bundle.card.front_end.sample_rate,
            speed=None,
            block_samples=pipeline.block_samples(self._bundle),
            channel=self._channel,
            local=self._local,
        )
        lane = Lane(
            source,
            self._bundle,
            decision=self._cfg.decision,
            gate=self._cfg.gate,
            publish=self._cfg.publish,
            publisher=Publisher(self._cfg.node, [outlet]),
            tell_scores=False,
        )
        reasons: list[str] = []
        notes: list[str] = []
        source.open()
        pieces = _pieces(source, reasons, notes)
        self._together.feed(lane, pieces)
        deque(pieces, maxlen=0)  # where the lane failed, the source still says so
        lane.close()
        source.close()
        heard = path in source.heard
        return Result(
            path=os.fsencode(path),
            stamp=stamp,
            state="refused" if not heard else "cut" if reasons else "heard",
            reason="; ".join(reasons),
            seconds=round(source.heard.get(path, 0.0), 6),
            sha256=hash_of(path),
            rows=rows,
            notes=notes,
        )


def _pieces(source: Recordings, reasons: list[str], notes: list[str]) -> Iterator[Piece]:
    """Yield all pieces of a source; what it skips is kept as a reason, and what it questions as a note."""
    while not source.done:
        for piece in source.poll(0.0):
            if isinstance(piece, Skipped):
                reasons.append(piece.reason)
            elif isinstance(piece, Status) and piece.state == "questioned":
                notes.append(piece.detail)
            else:
                yield piece
