"""A `.tflite` file's plain facts are held here: what it says of itself, without a word on what that means."""

from __future__ import annotations

import math

import msgspec


class Tensor(msgspec.Struct, frozen=True):
    """Describes an input or an output; ``shape`` has -1 for an open axis, ``scale`` is 0 where nothing is quantised.

    ``head`` is the op that an output comes from (``LOGISTIC``, ``SOFTMAX``), as far as it makes scores of logits.
    """

    name: str
    dtype: str
    shape: list[int]
    scale: float = 0.0
    zero_point: int = 0
    head: str = ""

    @property
    def extents(self) -> list[int]:
        """Return the axes that are not 1; of open ones the first is a batch, which is 1 too."""
        shape = self.shape
        if len(shape) > 1 and shape[0] == -1:
            shape = shape[1:]
        return [n for n in shape if n != 1]

    @property
    def size(self) -> int:
        """Return how many values the tensor holds, negative where an axis is open."""
        return math.prod(self.extents)


class Told(msgspec.Struct, frozen=True):
    """Holds what the people who made a network wrote into its file."""

    name: str = ""
    description: str = ""
    licence: str = ""
    author: str = ""
    sample_rate: int | None = None
    channels: int | None = None
    label_files: list[str] = []
    """The names of the files that name the outputs' labels: those in English, or in no language, come first."""
    calibrated: bool = False
    """Whether scores are to go through a calibration that lies in a file of its own."""


class Facts(msgspec.Struct, frozen=True):
    """Holds what is in a `.tflite` file."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    ops: list[str]
    """The ops of the graph that is called, in its order."""
    custom: list[str]
    """The ops that TFLite does not have itself."""
    told: Told
    cut: list[int] = []
    """Frames and features of what the graph makes of a waveform and then quantises, where it does that at one point."""

    @property
    def keeps_state(self) -> bool:
        """Return whether the graph remembers in variables."""
        return any(op in ("VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE") for op in self.ops)
