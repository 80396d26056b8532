"""A bundle is written here, with both graphs, golden vectors and the card, or refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from auricle.config import values
from auricle.errors import ModelError
from auricle.model import litert
from auricle.model.bundle import load
from auricle.model.card import Affine
from auricle.model.network import quantise
from auricle_build.grammar.material import ClipSet
from auricle_build.grammar.recipes import StreamingRecipe
from auricle_build.grammar.trunk import reach
from auricle_build.int8 import golden, graph
from auricle_build.int8.convert import SCORES
from auricle_build.int8.quantise import Quantised
from auricle_build.judge.evaluate import Judgement
from auricle_build.material.clips import Clip

GOLDEN_WINDOWS = 8


def refuse(whole: Judgement, quantised: Judgement, *, margin: float = 0.02, margin_per_label: float = 0.15) -> None:
    """Refuse an int8 model that falls behind its float one on the same clips.

    Args:
        margin: how much of the accuracy over all event clips may be lost.
        margin_per_label: how much of one label's recall may be lost. A single clip always may, in both.

    Raises:
        ModelError: int8 lost more than that.
    """
    lost = whole.accuracy() - quantised.accuracy()
    if lost > max(margin, 1.01 / max(1, int(whole.of_events().sum()))):
        raise ModelError(
            f"export: int8 accuracy {quantised.accuracy():.3f} is {lost:.3f} behind float; at most {margin} may be, "
            "give schedule.quantised_steps more"
        )
    before, after = whole.recall_among_events(), quantised.recall_among_events()
    clips = Counter(whole.labels[i] for i in whole.truth)
    for label, recall in before.items():
        lost = recall - after[label]
        if lost > max(margin_per_label, 1.01 / clips[label]):
            raise ModelError(
                f"export: label {label!r}: int8 finds {after[label]:.2f} of its clips, float {recall:.2f}; "
                f"at most {margin_per_label} may be lost"
            )


def trained_on(sets: Sequence[ClipSet], clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Return the entries of the card about the material."""
    counts = Counter(c.origin for c in clips)
    return [
        {"name": s.name, "licence": s.licence, "source": s.source, "clips": counts[s.name]}
        for s in sets
        if counts[s.name]
    ]


def write(
    folder: Path,
    model: Quantised,
    recipe: StreamingRecipe,
    *,
    n_features: int,
    clips: Sequence[Clip],
    lags: tuple[int, int],
    figures: Mapping[str, Any],
) -> None:
    """Write ``model.tflite``, ``stream.tflite``, ``golden.npz`` and ``card.yaml``, then load them as the daemon does.

    Raises:
        ModelError: the daemon would refuse the bundle.
    """
    name, params = recipe.name, recipe.front_end.params
    shape = reach(model.ops, model.columns)
    files = {"model.tflite": graph.whole(model, name, n_features)}
    files["stream.tflite"], states = graph.stateful(model, name, n_features)
    card: dict[str, Any] = {
        "format": 1,
        "name": name,
        "description": recipe.description or "",
        "licence": recipe.licence,
        "labels": recipe.names,
        "background": recipe.background,
        "head": recipe.head,
        "input": {"kind": "features", "shape": [shape.window_frames, n_features]},
        "front_end": {**params, "behind_gate": recipe.behind_gate},
        "quantisation": {
            "input": {"scale": model.source.scale, "zero_point": model.source.zero_point},
            "output": {"scale": 1.0 / 256.0, "zero_point": -128},
        },
        "timing": {
            "window_frames": shape.window_frames,
            "stride_frames": shape.stride_frames,
            "receptive_frames": shape.receptive_frames,
            "columns": shape.columns,
            "onset_lag_samples": lags[0],
            "offset_lag_samples": lags[1],
        },
        "padding": "wrap",
        "thresholds": {},  # those of `auricle-build thresholds`
        "min_durations_ms": {},
        "streaming": True,
        "stream": {
            "input": "features",
            "output": "scores",
            "states": [
                {"input": s.input, "output": s.output, "shape": list(s.shape), "zero_point": s.zero_point}
                for s in states
            ],
        },
        "trained_on": trained_on(recipe.data.sets, clips),
        "figures": dict(figures),
        "recipe": values(recipe),
    }
    folder.mkdir(parents=True, exist_ok=True)
    rows, scores, _ = golden_vectors(files["model.tflite"], model.source, params, shape.window_frames)
    np.savez_compressed(folder / "golden.npz", frames=rows, hop_frames=shape.window_frames, scores=scores)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    card["files"] = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in (*files, "golden.npz")}
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    load(str(folder))


def golden_vectors(
    content: bytes, source: Affine, params: Mapping[str, Any], window_frames: int, *, winner: bool = True
) -> tuple[Any, Any, int]:
    """Choose windows of our own sounds, end to end, with the network's answers to them.

    Other runtimes round otherwise inside, and where a score is halfway up, a step inside is several in the answer. Only
    windows are taken that two sets of kernels here answer alike, so that a good network is not refused elsewhere.

    Args:
        winner: whether both sets must have the same highest label, and differ by one step at most; otherwise those
            windows are taken on which they differ least.

    Shape:
        rows ``(n_windows * window_frames, n_features)`` float32 on the input's grid, scores ``(n_windows, n_labels)``,
        and by how many steps the two sets differ on them.

    Raises:
        ModelError: the kernels agree on fewer than two windows.
    """
    hop = window_frames // 5
    rows = golden.rows(params, window_frames + 40 * hop)
    q = quantise(rows, source)
    fast, plain = _Whole(content, delegate=True), _Whole(content, delegate=False)
    heard = []
    for j in range(41):
        window = q[j * hop : j * hop + window_frames]
        one, other = fast(window), plain(window)
        heard.append((int(np.abs(one.astype(int) - other.astype(int)).max()), j, one, one.argmax() == other.argmax()))
    if winner:
        alike = [each for each in heard if each[0] <= 1 and each[3]]
    else:
        alike = sorted(heard, key=lambda each: each[:2])[: 2 * GOLDEN_WINDOWS]
    if len(alike) < 2:
        raise ModelError("export: two sets of int8 kernels agree on fewer than two windows; the model hardly decides")
    found: list[tuple[int, int, Any, int]] = []
    for steps, j, one, _ in alike:
        # First come the windows whose answer no window before had.
        found.append((sum(int(f[2].argmax()) == int(one.argmax()) for f in found), j, one, steps))
    chosen = sorted(sorted(found, key=lambda f: f[:2])[:GOLDEN_WINDOWS], key=lambda f: f[1])
    kept = np.concatenate([q[j * hop : j * hop + window_frames] for _, j, _, _ in chosen]).astype(np.float32)
    dequantised = (kept - np.float32(source.zero_point)) * np.float32(source.scale)
    return dequantised, np.stack([one for _, _, one, _ in chosen]), max(steps for *_, steps in chosen)


class _Whole:
    """Runs a whole-window network with LiteRT's delegate or without, which is what tflite-runtime computes with."""

    def __init__(self, content: bytes, *, delegate: bool) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=kernels)
        self._interpreter.allocate_tensors()
        (self._in,) = self._interpreter.get_input_details()
        # A graph with an embedding beside the scores names its outputs; one without has the scores alone.
        several = len(self._interpreter.get_output_details()) > 1
        self._out = litert.output(self._interpreter, SCORES if several else 0)

    def __call__(self, window: Any) -> Any:
        self._interpreter.set_tensor(self._in["index"], window.reshape(self._in["shape"]))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._out["index"]).reshape(-1)
