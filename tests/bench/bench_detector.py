"""A bundle as a detector: event and segment F1, delay, false alarms, and whether a budget that `tune` states is kept.

    python tests/bench/bench_detector.py BUNDLE --rules-of esc10 --scenes S --negatives S/negatives

with ``S`` as ``auricle-build scenes esc10 --fold 4 --number 2 --snr 10 10 --negatives --out S`` writes it, for a bundle
that was trained without fold 4. Prints a Markdown table, F1 and delay on the scenes and false alarms on the negatives,
by the rules of the bundle that ships and at 0.5; then twenty seeded halvings of the negatives, 0.5 in force before
each: tuned on one half, counted on the other.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from auricle import config
from auricle.hearing.hearer import Hearer, Hearing
from auricle.judge import budget, scoring
from auricle.judge.evaluate import Heard, evaluate, gather
from auricle.judge.tune import tune
from auricle.model import bundle

PIECE_S = 30.0
HALVINGS = 20


def pieces(hearer: Hearer, heard: Sequence[Heard]) -> list[Heard]:
    """Divide negatives into parts of half a minute, each taken for independent of the others."""
    rows = round(PIECE_S * hearer.rate / hearer.hop)
    found = []
    for item in heard:
        for first in range(0, len(item.hearing.scores), rows):
            scores = item.hearing.scores[first : first + rows]
            hearing = Hearing(item.hearing.path, scores, hearer.span + (len(scores) - 1) * hearer.hop)
            found.append(dataclasses.replace(item, hearing=hearing))
    return found


def halvings(hearer: Hearer, negatives: Sequence[Heard], per_hour: float) -> tuple[int, list[str]]:
    """Count how often the other half's false alarms lie inside the interval that tuning on one half states."""
    kept, lines = 0, []
    parts = pieces(hearer, negatives)
    for seed in range(HALVINGS):
        order = np.random.default_rng(seed).permutation(len(parts))
        one, other = ([parts[i] for i in half] for half in np.array_split(order, 2))
        tuned, _ = tune(hearer, one, per_hour)
        rules = {
            label: dataclasses.replace(
                hearer.rules[label],
                threshold=found.threshold,
                hysteresis=found.hysteresis,
                min_duration_samples=round(found.min_duration_ms * hearer.rate / 1000),
            )
            for label, found in tuned.labels.items()
        }
        count = sum(o.alarms for o in budget.outcomes(hearer, other, rules).values())
        hours = hearer.hours([item.hearing for item in other])
        inside = tuned.low_per_hour <= count / hours <= tuned.high_per_hour
        kept += inside
        lines.append(f"{count / hours:.1f} in {tuned.low_per_hour:.1f} to {tuned.high_per_hour:.1f}")
    return kept, lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--scenes", type=Path, required=True, help="scenes with their truth beside them")
    parser.add_argument("--negatives", nargs="+", required=True, help="recordings without events")
    parser.add_argument("--rules-of", help="a bundle of the same recipe that ships: its thresholds, durations and lags")
    parser.add_argument("--budget", type=float, nargs="*", default=[0.5, 5.0], help="false alarms an hour")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "auricle-heard")
    told = parser.parse_args()
    opened = bundle.load(told.bundle)
    if told.rules_of:
        shipped = bundle.load(told.rules_of).card
        lags = {name: getattr(shipped.timing, name) for name in ("onset_lag_samples", "offset_lag_samples", "lags")}
        card = msgspec.structs.replace(
            opened.card,
            thresholds=shipped.thresholds,
            min_durations_ms=shipped.min_durations_ms,
            timing=msgspec.structs.replace(opened.card.timing, **lags),
        )
        opened = dataclasses.replace(opened, card=card)
    even = config.Decision(threshold=0.5, min_duration_ms=100.0)
    print("| thresholds | F1 onset | F1 both | F1 1 s | noticed | delay | false alarms an hour (95 %) |")
    print("|-|-|-|-|-|-|-|")
    for name, decision in (("shipped", config.Decision()), ("0.5", even)):
        hearer = Hearer(opened, decision, config.Gate(), cache=told.cache)
        heard, faults = gather(hearer, [str(told.scenes / "*.flac")], told.scenes, told.negatives)
        if faults:
            raise SystemExit("\n".join(faults))
        negatives = [item for item in heard if item.negative]
        over = evaluate(hearer, [item for item in heard if not item.negative]).overall
        hours = hearer.hours([item.hearing for item in negatives])
        count = sum(len(hearer.decide(item.hearing)) for item in negatives)
        low, high = scoring.poisson_interval(count)
        print(
            f"| {name} | {over.event_f1:.2f} | {over.event_f1_with_offset:.2f} | {over.segment_f1:.2f} "
            f"| {over.noticed} of {over.true} | {over.delay_s:.2f} s "
            f"| {count / hours:.1f} ({low / hours:.1f} to {high / hours:.1f}) in {hours:.2f} h |"
        )
    for per_hour in told.budget:
        kept, lines = halvings(hearer, negatives, per_hour)
        print(f"\nbudget {per_hour:g} an hour: kept in {kept} of {HALVINGS} halvings: {'; '.join(lines)}")


if __name__ == "__main__":
    main()
