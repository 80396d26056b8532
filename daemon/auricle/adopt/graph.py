"""A `.tflite` file's graph is read here, in the child alone (`auricle.adopt.child`): `flatbuffers` and LiteRT's schema,
which are imported for it, believe whatever they read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from auricle.adopt.facts import Facts, Tensor, Told
from auricle.adopt.told import told
from auricle.errors import ModelError

_THROUGH = ("RESHAPE", "DEQUANTIZE", "QUANTIZE", "SQUEEZE", "CAST", "SLICE", "STRIDED_SLICE", "IDENTITY", "MEAN")
"""These ops hand scores on as they are."""
_HEADS = ("LOGISTIC", "SOFTMAX")
_METADATA = b"TFLITE_METADATA"


def parse(content: bytes) -> Any:
    """Return the file as objects of LiteRT's schema.

    Raises:
        ModelError: LiteRT, which brings the schema, is missing.
        struct.error, IndexError, TypeError, ...: the file is damaged.
    """
    return schema().ModelT.InitFromObj(schema().Model.GetRootAs(content, 0))


def schema() -> Any:
    """Return LiteRT's schema of such files.

    Raises:
        ModelError: it is missing.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise ModelError(
            "LiteRT, which knows how such files are written, is missing; pip install ai-edge-litert"
        ) from None
    return schema_py_generated


def facts(content: bytes) -> Facts:
    """Return what is in the file; raises as `parse` does."""
    model = parse(content)
    graph = model.subgraphs[0]
    names = names_of_ops(model)
    ops = [names[op.opcodeIndex] for op in graph.operators]
    custom = [
        (code.customCode or b"?").decode("utf-8", "replace")
        for code in model.operatorCodes
        if code.builtinCode == schema().BuiltinOperator.CUSTOM
    ]
    made_by = {int(output): i for i, op in enumerate(graph.operators) for output in op.outputs}
    about = Told()
    for entry in model.metadata or ():
        if entry.name == _METADATA:
            about = told(bytes(model.buffers[entry.buffer].data))
    types = {value: name.lower() for name, value in vars(schema().TensorType).items() if isinstance(value, int)}
    point = quantised_at(graph, ops)
    return Facts(
        inputs=[_tensor(graph.tensors[i], types) for i in graph.inputs],
        outputs=[_tensor(graph.tensors[i], types, _head(graph, ops, made_by, int(i))) for i in graph.outputs],
        ops=ops,
        custom=custom,
        told=about,
        cut=[] if point is None else [int(n) for n in graph.tensors[graph.operators[point].outputs[0]].shape if n != 1],
    )


def names_of_ops(model: Any) -> list[str]:
    """Return the name of every op's code."""
    names = {value: name for name, value in vars(schema().BuiltinOperator).items() if isinstance(value, int)}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [names.get(code, str(code)) for code in codes]


def quantised_at(graph: Any, ops: Sequence[str]) -> int | None:
    """Find the op with which a graph quantises frames of features that it made of a waveform itself, as YAMNet's does;
    return its place.

    All that comes before must be float, behind an FFT, and nothing after may use any of it.
    """
    if not any(op in ("RFFT2D", "RFFT") for op in ops) or ops.count("QUANTIZE") != 1:
        return None
    point = ops.index("QUANTIZE")
    features = graph.tensors[graph.operators[point].outputs[0]]
    before = {int(i) for op in graph.operators[: point + 1] for i in op.outputs}
    before |= {int(i) for i in graph.inputs}
    before.remove(int(graph.operators[point].outputs[0]))
    after = {int(i) for op in graph.operators[point + 1 :] for i in op.inputs}
    if features.type != schema().TensorType.INT8 or before & (after | {int(i) for i in graph.outputs}):
        return None
    return point if len([n for n in features.shape if n != 1]) == 2 else None


def _tensor(tensor: Any, types: dict[int, str], head: str = "") -> Tensor:
    open_shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    shape = [int(n) for n in (open_shape if open_shape is not None else ())]
    grid = tensor.quantization
    scales = [] if grid is None or grid.scale is None else list(grid.scale)
    points = [] if grid is None or grid.zeroPoint is None else list(grid.zeroPoint)
    return Tensor(
        name=(tensor.name or b"").decode("utf-8", "replace"),
        dtype=types.get(tensor.type, str(tensor.type)),
        shape=shape,
        scale=float(scales[0]) if scales and math.isfinite(scales[0]) else 0.0,
        zero_point=int(points[0]) if points else 0,
        head=head,
    )


def _head(graph: Any, ops: Sequence[str], made_by: dict[int, int], tensor: int) -> str:
    """Return the op that made scores of logits, seen from an output backwards."""
    for _ in range(len(ops)):
        if (at := made_by.get(tensor)) is None:
            return ""
        if ops[at] in _HEADS:
            return ops[at]
        if ops[at] not in _THROUGH:
            return ""
        tensor = int(graph.operators[at].inputs[0])
    return ""
