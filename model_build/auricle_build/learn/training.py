"""Training is one step, repeated, with checkpoints that a later start goes on from as if nothing had happened."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from auricle_build.grammar.recipes import StreamingRecipe
from auricle_build.learn import network as streaming
from auricle_build.learn.batches import Batch


def repeatable(seed: int, threads: int) -> None:
    """Make training repeatable: TensorFlow's op determinism and a fixed number of threads, so that the same seed gives
    the same model on the same machine."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow is already running in this process: its threads stay as they are
        return


class AdamW:
    """Optimises by Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019), and a running
    mean.

    Args:
        variables: what is trained; ``decayed`` says which of them decay.
        also: further variables whose running mean is kept (the normalisations' moments).
        average: how much of the running mean is kept at each step.
        rates: learning rate of each variable, as a share; 1 for all unless given.
    """

    def __init__(
        self,
        variables: list[Any],
        decayed: list[bool],
        also: list[Any],
        decay: float,
        average: float,
        rates: Sequence[float] | None = None,
    ) -> None:
        self.variables, self.decayed, self.decay, self.average = variables, decayed, decay, average
        self.rates = list(rates) if rates is not None else [1.0] * len(variables)
        self.first = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self.second = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self.tracked = [*variables, *also]
        self.means = [tf.Variable(v, trainable=False) for v in self.tracked]

    @property
    def state(self) -> list[Any]:
        """Return everything that a checkpoint keeps, in a fixed order."""
        return [*self.tracked, *self.means, *self.first, *self.second]

    def apply(self, gradients: list[Any], step: Any, rate: Any) -> None:
        """Make one update; ``step`` counts from 0, gradients are scaled to a norm of at most 5."""
        gradients, _ = tf.clip_by_global_norm(gradients, 5.0)
        t = tf.cast(step, tf.float32) + 1.0
        moments = zip(self.first, self.second, strict=True)
        terms = zip(self.decayed, self.rates, strict=True)
        for v, g, (m, s), (decays, share) in zip(self.variables, gradients, moments, terms, strict=True):
            m.assign(0.9 * m + 0.1 * g)
            s.assign(0.999 * s + 0.001 * g * g)
            update = (m / (1.0 - 0.9**t)) / (tf.sqrt(s / (1.0 - 0.999**t)) + 1e-7)
            step_by = rate * (update + (self.decay * v if decays else 0.0))
            v.assign_sub(step_by if share == 1.0 else share * step_by)
        # Early on the mean follows closely, or it would remember the beginning.
        keep = tf.minimum(self.average, t / (t + 10.0))
        for v, mean in zip(self.tracked, self.means, strict=True):
            mean.assign(keep * mean + (1.0 - keep) * v)

    def swap(self) -> None:
        """Exchange the variables and their running means."""
        for v, mean in zip(self.tracked, self.means, strict=True):
            now = v.numpy()
            v.assign(mean)
            mean.assign(now)


def learning_rate(step: int, *, steps: int, warmup: int, highest: float) -> float:
    """Return the rate of a step: a linear rise over ``warmup`` steps, then half a cosine down to a hundredth
    (Loshchilov and Hutter 2017)."""
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return float(highest * (0.01 + 0.99 * 0.5 * (1.0 + np.cos(np.pi * min(1.0, done)))))


def losses(
    logits: list[Any], batch: Batch, head: str, *, smoothing: float, auxiliary: float = 0.0, distil: float = 0.0
) -> Any:
    """Compute the sum of the heads' losses: labels, the clips' own labels, and what the teacher heard.

    Args:
        smoothing: share of a softmax target that is spread over all labels.
        auxiliary, distil: weights of the second and the third loss.
    """
    main, original, taught = logits
    if head == "sigmoid":
        loss = tf.reduce_mean(tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(batch.y, main), axis=1))
    else:
        target = batch.y * (1.0 - smoothing) + smoothing / main.shape[1]
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, main))
    if auxiliary:
        loss += auxiliary * tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(batch.z, original))
    if distil:
        loss += distil * tf.reduce_mean(tf.square(batch.taught - taught))
    return loss


class Trainable(Protocol):
    """This is what a training asks of a network."""

    @property
    def trained(self) -> list[Any]:
        """Return the variables that gradients change, in a fixed order."""

    @property
    def decayed(self) -> list[bool]:
        """Return which of the variables are pulled towards zero."""

    @property
    def rates(self) -> Sequence[float] | None:
        """Return the learning rate of each, as a share; None where that of all is the schedule's."""

    @property
    def moments(self) -> list[Any]:
        """Return further variables whose running mean is kept."""


class Drawn(Protocol):
    """The steps draw from this: a batch, a dataclass of arrays, as a function of the step alone."""

    mistaken: NDArray[np.int64]

    def __call__(self, step: int) -> Any:
        """Make the batch of a step."""


class Steps(Protocol):
    """This is a recipe's schedule, whatever the network."""

    @property
    def steps(self) -> int:
        """Return how many steps there are."""

    @property
    def learning_rate(self) -> float:
        """Return the highest learning rate."""

    @property
    def warmup(self) -> int:
        """Return in how many steps the highest learning rate is reached."""

    @property
    def weight_decay(self) -> float:
        """Return how much weights are pulled towards zero."""

    @property
    def average(self) -> float:
        """Return how much of the weights' running mean is kept at a step."""

    @property
    def check_every(self) -> int:
        """Return how many steps lie between one check and the next."""


Objective = Callable[[Any, Any], tuple[Any, Any]]
"""Takes a batch, its arrays as tensors, and the step; gives the loss, and the share of the windows that is right."""


def labelled(network: streaming.Network, recipe: StreamingRecipe) -> Objective:
    """Build the objective of a network that streams: :func:`losses`, and the highest label."""
    schedule = recipe.schedule

    def objective(batch: Batch, step: Any) -> tuple[Any, Any]:
        logits = network.logits(batch.x, seed=tf.stack([recipe.seed, tf.cast(step, tf.int32)]))
        loss = losses(
            logits,
            batch,
            recipe.head,
            smoothing=schedule.smoothing,
            auxiliary=schedule.auxiliary,
            distil=schedule.distil,
        )
        right = tf.equal(tf.argmax(logits[0], 1), tf.argmax(batch.y, 1))
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    return objective


def prefetched(batches: Drawn, start: int, stop: int) -> Iterator[tuple[int, Any]]:
    """Yield the batches of steps ``start`` to ``stop``, the next two made while one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [(s, pool.submit(batches, s)) for s in range(start, min(stop, start + 2))]
        for step in range(start, stop):
            at, future = waiting.pop(0)
            if step + 2 < stop:
                waiting.append((step + 2, pool.submit(batches, step + 2)))
            yield at, future.result()


SAVED_EVERY = 200
"""Steps from one checkpoint to the next: what an interruption costs at most."""


@dataclass(frozen=True)
class Standing:
    """Says where a training stands: ``loss`` and ``accuracy`` since the last check; ``judged`` at a check, of what is
    aside.

    ``mistaken`` counts the windows of background that are taken for a label.
    """

    step: int
    steps: int
    loss: float
    accuracy: float
    judged: Mapping[str, float]
    mistaken: int
    left_s: float


def save(path: Path, optimizer: AdamW, step: int, best: tuple[int, float], batches: Drawn) -> None:
    """Save a checkpoint, complete or not there."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        arrays = {f"v{i}": v.numpy() for i, v in enumerate(optimizer.state)}
        np.savez(file, step=step, best_step=best[0], best=best[1], mistaken=batches.mistaken, **arrays)
    os.replace(part, path)


def restore(path: Path, optimizer: AdamW, batches: Drawn) -> tuple[int, tuple[int, float]]:
    """Take up a checkpoint: the next step, and the best check so far."""
    with np.load(path) as stored:
        batches.mistaken = stored["mistaken"]
        for i, v in enumerate(optimizer.state):
            v.assign(stored[f"v{i}"])
        return int(stored["step"]), (int(stored["best_step"]), float(stored["best"]))


def train(
    network: Trainable,
    batches: Drawn,
    schedule: Steps,
    folder: Path,
    *,
    objective: Objective,
    patience: int = 0,
    judge: Callable[[], Mapping[str, float]] | None = None,
    mistakes: Callable[[], NDArray[np.int64]] | None = None,
    report: Callable[[Standing], None] | None = None,
    stop_at: int | None = None,
) -> int:
    """Train, or go on from the checkpoint in ``folder``; the network ends with the running mean of its weights.

    Args:
        objective: what the steps make smaller.
        patience: checks without a better loss before training stops early; 0: never.
        judge: figures on clips kept aside, ``loss`` among them; asked every ``check_every`` steps.
        mistakes: what ``Drawn.mistaken`` becomes, asked at each check: hard negatives.
        report: called after each check.
        stop_at: leave after this step, to be resumed later.

    Returns:
        the step that the weights are from: the last, or the best one where training stopped early.
    """
    steps, every = schedule.steps, schedule.check_every
    optimizer = AdamW(
        network.trained, network.decayed, network.moments, schedule.weight_decay, schedule.average, network.rates
    )
    kind = type(batches(0))

    def one_step(batch: tuple[Any, ...], step: Any, rate: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, accuracy = objective(kind(*batch), step)
        optimizer.apply(tape.gradient(loss, network.trained, unconnected_gradients="zero"), step, rate)
        return tf.stack([loss, accuracy])

    update = tf.function(one_step)

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.npz", folder / "log.csv"
    start, best = 0, (0, float("inf"))
    if checkpoint.exists():
        start, best = restore(checkpoint, optimizer, batches)
    elif log.exists():
        log.unlink()
    began = time.monotonic()
    last = min(steps, stop_at or steps)
    step = start
    if patience and best[0] and start - best[0] >= patience * every:  # it had stopped early, and was started again
        step, _ = restore(folder / "best.npz", optimizer, batches)
        last = step
    recent: list[Any] = []
    while step < last:
        for at, batch in prefetched(batches, step, min(last, *(step + n - step % n for n in (every, SAVED_EVERY)))):
            rise = learning_rate(at, steps=steps, warmup=schedule.warmup, highest=schedule.learning_rate)
            rate = tf.constant(rise, tf.float32)
            arrays = tuple(tf.constant(getattr(batch, part.name)) for part in fields(batch))
            recent.append(update(arrays, tf.constant(at), rate))
            step = at + 1
        loss, accuracy = np.mean([r.numpy() for r in recent], axis=0)
        left = (time.monotonic() - began) / (step - start) * (steps - step)
        if step % every and step < last:
            save(checkpoint, optimizer, step, best, batches)
            if report:
                report(Standing(step, steps, float(loss), float(accuracy), {}, len(batches.mistaken), left))
            continue
        recent.clear()
        optimizer.swap()
        judged = dict(judge()) if judge else {}
        if mistakes and step % every == 0:
            batches.mistaken = mistakes()
        optimizer.swap()
        if judged.get("loss", float("inf")) < best[1]:
            best = (step, judged["loss"])
            if patience:
                save(folder / "best.npz", optimizer, step, best, batches)
        save(checkpoint, optimizer, step, best, batches)
        now = Standing(step, steps, float(loss), float(accuracy), judged, len(batches.mistaken), left)
        _append(log, now)
        if report:
            report(now)
        if patience and judged and step - best[0] >= patience * every:
            step, _ = restore(folder / "best.npz", optimizer, batches)
            break
    optimizer.swap()
    return step


def _append(log: Path, now: Standing) -> None:
    row = {"step": now.step, "loss": f"{now.loss:.5f}", "accuracy": f"{now.accuracy:.4f}"}
    row["mistaken"] = str(now.mistaken)
    row |= {f"judged_{k}": f"{v:.5f}" for k, v in now.judged.items()}
    new = not log.exists()
    with log.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def curves(log: Path, picture: Path) -> None:
    """Draw loss and accuracy over the steps, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(r["step"]) for r in rows]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, what in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot(steps, [float(r[what]) for r in rows], label="training")
        if f"judged_{what}" in rows[0]:
            axis.plot(steps, [float(r[f"judged_{what}"]) for r in rows], label="kept aside")
        axis.set(xlabel="step", ylabel=what)
        axis.legend()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
