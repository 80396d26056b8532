"""This makes what may lie beside a clip: what was said of it, and a picture of its sound."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import numpy as np
import soundfile

from auricle.clips.held import held
from auricle.clips.picture import spectrogram
from auricle.messages import Clip

BESIDE = ("json", "png")
"""The endings of what may lie beside a clip, under its name."""


def beside(clip: Clip, content: bytes, wanted: Collection[str]) -> dict[str, bytes]:
    """Return what is wanted beside a clip, by its ending.

    Args:
        clip: what is said of it.
        content: of its file.
        wanted: some of `BESIDE`.

    Raises:
        soundfile.LibsndfileError: the content is no sound.
    """
    made = {}
    if "json" in wanted:
        made["json"] = msgspec.json.format(msgspec.json.encode(clip), indent=2) + b"\n"
    if "png" in wanted:
        with held(content) as file:
            samples, rate = soundfile.read(file.fileno(), dtype="float32", closefd=False)
        end_s = clip.duration_s if clip.offset_s is None else clip.offset_s
        made["png"] = spectrogram(np.asarray(samples, np.float32), rate, (clip.onset_s, end_s))
    return made
