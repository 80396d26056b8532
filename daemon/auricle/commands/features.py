"""`auricle features` computes the features of a recording, as a file and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from auricle.capture.reader import Reader
from auricle.errors import EXIT_SKIPPED, AuricleError, UsageError
from auricle.features import FrontEnd, front_end
from auricle.features.kinds import KINDS
from auricle.stages.stage import Block
from auricle.terminal import options
from auricle.terminal.options import Channel
from auricle.terminal.text import complain

_NAMED = [kind for kind in KINDS if kind not in ("delta", "sound")]
"""Kinds that can be had by name alone, and are features."""


def command(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A recording.")],
    kinds: Annotated[
        list[str],
        typer.Option(
            "--kind", help="mel, log_mel, pcen, mfcc, chroma_stft, chroma_cqt or chroma_cens; several are stacked."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Write the features to this .npz file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this picture.")] = None,
    params: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter, as n_mels=64 or mfcc.n_mfcc=13."),
    ] = None,
    sample_rate: Annotated[int | None, typer.Option("--rate", min=1000, help="Resample to this rate, Hz.")] = None,
    n_fft: Annotated[int, typer.Option(help="Samples in a frame.")] = 2048,
    win_length: Annotated[int | None, typer.Option(help="Samples under the taper; n_fft unless told.")] = None,
    hop_length: Annotated[int, typer.Option(help="Samples from frame to frame.")] = 512,
    pre_emphasis: Annotated[float | None, typer.Option(help="Pre-emphasis before all, as 0.97.")] = None,
    taper: Annotated[str, typer.Option(help="hann, hann_symmetric, hamming or hamming_symmetric.")] = "hann",
    align: Annotated[str, typer.Option(help="Where a shorter taper stands in the FFT: centre or start.")] = "centre",
    remove_dc: Annotated[bool, typer.Option("--remove-dc", help="Take its mean from every frame.")] = False,
    channel: Channel = "mix",
    noise_profile: Annotated[
        Path | None, typer.Option("--noise", help="Put the noise gate before, with this profile.")
    ] = None,
) -> int:
    """Compute the features of a recording as the daemon does, in blocks, and write them; return the exit code.

    ``out`` holds ``features`` (n_frames, n_features) float32, ``time_s`` of what each row is about, ``columns``,
    ``sample_rate``, ``hop_length`` and ``settings`` (JSON).

    Raises:
        UsageError: a kind or a parameter that cannot be, or nothing to write.
        AudioError: the recording or the profile cannot be read.
    """
    if out is None and plot is None:
        raise UsageError("features: nothing to write; use --out FILE.npz or --plot FILE.png")
    features = parse_features(kinds, params or ())
    frames: dict[str, Any] = {
        "n_fft": n_fft,
        "win_length": win_length,
        "pre_emphasis": pre_emphasis,
        "taper": taper,
        "align": align,
        "remove_dc": remove_dc,
    }
    reader = Reader(path, sample_rate, channel=options.channel(channel))
    rate = reader.rate_out
    try:
        pipeline = front_end(
            sample_rate=rate,
            hop_length=hop_length,
            features=features,
            **frames,
            gate=None if noise_profile is None else {"noise_profile": noise_profile},
        )
        parts = [pipeline.process(block) for block in reader.heard(rate)]
    except ValueError as e:
        raise UsageError(f"features: {e}") from None
    finally:
        reader.close()
    rows = np.concatenate(parts)
    if not len(rows):
        raise UsageError(
            reader.short
            or f"{path}: {reader.duration_s:.2f} s are shorter than one row, which needs {pipeline.span / rate:.2f} s; "
            "use a longer recording, or a smaller n_fft"
        )
    times = (pipeline.lead + np.arange(len(rows)) * hop_length) / rate
    settings = {**frames, "features": features}
    try:
        if out is not None:
            with open(out, "wb") as file:
                np.savez_compressed(
                    file,
                    features=rows,
                    time_s=times,
                    columns=column_names(pipeline),
                    sample_rate=np.array(rate),
                    hop_length=np.array(hop_length),
                    settings=np.array(json.dumps(settings)),
                )
        if plot is not None:
            _plot(plot, rows, times, pipeline, Path(path).name)
    except OSError as e:
        raise AuricleError(f"{e.filename or out or plot}: {e.strerror or e}") from None
    written = ", ".join(str(target) for target in (out, plot) if target is not None)
    print(f"{path}: {len(rows)} frames of {pipeline.n_features} ({', '.join(kinds)}) at {rate} Hz -> {written}")
    if reader.short is not None:
        complain(f"auricle: {reader.short}; the features are of what was heard")
    return 0 if reader.short is None else EXIT_SKIPPED


def parse_features(kinds: Sequence[str], params: Sequence[str]) -> list[dict[str, Any]]:
    """Read the features asked for on the command line, as `front_end` takes them.

    Raises:
        UsageError: a kind or a parameter that cannot be read.
    """
    features: list[dict[str, Any]] = [{"kind": kind} for kind in kinds]
    for kind in kinds:
        if kind not in _NAMED:
            raise UsageError(f"features: --kind {kind}: not known; use {', '.join(_NAMED)}")
    for text in params:
        name, equals, value = text.partition("=")
        kind, dot, rest = name.partition(".")
        if not equals or not name:
            raise UsageError(f"features: --set {text}: no value; use name=value, as n_mels=64")
        if not dot and len(kinds) > 1:
            raise UsageError(f"features: --set {text}: of which kind? use {kinds[0]}.{text}")
        if dot and kind not in kinds:
            raise UsageError(f"features: --set {text}: there is no --kind {kind}")
        for feature in features:
            if not dot or feature["kind"] == kind:
                feature[rest if dot else name] = _value(value)
    return features


def _value(text: str) -> Any:
    if text in ("inf", "none"):
        return {"inf": np.inf, "none": None}[text]
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"features: --set: {text!r} is no value; use a number, true, false, none or a word") from None


def column_names(pipeline: FrontEnd) -> list[str]:
    """Return a name for every column: its kind and its place in it."""
    return [f"{kind}[{i}]" for kind, width in pipeline.columns for i in range(width)]


def _plot(path: Path, rows: Block, times: Block, pipeline: FrontEnd, title: str) -> None:
    """Draw the kinds one above the other."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("features: --plot needs matplotlib; use pip install 'auricle[plot]'") from None
    figure = Figure(figsize=(10, 1 + 2.5 * len(pipeline.columns)), layout="constrained")
    grid = figure.subplots(len(pipeline.columns), 1, sharex=True, squeeze=False)[:, 0]
    at = 0
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.5
    for axes, (kind, width) in zip(grid, pipeline.columns, strict=True):
        extent = (times[0] - half, times[-1] + half, -0.5, width - 0.5)
        image = axes.imshow(rows[:, at : at + width].T, origin="lower", aspect="auto", extent=extent)
        figure.colorbar(image, ax=axes)
        axes.set_ylabel(kind)
        at += width
    grid[0].set_title(title)
    grid[-1].set_xlabel("time / s")
    try:
        figure.savefig(path, dpi=110)
    except ValueError as e:
        raise UsageError(f"features: --plot {path}: {e}") from None
