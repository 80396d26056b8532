"""The stateful network: only new frames in, what it still needs of the old ones handed from call to call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auricle import litert
from auricle.errors import ModelError

if TYPE_CHECKING:
    from auricle.bundle import Card

State: TypeAlias = list[NDArray[np.int8]]
"""What one source's network remembers, a tensor each; a call replaces the items."""


class _Graph(NamedTuple):
    """The graph resized to one number of frames; where its tensors are, the states in the card's order."""

    interpreter: Any
    source: int
    scores: int
    states_in: list[int]
    states_out: list[int]


class StreamNetwork:
    """``stream.tflite``: one network for any number of sources, each of which keeps its own `State`.

    The graph is resized once for every number of frames that it is called with. All of these share the arithmetic, so
    that it changes no bit how a stream is divided into calls. Not to be shared between threads.

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
        self._graphs: dict[int, _Graph] = {}
        self._check(self._graph(self.stride))

    def begin(self) -> State:
        """The state at a segment's start: zero points, which stand for no sound at all."""
        return [np.full(state.shape, state.zero_point, np.int8) for state in self._stream.states]

    def __call__(self, rows: NDArray[np.int8], state: State) -> NDArray[np.int8]:
        """Scores ``(n / stride, n_labels)`` at the end of every stride of the new frames ``(n, n_features)``.

        Args:
            rows: n is a multiple of the stride.
            state: of the source that the frames are of; brought up to date.
        """
        graph = self._graphs.get(len(rows)) or self._graph(len(rows))
        interpreter = graph.interpreter
        interpreter.set_tensor(graph.source, rows.reshape(1, len(rows), self._n_features, 1))
        for index, tensor in zip(graph.states_in, state, strict=True):
            interpreter.set_tensor(index, tensor)
        interpreter.invoke()
        state[:] = map(interpreter.get_tensor, graph.states_out)
        scores: NDArray[np.int8] = interpreter.get_tensor(graph.scores)
        return scores.reshape(-1, self._n_labels)

    def _graph(self, n: int) -> _Graph:
        stream = self._stream
        try:
            interpreter = litert.load(self._content, {stream.input: (1, n, self._n_features, 1)})
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
        self._graphs[n] = graph
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
