"""The daemon's life: what is opened, in which order, and closed in the reverse."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import zmq

from auricle import bundle, config, engine, pipeline
from auricle.bundle import Bundle
from auricle.config_read import check_labels
from auricle.errors import EXIT_SKIPPED
from auricle.lane import Lane
from auricle.poller import Poller
from auricle.publisher import Publisher, Socket
from auricle.source import Source

log = logging.getLogger("auricle")


def run(cfg: config.Config) -> int:
    """Listen until told to stop, or until every recording has been heard; the exit code.

    Raises:
        ConfigError, ModelError, EndpointError: something cannot be as configured; nothing was heard.
    """
    with ExitStack() as stack:
        models = {name: bundle.load(name, cfg.models_dir) for name in sorted({s.model for s in cfg.sources})}
        check_labels(cfg, {name: model.labels for name, model in models.items()})
        stop = engine.Stop()
        stack.callback(stop.close)
        stack.enter_context(stop.on_signals())
        context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
        socket = Socket(context, cfg.publish.endpoint)
        stack.callback(socket.close)
        publisher = Publisher(cfg.node, [socket])
        poller = stack.enter_context(Poller())
        lanes = []
        for wanted in cfg.sources:
            model = models[wanted.model]
            source = source_of(wanted, cfg.capture, model, poller)
            lanes.append(
                Lane(
                    source, model, decision=wanted.decision, gate=wanted.gate, publish=cfg.publish, publisher=publisher
                )
            )
            lanes[-1].tell("starting")
        for lane in lanes:
            lane.source.open()
            stack.callback(lane.source.close)
        log.info("publishing on %s", socket.endpoint)
        engine.run(lanes, publisher, stop)
        log.info("stopped")
        return EXIT_SKIPPED if any(lane.counters.skipped for lane in lanes) else 0


def source_of(wanted: config.Source, capture: config.Capture, model: Bundle, poller: Poller) -> Source:
    """The source that the configuration describes, giving sound at the model's rate; not yet open."""
    rate = model.card.front_end.sample_rate
    if wanted.microphone is not None:
        from auricle.microphone import Microphone

        return Microphone(
            wanted.name,
            poller=poller,
            device=wanted.microphone.device,
            channel=wanted.microphone.channel,
            model_rate=rate,
            sample_rate=wanted.microphone.sample_rate,
            ring_s=capture.ring_s,
            stall_s=capture.stall_s,
            silence_alarm_s=capture.silence_alarm_s,
            block_s=wanted.decision.hop_ms / 1000,
        )
    if wanted.recording is not None:
        from auricle.recording import Recordings

        recording = wanted.recording
        full_speed = recording.speed == "max"
        start = recording.start_time
        return Recordings(
            wanted.name,
            recording.path,
            model_rate=rate,
            speed=None if full_speed else float(recording.speed),
            loop=recording.loop,
            start_us=None if start is None else round(start.timestamp() * 1_000_000),
            block_samples=pipeline.block_samples(model)
            if full_speed
            else pipeline.samples(wanted.decision.hop_ms, model),
        )
    if wanted.ffmpeg is not None:
        from auricle.ffmpeg import Ffmpeg

        return Ffmpeg(
            wanted.name,
            poller=poller,
            url=wanted.ffmpeg.url,
            options=wanted.ffmpeg.options,
            model_rate=rate,
            ring_s=capture.ring_s,
            stall_s=wanted.ffmpeg.stall_s,
            silence_alarm_s=capture.silence_alarm_s,
            block_s=wanted.decision.hop_ms / 1000,
        )
    from auricle.pcm import StdinPcm

    assert wanted.stdin is not None
    return StdinPcm(
        wanted.name,
        poller=poller,
        rate=wanted.stdin.rate,
        form=wanted.stdin.format,
        channels=wanted.stdin.channels,
        model_rate=rate,
        ring_s=capture.ring_s,
        stall_s=capture.stall_s,
        silence_alarm_s=capture.silence_alarm_s,
        block_s=wanted.decision.hop_ms / 1000,
    )
