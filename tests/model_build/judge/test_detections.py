"""Events noticed and false alarms, counted and drawn on: by hand, and as `auricle evaluate` counts them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from auricle import config
from auricle.errors import ConfigError
from auricle.hearing.hearer import Hearer, Hearing
from auricle.judge.evaluate import Heard, evaluate
from auricle.judge.truth import Event
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle_build.judge import detections
from auricle_build.judge.detections import LabelFound, Point
from helpers.bundles import made_up

LABELS = {"siren": [440.0], "bark": [2500.0], "alarm": [5000.0]}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A model of three labels, one of which contains another."""
    return bundles.load(str(made_up(tmp_path / "three", LABELS, includes={"alarm": ["siren"]})))


def heard(
    hearer: Hearer,
    loud: Mapping[str, Sequence[tuple[float, float, float]]],
    true: Sequence[Event],
    seconds: float = 60.0,
) -> Heard:
    """A recording whose labels score so high from then to then."""
    rows = (round(seconds * hearer.rate) - hearer.span) // hearer.hop + 1
    at = (hearer.span + np.arange(rows) * hearer.hop) / hearer.rate
    scores = np.zeros((rows, len(LABELS)), np.float32)
    for label, stretches in loud.items():
        for first, last, score in stretches:
            scores[(at >= first) & (at < last), list(LABELS).index(label)] = score
    return Heard(Hearing("made", scores, round(seconds * hearer.rate)), true, negative=not true)


def test_counts_are_those_of_evaluate(bundle: Bundle) -> None:
    """Over several recordings: events, noticed, false alarms, delay and segments, label by label."""
    hearer = Hearer(bundle, config.Decision(), config.Gate())
    lot = [
        heard(hearer, {"bark": [(5, 7, 0.9), (30, 32, 0.8)]}, [Event(4.8, 6.0, "bark"), Event(50.0, 51.0, "bark")]),
        heard(hearer, {"bark": [(10, 12, 0.9)], "siren": [(20, 25, 0.7)]}, []),
    ]
    report = evaluate(hearer, lot)
    found = detections.find([(hearer, lot)], ["bark", "siren", "sheep"])
    assert set(found.labels) == {"bark", "siren"}, "what the model does not have is not judged"
    for label, mine in found.labels.items():
        told = report.labels[label]
        assert (mine.true, mine.noticed, mine.alarms) == (told.true, told.noticed, told.false_alarms.count)
    assert (found.true, found.noticed, found.alarms) == (2, 1, 3)
    assert found.delay_s == pytest.approx(report.labels["bark"].delay_s, abs=1e-3)
    assert found.segment_f1 == pytest.approx(report.labels["bark"].segment_f1, abs=1e-4)
    assert found.hours == pytest.approx(report.hours, abs=1e-4)
    assert found.hours_without_events == pytest.approx(report.hours_without_events, abs=1e-4)
    twice = detections.find([(hearer, lot), (hearer, lot)], ["bark"])
    assert (twice.true, twice.noticed, twice.alarms, twice.recordings) == (4, 2, 4, 4)
    assert twice.segment_f1 == found.segment_f1


def test_a_siren_is_an_alarm(bundle: Bundle) -> None:
    """What contains the label of an event is no false alarm beside it, nor an event of its own."""
    hearer = Hearer(bundle, config.Decision(), config.Gate())
    lot = [heard(hearer, {"siren": [(5, 9, 0.9)], "alarm": [(5, 9, 0.9), (40, 44, 0.9)]}, [Event(5.0, 9.0, "siren")])]
    found = detections.find([(hearer, lot)], ["siren", "alarm"])
    assert (found.labels["siren"].noticed, found.labels["siren"].alarms) == (1, 0)
    assert (found.labels["alarm"].true, found.labels["alarm"].alarms) == (0, 1)


def test_thresholds_are_tried_label_by_label(bundle: Bundle) -> None:
    """At a rate each label has the threshold that notices most; the others' alarms are their own affair."""
    hearer = Hearer(bundle, config.Decision(), config.Gate())
    loud = {"bark": [(5, 7, 0.42), (30, 32, 0.32)], "siren": [(5, 9, 0.7), (40, 44, 0.8)]}
    lot = [heard(hearer, loud, [Event(4.8, 6.0, "bark"), Event(40.0, 44.0, "siren")])]
    found = detections.find([(hearer, lot)], ["bark", "siren"])
    hours = found.hours
    assert found.labels["bark"].noticed == 0, "by the rule in force, a threshold of 0.5"
    assert found.labels["bark"].recall_at(0.0, hours) == 1.0, "at 0.4 the false alarm of 0.32 is none"
    assert found.labels["siren"].recall_at(0.0, hours) == 1.0
    assert found.recall_at(0.0) == 1.0
    low = next(point for point in found.labels["bark"].points if point.threshold == 0.3)
    assert (low.noticed, low.alarms) == (1, 1)


def test_a_line_is_drawn_on() -> None:
    """Alarms that halve with every step of log-odds go on halving; what is noticed there is read between thresholds."""
    hours, steps = 2.0, np.arange(-2.0, 6.0, 0.5)
    points = []
    for x in steps.tolist():
        rate = 10.0 * 2.0 ** (-2.0 * x)
        points.append(Point(1 / (1 + math.exp(-x)), round(100 - 10 * (x + 2)), round(rate * hours * 1000)))
    label = LabelFound(true=100, points=[*points, Point(1.0, 0, 0)])
    # Alarms were counted in thousandths, so that rounding is no matter.
    wanted = math.log2(10_000.0 / 0.1) / 2
    expected = (100 - 10 * (min(wanted, float(steps[-1])) + 2)) / 100
    assert label.extrapolated(0.1, hours) == pytest.approx(expected, abs=0.02)
    assert label.extrapolated(1000.0, hours) == pytest.approx((100 - 10 * (math.log2(10) / 2 + 2)) / 100, abs=0.02)
    assert math.isnan(LabelFound(true=0, points=points).extrapolated(0.1, hours))
    assert math.isnan(LabelFound(true=1, points=[Point(0.5, 1, 1), Point(0.9, 0, 0)]).extrapolated(0.1, hours))
    rising = [Point(0.5, 1, 1), Point(0.9, 1, 5)]
    assert math.isnan(LabelFound(true=1, points=rising).extrapolated(0.1, hours)), "no line that falls"


def test_rules_of_another_card(bundle: Bundle, tmp_path: Path) -> None:
    """Thresholds, durations and lags are the other's, the network and its labels its own."""
    thresholds = dict.fromkeys(LABELS, 0.8)
    other = bundles.load(str(made_up(tmp_path / "tuned", LABELS, thresholds=thresholds)))
    timing = msgspec.structs.replace(other.card.timing, lags={"bark": (1600, 800)})
    other = dataclasses.replace(other, card=msgspec.structs.replace(other.card, timing=timing))
    mine = detections.with_rules_of(bundle, other)
    rules = Hearer(mine, config.Decision(), config.Gate()).rules
    assert {rule.threshold for rule in rules.values()} == {0.8}
    assert rules["bark"].lags == (1600, 800)
    assert mine.card.includes == bundle.card.includes
    assert mine.hash == bundle.hash
    stranger = bundles.load(str(made_up(tmp_path / "other", {"hum": [100.0]})))
    with pytest.raises(ConfigError, match=r"--rules: .*other has other labels than .*three"):
        detections.with_rules_of(bundle, stranger)


def test_the_interval_of_a_share() -> None:
    """Wilson's: inside 0 and 1, wide where there is little, around the share; nothing is known of none."""
    assert detections.share_interval(0, 0) == (0.0, 1.0)
    low, high = detections.share_interval(0, 10)
    assert (low, round(high, 3)) == (0.0, 0.278)
    low, high = detections.share_interval(50, 100)
    assert (round(low, 3), round(high, 3)) == (0.404, 0.596)
