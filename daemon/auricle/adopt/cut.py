"""A graph that makes features of sound itself, and quantises them, is cut there: its rows then stream, each made once.

Like `auricle.adopt.graph`, this module is for the child alone.
"""

from __future__ import annotations

from pathlib import Path

import flatbuffers  # type: ignore[import-untyped]
import numpy as np

from auricle.adopt import golden
from auricle.adopt.graph import names_of_ops, parse, quantised_at
from auricle.errors import ModelError
from auricle.features import front_end
from auricle.model import bundle, litert
from auricle.model.network import quantise, scores_of

AGREE = 0.99
"""In so large a share of the windows the highest label must be that of the whole graph."""
STEP = 1 / 256
"""Labels of the whole graph's that are nearer than this are told apart by chance."""
_SECONDS, _EVERY_S = 40, 0.25


def cut(content: bytes, where: str) -> bytes:
    """Make a graph that takes the quantised features of another, which is otherwise the same.

    Args:
        content: of the whole graph's file.
        where: how to name the file in errors.

    Raises:
        ModelError: the graph quantises no features of its own, or at several points.
    """
    model = parse(content)
    (graph, *_) = model.subgraphs
    names = names_of_ops(model)
    point = quantised_at(graph, [names[op.opcodeIndex] for op in graph.operators])
    if point is None:
        raise ModelError(f"{where}: makes no features that it then quantises at one point; add it whole, without --cut")
    graph.inputs = [int(graph.operators[point].outputs[0])]
    graph.operators = graph.operators[point + 1 :]
    model.signatureDefs = model.metadata = None  # of the graph as it was
    builder = flatbuffers.Builder(len(content) + 1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def agreement(folder: Path, whole: bytes) -> tuple[float, float]:
    """Hear sounds of our own with a bundle whose graph was cut, and with the whole graph.

    Returns:
        in what share of windows the highest label is that of the whole graph, and the largest difference of a score.

    Raises:
        ModelError: it is so in fewer than `AGREE` of them, or the whole graph takes windows of another length.
    """
    opened = bundle.load(str(folder))
    card = opened.card
    front = front_end(**card.front_end.params())
    sound = golden.sounds(card.front_end.sample_rate, _SECONDS * card.front_end.sample_rate)
    rows = quantise(front.process(sound), card.quantisation.input, card.input.dtype)
    interpreter = litert.load(whole)
    (given,), (told, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    samples, span = int(np.prod(given["shape"])), card.timing.window_frames
    if samples != (wanted := round(card.window_s * card.front_end.sample_rate)):
        raise ModelError(f"{folder}: its features look at {wanted} samples, the whole graph at {samples}; add it whole")
    every = max(1, round(_EVERY_S * card.front_end.sample_rate / front.hop))
    same, furthest = [], 0.0
    for at in range(0, len(rows) - span + 1, every):
        scores = scores_of(opened.windows(rows[at : at + span]), card)
        interpreter.set_tensor(given["index"], sound[at * front.hop :][:samples].reshape(given["shape"]))
        interpreter.invoke()
        all_said = scores_of(interpreter.get_tensor(told["index"]).reshape(-1), card)
        same.append(all_said[scores.argmax()] >= all_said.max() - STEP)
        furthest = max(furthest, float(np.abs(scores - all_said).max()))
    if (share := float(np.mean(same))) < AGREE:
        raise ModelError(
            f"{folder}: cut, its highest label is the whole graph's in {share:.1%} of windows; add it whole"
        )
    return share, furthest
