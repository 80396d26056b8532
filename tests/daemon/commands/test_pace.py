"""Long work tells how it goes where there is no terminal, in a line now and then."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auricle.terminal import pace
from auricle.terminal.pace import Pace


def test_a_line_says_how_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files, hours, times real time and the time left; what was done before counts as done, not as speed."""
    monkeypatch.setattr(pace, "EVERY_S", 0.0)
    files = [str(tmp_path / name) for name in "abcd"]
    for file in files[:3]:
        Path(file).write_bytes(bytes(1000))
    with Pace("scan", files) as told:
        told.passed(1000, 1)
        assert capsys.readouterr().err == ""
        told.heard(1000, 1, 36_000.0)
        line = capsys.readouterr().err
        assert re.fullmatch(r"auricle: 2 of 4 files, 10\.0 h, \d+ x real time, 0:\d\d\.\d\d left\n", line)
        told.heard(1000, 2, 36_000.0)
        assert capsys.readouterr().err.endswith(" 0:00.00 left\n")


def test_there_are_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Not one for every file."""
    with Pace("scan", []) as told:
        for _ in range(10):
            told.heard(1, 1, 1.0)
    assert capsys.readouterr().err == ""
