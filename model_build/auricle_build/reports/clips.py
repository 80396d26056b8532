"""This is the page of a cross-validation clip by clip: folds, labels, what is taken for what, and what scores mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.model.bundle import Bundle
from auricle_build.judge import calibration
from auricle_build.judge.calibration import Bin
from auricle_build.judge.verdicts import Verdicts
from auricle_build.reports.markdown import table

MISTAKES = 20
"""How many of the most frequent mistakes the page names."""


@dataclass(frozen=True)
class Judged:
    """Holds a fold's bundle and what it said of the fold's clips."""

    bundle: Bundle
    said: Verdicts


def write(
    name: str,
    found: Mapping[int, Judged],
    known: Sequence[int],
    sets: Sequence[str],
    scores: tuple[Sequence[Bin], Sequence[Bin]] | None,
    out: Path,
    beside: Mapping[str, Verdicts] | None = None,
) -> Path:
    """Write ``models-NAME.md`` and its picture below ``out``.

    Args:
        found: what was judged, by fold.
        known: folds that could have been judged; those missing are said to be missing.
        sets: that the clips are of.
        scores: the reliability of windows before calibration and after it; None where there is no other fold.
        beside: what yardsticks said of the same clips, by their names.
    """
    page = out / f"models-{name}.md"
    (out / "images").mkdir(parents=True, exist_ok=True)
    lines = [f"# The model `{name}`, cross-validated", ""]
    if not found:
        page.write_text("\n".join([*lines, "Nothing was measured yet.", ""]), encoding="utf-8")
        return page
    every = Verdicts.joined([judged.said for judged in found.values()])
    some = next(iter(found.values())).bundle
    lines += [
        "Each fold was judged by a model trained on the others; takes of one source never part. It is the int8 bundle "
        "that was judged, and clip scores are those of `auricle classify`. A clip is named right where the highest of "
        f"the labels that its sets hold is its own; in the last column the highest of all {len(some.labels)} labels, "
        "or a label that contains it.",
        "",
        *table(["fold", "steps", "clips", *_columns(every, sets), "of all labels"], _folds(found, every, sets)),
        "",
    ]
    if missing := sorted(set(known) - found.keys()):
        lines += [f"Not measured: fold {', '.join(map(str, missing))}.", ""]
    if beside:
        lines += _beside(name, every, beside, sets)
    lines += [f"`model.tflite` has {len(some.whole) / 1000:.0f} KB.", "", "## By label", ""]
    lines += [
        "Recall: share of a label's clips that are named right. Average precision: over all clips, ranked by the "
        "label's score.",
        "",
        *table(["label", "clips", "recall", "average precision", "how measured"], _labels(some, every)),
        "",
        "## What is taken for what",
        "",
    ]
    wrong = every.mistakes()
    count = sum(n for _, _, n in wrong)
    lines += [
        f"{count} of {len(every.truth)} clips; the most frequent mistakes:",
        "",
        *table(["was", "said", "clips"], [[was, said, str(n)] for was, said, n in wrong[:MISTAKES]]),
        "",
    ]
    if scores is not None:
        lines += _calibration(*scores)
    lines += [f"![Average precision by label; score and truth](images/models-{name}.png)", ""]
    lines += ["Written by `auricle-build crossval`.", ""]
    picture(every, scores, out / "images" / f"models-{name}.png")
    page.write_text("\n".join(lines), encoding="utf-8")
    return page


def _columns(every: Verdicts, sets: Sequence[str]) -> list[str]:
    """Return the groups of sets that are judged together: each by itself, and all."""
    return [f"{' and '.join(group)}, among {len(every.of(group).held)}" for group in _groups(sets)]


def _groups(sets: Sequence[str]) -> list[Sequence[str]]:
    return [[name] for name in sets] + ([sets] if len(sets) > 1 else [])


def _folds(found: Mapping[int, Judged], every: Verdicts, sets: Sequence[str]) -> list[list[str]]:
    some = next(iter(found.values())).bundle
    lots = [(str(fold), str(each.bundle.raw["figures"]["steps"]), each.said) for fold, each in found.items()]
    return [
        [
            name,
            steps,
            str(len(said.truth)),
            *(_share(said.of(group).accuracy()) for group in _groups(sets)),
            _share(said.accuracy_of_all(some.card.includes)),
        ]
        for name, steps, said in [*lots, ("all", "", every)]
    ]


def _beside(name: str, every: Verdicts, beside: Mapping[str, Verdicts], sets: Sequence[str]) -> list[str]:
    """Return the same clips, named by others, whose labels may stand in another order and be more."""
    lots = {f"`{name}`": every, **beside}
    rows = [
        [
            who,
            str(len(said.truth)),
            *(_share(said.of(group).accuracy()) for group in _groups(sets)),
            f"{np.mean([said.average_precision(i) for i in said.held]):.3f}",
        ]
        for who, said in lots.items()
    ]
    return [
        "The same clips by others, which learned of none of them: how they are made docs/models.md says.",
        "",
        *table(["model", "clips", *_columns(every, sets), "mean average precision"], rows),
        "",
    ]


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f} %"


def _labels(bundle: Bundle, every: Verdicts) -> list[list[str]]:
    rows = []
    for i, label in enumerate(bundle.labels):
        clips = int((every.truth == i).sum())
        how = bundle.card.measured.get(label, "by clips" if clips else "by no clip: its sets hold nothing else")
        figures = [every.recall(i), every.average_precision(i)]
        rows.append([label, str(clips), *("-" if np.isnan(f) else f"{f:.3f}" for f in figures), how])
    return rows


def _calibration(before: Sequence[Bin], after: Sequence[Bin]) -> list[str]:
    rows = [[f"{b.low:.1f} to {b.high:.1f}", str(b.count), f"{b.score:.3f}", f"{b.held:.3f}"] for b in after]
    return [
        "## What scores mean",
        "",
        "Of windows mixed of the clips kept aside, labels that have recordings: how often a label was there, by its "
        "score. Each fold's scores are calibrated by what the other folds' models said, as its bundle is. The expected "
        f"calibration error is {calibration.error(after):.4f}; without calibration it is "
        f"{calibration.error(before):.4f}.",
        "",
        *table(["score", "windows and labels", "mean score", "held the label"], rows),
        "",
    ]


def picture(every: Verdicts, scores: tuple[Sequence[Bin], Sequence[Bin]] | None, path: Path) -> None:
    """Draw average precision by label, and how often a label was there by its score, as PNG."""
    from matplotlib.figure import Figure

    held = sorted(every.held, key=every.average_precision)
    figure = Figure(figsize=(11, 2.0 + 0.16 * len(held)), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.barh(range(len(held)), [every.average_precision(i) for i in held], color="tab:blue")
    left.scatter([every.recall(i) for i in held], range(len(held)), color="black", s=9, zorder=2, label="recall")
    left.set_yticks(range(len(held)), [every.labels[i] for i in held], fontsize=7)
    left.set(xlim=(0, 1), ylim=(-1, len(held)), xlabel="average precision")
    left.legend(loc="lower right", fontsize=8)
    right.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, bins in zip(("as trained", "calibrated"), scores or (), strict=False):
        right.plot([b.score for b in bins], [b.held for b in bins], marker="o", label=name)
    right.set(xlabel="score", ylabel="share that held the label", xlim=(0, 1), ylim=(0, 1.02))
    if scores is not None:
        right.legend(fontsize=8)
    figure.savefig(path, dpi=100)
