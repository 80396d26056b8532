"""YAMNet is a yardstick: as others ship it, as a bundle with a recipe's labels, so that its scores are decided upon as
ours are.

Its graph is cut where it quantises the log-mel that it begins with, which the daemon's own stages compute from then
on; and each label's score is the highest of its AudioSet classes'. Nothing is trained.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import yaml
from ai_edge_litert import schema_py_generated as schema

from auricle.errors import ConfigError
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle.model.card import Affine
from auricle_build import export
from auricle_build.grammar import fit
from auricle_build.grammar.recipes import Recipe

Code = schema.BuiltinOperator

FRAMES = 96
FRONT_END: dict[str, Any] = {
    "sample_rate": 16000,
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "align": "start",
    "features": [
        {
            "kind": "log_mel",
            "basis": "tf",
            "n_mels": 64,
            "fmin": 125.0,
            "fmax": 7500.0,
            "power": 1.0,
            "offset": 0.001,
            "natural": True,
        }
    ],
}
"""What YAMNet's graph does to 15,600 samples: magnitudes, TensorFlow's mel bands, ln(x + 0.001)."""
SCORES = Affine(1.0 / 256.0, -128)


def write(model: Path, rec: Recipe, folder: Path) -> Bundle:
    """Write YAMNet as a bundle with the recipe's labels.

    Args:
        model: YAMNet as a TFLite file with a waveform in, an int8 tower, and the names of its classes zipped into it.

    Raises:
        ConfigError: the file is no such YAMNet, or a label rests on none of its classes.
    """
    content = _read(model)
    classes = _classes(model)
    graph, source = cut(content, [_resting(rec, i, classes) for i in range(len(rec.labels))], model)
    rows, scores, _ = export.golden_vectors(graph, source, FRONT_END, FRAMES)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(graph)
    np.savez_compressed(folder / "golden.npz", frames=rows, hop_frames=FRAMES, scores=scores)
    hashes = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in ("model.tflite", "golden.npz")}
    card: dict[str, Any] = {
        "format": 1,
        "name": "yamnet",
        "description": f"YAMNet as it is, with the labels of {rec.name}",
        "licence": "Apache-2.0",
        "labels": rec.names,
        "background": None,
        "head": "sigmoid",
        "input": {"kind": "features", "shape": [FRAMES, 64]},
        "front_end": FRONT_END,
        "quantisation": {"input": _card(source), "output": _card(SCORES)},
        "timing": {"window_frames": FRAMES, "onset_lag_samples": 0, "offset_lag_samples": 0},
        "streaming": False,
        "decision": {"hop_ms": 160},
        "includes": {label.name: list(label.includes) for label in rec.labels if label.includes},
        "measured": {label.name: "no recording: AudioSet's word" for label in rec.labels},
        "trained_on": [
            {"name": "AudioSet", "licence": "CC BY 4.0", "source": "YAMNet (Plakal and Ellis 2020), Google"}
        ],
        "files": hashes,
    }
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return bundles.load(str(folder))


def _card(grid: Affine) -> dict[str, Any]:
    return {"scale": grid.scale, "zero_point": grid.zero_point}


def _read(model: Path) -> bytes:
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ConfigError([f"{model}: {error.strerror}; give YAMNet's .tflite file"]) from None
    if content[4:8] != b"TFL3":
        raise ConfigError([f"{model}: is no TFLite file; give YAMNet's"])
    return content


def _classes(model: Path) -> list[str]:
    """Read the names that lie zipped in the file's tail, in the order of the scores."""
    try:
        with zipfile.ZipFile(model) as tail:
            (name,) = tail.namelist()
            return tail.read(name).decode().splitlines()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError([f"{model}: holds no names of classes ({error}); give YAMNet with its metadata"]) from None


def _resting(rec: Recipe, label: int, classes: Sequence[str]) -> list[int]:
    named = rec.labels[label].audioset
    found = [classes.index(name) for name in named if name in classes]
    if not found:
        complaint = fit.unknown(named[0], classes, "no class of YAMNet") if named else "names no class of AudioSet"
        raise ConfigError([f"labels[{label}].audioset: {complaint}"])
    return found


def cut(content: bytes, resting: Sequence[Sequence[int]], where: Path) -> tuple[bytes, Affine]:
    """Cut the graph from its quantised features on, and gather its scores into labels; return it with the features'
    grid.

    Args:
        resting: for each label the indices of its classes, at least one.
        where: how to name the file in errors.

    Raises:
        ConfigError: the graph quantises no features, or does not end in int8 scores.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    (graph,) = model.subgraphs
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    kinds = [codes[op.opcodeIndex] for op in graph.operators]
    first = kinds.index(Code.QUANTIZE) if Code.QUANTIZE in kinds else -1
    features = graph.tensors[graph.operators[first].outputs[0]]
    if first < 0 or [n for n in features.shape if n != 1] != [FRAMES, 64] or kinds[-1] != Code.DEQUANTIZE:
        raise ConfigError([f"{where}: is no YAMNet with an int8 tower behind features of {FRAMES} x 64; give that one"])
    said = graph.operators[-1].inputs[0]
    grid = graph.tensors[said].quantization
    if not np.isclose(grid.scale[0], SCORES.scale) or grid.zeroPoint[0] != SCORES.zero_point:
        raise ConfigError([f"{where}: its scores are on a grid of {grid.scale[0]:g}; use one of 1/256"])
    most = max(map(len, resting))
    which = np.asarray([[*mine, *[mine[0]] * (most - len(mine))] for mine in resting], np.int32)

    def tensor(name: str, shape: Sequence[int], values: Any = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), [int(n) for n in shape], 0
        if values is None:
            made.type, made.quantization = schema.TensorType.INT8, grid
        else:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.type, made.buffer = schema.TensorType.INT32, len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def op(code: int, inputs: Sequence[int], output: int, options: Any) -> Any:
        kind = schema.OperatorCodeT()
        kind.deprecatedBuiltinCode, kind.builtinCode, kind.version = code, code, 2
        model.operatorCodes.append(kind)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, list(inputs), [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        made.builtinOptions = options
        return made

    along, across = schema.GatherOptionsT(), schema.ReducerOptionsT()
    along.axis, across.keepDims = 1, False
    gathered = tensor("classes", [1, *which.shape])
    scores = tensor("scores", [1, len(which)])
    graph.inputs, graph.outputs = [graph.operators[first].outputs[0]], [scores]
    graph.operators = [
        *graph.operators[first + 1 : -1],
        op(Code.GATHER, [said, tensor("resting", which.shape, which)], gathered, along),
        op(Code.REDUCE_MAX, [gathered, tensor("axis", [1], np.asarray([2], np.int32))], scores, across),
    ]
    model.signatureDefs = model.metadata = None  # of the graph as it was
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output()), Affine(
        float(features.quantization.scale[0]), int(features.quantization.zeroPoint[0])
    )
