"""The classic is a plain CNN over stacked mel, chroma and MFCC; its figure is reported beside ours, and it is not
shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from auricle.errors import ConfigError
from auricle_build import recipe as recipes
from auricle_build.grammar.learning import Classic
from auricle_build.grammar.recipes import ClassicRecipe
from auricle_build.judge import evaluate
from auricle_build.judge.evaluate import Judgement
from auricle_build.learn import training
from auricle_build.material.rows import Rows


def network(options: Classic, window: tuple[int, int], n_labels: int, head: str) -> Any:
    """Build the CNN: convolutions with ``activation``, each followed by 2x2 max-pooling of stride 2 with SAME padding;
    dropout; dense.

    Args:
        window: frames and features.
    """
    layers = tf.keras.layers
    stack = [layers.Input((*window, 1))]
    for channels in options.channels:
        stack.append(layers.Conv2D(channels, 3, padding="same", activation=options.activation))
        stack.append(layers.MaxPooling2D(2, 2, padding="same"))
        stack.append(layers.Dropout(options.dropout))
    stack.append(layers.Flatten())
    stack.append(layers.Dense(options.dense, activation=options.activation))
    stack.append(layers.Dropout(options.dropout))
    stack.append(layers.Dense(n_labels, activation="sigmoid" if head == "sigmoid" else "softmax"))
    return tf.keras.Sequential(stack)


def windows(rows: Rows, frames: int, hop: int) -> Rows:
    """Cut all windows of a clip ``(k, frames, n_features)``."""
    return np.stack([rows[i : i + frames] for i in range(0, len(rows) - frames + 1, hop)]).astype(np.float32)


def run(
    rec: ClassicRecipe,
    held_out: Sequence[int],
    *,
    root: Path,
    cache: Path | None,
    threads: int = 2,
    say: Callable[[str], None] = print,
    reading: Callable[[int, int], None] | None = None,
) -> Judgement:
    """Train on all folds but those held out, judge on these, and say the figures.

    Raises:
        ConfigError: the recipe or its material does not hold, or nothing is held out.
    """
    if not held_out:
        raise ConfigError(["classic is trained to be judged, not shipped; hold out a fold with --hold-out"])
    training.repeatable(rec.seed, threads)
    labels, frames, head = rec.names, rec.network.window_frames, rec.head
    loaded = recipes.prepare(rec, held_out, root=root, cache=cache, progress=reading)
    for line in loaded.failed:
        say(f"skipped: {line}")
    hop = frames // 4
    cut = [windows(variant, frames, hop) for variants in loaded.train.rows for variant in variants]
    truth = np.repeat(loaded.train.label, [len(variants) for variants in loaded.train.rows])
    x = np.concatenate(cut)
    y = np.repeat(np.eye(len(labels), dtype=np.float32)[truth], [len(c) for c in cut], axis=0)
    # Decibels, chroma and cepstra have scales of their own.
    mean, spread = x.mean(axis=(0, 1)), x.std(axis=(0, 1)) + 1e-3
    model = network(rec.network, x.shape[1:], len(labels), head)
    model.compile(
        tf.keras.optimizers.Adam(rec.schedule.learning_rate),
        "binary_crossentropy" if head == "sigmoid" else "categorical_crossentropy",
        metrics=["accuracy"],
    )
    say(f"classic: {model.count_params()} parameters, {len(x)} windows of {frames} x {x.shape[2]}")
    epochs = rec.schedule.epochs
    told = tf.keras.callbacks.LambdaCallback(
        on_epoch_end=lambda at, logs: say(
            f"epoch {at + 1} of {epochs}: loss {logs['loss']:.3f}, accuracy {logs['accuracy']:.3f}"
        )
    )
    model.fit(
        ((x - mean) / spread)[..., None],
        y,
        batch_size=rec.batch.size,
        epochs=epochs,
        verbose=0,
        callbacks=[told],
    )

    def score(rows: Rows) -> Rows:
        seen = (windows(rows, frames, hop) - mean) / spread
        return np.asarray(model.predict(seen[..., None], verbose=0), np.float32)

    judged = evaluate.judge(score, loaded.kept, loaded.truth, labels, rec.background)
    say(f"classic: clip accuracy {judged.accuracy():.3f} on fold {', '.join(map(str, held_out))} (float)")
    return judged
