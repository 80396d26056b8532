"""`auricle tune`: the rules of every label for a budget of false alarms, from one's own recordings."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from auricle import config
from auricle.config.layers import SYSTEM_FILE
from auricle.errors import EXIT_SKIPPED, UsageError
from auricle.hearing.hearer import Hearer, Progress, bar
from auricle.judge import plots, scoring
from auricle.judge.budget import Outcome, Stretches, outcomes, settle, sweep, with_margin
from auricle.judge.evaluate import Heard, gather
from auricle.model.bundle import Bundle

FRAGMENT = Path("conf.d") / "50-tuned.yaml"


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
    """What `tune` found.

    ``false_alarms`` is counted on the recordings that the rules were fitted to; ``expected_per_hour`` by rules fitted
    without the stretch that is counted, and from ``low`` to ``high`` should lie, with 95 % probability, the rate of as
    many hours again. ``bound_per_hour`` is the exact one-sided 95 % bound of the rate, by the expected count.
    """

    budget_per_hour: float
    hours: float
    false_alarms: int
    false_alarms_before: int
    expected_per_hour: float
    low_per_hour: float
    high_per_hour: float
    bound_per_hour: float
    hours_needed: float | None
    promised: bool
    labels: dict[str, LabelTuned]
    unpromised: dict[str, float | None] = {}
    """Labels with a budget of their own that these hours are too few for; how many hours without an alarm it takes."""


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
    chosen, counts = with_margin(tried, hearer.rules, Stretches(hearer, heard).hours, per_hour, own or {})
    chosen = settle(hearer, heard, chosen)
    before = outcomes(hearer, heard, hearer.rules)
    low, high = scoring.prediction_interval(counts)
    bound = scoring.poisson_bound(sum(counts)) / hours
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
    tuned = Tuned(
        budget_per_hour=per_hour,
        hours=round(hours, 4),
        false_alarms=sum(o.alarms for o in chosen.values()),
        false_alarms_before=sum(o.alarms for o in before.values()),
        expected_per_hour=round(sum(counts) / hours, 4),
        low_per_hour=round(low / hours, 4),
        high_per_hour=round(high / hours, 4),
        bound_per_hour=round(bound, 4),
        hours_needed=round(scoring.poisson_bound(0) / per_hour, 2) if per_hour else None,
        promised=bound <= per_hour,
        unpromised={
            label: round(scoring.poisson_bound(0) / limit, 2) if limit else None
            for label, limit in (own or {}).items()
            if scoring.poisson_bound(labels[label].false_alarms) / hours > limit
        },
        labels=labels,
    )
    return tuned, tried


def remarks(tuned: Tuned) -> list[str]:
    """What the figures mean, and what they cannot say, as lines."""
    lines = [
        f"{tuned.false_alarms} false alarms in these {tuned.hours:.2f} h; {tuned.false_alarms_before} before.",
        f"On new recordings expect {tuned.expected_per_hour:.2f} an hour (95 %: {tuned.low_per_hour:.2f} to "
        f"{tuned.high_per_hour:.2f} in as many hours again): rules fit best what they were fitted to.",
    ]
    if not tuned.promised:
        needed = (
            "no number of hours is enough" if tuned.hours_needed is None else f"{tuned.hours_needed:.1f} h without one"
        )
        lines.append(
            f"Too few hours to promise {tuned.budget_per_hour:g} an hour: it may be {tuned.bound_per_hour:.2f} (95 %). "
            f"No alarm in H hours bounds it only at 3/H: for a promise, {needed}. Record more, and tune again."
        )
    for label, hours_needed in tuned.unpromised.items():
        enough = (
            "no number of hours is enough" if hours_needed is None else f"it takes {hours_needed:.1f} h without one"
        )
        lines.append(f"Too few hours to promise the budget of {label} alone: {enough}.")
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


def fragment_beside(config_file: Path | None) -> Path:
    """What a tuning writes: no later one may build on it."""
    return (config_file or SYSTEM_FILE).parent / FRAGMENT


def where(config_file: Path | None) -> Path:
    """The fragment's place: beside the configuration in use.

    Raises:
        UsageError: there is no configuration in use.
    """
    if config_file is None and not SYSTEM_FILE.exists():
        raise UsageError(f"tune: no configuration in use to write {FRAGMENT} beside; give --config, or --dry-run")
    return fragment_beside(config_file)


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

    Args:
        cfg: without the fragment of an earlier tuning.

    Raises:
        UsageError, ConfigError: what is asked for cannot be.
    """
    if not 0 <= per_hour < math.inf:
        raise UsageError(f"--false-alarms-per-hour: {per_hour:g} is no budget; use a number such as 0.5")
    if plot is not None and not plots.available():
        raise UsageError(f"--plot: {plots.MISSING}")
    target = FRAGMENT if dry_run and config_file is None else where(config_file)
    hearer = Hearer(bundle, cfg.decision, cfg.gate, cache=cache)
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
        lasting = {label: round(found.min_duration_ms * hearer.rate / 1000) for label, found in tuned.labels.items()}
        plots.tuning(
            {label: curve(options, lasting[label], tuned.hours) for label, options in tried.items()},
            {label: (hearer.rules[label].threshold, found.threshold) for label, found in tuned.labels.items()},
            plot,
        )
    if not dry_run:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target}", file=sys.stderr)
    return EXIT_SKIPPED if faults else 0
