"""Clips are recorded to teach a label from: each after a count-down in sound's own time, whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle import config
from auricle.capture.source import Gap, NominalClock, Segment, Sound
from auricle.commands.takes import COUNTED, Takes, record_clips
from auricle.errors import UsageError
from auricle.model import bundle
from helpers.sounds import RATE, varied

SOUND = varied(12.0)


def heard(folder: Path, sizes: list[int], *, clips: int = 2, lost_at: int | None = None) -> Takes:
    """Takes of half a second, from pieces of these sizes again and again."""
    folder.mkdir(exist_ok=True)
    takes = Takes(folder, "gate", clips, 0.5, RATE, lambda samples: None)
    clock = NominalClock(RATE)
    takes.take(Segment(0, RATE, clock))
    at = turn = 0
    while at < len(SOUND):
        takes.take(Sound(SOUND[at : at + sizes[turn % len(sizes)]]))
        at += sizes[turn % len(sizes)]
        turn += 1
        if lost_at is not None and at >= lost_at:
            takes.take(Gap(at, 0, RATE, "overrun", estimated=False, clock=clock))
            lost_at = None
    takes.close()
    return takes


@pytest.mark.parametrize("sizes", [[1600], [len(SOUND)], [1, 7001, 333]])
def test_clips_are_cut_after_the_count_down(
    tmp_path: Path, sizes: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """However sound comes in, each clip holds what follows three seconds of count-down, to the bit of 16; names go on
    where there are some."""
    takes = heard(tmp_path, sizes)
    assert takes.done
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == ["clip 1 of 2 in 3", "clip 1 of 2 in 2", "clip 1 of 2 in 1", "now"]
    assert said[4] == str(tmp_path / "gate-001.flac")
    n = RATE // 2
    for i in range(2):
        begin = (i + 1) * COUNTED * RATE + i * n
        found = soundfile.read(tmp_path / f"gate-00{i + 1}.flac", dtype="int16")[0]
        wanted = np.clip(np.rint(SOUND[begin : begin + n] * np.float32(32768)), -32768, 32767).astype(np.int16)
        np.testing.assert_array_equal(found, wanted)
    heard(tmp_path, sizes, clips=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"gate-00{i}.flac" for i in (1, 2, 3)]


def test_what_is_lost_spoils_its_clip_alone(tmp_path: Path) -> None:
    """A gap in a clip counts it down anew; of a clip that is not whole no file stays."""
    takes = heard(tmp_path, [1600], lost_at=COUNTED * RATE + 1600)
    assert takes.done
    assert soundfile.info(tmp_path / "gate-001.flac").frames == RATE // 2
    assert not heard(tmp_path / "more", [1600], clips=5).done
    assert all(soundfile.info(path).frames == RATE // 2 for path in (tmp_path / "more").iterdir())


def test_what_cannot_be_recorded(tmp_path: Path) -> None:
    """No clip, clips of a minute, and a source that is not there are a line each."""
    model = bundle.load("esc10")
    path = tmp_path / "auricle.yaml"
    path.write_text("sources: [{name: pipe, stdin: {rate: 16000, format: f32le}}]\n")
    cfg = config.load(path)
    for clips, seconds, source, said in (
        (0, 3.0, None, "--record: 0 clips of 3 s"),
        (5, 60.0, None, "5 clips of 60 s"),
        (5, 3.0, "porch", "none called 'porch'"),
    ):
        with pytest.raises(UsageError, match=said):
            record_clips(cfg, model, "gate", tmp_path / "gate", clips, seconds, source)
