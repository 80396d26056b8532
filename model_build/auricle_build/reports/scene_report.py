"""This page is about events in scenes: what models notice at which false alarms, side by side, by the rules that
ship."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from auricle import config
from auricle.errors import ConfigError
from auricle.hearing.hearer import Hearer
from auricle.judge import evaluate as evaluates
from auricle.judge import scoring
from auricle.judge.evaluate import Heard
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle_build.grammar import fit
from auricle_build.judge import detections
from auricle_build.judge.detections import Found, LabelFound
from auricle_build.material.scenes import ABOUT
from auricle_build.reports.markdown import table

RATES = (1.0, 0.5)
"""The false alarms an hour and label at which the page says what is noticed."""
RARE = 0.1
"""The rate of one false alarm in ten hours."""


@dataclass(frozen=True)
class Column:
    """Holds a model of the page: bundles by fold, each with what it heard, and whose rules they decide by."""

    name: str
    lots: Sequence[tuple[Hearer, Sequence[Heard]]]
    rules: Bundle
    found: Found


def named(given: Sequence[str], option: str) -> dict[str, str]:
    """Read ``NAME=BUNDLE`` by name.

    Raises:
        ConfigError: one is no such pair, or a name comes twice.
    """
    found: dict[str, str] = {}
    for each in given:
        name, equals, path = each.partition("=")
        if not (name and equals and path):
            raise ConfigError(
                [f"{option}: {each!r} is no NAME=BUNDLE; give one as home=runs/home-without-{{fold}}/bundle"]
            )
        if name in found:
            raise ConfigError([f"{option}: {name!r} is given twice; give each model a name of its own"])
        found[name] = path
    return found


def _by_fold(path: str, folds: Sequence[int]) -> list[str]:
    """Return a path for each fold: its own, where it says ``{fold}``, else the same."""
    return [path.replace("{fold}", str(fold)) for fold in folds]


def run(
    models: Mapping[str, str],
    rules: Mapping[str, str],
    scenes: str,
    folds: Sequence[int],
    labels: Sequence[str],
    *,
    name: str,
    out: Path,
    cache: Path | None,
    say: Callable[[str], None],
) -> Path:
    """Let models hear scenes, judge what they decide, and write ``scenes-NAME.md`` with its picture.

    Args:
        models: bundles by name; ``{fold}`` in a path stands for each fold, whose model hears that fold's scenes.
        rules: bundles whose rules a model of this name decides by, in place of its own.
        scenes: a folder that `auricle-build scenes` made; with ``{fold}`` in it one for each fold.
        labels: those to judge; without any, those that the truth holds.

    Returns:
        the page.

    Raises:
        ConfigError: there is nothing to hear, or names do not fit together.
    """
    if strange := sorted(rules.keys() - models.keys()):
        raise ConfigError([f"--rules: {fit.unknown(name, sorted(models), 'no --model')}" for name in strange])
    together = "{fold}" not in scenes
    if together and (torn := [path for path in models.values() if "{fold}" in path]):
        raise ConfigError(
            [f"--model: {torn[0]} is one for each fold, but --scenes are one folder; put {{fold}} there too"]
        )
    if not together and not folds:
        raise ConfigError([f"--scenes: {scenes} is one folder for each fold; say which with --fold"])
    of_folds = [0] if together else list(folds)
    folders = [Path(folder) for folder in _by_fold(scenes, of_folds)]
    opened: dict[str, tuple[list[Bundle], Bundle]] = {}
    for model, path in models.items():
        each = [bundles.load(one) for one in _by_fold(path, of_folds)]
        whose = bundles.load(rules[model]) if model in rules else each[0]
        opened[model] = ([detections.with_rules_of(one, whose) if model in rules else one for one in each], whose)
    columns: list[Column] = []
    judged: list[str] = list(labels)
    for model, (each, whose) in opened.items():
        lots = [
            (hearer := Hearer(one, config.Decision(), config.Gate(), cache=cache), _heard(hearer, folder, say))
            for one, folder in zip(each, folders, strict=True)
        ]
        judged = judged or sorted({event.label for _, heard in lots for item in heard for event in item.truth})
        found = detections.find(lots, judged)
        if not found.labels:
            raise ConfigError([f"--model: {model!r} has none of the labels {', '.join(judged)}"])
        say(f"{model}: {found.hours:.2f} h, {found.noticed} of {found.true} noticed, {found.alarms} false alarms")
        columns.append(Column(model, lots, whose, found))
    (out / "images").mkdir(parents=True, exist_ok=True)
    picture(columns, out / "images" / f"scenes-{name}.png")
    page = out / f"scenes-{name}.md"
    page.write_text("\n".join(text(name, columns, judged, folders)) + "\n", encoding="utf-8")
    return page


def _heard(hearer: Hearer, folder: Path, say: Callable[[str], None]) -> list[Heard]:
    negatives = folder / "negatives"
    recordings = sorted(str(path) for path in folder.glob("*.flac"))
    if not recordings and not negatives.is_dir():
        raise ConfigError([f"--scenes: {folder} holds no scenes; make some with auricle-build scenes"])
    found, faults = evaluates.gather(hearer, recordings, folder, [str(negatives)] if negatives.is_dir() else [])
    for fault in faults:
        say(f"skipped: {fault}")
    return found


def text(name: str, columns: Sequence[Column], judged: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Write the page's lines."""
    some = columns[0].found
    hours = some.hours
    header = ["label", "events", *(column.name for column in columns)]
    lacking = [(c.name, [label for label in judged if label not in c.found.labels]) for c in columns]
    return [
        f"# Events noticed in scenes: {name}",
        "",
        f"{some.recordings} recordings of {hours:.2f} h, {some.hours_without_events:.2f} h of them without any event; "
        f"{some.true} events of {len(some.labels)} labels. Every model hears only what it was not trained on, through "
        "the daemon's own decisions. Noticed is an event that a report of its label comes near to (0.5 s); a report "
        "that comes near none is a false alarm. Only the labels below are counted.",
        "",
        *(f"- {line}" for line in _made(folders)),
        "",
        *table(["", *header[2:]], _together(columns)),
        "",
        *(f"`{who}` lacks {', '.join(left)}: its figures are of the others." for who, left in lacking if left),
        "",
        f"At a rate: each label by the threshold that notices most on these very {hours:.1f} h with so many false "
        f"alarms, the rest of its rule as it is. One an hour, counted in {hours:.1f} h, is {_within(1.0, hours)} an "
        f"hour (95 %); half an hour {_within(0.5, hours)}. {_rare(hours)}",
        "",
        "Whose rules:",
        "",
        *(f"- {column.name}: {_whose(column)}" for column in columns),
        "",
        "## By label, by the rules in force",
        "",
        "Noticed; false alarms an hour (95 %).",
        "",
        *table(header, _by_label(columns, judged, _as_shipped)),
        "",
        "## By label, at a rate of false alarms",
        "",
        f"Noticed at one false alarm an hour / at half a one / at one in ten hours{_named(hours)}.",
        "",
        *table(header, _by_label(columns, judged, _at_rates)),
        "",
        f"![Noticed over false alarms](images/scenes-{name}.png)",
        "",
        "Written by `auricle-build scene-report`.",
    ]


def _within(rate: float, hours: float) -> str:
    low, high = scoring.poisson_interval(math.floor(rate * hours + 1e-9))
    return f"{low / hours:.2f} to {high / hours:.2f}"


def _made(folders: Sequence[Path]) -> list[str]:
    """Return how the scenes were made, as they say themselves."""
    found = []
    for folder in folders:
        if not (folder / ABOUT).exists():
            found.append(f"{folder.name}: it does not say how it was made")
            continue
        about = yaml.safe_load((folder / ABOUT).read_text(encoding="utf-8"))
        told = {key: _plain(key, value) for key, value in about.items() if value != []}
        found.append(f"{folder.name}: {', '.join(f'{key} {value}' for key, value in told.items())}")
    return found


def _plain(key: str, value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    return (" to " if key == "snr_db" else " ").join(map(str, value))


def _named(hours: float) -> str:
    return "" if hours * RARE >= 1 else " (extrapolated)"


def _rare(hours: float) -> str:
    if hours * RARE >= 1:
        return ""
    return (
        f"One in ten hours is an extrapolation, since {hours:.1f} h cannot show it: the logarithm of the rate is drawn "
        "on in a straight line over the threshold's log-odds; '-' where too few false alarms came to draw one."
    )


def _whose(column: Column) -> str:
    card, tuned = column.rules.card, column.rules.raw.get("figures", {}).get("detector", {})
    hashes = ", ".join(dict.fromkeys(hearer.bundle.hash for hearer, _ in column.lots))
    line = f"model `{card.name}` ({hashes})"
    if not card.thresholds:
        return f"{line}, which proposes no thresholds: 0.5 for all"
    if not tuned:
        return f"{line}, rules of the card {column.rules.hash}"
    hours = tuned.get("scenes_and_negatives", {}).get("hours", 0.0)
    return (
        f"{line}, rules of the card {column.rules.hash}, tuned to {tuned['budget_per_hour']:g} false alarms an hour of "
        f"all labels on {hours:.1f} h"
    )


def _together(columns: Sequence[Column]) -> list[list[str]]:
    found = [column.found for column in columns]
    one, half = RATES
    rows: list[tuple[str, Callable[[Found], str]]] = [
        ("noticed (95 %)", _noticed),
        ("false alarms an hour (95 %)", lambda f: _alarms(f.alarms, f.hours)),
        ("onset message, median delay", lambda f: "-" if math.isnan(f.delay_s) else f"{f.delay_s:.2f} s"),
        (
            "F1 of segments of 1 s, mean over labels",
            lambda f: "-" if math.isnan(f.segment_f1) else f"{f.segment_f1:.2f}",
        ),
        ("noticed at one false alarm an hour and label, mean", lambda f: _share(f.recall_at(one))),
        ("noticed at half a one, mean", lambda f: _share(f.recall_at(half))),
        (f"noticed at one in ten hours, mean{_named(found[0].hours)}", lambda f: _share(_rarely(f))),
    ]
    return [[what, *map(of, found)] for what, of in rows]


def _rarely(found: Found) -> float:
    return found.recall_at(RARE) if found.hours * RARE >= 1 else found.extrapolated(RARE)


def _noticed(found: Found | LabelFound) -> str:
    if not found.true:
        return "-"
    low, high = detections.share_interval(found.noticed, found.true)
    return f"{100 * found.noticed / found.true:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def _alarms(count: int, hours: float) -> str:
    low, high = scoring.poisson_interval(count)
    return f"{count / hours:.2f} ({low / hours:.2f} to {high / hours:.2f})"


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"


def _by_label(
    columns: Sequence[Column], judged: Sequence[str], cell: Callable[[LabelFound, float], str]
) -> list[list[str]]:
    rows = []
    for label in judged:
        mine = [(column.found.labels.get(label), column.found.hours) for column in columns]
        events = next((str(found.true) for found, _ in mine if found is not None), "-")
        rows.append([label, events, *("-" if found is None else cell(found, hours) for found, hours in mine)])
    return rows


def _as_shipped(label: LabelFound, hours: float) -> str:
    noticed = f"{100 * label.noticed / label.true:.0f} %" if label.true else "-"
    return f"{noticed}; {_alarms(label.alarms, hours)}"


def _at_rates(label: LabelFound, hours: float) -> str:
    rare = label.recall_at(RARE, hours) if hours * RARE >= 1 else label.extrapolated(RARE, hours)
    return " / ".join(_share(share) for share in (*(label.recall_at(rate, hours) for rate in RATES), rare))


def picture(columns: Sequence[Column], path: Path) -> None:
    """Draw the mean share noticed over the false alarms an hour that each label may have, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    least = 1.0 / columns[0].found.hours
    rates = [rate for rate in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20) if rate >= least]
    for column in columns:
        axes.plot(rates, [100 * column.found.recall_at(rate) for rate in rates], marker="o", ms=3, label=column.name)
    axes.set(xscale="log", ylim=(0, 100), xlabel="false alarms an hour and label", ylabel="events noticed / %, mean")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)
