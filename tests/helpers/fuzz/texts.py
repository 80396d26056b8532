"""Mutated texts that people write are read here: truth files, configurations, the environment."""

from __future__ import annotations

import random
import re
from pathlib import Path

import yaml

from auricle import config
from auricle.config import show
from auricle.config.keys import keys_of
from auricle.judge import truth
from helpers.fuzz import mutate
from helpers.fuzz.kind import Kind

ROOT = Path(__file__).resolve().parents[3]

TRUTHS = (
    "0.5\t1.25\towl\n2.0\t2.5\tfox\n",
    "onset\toffset\tevent_label\n2.0\t2.5\tfox\n0.5\t1.25\towl\n",
    "0.500000\t1.250000\towl\r\n\\\t200.0\t900.0\r\n2.000000\t2.500000\tfox\r\n",
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tAnnotation\n"
    "1\tWaveform 1\t1\t0.5\t1.25\t0\towl\n1\tSpectrogram 1\t1\t0.5\t1.25\t0\towl\n"
    '2\tWaveform 1\t1\t2\t2.5\t0\t"fox"\n',
)


def _truth(chance: random.Random, folder: Path, seeds: None) -> str:
    path = folder / "night.txt"
    good = chance.choice(TRUTHS)
    match chance.randrange(4):
        case 0:
            path.write_bytes(mutate.content(chance, good.encode(), len(good)))
        case 1:
            path.write_text(mutate.text(chance, good.replace("owl", chance.choice("xé\"'") * 200_000)), errors="ignore")
        case _:
            path.write_bytes(mutate.text(chance, good).encode("utf-8", "surrogatepass"))
    events = truth.read(path)
    assert events == sorted(events)
    assert all(0 <= event.onset_s <= event.offset_s < 1e308 and event.label for event in events)
    truth.write(path, events)
    return f"{len(events)} events"


def _configurations(folder: Path) -> list[str]:
    """Return the commented file, also with what is commented out in it, and the examples."""
    files = [ROOT / "config" / "auricle.yaml", *sorted((ROOT / "config" / "examples").rglob("*.yaml"))]
    texts = [file.read_text(encoding="utf-8") for file in files]
    return [*texts, "\n".join(_uncommented(line) for line in texts[0].splitlines())]


def _uncommented(line: str) -> str:
    return re.sub(r"^#((?:  )*[a-z_]+:.*)$", r"\1", line)


def _configuration(chance: random.Random, folder: Path, seeds: list[str]) -> str:
    text = chance.choice(seeds)
    path = folder / "auricle.yaml"
    if chance.random() < 0.5:
        found = yaml.load(text, yaml.BaseLoader)
        written = yaml.safe_dump(mutate.tree(chance, found), sort_keys=False).encode("utf-8", "surrogatepass")
    elif chance.random() < 0.8:
        written = mutate.text(chance, text).encode("utf-8", "surrogatepass")
    else:
        written = mutate.content(chance, text.encode(), len(text))
    path.write_bytes(written)
    return _read(path, {})


def _read(path: Path | None, environ: dict[str, str]) -> str:
    found = config.load(path, environ=environ)
    # What is shown is read as the same.
    shown = Path("shown.yaml")
    shown.write_text(show.show(found), encoding="utf-8")
    again = config.load(shown, environ={})
    hidden = "***" in shown.read_text(encoding="utf-8")
    assert hidden or again.hash() == found.hash()
    return found.hash()


def _environment(chance: random.Random, folder: Path, seeds: None) -> str:
    def path(of: type) -> list[str]:
        name, about = chance.choice(list(keys_of(of).items()))
        rest = [] if about.section is None else path(about.section)
        return [name, *(["0"] if about.many else []), *rest]

    environ = {}
    for _ in range(chance.randint(1, 4)):
        name = "__".join(path(config.Config)).upper()
        if chance.random() < 0.2:
            name = mutate.text(chance, name).replace("=", "").replace("\x00", "")
        value = chance.choice((*mutate.WORDS, mutate.text(chance, "[{name: a, stdin: {rate: 8000}}]"), "0.5", "16000"))
        environ[f"AURICLE__{name}"] = value.replace("\x00", "")
    return _read(None, environ)


TRUTH = Kind(lambda folder: None, _truth)
CONFIGURATION = Kind(_configurations, _configuration)
ENVIRONMENT = Kind(lambda folder: None, _environment)
