"""What a decision costs by what kind of network makes it: others' that take sound or features, and those that ship.

    PYTHONPATH=tests python tests/bench/bench_networks.py [YAMNET.tflite]

Prints a Markdown table of processor time, from sample to encoded message: of one source, and of each of fifty that are
heard together, at the hop that the model proposes. `write_benchmarks.py` puts it into BENCHMARKS.md.

With YAMNet's file it is heard whole and cut, and as a user has it: `auricle run` with one and with fifty recordings at
real time, its own processor time over the decisions that it told.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import zmq

import own_core
from auricle import config
from auricle.adopt.add import add
from auricle.adopt.wish import Wish
from auricle.capture.recording import Recordings
from auricle.capture.source import NominalClock, Segment, Sound
from auricle.hearing import pipeline
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.model import bundle as bundles
from auricle.model.bundle import Bundle
from auricle.model.card import Affine
from auricle.publish.publisher import Publisher
from helpers import graphs

MANY = 50
DECISIONS = 20
WARM = 6
LIVE_S = 20.0


def made_up(folder: Path) -> Iterator[tuple[str, Bundle]]:
    """Add networks of every kind that say nothing of use: what they cost is what surrounds a network."""
    rng = np.random.default_rng(0)
    of_sound = graphs.linear((1, 15_600), rng.uniform(-1, 1, (10, 15_600)) / 15_600, [0.0] * 10, head="LOGISTIC")
    of_rows = graphs.linear((1, 96, 64), rng.uniform(-1, 1, (10, 6144)) / 6144, [0.0] * 10)
    of_bytes = graphs.linear(
        (1, 49, 10, 1), rng.uniform(-1, 1, (10, 490)), [0.0] * 10, dtype="int8", source=Affine(0.5, 10), head="SOFTMAX"
    )
    of_many = graphs.linear((1, 144_000), rng.uniform(-1, 1, (100, 144_000)) / 144_000, [0.0] * 100)
    for name, what, content, labels in (
        ("sound", "float32, 0.98 s of sound at 16 kHz", of_sound, 10),
        ("birds", "float32, 3 s of sound at 48 kHz, logits", of_many, 100),
        ("rows", "float32, 96 x 64 features, logits", of_rows, 10),
        ("bytes", "int8, 49 x 10 features, softmax", of_bytes, 10),
        ("state", "float32, 3 x 20 features, keeps state", graphs.counting(1, 3, 20), 60),
    ):
        path, list_of = folder / f"{name}.tflite", folder / f"{name}.txt"
        path.write_bytes(content)
        list_of.write_text("\n".join(f"label {i}" for i in range(labels)))
        yield f"made up: {what}", add(Wish(path, labels=list_of), folder / "models").bundle


def a_decision_ms(bundle: Bundle, sources: int) -> float:
    """Measure the milliseconds of processor time that a decision of one of so many sources takes; the median tick."""
    rate = bundle.card.front_end.sample_rate
    hop = pipeline.samples(pipeline.hop_ms(config.Decision(), bundle), bundle)
    warm = WARM + round(bundle.card.window_s * rate / hop)
    publisher = Publisher("bench", [lambda topic, payload: None])
    lanes = [
        Lane(
            Recordings(f"s{i}", [], model_rate=rate), bundle,
            decision=config.Decision(), gate=config.Gate(), publish=config.Publish(), publisher=publisher,
        )
        for i in range(sources)
    ]  # fmt: skip
    for lane in lanes:
        lane.take(Segment(0, rate, NominalClock(rate)))
    rng, together, ticks = np.random.default_rng(0), Together(), []
    for _ in range(warm + DECISIONS):
        blocks = (0.05 * rng.standard_normal((sources, hop))).astype(np.float32)
        began = time.process_time()
        for lane, block in zip(lanes, blocks, strict=True):
            lane.take(Sound(block, time.monotonic()))
        while lanes[0].waiting is not None:
            together.hear(lanes, time.monotonic())
        ticks.append(time.process_time() - began)
    return 1000 * float(np.median(ticks[warm:])) / sources


def live_ms(bundle: Bundle, sources: int) -> float:
    """Measure the milliseconds of processor time that the whole daemon takes for a decision of a source at real time.

    The first decisions are left out: files are opened then.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, rate = Path(name), bundle.card.front_end.sample_rate
        noise = 0.05 * np.random.default_rng(0).standard_normal(round(LIVE_S * rate))
        soundfile.write(folder / "noise.wav", noise, rate)
        recording = {"path": str(folder / "noise.wav"), "speed": 1}
        (folder / "auricle.yaml").write_text(
            json.dumps(
                {
                    "model": str(bundle.path.absolute()),
                    "sources": [{"name": f"s{i}", "recording": recording} for i in range(sources)],
                    "publish": {"endpoint": f"ipc://{folder}/events", "query": f"ipc://{folder}/query"},
                    "store": {"enabled": False},
                }
            )
        )
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.subscribe("")
            socket.setsockopt(zmq.RCVHWM, 0)
            socket.connect(f"ipc://{folder}/events")
            run = [sys.executable, "-m", "auricle", "run", "-c", str(folder / "auricle.yaml")]
            daemon = subprocess.Popen(
                run, env={**os.environ, "STATE_DIRECTORY": str(folder)}, stderr=subprocess.DEVNULL
            )
            decisions, told = 0, []
            while daemon.poll() is None:
                if not socket.poll(1000):
                    continue
                topic, _ = socket.recv_multipart()
                if topic.startswith(b"score."):
                    decisions += 1
                    if decisions % sources == 0:
                        told.append((decisions, own_core.cpu_s(daemon.pid)))
            if daemon.wait() != 0:
                raise RuntimeError(f"the daemon ended with {daemon.returncode}")
    (first, cpu_first), (last, cpu_last) = told[WARM], told[-1]
    return 1000 * (cpu_last - cpu_first) / (last - first)


def line(what: str, bundle: Bundle, one_ms: float, many_ms: float) -> str:
    """Write a row of the table."""
    hop_ms = pipeline.hop_ms(config.Decision(), bundle)
    return (
        f"| {what} | {hop_ms:g} ms | {one_ms:.2f} ms | {100 * one_ms / hop_ms:.2f} % "
        f"| {many_ms:.2f} ms | {100 * many_ms * MANY / hop_ms:.0f} % |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("yamnet", type=Path, nargs="?", help="YAMNet's file")
    yamnet = parser.parse_args().yamnet
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = [*((each, bundles.load(each)) for each in ("digits", "home")), *made_up(folder)]
        theirs = []
        if yamnet is not None:
            for called, cut in (("yamnet", False), ("yamnet cut", True)):
                wish = Wish(yamnet, name=called.replace(" ", "_"), cut=cut)
                theirs.append((called, add(wish, folder / "models").bundle))
        print(f"| network | hop | a decision of one | of a core | of {MANY} together | {MANY} sources of a core |")
        print("|-|-:|-:|-:|-:|-:|")
        for what, bundle in (*kinds, *theirs):
            print(line(what, bundle, *(a_decision_ms(bundle, n) for n in (1, MANY))), flush=True)
        for what, bundle in theirs:
            print(line(f"{what}, `auricle run`", bundle, *(live_ms(bundle, n) for n in (1, MANY))), flush=True)


if __name__ == "__main__":
    main()
