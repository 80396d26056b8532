"""How often a model speaks of what is not there: events on sound that holds none, by the daemon's own rules."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from auricle import config, pipeline
from auricle.bundle import Bundle
from auricle.config_sections import DEFAULT_THRESHOLD
from auricle_build.evaluate import Scores

HIGHEST = 0.8  # no threshold is raised above this: what needs more is not told apart, and would only be missed


@dataclasses.dataclass(frozen=True)
class Quiet:
    """Recordings without any of a model's events.

    Args:
        origins: the name of each recording's set.
        seconds: how long each is.
        windows: each one's scores ``(n_windows, n_labels)`` at the default decision hop, not smoothed.
    """

    origins: Sequence[str]
    seconds: Sequence[float]
    windows: Sequence[Scores]

    def arrays(self) -> dict[str, Any]:
        """All of it as arrays for a file."""
        return {
            "quiet_origins": np.asarray(self.origins, str),
            "quiet_seconds": np.asarray(self.seconds, np.float64),
            "quiet_lengths": np.asarray([len(w) for w in self.windows], np.int64),
            "quiet_windows": np.concatenate(self.windows).astype(np.float16) if self.windows else np.empty((0, 0)),
        }

    @classmethod
    def of_arrays(cls, stored: Mapping[str, Any]) -> Quiet:
        """What :meth:`arrays` gave; scores are multiples of 1/256, which half precision holds exactly."""
        ends = np.cumsum(stored["quiet_lengths"])
        windows = np.split(np.asarray(stored["quiet_windows"], np.float32), ends[:-1]) if len(ends) else []
        return cls([str(o) for o in stored["quiet_origins"]], stored["quiet_seconds"].tolist(), windows)


def together(parts: Sequence[Quiet]) -> Quiet:
    """Several judged lots as one."""
    return Quiet(
        [o for p in parts for o in p.origins],
        [s for p in parts for s in p.seconds],
        [w for p in parts for w in p.windows],
    )


def count(
    bundle: Bundle, quiet: Quiet, thresholds: Mapping[str, float] | None = None
) -> Mapping[str, Mapping[str, Any]]:
    """Events, hours and events per hour by set, at the default configuration.

    Args:
        thresholds: in place of those of the bundle's card.
    """
    if thresholds is not None:
        bundle = dataclasses.replace(bundle, card=msgspec.structs.replace(bundle.card, thresholds=dict(thresholds)))
    decision = config.Decision()
    hop = pipeline.hop_frames(decision, bundle) * bundle.card.front_end.hop_length
    events: dict[str, Counter[str]] = {}
    heard: dict[str, float] = {}
    for origin, length, scores in zip(quiet.origins, quiet.seconds, quiet.windows, strict=True):
        smoother = pipeline.smoother(bundle, decision)
        detector = pipeline.detector(bundle, decision, span=1, hop=hop, update_interval_s=1e6)
        changes = detector.process(smoother.process(scores))
        found = events.setdefault(origin, Counter())
        found.update(change.label for change in changes if change.phase == "onset")
        heard[origin] = heard.get(origin, 0.0) + length
    return {
        origin: {
            "hours": round(heard[origin] / 3600, 3),
            "events": found.total(),
            "per_hour": round(found.total() / heard[origin] * 3600, 2),
            "labels": dict(found.most_common()),
        }
        for origin, found in events.items()
    }


def suggest(bundle: Bundle, quiet: Quiet, per_hour: float = 0.5) -> dict[str, float]:
    """Thresholds above the default for those labels that would raise more than ``per_hour`` false events an hour.

    A threshold fires in a recording when the smoothed score stays at or over it for the minimum duration.
    """
    decision = config.Decision()
    hop_ms = decision.hop_ms
    rows = int(np.ceil(decision.min_duration_ms / hop_ms)) + 1
    smoother = pipeline.smoother(bundle, decision)
    fires = []
    for scores in quiet.windows:
        smoother.reset()
        smooth = smoother.process(scores)
        if len(smooth) >= rows:
            held = np.lib.stride_tricks.sliding_window_view(smooth, rows, axis=0).min(axis=-1)
            fires.append(held.max(axis=0))
    hours = sum(quiet.seconds) / 3600
    out = {}
    for i, label in enumerate(bundle.labels):
        if label == bundle.card.background or not fires:
            continue
        levels = np.asarray([f[i] for f in fires])
        grid = [round(float(t), 2) for t in np.arange(DEFAULT_THRESHOLD, HIGHEST + 0.01, 0.05)]
        chosen = next((t for t in grid if np.sum(levels >= t) <= per_hour * hours), HIGHEST)
        if chosen > DEFAULT_THRESHOLD:
            out[label] = chosen
    return out
