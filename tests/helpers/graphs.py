"""TFLite graphs made op by op, so small that it is known what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from auricle.model.card import Affine

DTYPES = {"float32": "FLOAT32", "int8": "INT8", "uint8": "UINT8", "int32": "INT32", "float16": "FLOAT16"}


class Graph:
    """A graph that is being built: tensors, then ops upon them, then its bytes."""

    def __init__(self) -> None:
        self.schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="missing here: LiteRT")
        self._flatbuffers = pytest.importorskip("flatbuffers")
        self._buffers = [self.schema.BufferT()]
        self._codes: list[Any] = []
        self._subgraphs: list[Any] = []
        self.metadata: list[Any] = []
        self.begin()

    def begin(self) -> int:
        """Begin another subgraph; its number."""
        graph = self.schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        graph.name = f"graph{len(self._subgraphs)}".encode()
        self._subgraphs.append(graph)
        self._now = graph
        return len(self._subgraphs) - 1

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        grid: Affine | None = None,
        data: Any = None,
        signature: Sequence[int] | None = None,
    ) -> int:
        """A tensor; with data a constant."""
        made = self.schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), list(shape), 0
        made.type = getattr(self.schema.TensorType, DTYPES.get(dtype, dtype))
        if signature is not None:
            made.shapeSignature = list(signature)
        if data is not None:
            made.buffer = self.buffer(np.ascontiguousarray(data).tobytes())
        if grid is not None:
            made.quantization = self.schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [grid.scale], [grid.zero_point]
        self._now.tensors.append(made)
        return len(self._now.tensors) - 1

    def buffer(self, content: bytes) -> int:
        """Bytes that the graph carries; their number."""
        made = self.schema.BufferT()
        made.data = np.frombuffer(content, np.uint8)
        self._buffers.append(made)
        return len(self._buffers) - 1

    def note(self, name: str, content: bytes) -> None:
        """Metadata under a name."""
        entry = self.schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self.buffer(content)
        self.metadata.append(entry)

    def op(
        self,
        code: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        version: int = 1,
        **given: Any,
    ) -> None:
        """An op, with the fields of its options; a code that is none of TFLite's own is a custom op's."""
        kind, made = self.schema.OperatorCodeT(), self.schema.OperatorT()
        builtin = getattr(self.schema.BuiltinOperator, code, None)
        if builtin is None:
            kind.customCode = code.encode()
            builtin = self.schema.BuiltinOperator.CUSTOM
        kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = builtin, min(builtin, 127), version
        made.opcodeIndex, made.inputs, made.outputs = len(self._codes), list(inputs), list(outputs)
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in given.items():
                setattr(made.builtinOptions, name, value)
        self._codes.append(kind)
        self._now.operators.append(made)

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The bytes of the file; inputs and outputs are the first subgraph's."""
        model, first = self.schema.ModelT(), self._subgraphs[0]
        first.inputs, first.outputs = list(inputs), list(outputs)
        model.version, model.description, model.subgraphs = 3, b"made up", self._subgraphs
        model.buffers, model.operatorCodes, model.metadata = self._buffers, self._codes, self.metadata or None
        builder = self._flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


WEIGHT = 1 / 512
"""What a step of quantised weights stands for."""
LOGITS = {"int8": Affine(1 / 16, 0), "uint8": Affine(1 / 16, 128)}
SCORES = {"int8": Affine(1 / 256, -128), "uint8": Affine(1 / 256, 0)}


def linear(
    shape: Sequence[int],
    weights: Any,
    bias: Sequence[float],
    *,
    dtype: str = "float32",
    source: Affine | None = None,
    head: str = "",
    signature: Sequence[int] | None = None,
    squared: bool = False,
    name: str = "input",
) -> bytes:
    """A graph that weighs its input, however it is laid out, and adds a bias; quantised, or in float32.

    Args:
        shape: of the input.
        weights: ``(n_labels, n)`` in the order in which the input lies there; quantised in steps of `WEIGHT`.
        dtype: of everything.
        source: the grid of a quantised input.
        head: ``LOGISTIC`` or ``SOFTMAX`` behind it, or logits without.
        signature: the shape with its open axes.
        squared: weigh the squares, in float32 only.
    """
    graph, weights = Graph(), np.asarray(weights, np.float32)
    n_labels = len(weights)
    quantised = dtype != "float32"
    inp = graph.tensor(name, shape, dtype, source, signature=signature)
    values = inp
    if squared:
        values = graph.tensor("power", shape, signature=signature)
        graph.op("MUL", [inp, inp], [values], "MulOptions")
    if quantised:
        assert source is not None
        offset = 0 if dtype == "int8" else 128
        steps = (np.rint(weights / WEIGHT) + offset).astype(dtype)
        grid = Affine(WEIGHT, offset)
        added = np.rint(np.asarray(bias) / (source.scale * WEIGHT)).astype(np.int32)
        kernel = graph.tensor("weights", weights.shape, dtype, grid, steps)
        bias_at = graph.tensor("bias", (n_labels,), "int32", Affine(source.scale * WEIGHT, 0), added)
        logits = graph.tensor("logits", (1, n_labels), dtype, LOGITS[dtype])
    else:
        kernel = graph.tensor("weights", weights.shape, data=weights)
        bias_at = graph.tensor("bias", (n_labels,), data=np.asarray(bias, np.float32))
        logits = graph.tensor("logits", (1, n_labels))
    version = 4 if dtype == "int8" else 1
    graph.op("FULLY_CONNECTED", [values, kernel, bias_at], [logits], "FullyConnectedOptions", version)
    if not head:
        return graph.content([inp], [logits])
    scores = graph.tensor("scores", (1, n_labels), dtype, SCORES[dtype] if quantised else None)
    options = {"options": "SoftmaxOptions", "beta": 1.0} if head == "SOFTMAX" else {}
    graph.op(head, [logits], [scores], version=2 if dtype == "int8" else 1, **options)
    return graph.content([inp], [scores])


def counting(*shape: int) -> bytes:
    """A graph that adds up what it has ever been given, in a variable of its own: the sum's logistic out, one for each
    value in."""
    graph = Graph()
    inp = graph.tensor("input", shape)
    handle = graph.tensor("handle", (), "RESOURCE")
    before = graph.tensor("before", shape)
    total = graph.tensor("total", shape)
    scores = graph.tensor("scores", shape)
    named = {"container": b"", "sharedName": b"heard"}
    graph.op("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    graph.op("VAR_HANDLE", [], [handle], "VarHandleOptions", **named)
    graph.op("READ_VARIABLE", [handle], [before], "ReadVariableOptions")
    graph.op("ADD", [before, inp], [total], "AddOptions")
    graph.op("ASSIGN_VARIABLE", [handle, total], [], "AssignVariableOptions")
    graph.op("LOGISTIC", [total], [scores])
    graph.begin()
    once = graph.tensor("once", (), "RESOURCE")
    zero = graph.tensor("zero", shape, data=np.zeros(shape, np.float32))
    graph.op("VAR_HANDLE", [], [once], "VarHandleOptions", **named)
    graph.op("ASSIGN_VARIABLE", [once, zero], [], "AssignVariableOptions")
    return graph.content([inp], [scores])


PITCHES_HZ = tuple(1000.0 * 2.0 ** (i / 3) for i in range(12))
"""Of the birds that `singing` knows: 1 to 12.7 kHz."""


def singing(n_labels: int, samples: int = 144_000, rate: int = 48_000) -> bytes:
    """A graph as large in its labels as those of all birds: it takes seconds of sound, and its first labels are logits
    of how much of a pitch is in it, one of `PITCHES_HZ` each; the others are never heard."""
    graph, width, n = Graph(), rate // 100, len(PITCHES_HZ)
    t = np.arange(width) / rate
    waves = np.concatenate([[f(2 * np.pi * hz * t) for hz in PITCHES_HZ] for f in (np.sin, np.cos)])
    weights = np.zeros((n_labels, 2 * n), np.float32)
    for i in range(n):
        weights[i, [i, n + i]] = 2000.0
    bias = np.full(n_labels, -8.0, np.float32)
    inp = graph.tensor("sound", (1, samples))
    shaped, heard = graph.tensor("shaped", (1, 1, samples, 1)), graph.tensor("heard", (1, 1, samples // width, 2 * n))
    power, mean = graph.tensor("power", (1, 1, samples // width, 2 * n)), graph.tensor("mean", (1, 2 * n))
    logits = graph.tensor("logits", (1, n_labels))
    shape = graph.tensor("shape", (4,), "int32", data=np.asarray([1, 1, samples, 1], np.int32))
    kernel = graph.tensor("waves", (2 * n, 1, width, 1), data=(waves / width).reshape(2 * n, 1, width, 1).astype("f4"))
    none = graph.tensor("none", (2 * n,), data=np.zeros(2 * n, np.float32))
    axes = graph.tensor("axes", (2,), "int32", data=np.asarray([1, 2], np.int32))
    graph.op("RESHAPE", [inp, shape], [shaped], "ReshapeOptions", newShape=[1, 1, samples, 1])
    graph.op(
        "CONV_2D", [shaped, kernel, none], [heard], "Conv2DOptions", padding=graph.schema.Padding.VALID,
        strideW=width, strideH=1, dilationWFactor=1, dilationHFactor=1,
    )  # fmt: skip
    graph.op("MUL", [heard, heard], [power], "MulOptions")
    graph.op("MEAN", [power, axes], [mean], "ReducerOptions", keepDims=False)
    of_labels = [graph.tensor("weights", weights.shape, data=weights), graph.tensor("bias", (n_labels,), data=bias)]
    graph.op("FULLY_CONNECTED", [mean, *of_labels], [logits], "FullyConnectedOptions")
    return graph.content([inp], [logits])
