"""Where configuration meets stages: everything between a source's samples and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auricle import config
from auricle.config.sections import DEFAULT_MIN_DURATION_MS, DEFAULT_THRESHOLD
from auricle.errors import AudioError, ConfigError
from auricle.features import FrontEnd, front_end
from auricle.hearing.decision import Detector, Rule, Smoother
from auricle.model.bundle import Bundle
from auricle.model.classifier import classifier
from auricle.stages.stage import Pipeline

BLOCK_FRAMES = 32
"""Frames computed at once at most: larger arrays fall out of the cache and into the allocator's slow path."""


def block_samples(bundle: Bundle) -> int:
    """The longest block that goes through the stages at once."""
    return BLOCK_FRAMES * bundle.card.front_end.hop_length


def samples(ms: float, bundle: Bundle) -> int:
    """Milliseconds as samples at the model's rate."""
    return round(ms * bundle.card.front_end.sample_rate / 1000)


def hop_frames(decision: config.Decision, bundle: Bundle) -> int:
    """The decision hop in frames.

    Raises:
        ConfigError: `decision.hop_ms` is no multiple of what the network steps in.
    """
    card = bundle.card
    step = card.front_end.hop_length * (card.timing.stride_frames if card.streaming else 1)
    hop = samples(decision.hop_ms, bundle)
    if hop % step or hop == 0:
        step_ms = 1000 * step / card.front_end.sample_rate
        raise ConfigError(
            [
                f"decision.hop_ms: {decision.hop_ms:g} is no multiple of {step_ms:g}, the step of model {card.name!r}; "
                f"use {max(1, round(decision.hop_ms / step_ms)) * step_ms:g}"
            ]
        )
    return hop // card.front_end.hop_length


def gated(bundle: Bundle, gate: config.Gate) -> bool:
    """Whether the gate is on: as the user wishes, or as the model was trained."""
    return gate.enabled == "on" or (gate.enabled == "auto" and bundle.card.front_end.behind_gate)


def front_end_of(bundle: Bundle, gate: config.Gate) -> FrontEnd:
    """Samples ``(n,)`` at the model's rate to the feature rows ``(k, n_features)`` that the model takes.

    Raises:
        ConfigError: the gate cannot be as configured, or its noise profile cannot be read.
    """
    wanted = {
        "sensitivity": gate.sensitivity,
        "reduction": gate.reduction,
        "frequency_smoothing_hz": gate.frequency_smoothing_hz,
        "time_smoothing_ms": gate.time_smoothing_ms,
        "lookahead_frames": gate.lookahead_frames,
        "noise_profile": gate.noise_profile,
        "start_up_s": gate.start_up_s,
        "adaptation_s": gate.adaptation_s,
    }
    try:
        return front_end(**bundle.card.front_end.params(), gate=wanted if gated(bundle, gate) else None)
    except (ValueError, AudioError) as e:
        raise ConfigError([str(e)]) from None


@dataclass(frozen=True)
class Scorer:
    """Samples ``(n,)`` at the model's rate to scores ``(k, n_labels)``, one row a decision hop, not yet smoothed.

    Args:
        front_end: its first half; holds the gate, if there is one.
        stages: the whole as one stage.
    """

    front_end: FrontEnd
    stages: Pipeline


def scorer(bundle: Bundle, decision: config.Decision, gate: config.Gate) -> Scorer:
    """The stages from sample to score.

    Raises:
        ConfigError: the model, the decision hop and the gate do not fit together.
    """
    front = front_end_of(bundle, gate)
    return Scorer(front, Pipeline([front, classifier(bundle, hop_frames(decision, bundle))]))


def smoother(bundle: Bundle, decision: config.Decision) -> Smoother:
    """The moving mean over `decision.smoothing_ms`, in whole decisions, at least one."""
    hop = hop_frames(decision, bundle) * bundle.card.front_end.hop_length
    return Smoother(max(1, round(samples(decision.smoothing_ms, bundle) / hop)))


def rules(bundle: Bundle, decision: config.Decision) -> Mapping[str, Rule]:
    """The rule of every label that may raise an event.

    Threshold and minimum duration are the user's own, else the card's, else the defaults. The card's lags of a label
    hold under the card's own rule: at a lower threshold the same sound is told sooner.
    """
    found = {}
    for label in bundle.labels:
        if label == bundle.card.background:
            continue
        rule = decision.for_label(label)
        threshold, hysteresis = rule.threshold, rule.hysteresis
        if threshold is None:
            threshold = bundle.card.thresholds.get(label, DEFAULT_THRESHOLD)
            # The user's hysteresis was checked against the default; an event must be able to end below a card's too.
            if hysteresis >= threshold:
                hysteresis = threshold / 2
        min_duration_ms = rule.min_duration_ms
        if min_duration_ms is None:
            min_duration_ms = bundle.card.min_durations_ms.get(label, DEFAULT_MIN_DURATION_MS)
        found[label] = Rule(
            threshold=threshold,
            hysteresis=hysteresis,
            min_duration_samples=samples(min_duration_ms, bundle),
            refractory_samples=samples(rule.refractory_ms, bundle),
            lags=bundle.card.timing.lags.get(label) if rule.threshold is rule.min_duration_ms is None else None,
        )
    return found


def detector(bundle: Bundle, decision: config.Decision, *, span: int, hop: int, update_interval_s: float) -> Detector:
    """The rules as a detector for rows that come after ``span`` samples, ``hop`` apart."""
    return Detector(
        bundle.labels,
        rules(bundle, decision),
        span=span,
        hop=hop,
        onset_lag=bundle.card.timing.onset_lag_samples,
        offset_lag=bundle.card.timing.offset_lag_samples,
        update_samples=samples(1000 * update_interval_s, bundle),
    )
