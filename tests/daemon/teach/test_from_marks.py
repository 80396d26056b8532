"""Marks teach: clips that somebody marked in the daemon's life are what a label is learned from."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from auricle.client import AskMark, Clip, Marked
from auricle.clips.keeper import Order
from auricle.clips.past import Cut, Run
from auricle.messages import MarkKind
from auricle.model import bundle
from auricle.teach import clips as teach_clips
from helpers import kept, lessons
from helpers.lessons import burst
from helpers.wire import daemon


def test_marks_teach(tmp_path: Path) -> None:
    """What somebody marked as missed or right is learned from, where its clip lies, and what was marked as false is
    what it is not; of an event's clip that event alone, and the rest is the room. Without such marks it says how to
    make some."""
    house, models = lessons.house(tmp_path / "house"), tmp_path / "models"
    configured = tmp_path / "auricle.yaml"
    kept_in = tmp_path / "clips"
    kept_in.mkdir()
    source = "sources: [{name: porch, stdin: {rate: 16000, format: f32le}}]"
    configured.write_text(f"model: {house.path}\nmodels_dir: {models}\nclips: {{folder: {kept_in}}}\n{source}\n")
    with daemon(tmp_path) as one:

        def auricle(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "auricle", *words, "--endpoint", one.query_endpoint, "-c", str(configured)]
            with ThreadPoolExecutor(1) as pool:
                doing = pool.submit(partial(subprocess.run, command, capture_output=True, text=True))
                while not doing.done():
                    one.serve()
                    wait([doing], 0.01)
            return doing.result()

        def mark(n: int, sound: np.ndarray, kind: MarkKind, **about: Any) -> Clip:
            question = AskMark(kind=kind, label="gate", source="porch", **about)
            answer = one.query.answer([msgspec.json.encode(question)], str(n).encode())
            assert isinstance(answer, Marked), answer
            wanted = kept.order(n, label="gate")
            clip = msgspec.structs.replace(wanted.clip, id=question.event or answer.id, onset_s=1.0, offset_s=1.0)
            if question.event is not None:
                clip.offset_s = 1.0 + len(sound) / 16000
            around = 1e-3 * np.random.default_rng(n).standard_normal(16000)
            whole = np.concatenate((around, sound, around)) if question.event is not None else sound
            return kept.lay(kept_in, Order(clip, Cut(16000, [Run(0, whole.astype(np.float32))])))

        none = auricle("teach", "gate", "--from-marks")
        assert (none.returncode, none.stderr.count("\n")) == (2, 1)
        assert "no clip is marked as gate; with clips.enabled, auricle mark --missed gate --new" in none.stderr
        laid = [mark(n, burst(n), "missed", new=True) for n in range(6)]
        one.lanes[0].labels += ("gate",)
        for n, kind in enumerate(("right", "right", "false"), start=6):
            event = one.event("onset", "gate")
            one.event("offset", "gate")
            laid.append(mark(n, burst(n), kind, event=event.id))  # type: ignore[arg-type]
        done = auricle("teach", "gate", "--from-marks", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["clips"] == 8
    (about,) = bundle.load(str(models / "house-taught")).raw["taught"]["labels"].values()
    assert {each["file"] for each in about["clips"]} == {clip.path for clip in laid[:8]}
    assert [each["file"] for each in about["not"]] == [laid[8].path]
    (read,) = teach_clips.read([str(laid[6].path)], 16000, fewest=1)
    assert len(read.sound) == len(burst(6)) + 16000
    assert [len(piece) for piece in read.around] == [8000, 8000]
