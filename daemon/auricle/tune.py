"""`auricle tune`: the rules of every label for a budget of false alarms, from one's own recordings."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from auricle import config, pipeline, plots, scoring
from auricle.bundle import Bundle
from auricle.config_layers import SYSTEM_FILE
from auricle.decision import Rule
from auricle.errors import EXIT_SKIPPED, UsageError
from auricle.evaluate import Heard, gather
from auricle.hearing import Hearer, Progress, bar
from auricle.scoring import Tally

FRAGMENT = Path("conf.d") / "50-tuned.yaml"

THRESHOLDS = (
    *(n / 20 for n in range(4, 18)),
    0.88,
    0.9,
    0.92,
    0.94,
    0.95,
    0.96,
    0.97,
    0.98,
    0.985,
    0.99,
    0.993,
    0.996,
    1.0,
)
"""What is tried. int8 scores end at 255/256, so that 1 silences a label."""
DURATIONS_MS = (100.0, 300.0, 600.0)
HYSTERESES = (0.05, 0.1, 0.2, 0.3)
_MOST_ALARMS = 2000


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a label's rule gives on the recordings."""

    rule: Rule
    alarms: int
    true: int
    noticed: int
    onset_f1: float

    @property
    def recall(self) -> float | None:
        """Share of the true events noticed; None without truth."""
        return self.noticed / self.true if self.true else None


Outcomes = Mapping[str, Sequence[Outcome]]


def outcomes(hearer: Hearer, heard: Sequence[Heard], rules: Mapping[str, Rule]) -> dict[str, Outcome]:
    """What every label's rule gives; the rules do not see each other, so that all are tried in one replay."""
    tally = Tally(hearer.labels)
    alarms, noticed = dict.fromkeys(hearer.labels, 0), dict.fromkeys(hearer.labels, 0)
    for item in heard:
        reported = hearer.decide(item.hearing, rules)
        tally.add_events(item.truth, reported, offsets=False)
        for event in scoring.false_alarms(item.truth, reported):
            alarms[event.label] += 1
        for true in scoring.noticed(item.truth, reported):
            noticed[true.label] += 1
    return {
        label: Outcome(rules[label], alarms[label], counts.true, noticed[label], counts.f1 if counts.true else math.nan)
        for label, counts in tally.per_label.items()
    }


def sweep(
    hearer: Hearer,
    heard: Sequence[Heard],
    progress: Progress | None = None,
    *,
    durations_ms: Sequence[float] = DURATIONS_MS,
) -> dict[str, list[Outcome]]:
    """Every threshold with every minimum duration, for every label, at the hysteresis in force."""
    durations = [round(ms * hearer.rate / 1000) for ms in durations_ms]
    found: dict[str, list[Outcome]] = {label: [] for label in hearer.labels}
    tried = [(threshold, duration) for threshold in THRESHOLDS for duration in durations]
    for i, (threshold, duration) in enumerate(tried, start=1):
        rules = {
            label: dataclasses.replace(
                rule,
                threshold=threshold,
                hysteresis=min(rule.hysteresis, threshold / 2),
                min_duration_samples=duration,
            )
            for label, rule in hearer.rules.items()
        }
        for label, outcome in outcomes(hearer, heard, rules).items():
            found[label].append(outcome)
        if progress is not None:
            progress(i / len(tried))
    return found


def choose(
    tried: Outcomes, in_force: Mapping[str, Rule], hours: float, per_hour: float, own: Mapping[str, float]
) -> dict[str, Outcome]:
    """The outcome of every label that together notice most while the false alarms stay within the budget.

    Of a label whose truth is known the recall counts; of another how low its threshold is, which is never lowered below
    the one in force: what it would notice, and what it would mistake, nobody has shown.

    Args:
        hours: heard in all.
        per_hour: false alarms of all labels together.
        own: a tighter budget for single labels.
    """
    most = min(_allowed(per_hour, hours), _MOST_ALARMS)
    best: list[tuple[float, dict[str, Outcome]]] = [(0.0, {})] * (most + 1)
    for label, options in tried.items():
        limit = min(most, _allowed(own[label], hours)) if label in own else most
        steps = _frontier(options, in_force[label], limit)
        # The knapsack, exactly: best[k] holds the labels so far with at most k alarms.
        grown: list[tuple[float, dict[str, Outcome]]] = []
        for k in range(most + 1):
            value, step = max(
                ((best[k - o.alarms][0] + worth, o) for worth, o in steps if o.alarms <= k), key=lambda pair: pair[0]
            )
            grown.append((value, {**best[k - step.alarms][1], label: step}))
        best = grown
    return best[most][1]


def _allowed(per_hour: float, hours: float) -> int:
    # A hair more, so that 0.5 an hour in 2 h is one in spite of rounding.
    return math.floor(per_hour * hours + 1e-9)


def _frontier(options: Sequence[Outcome], now: Rule, limit: int) -> list[tuple[float, Outcome]]:
    """For every number of alarms the best outcome, with its worth; none that more alarms do not improve."""

    def worth(o: Outcome) -> float:
        return 1 - o.rule.threshold if o.recall is None else o.recall

    def better(o: Outcome) -> tuple[float, ...]:
        # Of equals: the better onsets, then the rule nearest to the usual duration, then the higher threshold.
        onset = 0.0 if math.isnan(o.onset_f1) else round(o.onset_f1, 3)
        return worth(o), onset, -o.rule.min_duration_samples, o.rule.threshold

    allowed = [
        o
        for o in options
        if o.alarms <= limit and (o.true or o.rule.threshold >= now.threshold or o.rule.threshold == 1)
    ]
    found: list[tuple[float, Outcome]] = []
    for alarms in sorted({o.alarms for o in allowed}):
        top = max((o for o in allowed if o.alarms == alarms), key=better)
        if not found or better(top) > better(found[-1][1]):
            found.append((worth(top), top))
    return found


def settle(hearer: Hearer, heard: Sequence[Heard], chosen: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Try other hystereses at the chosen thresholds: taken where the onsets get better, and nothing gets worse."""
    found = dict(chosen)
    for hysteresis in HYSTERESES:
        rules = {
            label: dataclasses.replace(o.rule, hysteresis=min(hysteresis, round(o.rule.threshold / 2, 4)))
            for label, o in chosen.items()
        }
        for label, o in outcomes(hearer, heard, rules).items():
            now = found[label]
            if o.true and o.alarms <= now.alarms and o.noticed >= now.noticed and o.onset_f1 > now.onset_f1:
                found[label] = o
    return found


class LabelTuned(msgspec.Struct):
    """What was chosen for a label, and what it gave; before are the rules that were in force."""

    threshold: float
    hysteresis: float
    min_duration_ms: float
    changed: bool
    false_alarms: int
    false_alarms_before: int
    true: int
    noticed: int
    noticed_before: int


class Tuned(msgspec.Struct):
    """What `tune` found. Rates are an hour; ``bound`` is the exact one-sided 95 % bound of the rate."""

    budget_per_hour: float
    hours: float
    false_alarms: int
    false_alarms_before: int
    bound_per_hour: float
    hours_needed: float
    promised: bool
    labels: dict[str, LabelTuned]


def tune(
    hearer: Hearer,
    heard: Sequence[Heard],
    per_hour: float,
    own: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> tuple[Tuned, dict[str, list[Outcome]]]:
    """Choose the rules for a budget; with them, all that was tried."""
    tried = sweep(hearer, heard, progress)
    hours = hearer.hours([item.hearing for item in heard])
    chosen = settle(hearer, heard, choose(tried, hearer.rules, hours, per_hour, own or {}))
    before = outcomes(hearer, heard, hearer.rules)
    count = sum(o.alarms for o in chosen.values())
    bound = scoring.poisson_bound(count) / hours
    needed = scoring.poisson_bound(0) / per_hour if per_hour else math.inf
    labels = {
        label: LabelTuned(
            threshold=round(o.rule.threshold, 4),
            hysteresis=round(o.rule.hysteresis, 4),
            min_duration_ms=round(1000 * o.rule.min_duration_samples / hearer.rate, 3),
            changed=o.rule != hearer.rules[label],
            false_alarms=o.alarms,
            false_alarms_before=before[label].alarms,
            true=o.true,
            noticed=o.noticed,
            noticed_before=before[label].noticed,
        )
        for label, o in chosen.items()
    }
    return Tuned(
        per_hour,
        round(hours, 4),
        count,
        sum(o.alarms for o in before.values()),
        round(bound, 4),
        round(needed, 2),
        bound <= per_hour,
        labels,
    ), tried


def remarks(tuned: Tuned) -> list[str]:
    """What the figures mean, and what they cannot say, as lines."""
    lines = [
        f"{tuned.false_alarms} false alarms in {tuned.hours:.2f} h, {tuned.false_alarms_before} with the rules before; "
        f"at 95 % confidence at most {tuned.bound_per_hour:.2f} an hour."
    ]
    if not tuned.promised:
        lines.append(
            f"Too few hours to promise {tuned.budget_per_hour:g} an hour: that takes {tuned.hours_needed:.1f} h "
            "without a false alarm (no alarm in H hours bounds the rate only at 3/H). Record more, and tune again."
        )
    silenced = [label for label, found in tuned.labels.items() if found.threshold >= 1]
    if silenced:
        lines.append(f"Silenced, because no threshold below 1 keeps the budget: {', '.join(silenced)}.")
    blind = [label for label, found in tuned.labels.items() if not found.true]
    if blind and len(blind) < len(tuned.labels):
        lines.append(f"Without true events, hence only ever raised: {', '.join(blind)}.")
    elif blind:
        lines.append("No true events were given: what the labels now miss is not known. Thresholds were only raised.")
    return lines


def fragment(tuned: Tuned, recordings: int) -> str:
    """The configuration's fragment, with what each line rests on."""
    lines = [
        f"# By auricle tune, for at most {tuned.budget_per_hour:g} false alarms an hour, from {recordings} recordings.",
        "# The next tuning writes this file anew: put what is yours elsewhere, such as conf.d/60-own.yaml.",
        *(f"# {line}" for line in remarks(tuned)),
        "decision:",
        "  labels:",
    ]
    changed = 0
    for label, found in tuned.labels.items():
        values = f"threshold: {found.threshold:g}, hysteresis: {found.hysteresis:g}"
        recall = f", noticed {found.noticed} of {found.true}" if found.true else ""
        gave = f"# {found.false_alarms} false alarms{recall}"
        if found.changed:
            changed += 1
            lines.append(f"    {label}: {{{values}, min_duration_ms: {found.min_duration_ms:g}}}  {gave}")
        else:
            lines.append(f"    # {label}: as it was  {gave}")
    if not changed:
        lines[lines.index("  labels:")] = "  labels: {}"
    return "\n".join(lines) + "\n"


def untuned(cfg: config.Config, fragment_path: Path) -> config.Decision:
    """The decision rules without those of an earlier tuning: a tuning never builds on one before."""
    prefix = f"{fragment_path}:"

    def own(label: str, rule: config.LabelRule) -> config.LabelRule:
        names = [item.name for item in dataclasses.fields(rule)]
        tuned = [n for n in names if cfg.origins.get(f"decision.labels.{label}.{n}", "").startswith(prefix)]
        return dataclasses.replace(rule, **dict.fromkeys(tuned, None))

    labels = {label: own(label, rule) for label, rule in cfg.decision.labels.items()}
    return dataclasses.replace(cfg.decision, labels=labels)


def where(config_file: Path | None) -> Path:
    """The fragment's place: beside the configuration in use.

    Raises:
        UsageError: there is no configuration in use.
    """
    if config_file is None and not SYSTEM_FILE.exists():
        raise UsageError(f"tune: no configuration in use to write {FRAGMENT} beside; give --config, or --dry-run")
    return (config_file or SYSTEM_FILE).parent / FRAGMENT


def budgets(given: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """``dog_bark=0.1`` for single labels.

    Raises:
        UsageError: it is not of this form, or the model has no such label.
    """
    found = {}
    for text in given:
        label, _, rate = text.partition("=")
        try:
            found[label] = float(rate)
        except ValueError:
            found[label] = -1.0
        if not 0 <= found[label] < math.inf:
            raise UsageError(f"--label: {text!r} is no budget; use one such as dog_bark=0.1, false alarms an hour")
        if label not in labels:
            raise UsageError(f"--label: the model has no label {label!r}; it has {', '.join(labels)}")
    return found


def curve(options: Sequence[Outcome], duration: int, hours: float) -> list[tuple[float, float, float | None]]:
    """Threshold, false alarms an hour and recall of what was tried at one minimum duration."""
    return [(o.rule.threshold, o.alarms / hours, o.recall) for o in options if o.rule.min_duration_samples == duration]


def command(
    paths: Sequence[str],
    cfg: config.Config,
    bundle: Bundle,
    *,
    config_file: Path | None,
    truth_path: Path | None,
    negatives: Sequence[str],
    per_hour: float,
    own: Sequence[str],
    dry_run: bool,
    json: bool,
    plot: Path | None,
    cache: Path | None,
    say: Callable[[str], None] = print,
) -> int:
    """Tune, and write the fragment; the exit code.

    Raises:
        UsageError, ConfigError: what is asked for cannot be.
    """
    if not 0 <= per_hour < math.inf:
        raise UsageError(f"--false-alarms-per-hour: {per_hour:g} is no budget; use a number such as 0.5")
    if plot is not None and not plots.available():
        raise UsageError(f"--plot: {plots.MISSING}")
    target = FRAGMENT if dry_run and config_file is None else where(config_file)
    hearer = Hearer(bundle, untuned(cfg, target), cfg.gate, cache=cache)
    limits = budgets(own, hearer.labels)
    # Recordings without truth are taken as what they are most often: evenings with nothing in them.
    quiet = [*negatives, *(paths if truth_path is None else ())]
    with bar("hearing", shown=not json) as progress:
        heard, faults = gather(hearer, paths if truth_path is not None else (), truth_path, quiet, progress)
    for fault in faults:
        print(f"auricle: skipped: {fault}", file=sys.stderr)
    if not any(len(item.hearing.scores) for item in heard):
        raise UsageError("tune: none of the recordings can be heard, or all are shorter than the model's window")
    with bar("tuning", shown=not json) as progress:
        tuned, tried = tune(hearer, heard, per_hour, limits, progress)
    text = fragment(tuned, len(heard))
    if json:
        print(msgspec.json.encode(tuned).decode())
    elif dry_run:
        say(text.rstrip("\n"))
    else:
        for line in remarks(tuned):
            say(line)
    if plot is not None:
        duration = pipeline.samples(DURATIONS_MS[0], bundle)
        plots.tuning(
            {label: curve(options, duration, tuned.hours) for label, options in tried.items()},
            {label: (hearer.rules[label].threshold, found.threshold) for label, found in tuned.labels.items()},
            plot,
        )
    if not dry_run:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target}", file=sys.stderr)
    return EXIT_SKIPPED if faults else 0
