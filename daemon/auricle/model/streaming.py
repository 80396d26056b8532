"""The stateful network takes new frames only; what it still needs of the old ones is handed from call to call.

The newest states may lie in the outputs of the graph that computed them, and nowhere else. Copied out after every call
and in before the next, they would be copied twice at every decision; while the same sources are heard by the same
graph, their states go from its outputs to its inputs, once. Variables inside the graph would save that copy too, but
they belong to one interpreter, and a source's states must move: to a group of other sources, to a call of another
length, or away at a reset. So each graph knows its ``guest``, whose states lie in it, and these are fetched
(`_Tensors.settle`) when somebody else needs the graph or them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.model import litert
from auricle.model.card import Card


class _Tensors:
    """Holds the states of the sources that are heard together, a row each; the newest may still lie in a graph's
    outputs."""

    __slots__ = ("arrays", "home")

    def __init__(self, arrays: list[NDArray[np.int8]]) -> None:
        self.arrays = arrays
        self.home: _Graph | None = None

    def settle(self) -> list[NDArray[np.int8]]:
        """Return the states as arrays, fetched from the graph if they still lie there."""
        if (home := self.home) is not None:
            for array, memory in zip(self.arrays, home.states_out, strict=True):
                array[...] = memory
            home.guest = self.home = None
        return self.arrays


class State:
    """Holds what the network remembers of one source: one row of every tensor, beside the rows of the sources it was
    heard with.

    Sources that are heard together again find their rows side by side, and nothing need be gathered.
    """

    __slots__ = ("row", "tensors")

    def __init__(self, tensors: _Tensors, row: int) -> None:
        self.tensors, self.row = tensors, row


@dataclass(eq=False, slots=True)
class _Graph:
    """Holds the graph resized to one number of sources and frames, and the memory of its tensors, states in the card's
    order.

    Its outputs hold the newest states of its ``guest`` until somebody else is heard by it.
    """

    interpreter: Any
    source: NDArray[np.int8]
    scores: NDArray[np.int8]
    states_in: list[NDArray[np.int8]]
    states_out: list[NDArray[np.int8]]
    hand_over: list[tuple[memoryview, memoryview]]
    """The memory of the states in and out once more, as bytes: numpy takes twice as long to copy a few hundred of
    them."""
    guest: _Tensors | None = None


class StreamNetwork:
    """Runs ``stream.tflite``: one network for any number of sources, each of which keeps its own `State`.

    The graph is resized once for every number of sources and of frames that it is called with. All of these share the
    arithmetic, so that it changes no bit how a stream is divided into calls, nor who is heard in the same call. A
    network is not to be shared between threads.

    Args:
        card: says how the tensors are called.
        content: of the file.
        where: the file's name, for errors.

    Raises:
        ModelError: the graph is not what the card says.
    """

    def __init__(self, card: Card, content: bytes, where: str) -> None:
        assert card.stream is not None
        self._card, self._stream, self._content, self._where = card, card.stream, content, where
        self._n_features, self._n_labels = card.input.shape[1], len(card.labels)
        self.stride = card.timing.stride_frames
        self._graphs: dict[tuple[int, int], _Graph] = {}
        self._check(self._graph(1, self.stride))

    def begin(self) -> State:
        """Return the state at a segment's start: zero points, which stand for no sound at all."""
        zero = [np.full(state.shape, state.zero_point, np.int8) for state in self._stream.states]
        return State(_Tensors(zero), 0)

    def __call__(self, rows: NDArray[np.int8], states: Sequence[State]) -> NDArray[np.int8]:
        """Return the scores ``(sources, n / stride, n_labels)`` at the end of every stride of ``(sources, n,
        n_features)``.

        Args:
            rows: the new frames of several sources; n is a multiple of the stride.
            states: of these sources, in the same order; brought up to date.
        """
        n_sources, n = rows.shape[:2]
        graph = self._graphs.get((n_sources, n)) or self._graph(n_sources, n)
        tensors = _gather(states)
        if tensors.home is graph:
            for into, newest in graph.hand_over:
                into[:] = newest
        else:
            states_now = tensors.settle()
            if graph.guest is not None:
                graph.guest.settle()
            for memory, state in zip(graph.states_in, states_now, strict=True):
                memory[...] = state
        graph.source[...] = rows
        graph.interpreter.invoke()
        graph.guest, tensors.home = tensors, graph
        return graph.scores.copy()

    def interpreter(self, n_sources: int, n: int) -> Any:
        """Return the runtime's own object for so many sources and frames, for what is measured beside it."""
        return (self._graphs.get((n_sources, n)) or self._graph(n_sources, n)).interpreter

    def _graph(self, n_sources: int, n: int) -> _Graph:
        stream = self._stream
        shapes = {state.input: (n_sources, *state.shape[1:]) for state in stream.states}
        shapes[stream.input] = (n_sources, n, self._n_features, 1)
        try:
            interpreter = litert.load(self._content, shapes)
        except ModelError as e:
            raise ModelError(f"{self._where}: {e}") from None
        details = interpreter.get_input_details() + interpreter.get_output_details()
        tensors = {t["name"]: litert.memory(interpreter, t["index"]) for t in details}
        inputs = [state.input for state in stream.states]
        outputs = [state.output for state in stream.states]
        if missing := {stream.input, stream.output, *inputs, *outputs} ^ set(tensors):
            raise ModelError(f"{self._where}: the graph and the card differ in tensors: {', '.join(sorted(missing))}")
        states_in, states_out = [tensors[name] for name in inputs], [tensors[name] for name in outputs]
        graph = _Graph(
            interpreter,
            tensors[stream.input][..., 0],
            tensors[stream.output][:, :, 0],
            states_in,
            states_out,
            [(i.data.cast("B"), o.data.cast("B")) for i, o in zip(states_in, states_out, strict=True)],
        )
        self._graphs[n_sources, n] = graph
        return graph

    def _check(self, graph: _Graph) -> None:
        card, details = self._card, {}
        for tensor in graph.interpreter.get_input_details() + graph.interpreter.get_output_details():
            details[tensor["name"]] = tensor
            if tensor["dtype"] is not np.int8:
                raise ModelError(f"{self._where}: tensor {tensor['name']!r} is {np.dtype(tensor['dtype'])}; use int8")
        wanted = {
            self._stream.input: (card.quantisation.input, (1, self.stride, self._n_features, 1)),
            self._stream.output: (card.quantisation.output, (1, 1, 1, self._n_labels)),
        }
        for name, (affine, shape) in wanted.items():
            scale, zero_point = details[name]["quantization"]
            if not np.isclose(scale, affine.scale, rtol=1e-6) or zero_point != affine.zero_point:
                raise ModelError(
                    f"{self._where}: tensor {name!r} is quantised with scale {scale:.6g}, zero point {zero_point}; "
                    f"the card says {affine.scale:.6g}, {affine.zero_point}"
                )
            if (found := tuple(int(n) for n in details[name]["shape"])) != shape:
                raise ModelError(f"{self._where}: tensor {name!r} is of shape {found}; the card makes it {shape}")
        for state in self._stream.states:
            for name in (state.input, state.output):
                if (is_shape := [int(n) for n in details[name]["shape"]]) != state.shape:
                    raise ModelError(
                        f"{self._where}: tensor {name!r} is of shape {is_shape}; the card says {state.shape}"
                    )


def _gather(states: Sequence[State]) -> _Tensors:
    """Gather the states of several sources as rows of one set of tensors, which from now on is theirs alone."""
    tensors = states[0].tensors
    together = len(tensors.arrays[0]) == len(states)
    if together and (len(states) == 1 or all(s.tensors is tensors and s.row == i for i, s in enumerate(states))):
        return tensors
    rows = [[array[s.row : s.row + 1] for array in s.tensors.settle()] for s in states]
    tensors = _Tensors([np.concatenate(parts) for parts in zip(*rows, strict=True)])
    for i, state in enumerate(states):
        state.tensors, state.row = tensors, i
    return tensors
