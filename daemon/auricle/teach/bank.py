"""A bank is background that comes with a network: embeddings of many sounds, to teach one more the difference from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.errors import ModelError, StoredError
from auricle.model.bundle import Bundle
from auricle.stored import arrays, plain
from auricle.stored.arrays import Member
from auricle.teach.embedding import Embeddings

_MEMBERS = {"embeddings": Member("i", 2), "kinds": Member("iu", 1)}
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Background:
    """Holds embeddings ``(n, size)`` of windows without the sound, and what each of them is of."""

    embeddings: Embeddings
    kinds: Sequence[str]

    def without(self, *kinds: str) -> Background:
        """Return what is of none of these kinds."""
        kept = [i for i, each in enumerate(self.kinds) if each not in kinds]
        return Background(self.embeddings[kept], [self.kinds[i] for i in kept])

    def joined(self, embeddings: Embeddings, kind: str) -> Background:
        """Return it with more, of one kind."""
        if not len(embeddings):
            return self
        return Background(np.concatenate((self.embeddings, embeddings)), [*self.kinds, *[kind] * len(embeddings)])


def packed(embeddings: Embeddings, kinds: Sequence[int]) -> bytes:
    """Return the content of the file of a bank."""
    file = io.BytesIO()
    np.savez_compressed(file, embeddings=embeddings, kinds=np.asarray(kinds, np.uint8))
    return file.getvalue()


def of(bundle: Bundle) -> Background:
    """Return the bank of a bundle; an empty one where it has none.

    Raises:
        ModelError: it is not what the card says.
    """
    card = bundle.card
    assert card.embedding is not None
    if card.bank is None:
        return Background(np.empty((0, card.embedding.size), np.int8), [])
    where = f"{bundle.path}/{card.bank.file}"
    try:
        held = arrays.read(where, plain.read(where, _MOST_BYTES), _MEMBERS)
    except StoredError as e:
        raise ModelError(f"{e}; not a bank") from None
    embeddings, kinds = held["embeddings"], held["kinds"]
    fits = embeddings.dtype == np.int8 and embeddings.shape == (len(kinds), card.embedding.size)
    if not fits or (len(kinds) and not 0 <= kinds.min() <= kinds.max() < len(card.bank.kinds)):
        raise ModelError(f"{where}: {embeddings.shape} {embeddings.dtype} of {len(kinds)} kinds do not fit the card")
    return Background(embeddings, [card.bank.kinds[kind] for kind in kinds])
