"""The two int8 graphs of a bundle are written here as flatbuffers op by op, so that they share every weight and every
grid.

A converter would choose grids of its own for each graph, and two choices never agreed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from auricle.model.card import Affine
from auricle_build.grammar.trunk import Op, reach
from auricle_build.int8.quantise import Quantised, over, weight_scale

Code = schema.BuiltinOperator
# The oldest versions of each op that know int8, so that old runtimes take the graphs too.
VERSIONS = {
    Code.CONV_2D: 3,
    Code.DEPTHWISE_CONV_2D: 3,
    Code.ADD: 2,
    Code.AVERAGE_POOL_2D: 2,
    Code.SOFTMAX: 2,
    Code.LOGISTIC: 2,
    Code.CONCATENATION: 2,
    Code.STRIDED_SLICE: 2,
}


@dataclass(frozen=True)
class Tensor:
    """Describes a tensor of the graph being written."""

    index: int
    shape: tuple[int, ...]
    grid: Affine | None


class Graph:
    """Builds a TFLite graph: tensors and ops are added in order, :meth:`bytes` writes the file."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._operators: list[Any] = []
        self._codes: list[int] = []

    def tensor(self, name: str, shape: Sequence[int], grid: Affine | None, open_axes: Sequence[int] = ()) -> Tensor:
        """Add an int8 activation; ``open_axes`` may be resized."""
        t = self._tensor(name, shape, schema.TensorType.INT8)
        if grid:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale, t.quantization.zeroPoint = [grid.scale], [grid.zero_point]
        if open_axes:
            t.shapeSignature = [-1 if axis in open_axes else int(n) for axis, n in enumerate(shape)]
        return Tensor(len(self._tensors) - 1, tuple(int(n) for n in shape), grid)

    def constant(
        self, name: str, values: NDArray[Any], scales: NDArray[np.float32] | None = None, axis: int = 0
    ) -> Tensor:
        """Add weights, offsets or indices; ``scales`` are per channel along ``axis``."""
        kind = schema.TensorType.INT8 if values.dtype == np.int8 else schema.TensorType.INT32
        t = self._tensor(name, values.shape, kind)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._buffers.append(buffer)
        t.buffer = len(self._buffers) - 1
        if scales is not None:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale = [float(s) for s in scales]
            t.quantization.zeroPoint = [0] * len(scales)
            t.quantization.quantizedDimension = axis
        return Tensor(len(self._tensors) - 1, values.shape, None)

    def _tensor(self, name: str, shape: Sequence[int], kind: int) -> Any:
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name.encode(), [int(n) for n in shape], kind, 0
        self._tensors.append(t)
        return t

    def op(self, code: int, inputs: Sequence[Tensor], output: Tensor, options: Any = None) -> Tensor:
        """Add an op that gives ``output``."""
        if code not in self._codes:
            self._codes.append(code)
        o = schema.OperatorT()
        o.opcodeIndex = self._codes.index(code)
        o.inputs, o.outputs = [t.index for t in inputs], [output.index]
        if options is not None:
            o.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
            o.builtinOptions = options
        self._operators.append(o)
        return output

    def bytes(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bytes:
        """Write the file."""
        sub = schema.SubGraphT()
        sub.tensors, sub.operators = self._tensors, self._operators
        sub.inputs, sub.outputs = [t.index for t in inputs], [t.index for t in outputs]
        sub.name = b"main"
        model = schema.ModelT()
        model.version, model.description = 3, self._description.encode()
        model.subgraphs, model.buffers = [sub], self._buffers
        model.operatorCodes = []
        for code in self._codes:
            c = schema.OperatorCodeT()
            # Old runtimes read the first of the two fields.
            c.deprecatedBuiltinCode, c.builtinCode, c.version = code, code, VERSIONS[code]
            model.operatorCodes.append(c)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


@dataclass(frozen=True)
class StateTensor:
    """Names what a stateful graph hands from one call to the next: the tensors, and the value they begin with."""

    input: str
    output: str
    shape: tuple[int, ...]
    zero_point: int


class _Writer:
    def __init__(self, model: Quantised, name: str, stateful: bool) -> None:
        self.model, self.stateful = model, stateful
        self.graph = Graph(f"{name}, {'stateful' if stateful else 'whole window'}")
        self.open = (0, 1) if stateful else ()
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []
        self.states: list[StateTensor] = []

    def activation(self, name: str, shape: Sequence[int], grid: Affine) -> Tensor:
        return self.graph.tensor(name, shape, grid, self.open)

    def cut(self, name: str, x: Tensor, begin: Sequence[int], end: Sequence[int], output: Tensor) -> Tensor:
        """Cut ``x[begin:end]`` out on every axis, where 0 means that end of the axis itself."""
        constants = [
            self.graph.constant(f"{name}/{what}", np.asarray(values, np.int32))
            for what, values in (("begin", begin), ("end", end), ("step", [1] * 4))
        ]
        options = schema.StridedSliceOptionsT()
        options.beginMask = sum(1 << i for i, b in enumerate(begin) if b == 0)
        options.endMask = sum(1 << i for i, e in enumerate(end) if e == 0)
        return self.graph.op(Code.STRIDED_SLICE, [x, *constants], output, options)

    def remember(self, name: str, x: Tensor, n_frames: int) -> Tensor:
        """Put the last ``n_frames`` of the calls before in front of ``x``, and keep this call's."""
        if not self.stateful or not n_frames:
            return x
        assert x.grid is not None
        shape = (x.shape[0], n_frames, *x.shape[2:])
        state = self.graph.tensor(f"{name}/state_in", shape, x.grid, (0,))
        joined = self.activation(f"{name}/joined", (x.shape[0], n_frames + x.shape[1], *x.shape[2:]), x.grid)
        options = schema.ConcatenationOptionsT()
        options.axis = 1
        self.graph.op(Code.CONCATENATION, [state, x], joined, options)
        kept = self.graph.tensor(f"{name}/state_out", shape, x.grid, (0,))
        self.cut(f"{name}/keep", joined, (0, -n_frames, 0, 0), (0, 0, 0, 0), kept)
        self.before.append(state)
        self.after.append(kept)
        self.states.append(StateTensor(f"{name}/state_in", f"{name}/state_out", shape, x.grid.zero_point))
        return joined

    def convolution(self, name: str, x: Tensor, op: Op, pair: Any, grid: Affine, relu: bool) -> Tensor:
        w, b = pair
        assert x.grid is not None
        scales = weight_scale(w, op.kind)
        steps = scales[:, None] if op.kind == "depthwise" else scales
        q = np.clip(np.rint(w / steps), -127, 127).astype(np.int8)
        # TFLite's orders: (out, height, width, in), and (1, height, width, out) for depthwise.
        depthwise = op.kind == "depthwise"
        q = np.ascontiguousarray(q[..., 0][None] if depthwise else q.transpose(3, 0, 1, 2))
        offset_scales = (np.float32(x.grid.scale) * scales).astype(np.float32)
        offsets = np.rint(b.astype(np.float64) / offset_scales).astype(np.int32)
        weights = self.graph.constant(f"{name}/weights", q, scales, 3 if depthwise else 0)
        offset = self.graph.constant(f"{name}/offsets", offsets, offset_scales, 0)
        shape = (
            x.shape[0],
            (x.shape[1] - op.kernel[0]) // op.step[0] + 1,
            (x.shape[2] - op.kernel[1]) // op.step[1] + 1,
            op.n_out,
        )
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH, options.strideW = op.step
        options.fusedActivationFunction = (
            schema.ActivationFunctionType.RELU if relu else schema.ActivationFunctionType.NONE
        )
        if depthwise:
            options.depthMultiplier = 1
        code = Code.DEPTHWISE_CONV_2D if depthwise else Code.CONV_2D
        return self.graph.op(code, [x, weights, offset], self.activation(name, shape, grid), options)

    def write(self, frames: int, n_features: int, columns: int) -> bytes:
        model, graph = self.model, self.graph
        source = self.activation("features", (1, frames, n_features, 1), model.source)
        x, joined = source, source
        reached: list[Tensor] = []
        for i, op in enumerate(model.ops):
            where = f"{op.kind}_{i}"
            before = model.before[i]
            joined_here = self.remember(where, x, op.kernel[0] - op.step[0])
            y = self.convolution(where, joined_here, op, model.weights[i], before or model.after[i], before is None)
            if op.skip is not None:
                # The skip is the input of the depthwise convolution before, with the frames that it remembers.
                t, f = op.crop
                assert joined.grid is not None
                skipped = self.activation(f"{where}/skip", y.shape, joined.grid)
                skipped = self.cut(f"{where}/crop", joined, (0, t, f, 0), (0, -t, -f, 0), skipped)
                options = schema.AddOptionsT()
                options.fusedActivationFunction = schema.ActivationFunctionType.RELU
                total = self.activation(f"{where}/sum", y.shape, model.after[i])
                y = graph.op(Code.ADD, [y, skipped], total, options)
            x, joined = y, joined_here
            reached.append(y)
        x = self.remember("columns", x, columns - 1)
        assert x.grid is not None
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
        options.filterHeight, options.filterWidth = columns, 1
        shape = (1, x.shape[1] - columns + 1, 1, x.shape[3])
        x = graph.op(Code.AVERAGE_POOL_2D, [x], self.activation("pooled", shape, x.grid), options)
        n_labels = len(model.weights[-1][1])
        head = Op("conv", (1, 1), (1, 1), x.shape[3], n_labels)
        x = self.convolution("logits", x, head, model.weights[-1], model.logits, relu=False)
        scores = self.activation("scores", x.shape, Affine(1.0 / 256.0, -128))
        if model.head == "sigmoid":
            graph.op(Code.LOGISTIC, [x], scores)
        else:
            options = schema.SoftmaxOptionsT()
            options.beta = 1.0
            graph.op(Code.SOFTMAX, [x], scores, options)
        return graph.bytes([source, *self.before], [scores, *self.after])


def whole(model: Quantised, name: str, n_features: int) -> bytes:
    """Write ``model.tflite``: features ``(1, T, n_features, 1)`` int8 in, scores ``(1, 1, 1, n_labels)`` int8 out."""
    window = reach(model.ops, model.columns).window_frames
    return _Writer(model, name, stateful=False).write(window, n_features, model.columns)


def stateful(model: Quantised, name: str, n_features: int) -> tuple[bytes, list[StateTensor]]:
    """Write ``stream.tflite``: n new frames ``(sources, n, n_features, 1)`` and the states in, a score for each column
    and the states out. The number of sources and n (a multiple of the stride product) are set by resizing the inputs.
    """
    writer = _Writer(model, name, stateful=True)
    content = writer.write(reach(model.ops, model.columns).stride_frames, n_features, model.columns)
    return content, writer.states


def of_shape(ops: Sequence[Op], columns: int, n_labels: int) -> Quantised:
    """Make a model of the right shape that has learned nothing: size and time are measured on it."""
    rng = np.random.default_rng(0)
    shapes = [(op.shape, op.n_out) for op in ops] + [((1, 1, ops[-1].n_out, n_labels), n_labels)]
    weights = [(rng.standard_normal(s).astype(np.float32), np.zeros(n, np.float32)) for s, n in shapes]
    grid = over(0.0, 6.0)
    before = [over(-6.0, 6.0) if op.skip is not None else None for op in ops]
    return Quantised(
        tuple(ops), columns, "softmax", weights, over(-98.0, 29.5), before, [grid] * len(ops), over(-8.0, 8.0)
    )
