"""What is marked becomes material and truth, which those take who learn and judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from auricle.client import AskEvents, AskMark, Clip, Event, History, Mark, Marked, ask
from auricle.clips import marked
from auricle.judge import truth
from auricle.judge.truth import Event as True_
from auricle.messages import MarkKind, microseconds
from helpers import kept
from helpers.kept import configuration, scene
from helpers.running import Running, running, wait_for
from helpers.sounds import RATE


def auricle(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the configuration in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "auricle", *map(str, words), "--config", str(folder / "auricle.yaml")],
        capture_output=True, text=True, env={**os.environ, "STATE_DIRECTORY": str(folder / "state")}, check=False,
    )  # fmt: skip


def past(one: Running) -> list[Any]:
    """What the history has."""
    return ask(one.query, AskEvents(), History, timeout_s=30).messages


def test_marks_become_material_and_truth(tmp_path: Path) -> None:
    """One event is right, one false, and something was missed: the clips lie sorted, the missed one has the sound
    before the mark; tables say what is where; `tune` and `evaluate` take them. Who thinks better of it finds the clip
    in the other folder."""
    sound = scene()
    source = {"name": "hall", "stdin": {"rate": RATE, "channels": 1}}
    model = kept.model(tmp_path / "models")
    wanted = {**configuration(tmp_path, model, {"missed_s": 4}, source), "capture": {"ring_s": 30}}
    out = tmp_path / "out"
    with running(tmp_path, wanted, stdin=subprocess.PIPE) as one:
        assert one.process.stdin is not None
        one.process.stdin.write(sound.astype("<i2").tobytes())
        one.process.stdin.flush()

        def both() -> dict[str, Clip]:
            found = {m.label: m for m in past(one) if isinstance(m, Clip)}
            return found if len(found) == 2 else {}

        clips = wait_for(both, "two clips")
        events = {m.label: m for m in past(one) if isinstance(m, Event)}
        reach = ("--endpoint", one.query)
        said = auricle(tmp_path, "mark", "--right", "--label", "low", *reach)
        assert (said.returncode, said.stderr) == (0, "")
        assert said.stdout.endswith(" low: right\n")
        done = auricle(tmp_path, "clips", "marked", out, *reach)
        assert done.stdout == f"{out}: 1 clips of 1 marks; with those of before 1 right, 0 false\n"
        at = events["high"].offset
        assert at is not None
        # All of it was given at once: what it says of its end may be some seconds ahead.
        wait_for(lambda: time.time() * 1e6 > microseconds(at), "that time has come")
        told = ask(one.query, AskMark(kind="missed", label="high", at=at), Marked, timeout_s=30)
        assert told.no_clip is None
        again = auricle(tmp_path, "mark", "--missed", "high", "--at", "2001-01-01", *reach)
        assert "no sound of it is kept" in again.stderr
        item = wait_for(lambda: next((m for m in past(one) if isinstance(m, Clip) and m.id == told.id), None), "a clip")
        assert item.path is not None
        assert item.label == "high"
        assert item.onset_s == item.offset_s
        assert 2 < item.onset_s <= 4
        samples, _ = soundfile.read(item.path, dtype="int16")
        assert item.sample is not None
        np.testing.assert_array_equal(samples, sound[item.sample : item.sample + item.samples])
        kinds: tuple[MarkKind, ...] = ("right", "false")
        for kind in kinds:
            ask(one.query, AskMark(kind=kind, event=events["high"].id), Marked, timeout_s=30)
            done = auricle(tmp_path, "clips", "marked", out, *reach)
            lying = sorted(path.relative_to(out) for path in out.rglob("*.flac"))
            assert len(lying) == 3
            low, high = (Path(str(clips[label].path)).name for label in ("low", "high"))
            assert {Path("right/low") / low, Path(kind) / "high" / high} <= set(lying)
            assert "1 of what was marked has no clip" in done.stderr
        for path in out.rglob("*.*"):
            assert path.stat().st_mode & 0o777 == 0o600
        missed = next(path for path in lying if told.id in path.name)
        assert missed.parts[:2] == ("right", "high")
        events_of_low = truth.read(out / "truth.csv", low)
        begin_s, end_s = clips["low"].onset_s, clips["low"].offset_s
        assert end_s is not None
        assert True_(round(begin_s, 6), round(end_s, 6), "low") in events_of_low
        rows = (out / "material.csv").read_text().splitlines()
        assert rows[0] == "file,label,group,onset,offset"
        assert sum(",not_high,hall " in row for row in rows) == 1
        one.process.stdin.close()
    recordings = (out / "right", out / "false", "--truth", out / "truth.csv")
    tuned = auricle(tmp_path, "tune", *recordings, "--dry-run")
    assert tuned.returncode == 0, tuned.stderr
    judged = auricle(tmp_path, "evaluate", *recordings, "--json")
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout)


def test_an_event_of_which_nobody_said_anything() -> None:
    """Of several marks about an event the last one counts; a text is no word about a sound."""

    def mark(n: int, kind: str, event: str | None = "e") -> Mark:
        return Mark(
            node="n", instance="i", seq=1, source="s", model=None, t=f"2026-01-01T00:00:{n:02d}.000000Z", sample=None,
            id=f"m{n}", text="", label="low", kind=kind, event=event,  # type: ignore[arg-type]
        )  # fmt: skip

    marks = [mark(3, "right"), mark(1, "false"), mark(2, "note"), mark(4, "missed", None), mark(5, "false", "f")]
    assert [each.id for each in marked.lasting(marks)] == ["m3", "m4", "m5"]
    assert [marked.about(each) for each in marked.lasting(marks)] == ["e", "m4", "f"]
