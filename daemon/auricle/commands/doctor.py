"""`auricle doctor` looks whether this machine is fit to listen: each line is ok, or says what to do."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path

import numpy as np
import zmq

from auricle import config
from auricle.capture.folders import find
from auricle.capture.reader import MAX_CHANNELS, MAX_RATE, MIN_RATE, Reader
from auricle.capture.recording import Recordings
from auricle.capture.source import NominalClock, Segment, Sound
from auricle.commands.doctor_bridges import bridges
from auricle.errors import EXIT_SKIPPED, AudioError, AuricleError, ConfigError, EndpointError, KeysError, NoDaemonError
from auricle.hearing import pipeline
from auricle.hearing.lane import Lane
from auricle.hearing.together import Together
from auricle.messages.keys import read_allowed, read_pair
from auricle.model import bundle
from auricle.model.card import Card
from auricle.publish.endpoint import bind, ipc_path
from auricle.publish.publisher import Publisher
from auricle.service.folder import state_dir
from auricle.service.overruled import overruled
from auricle.service.trial import Trials
from auricle.teach import shelf
from auricle.terminal import options
from auricle.terminal.finding import Finding
from auricle.terminal.options import ConfigFile, Json
from auricle.terminal.text import say

OLDEST = (3, 11)
HEADROOM = 3.0
"""A machine that is not this many times faster than the sound stumbles when something else runs."""
SAMPLE_S = 10.0


def command(json: Json = False, config: ConfigFile = None) -> int:
    """Print a line for everything that is looked at, as it is found; return the exit code, 1 if something is to
    mend."""
    well = True
    for finding in examine(lambda: options.load(config)):
        well &= finding.ok
        if json:
            print(dumps(asdict(finding)), flush=True)
        else:
            say(str(finding))
    return 0 if well else EXIT_SKIPPED


def examine(load: Callable[[], config.Config]) -> Iterator[Finding]:
    """Look at everything that a daemon with this configuration needs."""
    yield python()
    yield runtime()
    try:
        cfg = load()
    except AuricleError as e:
        for line in e.lines():
            yield Finding("configuration", False, line, "mend the file; auricle config check reads it again")
        # The rest is looked at as for a first start.
        cfg = config.load(None, environ={}, overrides={})
    else:
        yield Finding("configuration", True, f"{len(cfg.sources)} source(s), model {cfg.model}")
    yield from sources(cfg)
    yield state()
    for key, endpoint in (("publish.endpoint", cfg.publish.endpoint), ("publish.query", cfg.publish.query)):
        yield socket(key, endpoint, cfg)
    if cfg.publish.secret_key is not None:
        yield keys(cfg.publish)
    yield clock(_synchronised())
    yield from models(cfg)
    yield from bridges(cfg)


def python() -> Finding:
    """Find whether the interpreter is new enough."""
    version = f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} processors"
    wanted = f"install Python {OLDEST[0]}.{OLDEST[1]} or later"
    return Finding("python", sys.version_info >= OLDEST, version, wanted)


def runtime() -> Finding:
    """Find what runs the networks."""
    for name in ("ai-edge-litert", "tflite-runtime"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return Finding("runtime", True, f"{name} {version}, numpy {np.__version__}")
    remedy = "pip install ai-edge-litert, or auricle[tflite] where it has no wheel"
    return Finding("runtime", False, "no TFLite runtime is installed", remedy)


def sources(cfg: config.Config) -> Iterator[Finding]:
    """Find whether the configured sources can be heard."""
    wanted = [source.microphone for source in cfg.sources if source.microphone is not None]
    if wanted:
        yield from microphones(wanted)
    if any(source.ffmpeg is not None for source in cfg.sources):
        at = shutil.which("ffmpeg")
        yield Finding("ffmpeg", at is not None, at or "not installed", "apt-get install ffmpeg, or your system's like")
    for source in cfg.sources:
        if source.recording is not None:
            yield recordings(source.name, source.recording.path)


def recordings(name: str, paths: Sequence[str]) -> Finding:
    """Find whether every recording of a source can be opened."""
    files, faults = find(paths)
    for file in files:
        try:
            reader = Reader(file)
            reader.close()
            if reader.cut is not None:
                faults.append(reader.cut)
        except AudioError as e:
            faults.append(str(e))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    found = f"{faults[0]}{more}" if faults else f"{len(files)} file(s)"
    bounds = f"1 to {MAX_CHANNELS} channels of {MIN_RATE} to {MAX_RATE} Hz can be heard"
    remedy = f"correct sources[].recording.path, or the files; {bounds}"
    return Finding(f"recordings of {name}", not faults, found, remedy)


def microphones(wanted: Sequence[config.Microphone], folder: Path = Path("/dev/snd")) -> Iterator[Finding]:
    """Find whether PortAudio knows the microphones, and whether this user may hear them."""
    cards = sorted(folder.glob("pcm*c")) if folder.is_dir() else []
    closed = [card for card in cards if not os.access(card, os.R_OK | os.W_OK)]
    if closed:
        yield Finding(
            "permissions",
            False,
            f"{closed[0]} is not for this user",
            "add the user to the group audio (usermod -aG audio USER) and log in again; the service has it already",
        )
    from auricle.capture.child import stable
    from auricle.commands.devices import devices

    try:
        found = devices()
    except AuricleError as e:
        text, _, remedy = str(e).partition("; ")
        yield Finding("microphones", False, text.removeprefix("devices: "), remedy or "auricle devices says more")
        return
    names = [stable(device["name"]) for device in found]
    yield Finding("microphones", True, ", ".join(names))
    for microphone in wanted:
        device = microphone.device
        if device == "default":
            here = any(each["default"] for each in found)
        elif isinstance(device, int):
            here = any(each["index"] == device for each in found)
        else:
            here = any(device.lower() in each["name"].lower() for each in found)
        remedy = "plug it in, or take a name from auricle devices; the daemon finds it when it comes"
        yield Finding(f"microphone {device!r}", here, "here" if here else "not here now", remedy)


def state() -> Finding:
    """Find whether what is learned and kept can be written."""
    folder = state_dir()
    there = folder
    while not there.exists():
        there = there.parent
    ok = os.access(there, os.W_OK | os.X_OK)
    free_mb = shutil.disk_usage(there).free / 2**20
    if ok and free_mb < 50:
        return Finding("state folder", False, f"{folder}: {free_mb:.0f} MB free", "make room, or lower store.max_mb")
    found = f"{folder}, {free_mb / 1024:.1f} GB free" if ok else f"{folder} cannot be written by this user"
    return Finding("state folder", ok, found, "correct its owner, or set STATE_DIRECTORY")


def socket(key: str, endpoint: str, cfg: config.Config) -> Finding:
    """Find whether an endpoint is free, or a daemon's own."""
    with zmq.Context[zmq.Socket[bytes]]() as context:
        probe = context.socket(zmq.ROUTER)
        probe.linger = 0
        try:
            bind(probe, endpoint, group=cfg.publish.ipc_group, key=key)
        except EndpointError as e:
            probe.close()
            if _daemon_answers(cfg.publish):
                return Finding(key, True, f"{endpoint}, where a daemon runs already")
            text, _, remedy = str(e).partition("; ")
            return Finding(key, False, text, remedy or f"set another {key}")
        probe.close()
    if (path := ipc_path(endpoint)) is not None:
        path.unlink(missing_ok=True)
    return Finding(key, True, f"{endpoint} is free")


def keys(publish: config.Publish) -> Finding:
    """Look at the daemon's keys, and at the list of those who may connect."""
    try:
        if isinstance(publish.secret_key, Path):
            read_pair(publish.secret_key)
        allowed = len(read_allowed(publish.allowed_keys))
    except KeysError as e:
        text, _, remedy = str(e).partition("; ")
        return Finding("keys", False, text, remedy)
    found = f"{allowed} of {publish.allowed_keys} may connect"
    return Finding("keys", allowed > 0, found, "auricle keys allow NAME KEY, then reload")


def _daemon_answers(publish: config.Publish) -> bool:
    from auricle.client import AskStatus, Report, ask

    try:
        ask(publish.query, AskStatus(), Report, key=publish.client_key, timeout_s=1.0)
    except (NoDaemonError, KeysError):
        return False
    return True


def _synchronised() -> bool:
    """Return whether the kernel calls the system's clock synchronised (adjtimex(2): state 5 is TIME_ERROR)."""
    # A struct timex of zeros only asks; it has 208 bytes on 64-bit machines and less on others.
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))) != 5


def clock(synchronised: bool) -> Finding:
    """Find whether the times of events can be right."""
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if synchronised and time.gmtime().tm_year >= 2024:
        return Finding("clock", True, f"{found}, synchronised")
    return Finding("clock", False, f"{found}, not synchronised", "timedatectl set-ntp true, or install chrony")


def models(cfg: config.Config) -> Iterator[Finding]:
    """Find whether every model holds here, and how much faster than the sound all sources together are heard."""
    cost = 0.0
    cards: dict[str, Card] = {}
    for name in sorted({source.model for source in cfg.sources}):
        used = [source for source in cfg.sources if source.model == name]
        try:
            model = bundle.load(name, cfg.models_dir, first=Trials(state_dir() / "models"))
            cost += len(used) * _cost(model, used[0], cfg.publish)
        except AuricleError as e:
            remedy = "install the model again, or choose another"
            if isinstance(e, ConfigError):
                remedy = "correct the configuration"
            for line in e.lines():
                yield Finding(f"model {name}", False, line, remedy)
            continue
        card = cards[name] = model.card
        yield Finding(f"model {name}", True, f"{model.hash}, {len(card.labels)} labels, its golden vectors hold")
        if (newer := shelf.newer(model)) is not None:
            labels = ", ".join(shelf.labels(model))
            found = f"{newer} ships with a newer network than {labels} was taught on; auricle teach {labels} --again"
            yield Finding("taught labels", True, found, note=True)
    for line in overruled(cfg, cards):
        yield Finding("rules", True, line, note=True)
    if cost:
        factor = 1 / cost
        found = f"{len(cfg.sources)} source(s) are heard {factor:.0f} times as fast as they sound"
        remedy = "raise decision.hop_ms, hear fewer sources, or stop what else runs"
        yield Finding("real-time headroom", factor >= HEADROOM, found, remedy)


def _cost(model: bundle.Bundle, source: config.Source, publish: config.Publish) -> float:
    """Measure the seconds of work for a second of sound of one source, in the daemon's own stages."""

    def outlet(topic: str, payload: bytes) -> None:
        """Drop the message, which is made as in the daemon."""

    rate = model.card.front_end.sample_rate
    nowhere = Recordings("doctor", [], model_rate=rate)
    lane = Lane(
        nowhere,
        model,
        decision=source.decision,
        gate=source.gate,
        publish=publish,
        publisher=Publisher("doctor", [outlet]),
    )
    sound = np.random.default_rng(0).standard_normal(round(SAMPLE_S * rate)).astype(np.float32) * np.float32(0.01)
    block = max(1, pipeline.samples(pipeline.hop_ms(source.decision, model), model))
    lane.take(Segment(0, rate, NominalClock(rate)))
    began_s = time.process_time()
    Together().feed(lane, (Sound(sound[start : start + block]) for start in range(0, len(sound), block)))
    took_s = time.process_time() - began_s
    lane.close()
    return took_s / SAMPLE_S
