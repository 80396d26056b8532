"""A pretrained trunk learns labels of one's own here without forgetting what it knew.

A label's logit is that of its AudioSet classes, the highest of them, scaled and shifted, plus a linear correction on
the embedding, which begins at zero: before the first step every label says what AudioSet says. While it learns,
AudioSet's own outputs are held to those of the untouched network on the same windows (Li and Hoiem 2016), so that what
no recording here teaches stays known.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle_build.learn import mobilenet
from auricle_build.learn.soundscapes import Windows

SHIFT = 1.0
"""By how much AudioSet's outputs are too low, as a logit: the median of the shifts that best parted recordings of a
label from others."""
BELIEVED = 0.35
"""From this score on AudioSet's word against a label's absence is believed enough not to punish the label for it."""
DOUBTED = 0.15
"""The weight of such an absence."""


def classes(path: Path) -> list[str]:
    """Read the names of AudioSet's classes in the order of the outputs: a table with the column ``display_name``.

    Raises:
        ConfigError: the table cannot be read or is not AudioSet's.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names = [row["display_name"] for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise ConfigError([f"{path}: cannot be read as the table of AudioSet's classes: {error}"]) from error
    if len(names) != mobilenet.N_AUDIOSET:
        raise ConfigError([f"{path}: {len(names)} classes; AudioSet's table has {mobilenet.N_AUDIOSET}"])
    return names


class Pretrained:
    """Holds the trunk, AudioSet's head and the labels' own, with what a training step needs of them.

    Args:
        weights: as `mobilenet.read` gives them.
        n_bands: of the rows.
        resting: for each label the indices of the AudioSet classes that it rests on, at least one.
        taught: which labels have recordings; of the others AudioSet's word is the target.
        frozen_blocks: so many blocks from below stay as they were pretrained.
        head_only: all that was pretrained stays so, and only the labels' own part learns.
        trunk_rate: learning rate of everything pretrained, as a share of the head's.
        hold: weight of holding AudioSet's outputs.
        single: weight of telling a window's only label from all others: a softmax over the labels that have recordings.
    """

    def __init__(
        self,
        weights: dict[str, Any],
        n_bands: int,
        resting: Sequence[Sequence[int]],
        taught: Sequence[bool],
        *,
        frozen_blocks: int,
        head_only: bool = False,
        trunk_rate: float,
        hold: float,
        single: float,
    ) -> None:
        n = len(resting)
        self.lower = mobilenet.lower(weights, n_bands, frozen_blocks)
        self.lower.trainable = False
        self.upper = mobilenet.upper(weights, self.lower.output, frozen_blocks)
        width = int(self.upper.output.shape[1])
        self.audioset = mobilenet.audioset(weights, width)
        self._untouched = (
            (self.upper, self.audioset)
            if head_only
            else (
                mobilenet.upper(weights, self.lower.output, frozen_blocks),
                mobilenet.audioset(weights, width),
            )
        )
        # Lists of one length, so that one gather and one maximum serve all labels.
        most = max(map(len, resting))
        self._resting = np.asarray([[*mine, *[mine[0]] * (most - len(mine))] for mine in resting], np.int32)
        self._taught = np.asarray(taught, bool)
        self.scale = tf.Variable(tf.ones(n), name="scale")
        self.shift = tf.Variable(tf.fill([n], SHIFT), name="shift")
        self.correction = tf.Variable(tf.zeros([width, n]), name="correction")
        self._hold, self._single = hold, single
        pretrained = [] if head_only else [*self.upper.trainable_variables, *self.audioset.trainable_variables]
        self.trained: list[Any] = [*pretrained, self.scale, self.shift, self.correction]
        self.rates = [trunk_rate] * len(pretrained) + [1.0] * 3
        self.decayed = [len(v.shape) > 1 for v in pretrained] + [False, False, True]
        self.moments: list[Any] = []

    def embedding(self, x: Any) -> Any:
        """Compute the embeddings ``(n, 384)`` of windows ``(n, frames, bands)``."""
        return self.upper(self.lower(x))

    def logits(self, embedding: Any) -> tuple[Any, Any]:
        """Compute the labels' logits ``(n, labels)`` and AudioSet's ``(n, 527)`` of embeddings."""
        known = self.audioset(embedding)
        return self._rested(known) * self.scale + self.shift + embedding @ self.correction, known

    def _rested(self, known: Any) -> Any:
        return tf.reduce_max(tf.gather(known, self._resting, axis=1), axis=2)

    def objective(self, batch: Windows, step: Any) -> tuple[Any, Any]:
        """Compute the loss, and the share of windows with one label whose highest logit is that label's.

        The loss is the labels' cross-entropy, summed over the labels; how far AudioSet's outputs have moved (relative
        entropy, summed over the classes); and, of windows with one label, a softmax over the labels that have
        recordings, which BCE alone does not teach to be parted. Means over the windows.
        """
        below = self.lower(batch.x)
        upper, audioset = self._untouched
        before = audioset(upper(below))
        logits, known = self.logits(self.upper(below))
        word = tf.sigmoid(self._rested(before) + SHIFT)
        target = tf.where(self._taught, batch.y, word)
        doubted = self._taught & (batch.y < 0.5) & (word > BELIEVED)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(target, logits) * tf.where(doubted, DOUBTED, 1.0)
        was = tf.sigmoid(before)
        moved = tf.nn.sigmoid_cross_entropy_with_logits(was, known) - tf.nn.sigmoid_cross_entropy_with_logits(
            was, before
        )
        loss = tf.reduce_mean(tf.reduce_sum(entropy * batch.weight, 1))
        loss += self._hold * tf.reduce_mean(tf.reduce_sum(moved, 1))
        alone = tf.cast(tf.reduce_sum(batch.y, 1) == 1.0, tf.float32)
        among = tf.where(self._taught, logits, -1e9)
        parted = tf.nn.softmax_cross_entropy_with_logits(batch.y, among)
        loss += self._single * tf.reduce_mean(alone * tf.reduce_min(batch.weight, 1) * parted)
        right = tf.cast(tf.equal(tf.argmax(among, 1), tf.argmax(batch.y, 1)), tf.float32)
        return loss, tf.reduce_sum(alone * right) / tf.maximum(tf.reduce_sum(alone), 1.0)

    def outputs(self, x: Any) -> tuple[Any, Any]:
        """Compute the scores ``(n, labels)`` and the embedding ``(n, 384)`` of windows: what the graph that ships
        gives."""
        embedding = self.embedding(x)
        # Only the classes that some label rests on: the others would be a fifth of the file.
        used, places = np.unique(self._resting, return_inverse=True)
        known = mobilenet.classes_of(self.audioset, embedding, used)
        rested = tf.reduce_max(tf.gather(known, places.reshape(self._resting.shape), axis=1), axis=2)
        return tf.sigmoid(rested * self.scale + self.shift + embedding @ self.correction), embedding

    def calibrate(self, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> None:
        """Make the logits ``scale * logit + shift``, label by label."""
        self.scale.assign(self.scale * scale)
        self.correction.assign(self.correction * scale)
        self.shift.assign(self.shift * scale + shift)
