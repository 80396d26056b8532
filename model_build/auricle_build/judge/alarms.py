"""A model may speak of what is not there: here events are counted on sound that holds none, by the daemon's own
rules."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from auricle import config
from auricle.config.sections import DEFAULT_HOP_MS
from auricle.hearing import pipeline
from auricle.model.bundle import Bundle
from auricle.model.card import BY_LABEL, Proposal


@dataclasses.dataclass(frozen=True)
class Quiet:
    """Holds what a model said of recordings without any of its events.

    Args:
        origins: the name of each recording's set.
        windows: each one's scores ``(n_windows, n_labels)`` at the default decision hop, not smoothed.
    """

    origins: Sequence[str]
    windows: Sequence[NDArray[np.float32]]

    def arrays(self) -> dict[str, Any]:
        """Return the recordings' scores as arrays for a file."""
        return {
            "quiet_origins": np.asarray(self.origins, str),
            "quiet_lengths": np.asarray([len(w) for w in self.windows], np.int64),
            "quiet_windows": np.concatenate(self.windows).astype(np.float16) if self.windows else np.empty((0, 0)),
        }

    @classmethod
    def of_arrays(cls, stored: Mapping[str, Any]) -> Quiet:
        """Read what :meth:`arrays` gave; scores are multiples of 1/256, which half precision holds exactly."""
        ends = np.cumsum(stored["quiet_lengths"])
        windows = np.split(np.asarray(stored["quiet_windows"], np.float32), ends[:-1]) if len(ends) else []
        return cls([str(o) for o in stored["quiet_origins"]], windows)


def joined(parts: Sequence[Quiet]) -> Quiet:
    """Join several judged lots."""
    return Quiet(
        [o for p in parts for o in p.origins],
        [w for p in parts for w in p.windows],
    )


def count(bundle: Bundle, quiet: Quiet, *, shipped: Bundle | None = None) -> Mapping[str, Mapping[str, Any]]:
    """Count events, hours and events per hour by set, at the default configuration.

    An hour is one of decisions: the sound before a recording's first whole window cannot raise an event, and is not
    counted.

    Args:
        shipped: whose rules are taken; without it the usual ones, a threshold of 0.5 for every label.
    """
    rules: dict[str, Any] = {"decision": Proposal(), **{name: {} for name in BY_LABEL.values()}}
    if shipped is not None:
        rules = {name: getattr(shipped.card, name) for name in rules}
    bundle = dataclasses.replace(bundle, card=msgspec.structs.replace(bundle.card, **rules))
    decision = config.Decision(hop_ms=DEFAULT_HOP_MS)
    hop = pipeline.hop_frames(decision, bundle) * bundle.card.front_end.hop_length
    events: dict[str, Counter[str]] = {}
    heard: dict[str, float] = {}
    for origin, scores in zip(quiet.origins, quiet.windows, strict=True):
        smoother = pipeline.smoother(bundle, decision)
        detector = pipeline.detector(bundle, decision, span=1, hop=hop, update_interval_s=1e6)
        changes = detector.process(smoother.process(scores))
        found = events.setdefault(origin, Counter())
        found.update(change.label for change in changes if change.phase == "onset")
        heard[origin] = heard.get(origin, 0.0) + len(scores) * hop / bundle.card.front_end.sample_rate
    return {
        origin: {
            "hours": round(heard[origin] / 3600, 3),
            "events": found.total(),
            "per_hour": round(found.total() / heard[origin] * 3600, 2),
            "labels": dict(found.most_common()),
        }
        for origin, found in events.items()
    }
