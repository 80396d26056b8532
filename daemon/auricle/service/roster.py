"""The roster holds the sources that are heard, each in its lane: how they come, go, and keep what they know of their
room."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from auricle import config
from auricle.capture.poller import Poller
from auricle.hearing.ear import Ear
from auricle.hearing.lane import Lane
from auricle.hearing.recall import Recall
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from auricle.service.sources import source_of
from auricle.service.state import Learned, room

LOOK_S = 0.5
"""How often to see whether a gate has learned something worth keeping."""


class Roster:
    """Holds all lanes of the daemon.

    Args:
        publisher: takes the messages of every lane.
        poller: moves the sound of every live source.
        learned: what gates knew when the daemon ran last.
    """

    def __init__(self, publisher: Publisher, poller: Poller, learned: Learned) -> None:
        self.lanes: list[Lane] = []
        """The lanes in the order in which they came; always the same list, which changes."""
        self.attend: Callable[[Lane, config.Source], None] = lambda lane, wanted: None
        """Called with a lane before its source begins to give sound."""
        self._publisher = publisher
        self._poller = poller
        self._learned = learned
        self._rooms: dict[str, str | None] = {}
        self._next_s = 0.0

    def __enter__(self) -> Roster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in reversed(self.lanes):
            self._keep(lane)
            lane.source.close()

    def lane(self, name: str) -> Lane:
        """Return the lane of the source of this name."""
        return next(lane for lane in self.lanes if lane.name == name)

    def make(self, wanted: config.Source, cfg: config.Config, bundle: Bundle) -> Lane:
        """Build a lane that nobody hears yet.

        Raises:
            ConfigError, ModelError: the lane cannot be as configured.
        """
        source = source_of(wanted, cfg.capture, bundle, self._poller)
        lane = Lane(
            source, bundle, decision=wanted.decision, gate=wanted.gate, publish=cfg.publish, publisher=self._publisher
        )
        lane.recall = Recall(cfg.explain.keep_min)
        return lane

    def remember(self, wanted: config.Explain) -> None:
        """Remember each lane's decisions for so long, from now on."""
        for lane in self.lanes:
            if lane.recall is not None:
                lane.recall.keep_min = wanted.keep_min

    def enter(self, lane: Lane, wanted: config.Source) -> None:
        """Begin to hear a lane."""
        self._rooms[wanted.name] = self._room(wanted, lane.bundle)
        self._restore(wanted.name, lane.ear)
        lane.tell("starting")
        self.attend(lane, wanted)
        lane.source.open()
        self.lanes.append(lane)

    def leave(self, lane: Lane) -> None:
        """Hear a lane no more: its events end, and it is published that its source has stopped."""
        self.lanes.remove(lane)
        self._keep(lane)
        lane.close("reload")
        lane.tell("stopped")
        lane.source.close()

    def replace(self, lane: Lane, ear: Ear, wanted: config.Source) -> None:
        """Hear the same source with another ear, which in the same room goes on with the same noise."""
        name = lane.name
        before = self._rooms[name]
        self._keep(lane)
        self._rooms[name] = self._room(wanted, ear.bundle)
        if before is not None and before == self._rooms[name] and ear.gate is not None and lane.gate is not None:
            ear.gate.learned = lane.gate.learned
        else:
            self._restore(name, ear)
        lane.replace(ear)

    def tick(self, now_s: float) -> None:
        """Keep what was learned, when it is time to look; called after every round."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        for lane in self.lanes:
            name = self._rooms[lane.name]
            if name is not None and lane.gate is not None:
                self._learned.tick(name, lane.gate, now_s)

    def _room(self, wanted: config.Source, bundle: Bundle) -> str | None:
        # A noise profile says what the noise is: nothing is restored over it, and it is kept already.
        return None if wanted.gate.noise_profile is not None else room(wanted, bundle)

    def _restore(self, name: str, ear: Ear) -> None:
        at = self._rooms[name]
        if at is not None and ear.gate is not None:
            self._learned.restore(at, ear.gate)

    def _keep(self, lane: Lane) -> None:
        name = self._rooms[lane.name]
        if name is not None and lane.gate is not None:
            self._learned.save(name, lane.gate)
