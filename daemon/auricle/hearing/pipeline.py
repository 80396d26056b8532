"""Configuration meets stages here: everything between a source's samples and its scores is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auricle import config
from auricle.errors import AudioError, ConfigError
from auricle.features import FrontEnd, front_end
from auricle.hearing import groups, precedence
from auricle.hearing.decision import Detector, Rule, Smoother
from auricle.model.bundle import Bundle
from auricle.model.card import contained
from auricle.model.classifier import classifier
from auricle.stages.stage import Pipeline, Stage

BLOCK_FRAMES = 32
"""Frames computed at once at most: larger arrays fall out of the cache and into the allocator's slow path."""


def block_samples(bundle: Bundle) -> int:
    """Return the longest block that goes through the stages at once."""
    return BLOCK_FRAMES * bundle.card.front_end.hop_length


def samples(ms: float, bundle: Bundle) -> int:
    """Convert milliseconds to samples at the model's rate."""
    return round(ms * bundle.card.front_end.sample_rate / 1000)


def hop_ms(decision: config.Decision, bundle: Bundle) -> float:
    """Return the time from one decision to the next: as the user wrote, else as the card proposes, else the usual."""
    return precedence.hop(bundle.card, decision).value


def hop_frames(decision: config.Decision, bundle: Bundle) -> int:
    """Return the decision hop in frames.

    Raises:
        ConfigError: what the user wrote of decisions cannot be with this model, such as a `decision.hop_ms` that is no
            multiple of what the network steps in.
    """
    precedence.check(decision, bundle.card)
    return samples(hop_ms(decision, bundle), bundle) // bundle.card.front_end.hop_length


def gated(bundle: Bundle, gate: config.Gate) -> bool:
    """Return whether the gate is on: as the user wishes, or as the model was trained."""
    return gate.enabled == "on" or (gate.enabled == "auto" and bundle.card.front_end.behind_gate)


def front_end_of(bundle: Bundle, gate: config.Gate) -> FrontEnd:
    """Build the front end that turns samples ``(n,)`` at the model's rate into the feature rows ``(k, n_features)``
    that the model takes.

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
    """Turns samples ``(n,)`` at the model's rate into scores ``(k, n_labels)``, one row a decision hop, not yet
    smoothed.

    Args:
        front_end: the first half; holds the gate, if there is one.
        stages: the whole as one stage.
    """

    front_end: FrontEnd
    stages: Pipeline


def scorer(bundle: Bundle, decision: config.Decision, gate: config.Gate) -> Scorer:
    """Build the stages from sample to score.

    Raises:
        ConfigError: the model, the decision hop and the gate do not fit together.
    """
    front = front_end_of(bundle, gate)
    return Scorer(front, Pipeline([front, classifier(bundle, hop_frames(decision, bundle))]))


def labels(bundle: Bundle, decision: config.Decision) -> tuple[str, ...]:
    """Return what is scored: the model's labels, and behind them the user's groups of such."""
    return (*bundle.labels, *groups.groups(bundle.card, decision))


def grouping(bundle: Bundle, decision: config.Decision) -> list[Stage]:
    """Build the stage that scores the user's groups, if there are any."""
    made = groups.groups(bundle.card, decision).values()
    columns = [[bundle.labels.index(member) for member in members] for members in made]
    return [groups.Highest(columns)] if columns else []


def smoother(bundle: Bundle, decision: config.Decision) -> Smoother:
    """Build the moving means over each label's `smoothing_ms`, in whole decisions, at least one."""
    hop = hop_frames(decision, bundle) * bundle.card.front_end.hop_length
    held = (precedence.held(bundle.card, decision, label) for label in labels(bundle, decision))
    return Smoother([max(1, round(samples(rule.smoothing_ms.value, bundle) / hop)) for rule in held])


def rules(bundle: Bundle, decision: config.Decision) -> Mapping[str, Rule]:
    """Return the rule of every label that may raise an event.

    The card's lags of a label hold under the card's own rule: at a lower threshold the same sound raises its event
    sooner.

    Raises:
        ConfigError: an event could not end.
    """
    precedence.check(decision, bundle.card)
    return {
        label: Rule(
            threshold=held.threshold.value,
            hysteresis=held.hysteresis.value,
            min_duration_samples=samples(held.min_duration_ms.value, bundle),
            refractory_samples=samples(held.refractory_ms.value, bundle),
            lags=None if "user" in (held.threshold.by, held.min_duration_ms.by) else bundle.card.timing.lags.get(label),
        )
        for label, held in precedence.all_held(bundle.card, decision).items()
    }


def detector(
    bundle: Bundle,
    decision: config.Decision,
    *,
    span: int,
    hop: int,
    update_interval_s: float = 3600.0,
    apart: bool = False,
) -> Detector:
    """Build the detector that applies the rules to rows that come after ``span`` samples, ``hop`` apart.

    Args:
        apart: every label is decided upon by itself, whatever the card says that it contains.
    """
    return Detector(
        labels(bundle, decision),
        rules(bundle, decision),
        span=span,
        hop=hop,
        onset_lag=bundle.card.timing.onset_lag_samples,
        offset_lag=bundle.card.timing.offset_lag_samples,
        update_samples=samples(1000 * update_interval_s, bundle),
        contained={} if apart else contained(bundle.card.includes),
    )
