"""The configuration becomes a source here: one of the kind that is wanted."""

from __future__ import annotations

from auricle import config
from auricle.capture.poller import Poller
from auricle.capture.source import Source, Terms, asked_every
from auricle.hearing import pipeline
from auricle.model.bundle import Bundle


def source_of(wanted: config.Source, capture: config.Capture, model: Bundle, poller: Poller) -> Source:
    """Build the source that the configuration describes, giving sound at the model's rate; not yet open."""
    if wanted.recording is not None:
        from auricle.capture.recording import Recordings

        recording = wanted.recording
        full_speed = recording.speed == "max"
        start = recording.start_time
        return Recordings(
            wanted.name,
            recording.path,
            model_rate=model.card.front_end.sample_rate,
            speed=None if full_speed else float(recording.speed),
            loop=recording.loop,
            start_us=None if start is None else round(start.timestamp() * 1_000_000),
            channel=recording.channel,
            local=recording.zone == "local",
            block_samples=pipeline.block_samples(model)
            if full_speed
            else pipeline.samples(pipeline.hop_ms(wanted.decision, model), model),
        )
    terms = _terms(wanted, capture, model)
    if wanted.microphone is not None:
        from auricle.capture.microphone import Microphone

        return Microphone(
            wanted.name,
            terms,
            poller=poller,
            device=wanted.microphone.device,
            channel=wanted.microphone.channel,
            sample_rate=wanted.microphone.sample_rate,
        )
    if wanted.ffmpeg is not None:
        from auricle.capture.ffmpeg import Ffmpeg

        return Ffmpeg(wanted.name, terms, poller=poller, url=wanted.ffmpeg.url, options=wanted.ffmpeg.options)
    from auricle.capture.pcm import StdinPcm

    assert wanted.stdin is not None
    return StdinPcm(
        wanted.name,
        terms,
        poller=poller,
        rate=wanted.stdin.rate,
        form=wanted.stdin.format,
        channels=wanted.stdin.channels,
    )


def retune(source: Source, wanted: config.Source, capture: config.Capture, model: Bundle) -> None:
    """Take over what may change while the source goes on."""
    if (live := source.live) is not None:
        live.terms = _terms(wanted, capture, model)


def _terms(wanted: config.Source, capture: config.Capture, model: Bundle) -> Terms:
    return Terms(
        model_rate=model.card.front_end.sample_rate,
        ring_s=capture.ring_s,
        stall_s=capture.stall_s if wanted.ffmpeg is None else wanted.ffmpeg.stall_s,
        silence_alarm_s=capture.silence_alarm_s,
        block_s=asked_every(pipeline.hop_ms(wanted.decision, model) / 1000, capture.ring_s),
    )
