"""A bundle is a model as a folder, with network, card and golden vectors; what does not hold is refused before the
first sample."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import AuricleError, ModelError, ShortError, StoredError
from auricle.model import heads, reading
from auricle.model.card import Card
from auricle.model.heads import Heads
from auricle.model.network import Network, quantise, scores_of
from auricle.model.streaming import StreamNetwork
from auricle.stored import arrays, plain
from auricle.stored.arrays import Member

PACKAGED = Path(__file__).parent / "packaged"
_CARD_BYTES = 2**20
_FILE_BYTES = 256 * 2**20
_GOLDEN = {"frames": Member("f", 2), "hop_frames": Member("iu", 0), "scores": Member("iuf", 2)}


@dataclass(frozen=True)
class Bundle:
    """Holds a model that has been checked.

    Args:
        path: its folder.
        card: what the model says of itself.
        hash: short SHA-256 over the card, which holds those of the files.
        whole: ``model.tflite``.
        stream: ``stream.tflite``, if the model has one.
        raw: the card with all that stands there for people.
        heads: what scores labels of somebody's own behind the embedding, if there are any.
    """

    path: Path
    card: Card
    hash: str
    whole: bytes
    stream: bytes | None
    raw: dict[str, Any]
    heads: Heads | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels in the order of the scores."""
        return tuple(self.card.labels)

    @cached_property
    def trunk(self) -> str | None:
        """Name the network behind whose embedding labels can be taught, by twelve hex digits of its hash; ``None``
        where it gives no embedding of whole windows."""
        card = self.card
        if card.embedding is None or card.streaming or card.keeps_state:
            return None
        return card.files["model.tflite"][:12]

    @cached_property
    def network(self) -> StreamNetwork | None:
        """Return the stateful network, one for all sources that this thread hears with this bundle; `None` without one.

        Raises:
            ModelError: the graph is not what the card says.
        """
        return StreamNetwork(self.card, self.stream, f"{self.path}/stream.tflite") if self.stream else None

    @cached_property
    def windows(self) -> Network:
        """Return the whole-window network, one for all sources that this thread hears with this bundle.

        Raises:
            ModelError: the graph is not what the card says.
        """
        return Network(self.card, self.whole, f"{self.path}/model.tflite")


def names(models_dir: Path | None = None) -> dict[str, Path]:
    """Find every bundle that can be had by name, those of ``models_dir`` before the packaged ones."""
    found: dict[str, Path] = {}
    for folder in (models_dir, PACKAGED):
        if folder is not None and folder.is_dir():
            for card in sorted(folder.glob("*/card.yaml")):
                found.setdefault(card.parent.name, card.parent)
    return found


def find(model: str, models_dir: Path | None = None) -> Path:
    """Find the folder of a model given by name or as a folder.

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


def card_of(model: str, models_dir: Path | None = None) -> Card:
    """Read what a model given by name or folder says of itself; its network is not opened.

    Raises:
        ModelError: there is no such model, or its card does not hold.
    """
    with _ours(model):
        return _card(find(model, models_dir))[0]


def load(model: str, models_dir: Path | None = None, *, first: Callable[[Bundle], None] | None = None) -> Bundle:
    """Open a bundle by name or folder, and check everything that it says.

    Args:
        model, models_dir: as of `find`.
        first: called with the bundle that was read and not yet run; may refuse that by a `ModelError`.

    Raises:
        ModelError: a file is missing or changed, the card and the network disagree, or the golden vectors do not hold.
        ShortError: there is not enough memory for it.
    """
    with _ours(model):
        bundle, golden = _read_all(find(model, models_dir))
        if first is not None:
            first(bundle)
        _check_golden(bundle, golden)
        return bundle


@contextmanager
def _ours(where: str) -> Iterator[None]:
    """Say in our own error whatever the system, and the parsers of YAML and graphs, raise over what cannot be read."""
    try:
        yield
    except AuricleError:
        raise
    except MemoryError:
        raise ShortError(f"{where}: needs more memory than is left; free some, or use a smaller model") from None
    except OSError as e:
        raise ModelError(f"{e.filename or where}: cannot be read: {e.strerror or e}") from e
    except Exception as e:  # they have no common base
        said = " ".join(str(e).split())[:300]
        raise ModelError(f"{where}: cannot be read ({type(e).__name__}: {said})") from e


def _read_all(path: Path) -> tuple[Bundle, bytes]:
    """Read a bundle and check its files against its card; with its golden vectors as they are written. Nothing was run
    yet."""
    card, raw, text = _card(path)
    for name in card.files:
        if Path(name).name != name or (path / name).resolve().parent != path.resolve():
            raise ModelError(f"{path}/card.yaml: files: {name!r} is no file in the bundle's own folder; put it there")
    files = {name: _read(path / name, _FILE_BYTES) for name in card.files}
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
        heads=None if card.heads is None else heads.read(f"{path}/{card.heads.file}", files[card.heads.file], card),
    )
    return bundle, files["golden.npz"]


def _card(path: Path) -> tuple[Card, dict[str, Any], bytes]:
    """Read a bundle's card and check it; with all that stands in the file, and its bytes."""
    text = _read(path / "card.yaml", _CARD_BYTES)
    return *reading.read(text, f"{path}/card.yaml"), text


def _read(path: Path, most: int) -> bytes:
    try:
        return plain.read(path, most)
    except StoredError as e:
        raise ModelError(str(e)) from None


def _check_golden(bundle: Bundle, content: bytes) -> None:
    where = f"{bundle.path}/golden.npz"
    card = bundle.card
    try:
        golden = arrays.read(where, content, _GOLDEN)
    except StoredError as e:
        raise ModelError(f"{e}; not golden vectors") from None
    frames, hop, scores = golden["frames"], int(golden["hop_frames"]), golden["scores"]
    if hop < 1 or not np.isfinite(frames).all():
        raise ModelError(f"{where}: hop_frames {hop}, or frames that are not finite; not golden vectors")
    # One that keeps state is spoilt by what it has heard; of others everybody's is as good as one of its own.
    network = Network(card, bundle.whole, f"{bundle.path}/model.tflite") if card.keeps_state else bundle.windows
    rows = quantise(frames, card.quantisation.input, card.input.dtype)
    span = card.timing.window_frames
    if (
        frames.shape[1] != card.n_features
        or len(frames) < span + (len(scores) - 1) * hop
        or not len(scores)
        or scores.shape[1] != card.n_scores
        or (scores.dtype.kind == "f") != (card.output.dtype == "float32")
    ):
        raise ModelError(f"{where}: {scores.shape} answers do not fit {frames.shape[0]} frames of {frames.shape[1:]}")
    windows = [rows[j * hop : j * hop + span] for j in range(len(scores))]
    answers = [network(window) for window in windows]
    for j, (given, wanted) in enumerate(zip(answers, scores, strict=True)):
        off = _steps(given, wanted, card)
        # Of a sigmoid head several labels, or none, may stand out: which is the highest may hang on a single step.
        other = card.head == "softmax" and int(given.argmax()) != int(wanted.argmax())
        if not off <= card.golden_steps or other:
            raise ModelError(
                f"{where}: the network answers window {j} with {card.labels[int(given.argmax())]}, off by {off:g} "
                f"steps; the card's machine had {card.labels[int(wanted.argmax())]}"
            )
    if bundle.heads is not None and card.heads is not None:
        embeddings = [network.with_embedding(window)[1] for window in windows]
        heads.check_trunk(f"{bundle.path}/{card.heads.file}", bundle.heads, embeddings, card.golden_steps)
    if bundle.network is not None:
        _check_stream(bundle, bundle.network, rows, hop, answers)


def _steps(given: NDArray[Any], wanted: NDArray[Any], card: Card) -> float:
    """Return by how many steps two answers differ at most: those of a quantised output, or 256ths of a float's
    scores."""
    if card.output.dtype == "float32":
        one, other = scores_of(given, card), scores_of(wanted.astype(np.float32), card)
        return round(float(np.abs(one - other).max()) * 256, 3)
    return int(np.abs(given.astype(int) - wanted.astype(int)).max())


def _check_stream(
    bundle: Bundle, network: StreamNetwork, rows: NDArray[np.int8], hop: int, answers: list[NDArray[np.int8]]
) -> None:
    """Refuse a stateful network that gives other int8 than the whole-window network; both run here, so nothing is
    forgiven."""
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
