"""These bundles are made up for tests: networks so simple that it is known what they hear."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from auricle.features import front_end
from auricle.model import heads
from auricle.model.card import Affine, Card
from auricle.model.network import Network, quantise
from helpers.sounds import RATE

FRAMES, BANDS = 24, 40
"""The shape of a window, 0.27 s long."""
FRONT_END = {
    "sample_rate": RATE,
    "n_fft": 512,
    "hop_length": 160,
    "features": [{"kind": "log_mel", "n_mels": BANDS, "fmin": 50.0, "fmax": 7200.0}],
}
SOURCE = Affine(0.5, 68)
"""The grid of the features: -98 to 29.5 dB."""
LOGITS = Affine(1 / 16, 0)
SCORES = Affine(1 / 256, -128)


def tone(*hz: float, seconds: float = 1.0, amplitude: float = 0.3) -> NDArray[np.float32]:
    """Make sines that sound together; without any, silence."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * sum((np.sin(2 * np.pi * f * t) for f in hz), np.zeros(len(t)))).astype(np.float32)


def made_up(folder: Path, labels: Mapping[str, Sequence[float]], *, embedding: Any = None, **card: Any) -> Path:
    """Write a bundle of whole windows and a sigmoid head whose labels are heard where their tones are.

    The network takes the mean of each band over the window, which is its embedding; the score of a label is 0.5 where
    one of its tones fills half of the window, and near 1 where it fills the whole.

    Args:
        labels: the tones of every label, in Hz.
        embedding: how the card names the second output: ``embedding``, its name in the graph and in the signature, or
            its place, 0. Without, there is none.
        card: further keys of the card.
    """
    content = _graph([_bands_of(hz) for hz in labels.values()], with_embedding=embedding is not None)
    whole: dict[str, Any] = {
        "format": 1,
        "name": folder.name,
        "licence": "CC0",
        "labels": list(labels),
        "background": None,
        "head": "sigmoid",
        "input": {"kind": "features", "shape": [FRAMES, BANDS]},
        "front_end": FRONT_END,
        "quantisation": {"input": msgspec.to_builtins(SOURCE), "output": msgspec.to_builtins(SCORES)},
        "timing": {"window_frames": FRAMES, "onset_lag_samples": 2000, "offset_lag_samples": 2000},
        "streaming": False,
        "files": {},
        **card,
    }
    if embedding is not None:
        whole["embedding"] = {"output": embedding, "size": BANDS, **msgspec.to_builtins(SOURCE)}
    rows = np.random.default_rng(0).uniform(-98, 29, (2 * FRAMES, BANDS)).astype(np.float32)
    plain = {name: value for name, value in whole.items() if name != "embedding"}
    network = Network(msgspec.convert(plain if embedding is None else whole, Card), content, str(folder))
    windows = quantise(rows, SOURCE).reshape(2, FRAMES, BANDS)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(content)
    np.savez(
        folder / "golden.npz", frames=rows, hop_frames=FRAMES, scores=np.stack([network(window) for window in windows])
    )
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.tflite", "golden.npz")}
    (folder / "card.yaml").write_text(yaml.safe_dump({**whole, "files": files}, sort_keys=False))
    return folder


def with_heads(folder: Path, labels: Mapping[str, Sequence[float]]) -> Path:
    """Put heads behind the embedding of a bundle that `made_up` has written: each is heard where its tones are, as
    labels of the network are, to within the rounding of the embedding."""
    raw = yaml.safe_load((folder / "card.yaml").read_text())
    weights = np.zeros((len(labels), BANDS))
    for row, hz in zip(weights, labels.values(), strict=True):
        row[_bands_of(hz)] = 0.1 * SOURCE.scale
    whole, steps = heads.on_a_grid(weights)
    # Of -98 dB, int8 -128, a band adds nothing; the logit begins at -5.
    biases = -5 + 128 * steps * whole.sum(axis=1)
    network = Network(msgspec.convert(raw, Card), (folder / "model.tflite").read_bytes(), str(folder))
    with np.load(folder / "golden.npz") as golden:
        windows = quantise(golden["frames"], SOURCE).reshape(-1, FRAMES, BANDS)
    heard = np.stack([network.with_embedding(window)[1] for window in windows])
    made = heads.Heads(whole, steps, biases, heard, np.empty((0, len(labels)), np.float32))
    content = heads.packed(dataclasses.replace(made, scores=np.stack([made(each) for each in heard])))
    (folder / "heads.npz").write_bytes(content)
    raw["labels"] += list(labels)
    raw["heads"] = {"file": "heads.npz", "labels": list(labels)}
    raw["files"]["heads.npz"] = hashlib.sha256(content).hexdigest()
    (folder / "card.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return folder


def _bands_of(hz: Sequence[float]) -> list[int]:
    """Find the band in which each tone is loudest."""
    stages = front_end(**FRONT_END)  # type: ignore[arg-type]
    bands = []
    for f in hz:
        stages.reset()
        bands.append(int(stages.process(tone(f, seconds=0.2)).mean(axis=0).argmax()))
    return bands


def _graph(bands: Sequence[Sequence[int]], *, with_embedding: bool) -> bytes:
    """Write a graph from features to the mean of every band over the window (the embedding, the first output), and on
    to the scores."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="missing here: LiteRT's schema")
    flatbuffers = pytest.importorskip("flatbuffers")
    code, n = schema.BuiltinOperator, len(bands)
    tensors, buffers = [], [schema.BufferT()]

    def tensor(name: str, shape: Sequence[int], grid: Affine | Sequence[float] | None, data: Any = None) -> int:
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name.encode(), list(shape), schema.TensorType.INT8, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            buffers.append(buffer)
            t.buffer = len(buffers) - 1
            t.type = schema.TensorType.INT8 if data.dtype == np.int8 else schema.TensorType.INT32
        q = t.quantization = schema.QuantizationParametersT()
        q.scale, q.zeroPoint = ([grid.scale], [grid.zero_point]) if isinstance(grid, Affine) else (grid, [0] * n)
        tensors.append(t)
        return len(tensors) - 1

    # Of -98 dB, no sound, a band adds nothing; each dB above adds a tenth to the logit, which begins at -5.
    weights, step = np.zeros((n, 1, BANDS, 1), np.int8), 0.1 / 127
    for label, mine in enumerate(bands):
        weights[label, 0, mine, 0] = 127
    offsets = np.array([(98 * 0.1 * len(mine) - 5) / (SOURCE.scale * step) for mine in bands])
    source = tensor("features", (1, FRAMES, BANDS, 1), SOURCE)
    mean = tensor("embedding", (1, 1, BANDS, 1), SOURCE)
    kernel = tensor("kernel", weights.shape, [step] * n, weights)
    offset = tensor("offsets", (n,), [SOURCE.scale * step] * n, np.rint(offsets).astype(np.int32))
    logits = tensor("logits", (1, 1, 1, n), LOGITS)
    scores = tensor("scores", (1, 1, 1, n), SCORES)
    pool, conv = schema.Pool2DOptionsT(), schema.Conv2DOptionsT()
    for options in (pool, conv):
        options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
    pool.filterHeight, pool.filterWidth = FRAMES, 1
    operators, codes = [], []
    for which, version, inputs, output, options in (
        (code.AVERAGE_POOL_2D, 2, [source], mean, pool),
        (code.CONV_2D, 3, [mean, kernel, offset], logits, conv),
        (code.LOGISTIC, 2, [logits], scores, None),
    ):
        o, c = schema.OperatorT(), schema.OperatorCodeT()
        o.opcodeIndex, o.inputs, o.outputs = len(codes), inputs, [output]
        if options is not None:
            o.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
            o.builtinOptions = options
        c.deprecatedBuiltinCode, c.builtinCode, c.version = which, which, version
        operators.append(o)
        codes.append(c)
    graph, model, signature = schema.SubGraphT(), schema.ModelT(), schema.SignatureDefT()
    outputs = {"embedding": mean, "scores": scores} if with_embedding else {"scores": scores}
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [source], [*outputs.values()]
    graph.name, signature.signatureKey, signature.subgraphIndex = b"main", b"serving_default", 0

    def named(name: str, index: int) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        return entry

    signature.inputs = [named("window", source)]
    signature.outputs = [named(f"output_{name}", index) for name, index in outputs.items()]
    model.version, model.description, model.subgraphs, model.buffers = 3, b"made up", [graph], buffers
    model.operatorCodes, model.signatureDefs = codes, [signature]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
