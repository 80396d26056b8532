"""The stateful network: only new frames in, what it still needs of the old ones handed from call to call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auricle import litert
from auricle.errors import ModelError

if TYPE_CHECKING:
    from auricle.bundle import Card


class State:
    """What one source's network remembers: one row of every tensor, beside those of the sources it was heard with.

    Sources that are heard together again find their rows side by side, and nothing need be gathered.
    """

    __slots__ = ("row", "tensors")

    def __init__(self, tensors: list[NDArray[np.int8]], row: int) -> None:
        self.tensors, self.row = tensors, row


class _Graph(NamedTuple):
    """The graph resized to one number of sources and frames; where its tensors are, the states in the card's order."""

    interpreter: Any
    source: int
    scores: int
    states_in: list[int]
    states_out: list[int]


class StreamNetwork:
    """``stream.tflite``: one network for any number of sources, each of which keeps its own `State`.

    The graph is resized once for every number of sources and of frames that it is called with. All of these share the
    arithmetic, so that it changes no bit how a stream is divided into calls, nor who is heard in the same call. Not to
    be shared between threads.

    Args:
        card: says how its tensors are called.
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
        """The state at a segment's start: zero points, which stand for no sound at all."""
        return State([np.full(state.shape, state.zero_point, np.int8) for state in self._stream.states], 0)

    def __call__(self, rows: NDArray[np.int8], states: Sequence[State]) -> NDArray[np.int8]:
        """Scores ``(sources, n / stride, n_labels)`` at the end of every stride of ``(sources, n, n_features)``.

        Args:
            rows: the new frames of several sources; n is a multiple of the stride.
            states: of these sources, in the same order; brought up to date.
        """
        n_sources, n = rows.shape[:2]
        graph = self._graphs.get((n_sources, n)) or self._graph(n_sources, n)
        interpreter = graph.interpreter
        tensors = _gather(states)
        interpreter.set_tensor(graph.source, rows[..., None])
        for index, tensor in zip(graph.states_in, tensors, strict=True):
            interpreter.set_tensor(index, tensor)
        interpreter.invoke()
        tensors[:] = map(interpreter.get_tensor, graph.states_out)
        scores: NDArray[np.int8] = interpreter.get_tensor(graph.scores)
        return scores.reshape(n_sources, -1, self._n_labels)

    def _graph(self, n_sources: int, n: int) -> _Graph:
        stream = self._stream
        shapes = {state.input: (n_sources, *state.shape[1:]) for state in stream.states}
        shapes[stream.input] = (n_sources, n, self._n_features, 1)
        try:
            interpreter = litert.load(self._content, shapes)
        except ModelError as e:
            raise ModelError(f"{self._where}: {e}") from None
        tensors = {t["name"]: t["index"] for t in interpreter.get_input_details() + interpreter.get_output_details()}
        inputs = [state.input for state in stream.states]
        outputs = [state.output for state in stream.states]
        if missing := {stream.input, stream.output, *inputs, *outputs} ^ set(tensors):
            raise ModelError(f"{self._where}: the graph and the card differ in tensors: {', '.join(sorted(missing))}")
        graph = _Graph(
            interpreter,
            tensors[stream.input],
            tensors[stream.output],
            [tensors[name] for name in inputs],
            [tensors[name] for name in outputs],
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


def _gather(states: Sequence[State]) -> list[NDArray[np.int8]]:
    """The states of several sources as rows of one list of tensors, which from now on is theirs alone."""
    tensors = states[0].tensors
    if len(tensors[0]) == len(states) and all(s.tensors is tensors and s.row == i for i, s in enumerate(states)):
        return tensors
    rows = [[tensor[s.row : s.row + 1] for tensor in s.tensors] for s in states]
    tensors = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    for i, state in enumerate(states):
        state.tensors, state.row = tensors, i
    return tensors
