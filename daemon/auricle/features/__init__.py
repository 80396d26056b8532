"""The features of a sound, as librosa has them: `extract` for a whole one, `front_end` for a stream."""

from __future__ import annotations

from auricle.features.cens import ChromaCens
from auricle.features.chroma import ChromaStft
from auricle.features.cqt import ChromaCqt
from auricle.features.faults import faults, width
from auricle.features.front_end import FrontEnd, extract, front_end
from auricle.features.mel import LogMel, MelSpectrogram
from auricle.features.mfcc import Delta, Mfcc
from auricle.features.pcen import Pcen
from auricle.features.stack import Stack

__all__ = [
    "ChromaCens",
    "ChromaCqt",
    "ChromaStft",
    "Delta",
    "FrontEnd",
    "LogMel",
    "MelSpectrogram",
    "Mfcc",
    "Pcen",
    "Stack",
    "extract",
    "faults",
    "front_end",
    "width",
]
