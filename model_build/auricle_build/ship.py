"""A fine-tuned network becomes a bundle here: calibrated, converted once, compared with what it was made of, and
written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from auricle.config import values
from auricle.errors import ModelError
from auricle.model import bundle as bundles
from auricle.model.card import Affine
from auricle_build import export
from auricle_build.finetune import Trained
from auricle_build.grammar.recipes import PretrainedRecipe
from auricle_build.int8 import convert
from auricle_build.judge import calibration
from auricle_build.judge.calibration import UnseenWindows

EXAMPLES = 400
"""How many windows the int8 ranges are taken from: sounds as recorded. Windows as training makes them are louder and
stranger, and ranges wide enough for those cost a point of accuracy."""
DRAWS = 4
"""From how many draws of such sounds ranges are tried: a single loud window widens a range for all."""
COMPARED = 640
"""On how many other windows, at least, as training draws them, int8 is compared with float."""
FOREIGN = 4
"""How many times as much another class of machine may differ from this one as two sets of kernels here do."""
HOP_MS, SMOOTHING_MS, HYSTERESIS = 160.0, 320.0, 0.1
"""How the card proposes to decide; the hop is a tenth of a window."""
SURE, UNSURE = 0.7, 0.3
"""A label that float gives more than the one shall have at least the other in int8."""
LOST = 0.03
"""The share of these labels for which that may fail."""


def asides(rec: PretrainedRecipe, runs: Path, held_out: Sequence[int]) -> list[Path]:
    """Return the files of what networks of the recipe said of folds they had not heard, in ``runs``; not of what is
    held out itself."""
    found = sorted(runs.glob(f"{rec.name}-without-[0-9]*/aside.npz"))
    mine = {runs / f"{rec.name}-without-{fold}" / "aside.npz" for fold in held_out}
    return [path for path in found if path not in mine]


def ship(trained: Trained, folder: Path, others: Sequence[Path]) -> bundles.Bundle:
    """Calibrate a network and write its bundle.

    Args:
        others: as :func:`asides` finds them.

    Raises:
        ModelError: int8 differs too much from float, or the daemon would not load what was written.
    """
    return write(trained, folder, {"calibration": calibrated(trained, others)})


def calibrated(trained: Trained, others: Sequence[Path]) -> dict[str, Any]:
    """Calibrate a network by what networks of the same recipe said of folds that they had not heard.

    Args:
        others: ``aside.npz`` of these networks' folders; none leaves the scores as they are.

    Returns:
        the reliability table for the card, before and after; empty where nothing was fitted.
    """
    if not others:
        return {}
    windows = UnseenWindows.joined([UnseenWindows.load(path) for path in others])
    scale, shift = calibration.fit(windows, trained.taught)
    trained.network.calibrate(scale, shift)
    before = calibration.reliability(windows, trained.taught, np.ones_like(scale), np.zeros_like(shift))
    after = calibration.reliability(windows, trained.taught, scale, shift)
    table = [
        [round(each.low, 1), round(each.high, 1), each.count, round(each.score, 3), round(each.held, 3)]
        for each in after
    ]
    return {
        "by": [path.parent.name for path in others],
        "windows": len(windows.y),
        "error_before": round(calibration.error(before), 4),
        "error": round(calibration.error(after), 4),
        "from_to_windows_score_held": table,
    }


def closest(
    tried: Iterable[bytes], outputs: Callable[[Any], tuple[Any, Any]], windows: Any
) -> tuple[bytes, convert.Converted, dict[str, Any]]:
    """Choose the graph whose scores differ least from those of the float network.

    Args:
        tried: graphs of the same network.
        outputs: the float network: windows to scores and embedding.
        windows: what they are compared on ``(n, window_frames, n_features)``.

    Returns:
        the graph as bytes and ready to run, and how it differs, for the card.

    Raises:
        ModelError: it, too, loses too many labels that float is sure of.
    """
    exact = np.concatenate([np.asarray(outputs(windows[i : i + 32])[0]) for i in range(0, len(windows), 32)])
    found = [(content, graph := convert.Converted(content), compare(graph, exact, windows)) for content in tried]
    content, graph, said = min(found, key=lambda each: float(each[2]["mean_difference"]))
    if said["sure_labels_lost"] > LOST:
        raise ModelError(
            f"export: int8 loses {said['sure_labels_lost']:.1%} of the labels that float is sure of; "
            f"at most {LOST:.0%} may be"
        )
    return content, graph, {"int8_against_float": said}


def compare(graph: convert.Converted, exact: Any, windows: Any) -> dict[str, Any]:
    """Measure how the scores of an int8 graph differ from the float network's on the same windows, ``exact``."""
    grid = graph.scores
    found = np.stack([(graph(window).astype(np.float32) - grid.zero_point) * grid.scale for window in windows])
    sure = exact > SURE
    same = found.argmax(axis=1) == exact.argmax(axis=1)
    return {
        "windows": len(windows),
        "mean_difference": round(float(np.abs(found - exact).mean()), 5),
        "sure_labels_lost": round(float(np.mean(found[sure] < UNSURE)) if sure.any() else 0.0, 4),
        "same_highest": round(float(same[exact.max(axis=1) > SURE].mean()), 4),
    }


def write(trained: Trained, folder: Path, figures: Mapping[str, Any]) -> bundles.Bundle:
    """Convert a network and write its bundle.

    Raises:
        ModelError: int8 differs too much from float, or the daemon would not load what was written.
    """
    rec, network = trained.recipe, trained.network
    shape = (rec.window_frames(), rec.front_end.n_features)
    # Batches of steps that were never trained on.
    unseen = range(rec.schedule.steps, rec.schedule.steps + -(-COMPARED // rec.batch.size))
    content, graph, said = closest(
        (convert.converted(network.outputs, shape, trained.drawn.as_recorded(EXAMPLES, draw)) for draw in range(DRAWS)),
        network.outputs,
        np.concatenate([trained.drawn(step).x for step in unseen]),
    )
    params = rec.front_end.params
    rows, scores, steps = export.golden_vectors(content, graph.rows, params, shape[0], winner=False)
    files = {"model.tflite": content}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "golden.npz", frames=rows, hop_frames=shape[0], scores=scores)
    for file, each in files.items():
        (folder / file).write_bytes(each)
    hashes = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in (*files, "golden.npz")}
    card: dict[str, Any] = {
        "format": 1,
        "name": rec.name,
        "description": rec.description or "",
        "licence": rec.licence,
        "labels": rec.names,
        "background": None,
        "head": rec.head,
        "input": {"kind": "features", "shape": list(shape)},
        "front_end": {**params, "behind_gate": rec.behind_gate},
        "quantisation": {"input": _card(graph.rows), "output": _card(graph.scores)},
        "embedding": {"output": convert.EMBEDDING, "size": graph.size, **_card(graph.embedding)},
        "timing": {"window_frames": shape[0], "onset_lag_samples": 0, "offset_lag_samples": 0},
        "padding": "wrap",
        "streaming": False,
        "decision": {"hop_ms": HOP_MS, "smoothing_ms": SMOOTHING_MS, "hysteresis": HYSTERESIS},
        "golden_steps": max(2, FOREIGN * steps),
        "includes": {label.name: list(label.includes) for label in rec.labels if label.includes},
        "measured": {
            label.name: "no recording: AudioSet's word"
            for label, told in zip(rec.labels, trained.taught, strict=True)
            if not told
        },
        "trained_on": [pretrained(rec), *export.trained_on(rec.data.sets, trained.clips)],
        "figures": {"steps": trained.steps, **said, **figures},
        "recipe": values(rec),
        "files": hashes,
    }
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return bundles.load(str(folder))


def _card(grid: Affine) -> dict[str, Any]:
    return {"scale": grid.scale, "zero_point": grid.zero_point}


def pretrained(rec: PretrainedRecipe) -> dict[str, Any]:
    """Return the entries of the card about the weights that training began from."""
    told = rec.network
    return {"name": "AudioSet", "licence": told.licence, "source": told.source, "sha256": told.sha256}
