"""A model as a folder: network, card, golden vectors. What does not hold is refused before the first sample."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.model import litert
from auricle.model.streaming import StreamNetwork

PACKAGED = Path(__file__).parent / "packaged"
GOLDEN_STEPS = 2
"""By how many int8 steps another class of machine may differ from the one that made the golden vectors."""


class Input(msgspec.Struct, frozen=True):
    """What the network takes: ``features`` of ``shape`` (frames, features)."""

    kind: str
    shape: tuple[int, int]


class FrontEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The front end that the network was trained on; units as in librosa."""

    sample_rate: int
    n_fft: int
    hop_length: int
    features: list[dict[str, Any]]
    win_length: int | None = None
    behind_gate: bool = False


class Affine(msgspec.Struct, frozen=True):
    """An int8 tensor's meaning: ``value = scale * (q - zero_point)``."""

    scale: float
    zero_point: int


class Quantisation(msgspec.Struct, frozen=True):
    """Of the network's input and output."""

    input: Affine
    output: Affine


class Timing(msgspec.Struct, frozen=True):
    """Extents of the network in frames, and how late its scores speak, in samples at the front end's rate.

    ``lags`` holds onset and offset lag of single labels: rain needs longer to be sure of than a bark.
    """

    window_frames: int
    stride_frames: int
    receptive_frames: int
    columns: int
    onset_lag_samples: int
    offset_lag_samples: int
    lags: dict[str, tuple[int, int]] = {}


class State(msgspec.Struct, frozen=True):
    """One tensor that the stateful network hands from call to call."""

    input: str
    output: str
    shape: list[int]
    zero_point: int


class Stream(msgspec.Struct, frozen=True):
    """The names of the stateful network's tensors."""

    input: str
    output: str
    states: list[State]


class Card(msgspec.Struct, frozen=True):
    """What ``card.yaml`` must say; more may stand there for people to read."""

    format: int
    name: str
    labels: list[str]
    background: str | None
    head: str
    input: Input
    front_end: FrontEnd
    quantisation: Quantisation
    timing: Timing
    streaming: bool
    files: dict[str, str]
    licence: str
    padding: str = "wrap"
    description: str = ""
    thresholds: dict[str, float] = {}
    min_durations_ms: dict[str, float] = {}
    stream: Stream | None = None


@dataclass(frozen=True)
class Bundle:
    """A model that has been checked.

    Args:
        path: its folder.
        card: what it says of itself.
        hash: short SHA-256 over the card, which holds those of the files.
        whole: ``model.tflite``.
        stream: ``stream.tflite``, if it has one.
        raw: the card with all that stands in it for people.
    """

    path: Path
    card: Card
    hash: str
    whole: bytes
    stream: bytes | None
    raw: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the network's outputs."""
        return tuple(self.card.labels)

    @cached_property
    def network(self) -> StreamNetwork | None:
        """The stateful network, one for all sources that this thread hears with this bundle; `None` without one.

        Raises:
            ModelError: the graph is not what the card says.
        """
        return StreamNetwork(self.card, self.stream, f"{self.path}/stream.tflite") if self.stream else None


def names(models_dir: Path | None = None) -> dict[str, Path]:
    """Every bundle that can be had by name, those of ``models_dir`` before the packaged ones."""
    found: dict[str, Path] = {}
    for folder in (models_dir, PACKAGED):
        if folder is not None and folder.is_dir():
            for card in sorted(folder.glob("*/card.yaml")):
                found.setdefault(card.parent.name, card.parent)
    return found


def find(model: str, models_dir: Path | None = None) -> Path:
    """The folder of a model given by name or as a folder.

    Raises:
        ModelError: neither is there.
    """
    known = names(models_dir)
    if model in known:
        return known[model]
    if (Path(model) / "card.yaml").is_file():
        return Path(model)
    if Path(model).is_dir():
        raise ModelError(f"{model}: no bundle: the folder holds no card.yaml")
    raise ModelError(
        f"model {model!r} is not known; use {', '.join(sorted(known)) or 'a folder'}, or a bundle's folder"
    )


_LOWEST, _HIGHEST = np.array(-128, np.float32), np.array(127, np.float32)


def quantise(rows: NDArray[np.float32], affine: Affine) -> NDArray[np.int8]:
    """Values to int8, saturating at the ends, never wrapping."""
    q = rows * np.float32(1.0 / affine.scale)
    np.rint(q, out=q)
    q += np.float32(affine.zero_point)
    np.maximum(q, _LOWEST, out=q)
    np.minimum(q, _HIGHEST, out=q)
    return q.astype(np.int8)


def load(model: str, models_dir: Path | None = None) -> Bundle:
    """Open a bundle by name or folder, and check everything that it says.

    Raises:
        ModelError: a file is missing or changed, the card and the network disagree, or the golden vectors do not hold.
    """
    path = find(model, models_dir)
    text = _read(path / "card.yaml")
    try:
        raw = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        card = msgspec.convert(raw, Card)
    except yaml.YAMLError as e:
        raise ModelError(f"{path}/card.yaml: not YAML ({str(e).splitlines()[0]})") from None
    except msgspec.ValidationError as e:
        raise ModelError(f"{path}/card.yaml: {e}") from None
    if card.format != 1:
        raise ModelError(f"{path}/card.yaml: format {card.format} is not known; this version reads format 1")
    files = {name: _read(path / name) for name in card.files}
    for name, content in files.items():
        if (is_hash := hashlib.sha256(content).hexdigest()) != card.files[name]:
            raise ModelError(f"{path}/{name}: its SHA-256 {is_hash[:12]}… is not the card's {card.files[name][:12]}…")
    wanted = ["model.tflite", "golden.npz", *(["stream.tflite"] if card.streaming else [])]
    for name in wanted:
        if name not in files:
            raise ModelError(f"{path}/card.yaml: files: {name} is not listed")
    if card.streaming and card.stream is None:
        raise ModelError(f"{path}/card.yaml: streaming is true, but stream: names no tensors")
    bundle = Bundle(
        path=path,
        card=card,
        hash=hashlib.sha256(text).hexdigest()[:12],
        whole=files["model.tflite"],
        stream=files.get("stream.tflite") if card.streaming else None,
        raw=raw,
    )
    _check_card(bundle)
    _check_golden(bundle, files["golden.npz"])
    return bundle


class Network:
    """The whole-window network: quantised windows in, quantised scores out, one by one.

    Raises:
        ModelError: the graph is not what the card says.
    """

    def __init__(self, bundle: Bundle) -> None:
        card = bundle.card
        where = f"{bundle.path}/model.tflite"
        try:
            self._interpreter = litert.load(bundle.whole)
        except ModelError as e:
            raise ModelError(f"{where}: {e}") from None
        (inp, *more_in), (out, *more_out) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        if more_in or more_out:
            raise ModelError(
                f"{where}: takes {1 + len(more_in)} and gives {1 + len(more_out)} tensors; use one of each"
            )
        for tensor, affine in ((inp, card.quantisation.input), (out, card.quantisation.output)):
            scale, zero_point = tensor["quantization"]
            if tensor["dtype"] is not np.int8:
                raise ModelError(f"{where}: tensor {tensor['name']!r} is {np.dtype(tensor['dtype'])}; use int8")
            if not np.isclose(scale, affine.scale, rtol=1e-6) or zero_point != affine.zero_point:
                raise ModelError(
                    f"{where}: tensor {tensor['name']!r} is quantised with scale {scale:.6g}, zero point {zero_point}; "
                    f"the card says {affine.scale:.6g}, {affine.zero_point}"
                )
        items_in = tuple(int(n) for n in inp["shape"] if n != 1)
        if items_in != tuple(card.input.shape):
            raise ModelError(f"{where}: takes windows of {items_in}; the card says {tuple(card.input.shape)}")
        if int(np.prod(out["shape"])) != len(card.labels):
            raise ModelError(
                f"{where}: gives {int(np.prod(out['shape']))} scores; the card names {len(card.labels)} labels"
            )
        self._in, self._out, self._shape = inp["index"], out["index"], tuple(inp["shape"])

    def __call__(self, window: NDArray[np.int8]) -> NDArray[np.int8]:
        """Scores ``(n_labels,)`` of one window ``(frames, features)``."""
        self._interpreter.set_tensor(self._in, np.ascontiguousarray(window).reshape(self._shape))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._out)).reshape(-1)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ModelError(f"{path}: {e.strerror}") from None


def _check_card(bundle: Bundle) -> None:
    card, where = bundle.card, f"{bundle.path}/card.yaml"
    problems = [
        (len(set(card.labels)) != len(card.labels) or not card.labels, "labels: each must be named once"),
        *(
            (re.fullmatch("[a-z0-9_]+", label) is None, f"labels: {label!r} is no slug; use a-z, 0-9 and _")
            for label in card.labels
        ),
        (
            card.background is not None and card.background not in card.labels,
            f"background: {card.background!r} is none of the labels",
        ),
        (card.head not in ("softmax", "sigmoid"), f"head: {card.head!r} is not known; use softmax or sigmoid"),
        (card.input.kind != "features", f"input.kind: {card.input.kind!r} is not known here; use features"),
        (
            card.input.shape[0] != card.timing.window_frames,
            f"timing.window_frames: {card.timing.window_frames} is not input.shape's {card.input.shape[0]}",
        ),
        (
            card.timing.receptive_frames + (card.timing.columns - 1) * card.timing.stride_frames
            != card.timing.window_frames
            and card.streaming,
            "timing: window_frames is not receptive_frames + (columns - 1) * stride_frames",
        ),
        (
            not all(label in card.labels and 0 < value <= 1 for label, value in card.thresholds.items()),
            f"thresholds: {dict(card.thresholds)} are not each of a label and above 0, at most 1",
        ),
        (
            not all(label in card.labels and 0 <= ms <= 60_000 for label, ms in card.min_durations_ms.items()),
            f"min_durations_ms: {dict(card.min_durations_ms)} are not each of a label and 0 to 60000",
        ),
        (card.padding != "wrap", f"padding: {card.padding!r} is not known; use wrap"),
        (
            card.quantisation.input.scale <= 0 or card.quantisation.output.scale <= 0,
            "quantisation: a scale is not positive",
        ),
    ]
    for wrong, message in problems:
        if wrong:
            raise ModelError(f"{where}: {message}")


def _check_golden(bundle: Bundle, content: bytes) -> None:
    where = f"{bundle.path}/golden.npz"
    card = bundle.card
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            frames, hop, scores = golden["frames"], int(golden["hop_frames"]), golden["scores"]
    except (ValueError, KeyError, OSError) as e:
        raise ModelError(f"{where}: not golden vectors ({e})") from None
    network = Network(bundle)
    rows = quantise(frames, card.quantisation.input)
    span = card.timing.window_frames
    if (
        frames.shape[1:] != tuple(card.input.shape[1:])
        or len(frames) < span + (len(scores) - 1) * hop
        or not len(scores)
    ):
        raise ModelError(f"{where}: {len(scores)} answers do not fit {frames.shape[0]} frames of {frames.shape[1:]}")
    answers = [network(rows[j * hop : j * hop + span]) for j in range(len(scores))]
    for j, (given, wanted) in enumerate(zip(answers, scores, strict=True)):
        off = int(np.abs(given.astype(int) - wanted.astype(int)).max())
        if off > GOLDEN_STEPS or int(given.argmax()) != int(wanted.argmax()):
            raise ModelError(
                f"{where}: the network answers window {j} with {card.labels[int(given.argmax())]}, off by {off} steps; "
                f"the card's machine had {card.labels[int(wanted.argmax())]}"
            )
    if bundle.network is not None:
        _check_stream(bundle, bundle.network, rows, hop, answers)


def _check_stream(
    bundle: Bundle, network: StreamNetwork, rows: NDArray[np.int8], hop: int, answers: list[NDArray[np.int8]]
) -> None:
    """Both graphs run here, so nothing is forgiven: the stateful one must give the same int8."""
    card, stride = bundle.card, network.stride
    span = card.timing.window_frames
    before = np.full((-span % stride, rows.shape[1]), card.quantisation.input.zero_point, np.int8)
    rows = np.concatenate((before, rows))
    state = [network.begin()]
    strides = range(0, len(rows) - stride + 1, stride)
    columns = np.concatenate([network(rows[None, i : i + stride], state)[0] for i in strides])
    for j, wanted in enumerate(answers):
        at = len(before) + j * hop + span
        if at % stride == 0 and at // stride <= len(columns) and not np.array_equal(columns[at // stride - 1], wanted):
            raise ModelError(f"{bundle.path}: stream.tflite does not give what model.tflite gives on window {j}")
