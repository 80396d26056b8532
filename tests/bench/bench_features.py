"""What the front end costs, beside what else one could use, in one run on one core.

Every round runs all contenders one after the other on the same sound, each for a few milliseconds of the processor's
time. Shown are the best round, which is what a contender costs when nothing disturbs it, the ratio of the best rounds,
and the median of each round's own ratio, which is what holds on a machine that is busy with other things.

    python tests/bench/bench_features.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import time
import warnings
from collections.abc import Callable
from typing import Any

import librosa
import noisereduce
import numpy as np
from numpy.typing import NDArray
from pymicro_features import MicroFrontend

from auricle.features import FrontEnd, front_end

RATE, HOP, N_FFT, WIN = 16_000, 160, 512, 400
FRAMES = {"sample_rate": RATE, "n_fft": N_FFT, "win_length": WIN, "hop_length": HOP}
LOG_MEL = {"kind": "log_mel", "n_mels": 64}
MFCC = {"kind": "mfcc", "n_mels": 64, "n_mfcc": 20}

Work = tuple[Callable[[], object], int]


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Make noise whose level changes, so that the gate opens and closes."""
    rng = np.random.default_rng(seed)
    level = np.repeat(10.0 ** rng.uniform(-3, -1, int(seconds * 5) + 1), RATE // 5)[: int(seconds * RATE)]
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def compare(contenders: dict[str, Work], rounds: int = 9) -> dict[str, NDArray[np.float64]]:
    """Measure the microseconds per hop of each contender in each round; ``Work`` is a call and the hops that it
    computes."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for call, _ in contenders.values():
        call()
    for _ in range(rounds):
        for name, (call, hops) in contenders.items():
            begin = time.thread_time()
            call()
            times[name].append(1e6 * (time.thread_time() - begin) / hops)
    return {name: np.array(values) for name, values in times.items()}


def show(title: str, times: dict[str, NDArray[np.float64]], against: str) -> None:
    """Print a table: microseconds per hop, and how many times as much as ``against``."""
    print(f"\n{title}\n{'':44}{'us per hop':>12}{'ratio':>10}{'median':>10}")
    for name, values in times.items():
        best, median = values.min() / times[against].min(), np.median(values / times[against])
        print(f"{name:44}{values.min():12.2f}{best:10.2f}{median:10.2f}")


def best(times: dict[str, NDArray[np.float64]], one: str, other: str) -> float:
    """Return the ratio of the best rounds."""
    return float(times[one].min() / times[other].min())


def stream(pipeline: FrontEnd, y: NDArray[np.float32], block: int) -> Work:
    """Run the pipeline over the sound in blocks."""
    blocks = [y[i : i + block] for i in range(0, len(y), block)]
    return (lambda: [pipeline.process(b) for b in blocks]), len(y) // HOP


def micro(y: NDArray[np.float32], block: int) -> Work:
    """Run pymicro-features over the sound as int16, in blocks."""
    pcm = (y * 32767).astype(np.int16)
    blocks = [pcm[i : i + block].tobytes() for i in range(0, len(pcm), block)]
    frontend = MicroFrontend()

    def run() -> None:
        for data in blocks:
            while data:
                taken = frontend.process_samples(data).samples_read * 2
                data = data[taken:] if taken else b""

    return run, len(y) // HOP


def bare_fft(y: NDArray[np.float32]) -> Work:
    """Run numpy's rfft over every frame, alone."""
    frames = [y[i : i + N_FFT].copy() for i in range(0, len(y) - N_FFT, HOP)]
    return (lambda: [np.fft.rfft(frame) for frame in frames]), len(frames)


def per_window(
    compute: Callable[[NDArray[np.float32]], object], seconds: float, y: NDArray[np.float32], hops: int
) -> Work:
    """Do what is usual: compute at every hop the whole of the last seconds anew."""
    span = int(seconds * RATE)
    windows = [y[i * HOP : i * HOP + span] for i in range(hops)]
    return (lambda: [compute(window) for window in windows]), hops


def librosa_log_mel(window: NDArray[np.float32]) -> Any:
    """Compute log-mel of a window."""
    mel = librosa.feature.melspectrogram(
        y=window, sr=RATE, n_fft=N_FFT, win_length=WIN, hop_length=HOP, n_mels=64, center=False
    )
    return librosa.power_to_db(mel, top_db=None)


def noisereduce_and_librosa(noise: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], Any]:
    """Compute gate, log-mel and MFCC of a window."""

    def compute(window: NDArray[np.float32]) -> Any:
        clean = noisereduce.reduce_noise(
            y=window, sr=RATE, y_noise=noise, stationary=True, n_fft=N_FFT, win_length=WIN, hop_length=HOP
        )
        return librosa.feature.mfcc(S=librosa_log_mel(clean), n_mfcc=20)

    return compute


def log_mel() -> dict[str, float]:
    """Compare log-mel, hop by hop and in blocks of 1 s."""
    y = sound(10)
    times = compare(
        {
            "auricle, hop by hop": stream(front_end(**FRAMES, features=[LOG_MEL]), y, HOP),
            "pymicro-features (C), hop by hop": micro(y, HOP),
            "numpy's rfft alone, hop by hop": bare_fft(y),
            "auricle, blocks of 1 s": stream(front_end(**FRAMES, features=[LOG_MEL]), y, RATE),
            "pymicro-features (C), blocks of 1 s": micro(y, RATE),
            "librosa, a 1 s window at every hop": per_window(librosa_log_mel, 1.0, y, 3),
        },
        rounds=100,
    )
    show("log-mel, 64 bands", times, "auricle, hop by hop")
    return {
        "hop by hop": best(times, "auricle, hop by hop", "pymicro-features (C), hop by hop"),
        "blocks": best(times, "auricle, blocks of 1 s", "pymicro-features (C), blocks of 1 s"),
    }


def gated() -> dict[str, float]:
    """Compare the gate, log-mel and MFCC."""
    y, noise = sound(4), 0.003 * sound(2, seed=1)
    gate = {"noise_profile": noise}

    def pipeline(**gate: Any) -> FrontEnd:
        return front_end(**FRAMES, features=[LOG_MEL, MFCC], gate=gate or None)

    times = compare(
        {
            "auricle, hop by hop": stream(pipeline(**gate), y, HOP),
            "auricle, blocks of 32 hops": stream(pipeline(**gate), y, 32 * HOP),
            "  the same without the gate": stream(pipeline(), y, 32 * HOP),
            "  with 5 frames of look-ahead": stream(pipeline(**gate, lookahead_frames=5), y, 32 * HOP),
            "  with a floor that adapts": stream(pipeline(**gate, adaptation_s=60.0), y, 32 * HOP),
            "noisereduce + librosa, a 1 s window a hop": per_window(noisereduce_and_librosa(noise), 1.0, y, 2),
        },
        rounds=40,
    )
    show("gate + log-mel + MFCC", times, "auricle, hop by hop")
    return {"gate": best(times, "noisereduce + librosa, a 1 s window a hop", "auricle, hop by hop")}


def cqt() -> dict[str, float]:
    """Compare constant-Q chroma and CENS."""
    y = sound(4)
    ratios = {}
    kinds = {"chroma_cqt": librosa.feature.chroma_cqt, "chroma_cens": librosa.feature.chroma_cens}
    for kind, reference in kinds.items():

        def compute(window: NDArray[np.float32], reference: Any = reference) -> Any:
            return reference(y=window, sr=RATE, hop_length=HOP, tuning=0.0)

        times = compare(
            {
                "auricle, hop by hop": stream(front_end(**FRAMES, features=[{"kind": kind}]), y, HOP),
                "auricle, blocks of 1 s": stream(front_end(**FRAMES, features=[{"kind": kind}]), y, RATE),
                "librosa, a 3 s window at every hop": per_window(compute, 3.0, y, 1),
            },
            rounds=20,
        )
        show(kind, times, "auricle, hop by hop")
        ratios[kind] = best(times, "librosa, a 3 s window at every hop", "auricle, hop by hop")
    return ratios


def hour() -> dict[str, float]:
    """Measure an hour of sound: what it costs in the end against the beginning, and what memory it takes."""
    pipeline = front_end(
        **FRAMES, features=[LOG_MEL, MFCC, {"kind": "chroma_cens"}], gate={"start_up_s": 2.0, "adaptation_s": 60.0}
    )
    minute = sound(60)
    costs = []
    begin_kb = 0
    for number in range(60):
        begin = time.thread_time()
        for i in range(0, len(minute), RATE):
            pipeline.process(minute[i : i + RATE])
        costs.append(time.thread_time() - begin)
        if number == 4:
            begin_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin_kb
    ratio = min(costs[-15:]) / min(costs[5:20])
    print("\nan hour of gate + log-mel + MFCC + CENS, in blocks of 1 s")
    print(f"{'the last quarter against the first':44}{'':12}{ratio:10.2f}")
    print(f"{'peak memory grown since minute 5, KiB':44}{grown_kb:12d}")
    return {"hour": ratio, "grown_kb": float(grown_kb)}


def main() -> int:
    """Measure, then hold the ratios against the aims; return 1 if one is missed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {**log_mel(), **gated(), **cqt(), **hour()}
    aims = [
        ("log-mel hop by hop, times pymicro-features", found["hop by hop"], 2.0, False),
        ("log-mel in blocks of 1 s, times pymicro-features", found["blocks"], 1.0, False),
        ("noisereduce + librosa, times gate and MFCC", found["gate"], 200.0, True),
        ("librosa, times chroma_cqt", found["chroma_cqt"], 20.0, True),
        ("librosa, times chroma_cens", found["chroma_cens"], 20.0, True),
        ("an hour's last quarter, times its first", found["hour"], 1.5, False),
        ("memory grown in an hour, KiB", found["grown_kb"], 4096.0, False),
    ]
    missed = 0
    print(f"\n{'':52}{'found':>10}{'aim':>12}")
    for name, value, aim, at_least in aims:
        met = value >= aim if at_least else value <= aim
        missed += not met
        bound = f"{'>=' if at_least else '<='} {aim:g}"
        print(f"{name:52}{value:10.2f}{bound:>12}{'' if met else '  missed'}")
    return min(missed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
