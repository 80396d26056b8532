"""How often a model speaks of what is not there: events on sound that holds none, by the daemon's own rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from auricle import config, pipeline
from auricle.bundle import Bundle
from auricle_build.clips import Clip
from auricle_build.evaluate import Scores


def count(
    bundle: Bundle, clips: Sequence[Clip], windows: Sequence[Scores], seconds: Sequence[float]
) -> Mapping[str, Mapping[str, float | int | dict[str, int]]]:
    """Events, hours and events per hour, by set of recordings, at the default configuration and the card's thresholds.

    Args:
        clips: recordings without any of the model's events.
        windows: their scores ``(n_windows, n_labels)`` at the default decision hop, not smoothed.
        seconds: how long each is.
    """
    decision = config.Decision()
    hop = pipeline.hop_frames(decision, bundle) * bundle.card.front_end.hop_length
    events: dict[str, Counter[str]] = {}
    heard: dict[str, float] = {}
    for clip, scores, length in zip(clips, windows, seconds, strict=True):
        smoother = pipeline.smoother(bundle, decision)
        detector = pipeline.detector(bundle, decision, span=1, hop=hop, update_interval_s=1e6)
        changes = detector.process(smoother.process(scores))
        found = events.setdefault(clip.origin, Counter())
        found.update(change.label for change in changes if change.phase == "onset")
        heard[clip.origin] = heard.get(clip.origin, 0.0) + length
    return {
        origin: {
            "hours": round(heard[origin] / 3600, 3),
            "events": found.total(),
            "per_hour": round(found.total() / heard[origin] * 3600, 2),
            "labels": dict(found.most_common()),
        }
        for origin, found in events.items()
    }
