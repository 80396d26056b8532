"""The report of a cross-validation is one page that is read in two minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle_build.grammar.recipes import StreamingRecipe
from auricle_build.grammar.trunk import Op
from auricle_build.judge.evaluate import Judgement
from auricle_build.reports.fold import Fold, merged
from auricle_build.reports.markdown import table


def operations(ops: Sequence[Op], frames: int, bands: int, columns: int, n_labels: int) -> int:
    """Count the multiplications of one whole window."""
    total = 0
    for op in ops:
        frames = (frames - op.kernel[0]) // op.step[0] + 1
        bands = (bands - op.kernel[1]) // op.step[1] + 1
        per_cell = op.kernel[0] * op.kernel[1] * (op.n_out if op.kind == "depthwise" else op.n_in * op.n_out)
        total += frames * bands * per_cell
    return total + columns * ops[-1].n_out + ops[-1].n_out * n_labels


def confusion_text(judgement: Judgement) -> list[str]:
    """Write the confusion as a table: rows are what a clip was, columns what was said."""
    table = judgement.confusion()
    width = max(map(len, judgement.labels))
    head = " " * width + "  " + " ".join(f"{label[:5]:>5}" for label in judgement.labels)
    rows = [
        f"{label:>{width}}  " + " ".join(f"{n:5d}" if n else "    ." for n in row)
        for label, row in zip(judgement.labels, table, strict=True)
    ]
    return [head, *rows]


def pictures(judgement: Judgement, path: Path) -> None:
    """Draw confusion by share of each row, and confidence against accuracy, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    table = judgement.confusion()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained", width_ratios=(3, 2))
    left.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(table):
        if n:
            left.text(
                j, i, str(n), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black", fontsize=8
            )
    ticks = range(len(judgement.labels))
    left.set_xticks(ticks, judgement.labels, rotation=60, ha="right", fontsize=8)
    left.set_yticks(ticks, judgement.labels, fontsize=8)
    left.set(xlabel="said", ylabel="was")
    top, hit = judgement.scores.max(axis=1), judgement.scores.argmax(axis=1) == judgement.truth
    bins = np.minimum((top * 10).astype(int), 9)
    found = sorted(set(bins.tolist()))
    right.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    right.plot([top[bins == b].mean() for b in found], [hit[bins == b].mean() for b in found], marker="o")
    right.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title="calibration")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def alarms_table(heard: Mapping[str, Any]) -> list[str]:
    """Write the false alarms by set as a table."""
    rows = []
    for origin, found in sorted(heard.items()):
        which = ", ".join(f"{label} {n}" for label, n in found["labels"].items())
        rows.append([origin, *(f"{found[k]:g}" for k in ("hours", "events", "per_hour")), which or "none"])
    return table(["set", "hours", "events", "an hour", "which"], rows)


def write(
    rec: StreamingRecipe,
    measured: Sequence[Fold],
    known: Sequence[int],
    out: Path,
    size: Mapping[str, float],
    heard: Mapping[str, Any],
    shipped: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``models-NAME.md`` and its picture below ``out``.

    Args:
        known: folds that could have been judged; those missing are said to be missing.
        size: ``model_kb``, ``macs`` and ``us`` (a window).
        heard: what :func:`auricle_build.reports.crossval.false_alarms` gives.
        shipped: the same at the thresholds that a bundle ships with.
    """
    name = rec.name
    (out / "images").mkdir(parents=True, exist_ok=True)
    page = out / f"models-{name}.md"
    lines = [f"# The model `{name}`, cross-validated", ""]
    missing = sorted(set(known) - {fold.fold for fold in measured})
    if not measured:
        page.write_text("\n".join([*lines, "Nothing was measured yet.", ""]), encoding="utf-8")
        return page
    whole, int8 = merged([f.whole for f in measured]), merged([f.int8 for f in measured])
    pictures(int8, out / "images" / f"models-{name}.png")
    events = len(int8.events)
    lines += [
        "Each fold was judged by a model trained on the others; takes of one source never part. Clip scores are "
        f"those of `auricle classify`. Accuracy is over the {events} labels"
        + (" (highest score without `background`)" if rec.background else "")
        + ".",
        "",
        *table(
            ["fold", "steps", "clips", "float", "int8", "int8, `background` allowed", "int8 behind the gate"],
            [
                [
                    str(f.fold),
                    str(f.steps),
                    str(int(f.int8.of_events().sum())),
                    f"{100 * f.whole.accuracy():.1f} %",
                    f"{100 * f.int8.accuracy():.1f} %",
                    f"{100 * f.int8.accuracy(with_background=True):.1f} %",
                    f"{100 * f.gated.accuracy():.1f} %",
                ]
                for f in measured
            ]
            + [
                [
                    "all",
                    "",
                    str(int(int8.of_events().sum())),
                    f"{100 * whole.accuracy():.1f} %",
                    f"{100 * int8.accuracy():.1f} %",
                    f"{100 * int8.accuracy(with_background=True):.1f} %",
                    f"{100 * merged([f.gated for f in measured]).accuracy():.1f} %",
                ]
            ],
        ),
        "",
    ]
    if missing:
        lines += [f"Not measured: fold {', '.join(map(str, missing))}.", ""]
    lines += [
        f"`model.tflite` has {size['model_kb']:.0f} KB; a window takes "
        f"{size['macs'] / 1e6:.1f} million multiplications, {size['us']:.0f} us on one thread of this machine "
        f"at writing. Expected calibration error {int8.calibration():.3f}.",
        "",
        "## By label (int8, `background` allowed)",
        "",
        *table(
            ["label", "clips", "precision", "recall", "F1"],
            [
                [label, f"{v['clips']:.0f}", f"{v['precision']:.3f}", f"{v['recall']:.3f}", f"{v['f1']:.3f}"]
                for label, v in int8.per_label().items()
            ],
        ),
        "",
        f"![Confusion and calibration](images/models-{name}.png)",
        "",
        "```text",
        *confusion_text(int8),
        "```",
        "",
    ]
    if heard:
        lines += [
            "## False alarms",
            "",
            "Events at a threshold of 0.5 and the default configuration, on sound kept aside without any label. "
            "Hours are those that decisions were taken on, without the sound before a recording's first window, "
            "summed over the folds' models: what no fold trains on was heard by each of them.",
            "",
            *alarms_table(heard),
            "",
        ]
    if shipped:
        lines += ["The same at the thresholds that the bundle ships with:", "", *alarms_table(shipped), ""]
    lines += ["Written by `auricle-build crossval`.", ""]
    page.write_text("\n".join(lines), encoding="utf-8")
    return page
