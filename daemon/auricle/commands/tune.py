"""`auricle tune`: a fragment of the configuration whose rules keep a budget of false alarms."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from auricle import config
from auricle.commands.progress import bar
from auricle.commands.text import complain
from auricle.config.layers import SYSTEM_FILE
from auricle.errors import EXIT_SKIPPED, UsageError
from auricle.hearing.hearer import Hearer
from auricle.judge import plots
from auricle.judge.evaluate import gather
from auricle.judge.tune import curve, fragment, remarks, tune
from auricle.model.bundle import Bundle

FRAGMENT = Path("conf.d") / "50-tuned.yaml"


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
        complain(f"auricle: skipped: {fault}")
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
