"""The daemon's life stands here: what is opened, in which order, and closed in the reverse."""

from __future__ import annotations

import faulthandler
import logging
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import zmq

from auricle import config
from auricle.capture.poller import Poller
from auricle.errors import EXIT_SKIPPED
from auricle.hearing import engine
from auricle.hearing.lane import Lane
from auricle.publish.admission import Admission
from auricle.publish.journal import Journal
from auricle.publish.leftover import closed
from auricle.publish.publisher import Publisher
from auricle.publish.store import Store
from auricle.publish.zeromq import SUBSCRIBERS, Socket
from auricle.service import keys, logs
from auricle.service.checks import check_sockets, load_models
from auricle.service.clips import Clips
from auricle.service.descriptors import connections_each
from auricle.service.explaining import explained
from auricle.service.folder import state_dir
from auricle.service.notify import Notifier
from auricle.service.overload import Ladder
from auricle.service.overrides import FILE, Overrides
from auricle.service.overruled import Overruled
from auricle.service.pauses import Pauses
from auricle.service.permits import Permits
from auricle.service.query import Query
from auricle.service.reload import Reload
from auricle.service.rooms import FOLDER as ROOMS
from auricle.service.rooms import Rooms
from auricle.service.roster import Roster
from auricle.service.state import Learned, alone
from auricle.service.timeofday import TimeOfDay
from auricle.service.trial import Trials
from auricle.service.viewers import Viewers
from auricle.service.watchdog import Watchdog

log = logging.getLogger("auricle")


def main(path: Path | None, model: str | None) -> int:
    """Run the daemon as `auricle run` does; return the exit code.

    Args:
        path: the configuration's file; the usual one unless given.
        model: another model than the configuration names.

    Raises:
        AuricleError: something cannot be as configured.
    """

    def load() -> config.Config:
        return config.load(path, overrides={"model": model})

    cfg = load()
    logs.set_up(cfg.log)
    return run(cfg, load)


def run(cfg: config.Config, load: Callable[[], config.Config]) -> int:
    """Listen until asked to stop, or until every recording has been heard; return the exit code.

    Args:
        cfg: what to listen to, and how.
        load: reads the configuration anew, when SIGHUP asks for that.

    Raises:
        ConfigError, ModelError, EndpointError, KeysError: something cannot be as configured, or another daemon has
            the state folder; nothing was heard.
    """
    with ExitStack() as stack:
        # Until there is something to reload, a wish to do so waits with the kernel.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        stack.callback(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        stack.callback(faulthandler.unregister, signal.SIGUSR1)
        notifier = Notifier()
        stack.callback(notifier.close)
        stack.enter_context(alone(state_dir()))
        check_sockets(cfg)
        notifier.tell(STATUS="loading the model")
        trials = Trials(state_dir() / "models")
        stack.callback(trials.close)
        models = load_models(cfg, trials)
        permits = Permits(cfg.publish, keyed=cfg.publish.secret_key is not None)
        overrides = Overrides(state_dir() / FILE, permits.check)
        cfg = overrides.over(cfg, models)
        overrides.take_over(cfg)
        overruled = Overruled()
        overruled.tell(cfg, {name: model.card for name, model in models.items()})
        stop = engine.Stop()
        stack.callback(stop.close)
        stack.enter_context(stop.on_signals())
        context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
        time_of_day = TimeOfDay()
        store = None
        if cfg.store.enabled:
            path = cfg.store.path or state_dir() / "events.db"
            store = Store(
                path, max_mb=cfg.store.max_mb, max_days=cfg.store.max_days, certain=lambda: time_of_day.certain
            )
            stack.callback(store.close)
        journal = Journal()
        most = connections_each()
        admission = Admission(context, keys.allowed(cfg.publish))
        stack.callback(admission.close)
        socket = Socket(
            context,
            cfg.publish.endpoint,
            group=cfg.publish.ipc_group,
            most=min(most, SUBSCRIBERS),
            admission=admission,
            patient=True,
        )
        stack.callback(socket.close)
        # In this order: what is published is kept already.
        publisher = Publisher(cfg.node, [*([] if store is None else [store]), journal, socket])
        poller = stack.enter_context(Poller())
        roster = stack.enter_context(Roster(publisher, poller, Learned(state_dir() / "noise")))
        query = Query(
            context,
            cfg.publish.query,
            publisher=publisher,
            journal=journal,
            lanes=roster.lanes,
            config_hash=cfg.hash(),
            store=store,
            group=cfg.publish.ipc_group,
            most=most,
            admission=admission,
            patient=True,
        )
        stack.callback(query.close)
        socket.greet(publisher, query.endpoint)
        query.moved = lambda: socket.greet(publisher, query.endpoint)
        lanes = [roster.make(wanted, cfg, models[wanted.model]) for wanted in cfg.sources]
        if store is not None:
            store.report_to(publisher.tell)
            store.open(lambda topic, event: publisher.send(topic, closed(event, publisher.instance)))
        clips = Clips(publisher, roster.lanes, state_dir() / "clips", certain=lambda: time_of_day.certain)
        clips.configure(cfg)
        rooms = Rooms(roster.lanes, state_dir() / ROOMS)
        stack.callback(rooms.close)
        rooms.configure(cfg)
        pauses = Pauses(roster.lanes, state_dir() / "paused.json")

        def attend(lane: Lane, wanted: config.Source) -> None:
            clips.attend(lane, wanted)
            pauses.attend(lane, wanted)

        query.clips, roster.attend, query.pause = clips.report, attend, pauses.answer
        query.missed = clips.missed
        query.explain = partial(explained, roster.lanes)
        query.override, query.overrides = overrides.answer, overrides.report
        for lane, wanted in zip(lanes, cfg.sources, strict=True):
            roster.enter(lane, wanted)

        def elsewhere() -> list[str]:
            return [at.trouble for at in (socket.place, query.place) if not at.bound]

        query.reasons = elsewhere
        if not elsewhere():
            log.info("publishing on %s, answering on %s", socket.endpoint, query.endpoint)

        viewers = Viewers(roster.lanes, socket.subscriptions, cfg.spectrum)

        def take_over(new: config.Config) -> None:
            logs.set_level(new.log)
            viewers.spectra = new.spectrum
            query.config_hash = new.hash()
            clips.configure(new)
            roster.remember(new.explain)
            rooms.configure(new)
            pauses.configure(new)
            if store is not None:
                store.bounds.max_mb, store.bounds.max_days = new.store.max_mb, new.store.max_days

        renewed = keys.Renewed(admission.allowed, [socket.door, query.door])
        reload = Reload(
            cfg,
            renewed.with_list(permits.with_token(load)),
            roster,
            publisher,
            wake=stop.wake,
            overruled=overruled,
            first=trials.apart,
            over=overrides.over,
            also=[take_over, renewed.take_over, permits.take_over, overrides.take_over],
        )

        def decide(decisions: Mapping[str, config.Decision]) -> None:
            reload.decide(decisions)
            query.config_hash = reload.cfg.hash()

        overrides.decide = decide
        # Nothing is reloaded by what ends, and whom it wakes is closed before the rest.
        stack.callback(signal.signal, signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, reload.ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        watchdog = Watchdog(roster.lanes, notifier, time.monotonic(), also=elsewhere)
        ladder = Ladder(roster.lanes)

        def between() -> None:
            # First: what a reload holds up is not late by the machine's weakness.
            ladder.tick(time.monotonic())
            # While a new model is tried in a child, sound is heard as before.
            if reload.asked and not trials.busy:
                notifier.reloading()
                refused = reload.now()
                if refused is not None:
                    watchdog.trouble = f"changed configuration refused: {refused[0]}" if refused else ""
                    watchdog.ready = False
            if (jump := time_of_day.look()) is not None:
                log.warning("%s", jump)
                publisher.tell("clock", jump)
            viewers.tick()
            now_s = time.monotonic()
            pauses.tick(now_s)
            roster.tick(now_s)
            rooms.tick(now_s)
            watchdog.tick(now_s)

        attendants: list[engine.Attendant] = [
            each for each in (admission, socket, query, store, clips) if each is not None
        ]
        trouble = engine.Trouble(publisher)
        engine.run(
            roster.lanes,
            publisher,
            stop,
            progress=lambda: trouble.survive("service", between),
            attendants=attendants,
        )
        notifier.tell(STOPPING=1, STATUS="stopping")
        clips.close()
        log.info("stopped")
        return EXIT_SKIPPED if any(lane.counters.skipped for lane in roster.lanes) else 0
