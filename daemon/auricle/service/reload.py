"""A changed configuration is taken over while the daemon runs: what can fail is done first, then the change comes in
between two blocks."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from auricle import config
from auricle.config.diff import diff, effects
from auricle.config.keys import keys_of
from auricle.errors import AuricleError, one_line
from auricle.hearing.ear import Ear
from auricle.hearing.lane import Lane
from auricle.model.bundle import Bundle
from auricle.publish.publisher import Publisher
from auricle.secrecy import mask
from auricle.service.checks import check_sockets, load_models
from auricle.service.overruled import Overruled
from auricle.service.roster import Roster
from auricle.service.sources import retune
from auricle.service.trial import Trying

log = logging.getLogger("auricle")

S = TypeVar("S")


class Reload:
    """Reloads the configuration between two rounds of the engine, when SIGHUP has asked for it.

    Args:
        cfg: the configuration that the daemon runs with.
        load: reads the configuration anew.
        roster: of the sources.
        publisher: publishes what came of it.
        wake: wakes the engine, which may be asleep.
        overruled: says where the configuration holds on to something.
        first: called with each model before that is run.
        over: lays over a configuration what was set while the daemon ran.
        also: others that take over what is theirs, once all is known to be well.
    """

    def __init__(
        self,
        cfg: config.Config,
        load: Callable[[], config.Config],
        roster: Roster,
        publisher: Publisher,
        *,
        wake: Callable[[], None] = lambda: None,
        overruled: Overruled | None = None,
        first: Callable[[Bundle], None] | None = None,
        over: Callable[[config.Config, Mapping[str, Bundle]], config.Config] = lambda cfg, models: cfg,
        also: Sequence[Callable[[config.Config], None]] = (),
    ) -> None:
        self.cfg = cfg
        """The configuration in force: keys that only a start can change keep their old values here."""
        self.asked = False
        self._load = load
        self._roster = roster
        self._publisher = publisher
        self._wake = wake
        self._overruled = overruled or Overruled()
        self._first = first
        self._over = over
        self._also = also

    def ask(self, *_: object) -> None:
        """Ask for a reload; may be called from a signal handler."""
        self.asked = True
        self._wake()

    def decide(self, decisions: Mapping[str, config.Decision]) -> None:
        """Decide by other rules from the next sample on, by the name of the source; only what is live may differ."""
        sources = []
        for source in self.cfg.sources:
            if source.decision != decisions[source.name]:
                source = dataclasses.replace(source, decision=decisions[source.name])
                self._roster.lane(source.name).configure(source.decision, source.gate, self.cfg.publish)
            sources.append(source)
        self.cfg = dataclasses.replace(self.cfg, sources=tuple(sources))

    def now(self) -> list[str] | None:
        """Reload; return the problems because of which nothing was changed, or none.

        ``None`` is returned where a new model is being tried: the reload stays asked for, and is worth while when none
        is tried any more.
        """
        self.asked = False
        began_s = time.monotonic()
        try:
            wanted = self._load()
            check_sockets(wanted)
            models = load_models(wanted, self._first)
            wanted = self._over(wanted, models)
            new = in_force(self.cfg, wanted)
            changes = diff(self.cfg, wanted)
            # Lanes and ears that cannot be are refused here, before anything is changed for those that can.
            lanes, ears = self._prepare(new, models)
        except Trying:
            self.asked = True
            return None
        except AuricleError as e:
            return self._refuse(e.lines())
        except MemoryError:
            return self._refuse(["it needs more memory than is left; free some and reload again"])
        except Exception as e:
            # Nothing has changed yet: whatever it is, hearing goes on as it was.
            log.error("not reloaded: a fault of our own, which should be reported", exc_info=e)
            return self._refuse([one_line(mask(f"{type(e).__name__}: {e}"))])
        self._apply(new, models, lanes, ears)
        self._overruled.tell(new, {name: model.card for name, model in models.items()})
        waiting = [path for path, effect in changes.items() if effect == "restart"]
        detail = ", ".join(path for path, effect in changes.items() if effect != "restart")
        detail = detail or ("model" if ears else "nothing changed")
        if waiting:
            detail += f"; at the next start: {', '.join(waiting)}"
            log.warning("only a restart changes %s", ", ".join(waiting))
        log.info("reloaded in %.0f ms: %s", 1000 * (time.monotonic() - began_s), detail)
        self._publisher.tell("reloaded", detail)
        return []

    def _refuse(self, problems: list[str]) -> list[str]:
        for line in problems:
            log.error("not reloaded: %s", line)
        self._publisher.tell("reload_refused", "; ".join(problems))
        return problems

    def _prepare(self, new: config.Config, models: Mapping[str, Bundle]) -> tuple[dict[str, Lane], dict[str, Ear]]:
        """Build the lanes of new sources, and the ears that others need anew, by the name of the source."""
        lanes, ears = {}, {}
        old = {source.name: source for source in self.cfg.sources}
        for wanted in new.sources:
            model, was = models[wanted.model], old.get(wanted.name)
            if was is None or self._is_other(was, wanted, new, model):
                lanes[wanted.name] = self._roster.make(wanted, new, model)
                continue
            asked = effects(was.gate, wanted.gate) | effects(was.decision, wanted.decision)
            if "segment" in asked or self._roster.lane(wanted.name).coming.bundle.hash != model.hash:
                ears[wanted.name] = Ear(model, wanted.decision, wanted.gate, new.publish)
                ears[wanted.name].warm()
        return lanes, ears

    def _is_other(self, was: config.Source, wanted: config.Source, new: config.Config, model: Bundle) -> bool:
        """Return whether the source itself must be opened anew: for another device, ring, or rate of its sound."""
        rate = self._roster.lane(was.name).bundle.card.front_end.sample_rate
        return (
            was.kind != wanted.kind
            or getattr(was, was.kind) != getattr(wanted, wanted.kind)
            or rate != model.card.front_end.sample_rate
            or (was.recording is None and effects(self.cfg.capture, new.capture) >= {"segment"})
        )

    def _apply(
        self, new: config.Config, models: Mapping[str, Bundle], lanes: Mapping[str, Lane], ears: Mapping[str, Ear]
    ) -> None:
        stay = {source.name for source in new.sources} - set(lanes)
        for lane in [lane for lane in self._roster.lanes if lane.name not in stay]:
            self._roster.leave(lane)
        for wanted in new.sources:
            if wanted.name in lanes:
                self._roster.enter(lanes[wanted.name], wanted)
                continue
            lane = self._roster.lane(wanted.name)
            retune(lane.source, wanted, new.capture, models[wanted.model])
            if wanted.name in ears:
                self._roster.replace(lane, ears[wanted.name], wanted)
            else:
                lane.configure(wanted.decision, wanted.gate, new.publish)
        self.cfg = new
        for take_over in self._also:
            take_over(new)


def in_force(old: S, new: S) -> S:
    """Return the new configuration with the old values of the keys that only a start can change."""
    kept: dict[str, Any] = {}
    for name, about in keys_of(type(new)).items():
        if about.section is None:
            if about.effect == "restart":
                kept[name] = getattr(old, name)
        elif not about.many and not about.optional:
            kept[name] = in_force(getattr(old, name), getattr(new, name))
    return dataclasses.replace(new, **kept)  # type: ignore[type-var]
