"""Marked clips are material here, as they were collected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from auricle.clips import marked
from auricle.clips.marked import Marked
from auricle.messages import Mark, MarkKind
from auricle_build import recipe
from auricle_build.grammar import read
from auricle_build.material.clips import read_table
from helpers.kept import lay, order

RECIPE: dict[str, Any] = yaml.safe_load(
    """
    name: tiny
    licence: Apache-2.0
    seed: 1
    labels: [bell, background]
    background: background
    front_end:
      {sample_rate: 16000, n_fft: 512, win_length: 400, hop_length: 160,
       features: [{kind: log_mel, n_mels: 20, fmin: 50.0, fmax: 7200.0}]}
    data:
      least_clips: 3
      sets: [{name: marked, reader: table, path: out/material.csv, licence: my own, source: my own microphone}]
    batch: {size: 8}
    network:
      columns: 6
      layers:
        - [conv, [4, 4], [2, 2], 8]
        - [separable, [3, 3], [2, 1], 16]
        - [separable, [3, 3], [1, 1], 16]
        - [conv, [1, 5], [1, 1], 24]
    schedule: {steps: 5, learning_rate: 0.01, warmup: 1, check_every: 5}
    """
)


def collected(folder: Path) -> Path:
    """Clips of four bells, and of three sounds that were taken for one, marked and collected."""
    found = []
    for n in range(7):
        kind: MarkKind = "right" if n < 4 else "false"
        clip = lay(folder / "clips", order(n, 2.0))
        mark = Mark(
            node="n", instance="i", seq=1, source="s", model=None, t=clip.t, sample=None, id=f"m{n}", text="",
            label="bell", kind=kind, event=clip.id,
        )  # fmt: skip
        found.append(Marked(clip, mark))
    out = folder / "out"
    marked.copy(found, out)
    assert marked.write_tables(out) == (4, 3)
    return out


def test_a_recipe_takes_what_was_marked(tmp_path: Path) -> None:
    """The table is read as any other: the part of each clip in which the event was, takes of a day together; what was
    right is learned as its label, and what was false as background."""
    out = collected(tmp_path)
    clips = read_table(out / "material.csv")
    assert [clip.label for clip in clips] == ["bell"] * 4 + ["not_bell"] * 3
    assert {(clip.onset_s, clip.offset_s) for clip in clips} == {(0.2, 0.5)}
    assert {clip.group for clip in clips} == {"s 1970-01-01"}
    loaded = recipe.prepare(read.of(RECIPE, "tiny"), [], root=tmp_path)
    assert not loaded.failed
    np.testing.assert_array_equal(loaded.train.label, [0, 0, 0, 0, 1, 1, 1])
