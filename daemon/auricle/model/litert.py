"""This module is the one place that chooses the TFLite runtime: LiteRT, or its ancestor tflite-runtime on boards
without a wheel."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError

_CHATTER = b"INFO: "


def _interpreter() -> Callable[..., Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise ModelError(
                "no TFLite runtime is installed; pip install ai-edge-litert, or auricle[tflite] where it has no wheel"
            ) from None
    return Interpreter  # type: ignore[no-any-return]


def version() -> str:
    """Name the runtime that is installed, and its version, as one word."""
    made_by = sys.modules[_interpreter().__module__.partition(".")[0]]
    return f"{made_by.__name__}-{getattr(made_by, '__version__', 'unknown')}"


def load(content: bytes, shapes: Mapping[str, Sequence[int]] | None = None, size: int | None = None) -> Any:
    """Load a graph and allocate its tensors, on one thread: more would cost wake-ups, and sources share the core.

    Args:
        content: of a ``.tflite`` file.
        shapes: other shapes for inputs, by name.
        size: how many values an input holds, where the graph leaves some of its axes open.

    Raises:
        ModelError: no runtime is installed, or the content is no model that it can run.
    """
    make = _interpreter()
    try:
        with _without_chatter():
            interpreter = make(model_content=content, num_threads=1)
            for tensor in interpreter.get_input_details():
                if shapes and tensor["name"] in shapes:
                    interpreter.resize_tensor_input(tensor["index"], list(shapes[tensor["name"]]))
                elif size is not None and (shape := _closed(tensor["shape_signature"], size)) is not None:
                    interpreter.resize_tensor_input(tensor["index"], shape)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as e:
        raise ModelError(f"not a TFLite model that can be run ({str(e).splitlines()[0] if str(e) else e!r})") from None
    return interpreter


def _closed(signature: Sequence[int], size: int) -> list[int] | None:
    """Close the open axes (-1) of a shape so that it holds so many values, the last of them all that is left.

    `None` where none is open, or nothing fits: then the graph's own shape says what is wrong.
    """
    shape = [int(n) for n in signature]
    rest, over = divmod(size, math.prod(n for n in shape if n != -1) or 1)
    if -1 not in shape or over:
        return None
    last = max(i for i, n in enumerate(shape) if n == -1)
    return [rest if i == last else 1 if n == -1 else n for i, n in enumerate(shape)]


def output(interpreter: Any, which: str | int) -> dict[str, Any]:
    """Return what the runtime says of one output of a graph.

    Args:
        which: its name in the graph or in its signature, which is the name that it had in training; or its place
            among the outputs, from 0.

    Raises:
        ModelError: there is none.
    """
    tensors: list[dict[str, Any]] = interpreter.get_output_details()
    by_name: dict[str, dict[str, Any]] = {}
    signatures = interpreter.get_signature_list()
    for signature in signatures:
        details = interpreter.get_signature_runner(signature).get_output_details()
        at = {tensor["index"]: tensor for tensor in tensors}
        by_name |= {name: at[tensor["index"]] for name, tensor in details.items() if tensor["index"] in at}
    by_name |= {tensor["name"]: tensor for tensor in tensors}
    if isinstance(which, int):
        if not 0 <= which < len(tensors):
            raise ModelError(f"there is no output {which}; use 0 to {len(tensors) - 1}, or a name")
        return tensors[which]
    if which not in by_name:
        raise ModelError(f"there is no output {which!r}; use one of {', '.join(sorted(by_name))}")
    return by_name[which]


def memory(interpreter: Any, index: int) -> NDArray[Any]:
    """Return a tensor's own memory as an array, to read after `invoke` and to write before it.

    The runtime's own ways are `set_tensor` and `get_tensor`, which cost ten times what a copy into memory does, and
    `tensor()`, whose view forbids `invoke` while anybody keeps it and so would have to be made anew at every call. A
    view made by ctypes from the address is kept for good and forbids nothing. That is safe because the runtime lets go
    of a tensor's memory only when tensors are resized or allocated anew, which nobody does after `load`; whoever keeps
    the array must keep the interpreter as long.

    The runtime lets go of a tensor's memory only when tensors are resized or allocated anew, which nobody does after
    `load`. Its own views forbid `invoke` while they are kept; this one does not, so that whoever keeps it must keep the
    interpreter as long.
    """
    own = interpreter.tensor(index)()
    address, size, kind, shape = own.ctypes.data, own.nbytes, own.dtype, own.shape
    del own
    return np.frombuffer((ctypes.c_byte * size).from_address(address), kind).reshape(shape)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep the runtime's greeting off standard error; what is no greeting passes.

    The greeting is written from C++, and no switch turns it off: only the descriptor itself can be led elsewhere.
    """
    sys.stderr.flush()
    try:
        caught, kept = _scratch(), os.dup(2)
    except OSError:  # then it is heard greeting
        yield
        return
    os.dup2(caught.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        with suppress(OSError), caught, os.fdopen(kept, "wb") as stderr:
            caught.seek(0)
            stderr.writelines(line for line in caught.readlines() if not line.startswith(_CHATTER))


def _scratch() -> IO[bytes]:
    """Open a file of no name, in memory where that can be had: a model needs no folder that can be written."""
    return open(os.memfd_create("auricle"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()
