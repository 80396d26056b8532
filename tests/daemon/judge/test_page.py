"""A page of a recording shows what is in it, in any browser, and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.commands import show
from auricle.errors import UsageError
from auricle.hearing.hearer import Reported
from auricle.judge import page
from auricle.judge.portrait import Curve, Portrait
from auricle.judge.truth import Event
from helpers.sounds import varied, write

COLUMNS, BANDS = 50, 8
HOSTILE = "</script><script>document.title='steered'</script>"
START_US = 1_795_000_000_000_000


def portrait(name: str = "night.flac", label: str = "dog_bark") -> Portrait:
    """Ten seconds of silence but for a tone in the third band from four to five seconds, and an event of it."""
    powers = np.full((BANDS, COLUMNS), -100.0, np.float32)
    powers[2, 20:25] = -6.0
    level = np.full(COLUMNS, -100.0, np.float32)
    level[20:25] = -9.0
    scores = np.zeros(90, np.float32)
    scores[40:52] = 0.75
    return Portrait(
        name=name,
        duration_s=10.0,
        top_hz=8_000.0,
        column_s=0.2,
        spectrogram=powers,
        level=level,
        curves=[Curve(label, 1.0 + np.arange(90) * 0.1, scores, 0.5)],
        events=[Reported(4.1, 5.2, label, 4.5, 0.75)],
        truth=[Event(4.0, 5.0, label), Event(8.0, 9.0, "siren")],
        start_us=START_US,
    )


def written(folder: Path, found: Portrait) -> tuple[Path, str, dict[str, Any]]:
    """The page, its text, and what it shows."""
    path = folder / "a.html"
    page.write(found, path)
    text = path.read_text("utf-8")
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    return path, text, json.loads(data)


def pixels(png: bytes) -> np.ndarray:
    """The shades of a grey picture whose rows are as they are."""
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    at = png.index(b"IDAT")
    content = zlib.decompress(png[at + 4 : at + 4 + int.from_bytes(png[at - 4 : at], "big")])
    return np.frombuffer(content, np.uint8).reshape(height, width + 1)[:, 1:]


def test_everything_is_in_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spectrogram, level, scores with their threshold, events and truth, each at its place, in several pictures."""
    monkeypatch.setattr(page, "TILE", 16)
    _, text, data = written(tmp_path, portrait())
    tiles = re.findall(r'<img src="data:image/png;base64,([^"]+)">', text)
    assert len(tiles) == 4
    shades = np.concatenate([pixels(base64.b64decode(tile)) for tile in tiles], 1)
    assert shades.shape == (BANDS, COLUMNS)
    assert (shades[BANDS - 1 - 2, 20:25] == 255).all()
    assert np.count_nonzero(shades) == 5
    assert (data["floor_db"], data["top_db"], data["column_s"], data["top_hz"]) == (-86.0, -6.0, 0.2, 8000.0)
    level = np.frombuffer(base64.b64decode(data["level"]), np.uint8) / 2 - 120
    np.testing.assert_array_equal(level, np.repeat([-100.0, -9.0, -100.0], [20, 5, 25]))
    (curve,) = data["curves"]
    scores = np.frombuffer(base64.b64decode(curve["scores"]), "<u2") / 65_535
    np.testing.assert_allclose(scores, portrait().curves[0].scores, atol=1e-5)
    assert (curve["label"], curve["threshold"], curve["first_s"]) == ("dog_bark", 0.5, 1.0)
    assert curve["step_s"] == pytest.approx(0.1)
    assert data["events"] == [[4.1, 5.2, "dog_bark", 0.75]]
    assert data["truth"] == [[4.0, 5.0, "dog_bark"], [8.0, 9.0, "siren"]]
    assert data["start_ms"] == START_US // 1000


def test_it_loads_nothing_and_runs_nothing_but_its_own(tmp_path: Path) -> None:
    """Its policy allows one script, by its hash, and pictures in the page; no label or name can end the data."""
    _, text, data = written(tmp_path, portrait(HOSTILE, HOSTILE))
    assert data["name"] == data["events"][0][2] == HOSTILE
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    digest = base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert f'content="{policy}"' in text
    assert "steered'</script>" not in text
    assert not re.search(r"https?:|//cdn|@import|url\(|<link|<iframe", text)


def browse(path: Path, *options: str, fragment: str = "") -> str:
    """What a browser makes of the page, once it has drawn."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--window-size=1200,900", f"--user-data-dir={path.parent}/profile"]
    done = subprocess.run(
        [*command, *options, f"{path.as_uri()}{fragment}"], capture_output=True, timeout=180, check=True
    )
    return done.stdout.decode()


def test_a_browser_draws_it(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """All of it, or the stretch that its address names, with the events in it; a hostile name is only shown."""
    require(shutil.which("chromium") is not None, "chromium")
    path, _, _ = written(tmp_path, portrait())
    whole = browse(path, "--dump-dom")
    rows = re.findall(r"<tr tabindex=\"0\">(.*?)</tr>", whole)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    assert [row[2:] for row in cells] == [["dog_bark", "truth"], ["dog_bark", "0.75"], ["siren", "truth"]]
    assert cells[1][0].startswith("0:04.10 (")
    assert "dog_bark (0.50)" in whole
    part = browse(path, "--dump-dom", fragment="#7-10")
    assert [row for row in re.findall(r"<td>(.*?)</td>", part) if row in ("dog_bark", "siren")] == ["siren"]
    assert re.search(r'<span id="view">0:07.00 \(.*\) to 0:10.00', part)
    path, _, _ = written(tmp_path, portrait(HOSTILE, HOSTILE))
    hostile = browse(path, "--dump-dom")
    assert hostile.count('<tr tabindex="0">') == 3
    assert "<title>steered</title>" not in hostile


def test_the_tone_is_seen_where_it_is(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """What is bright on the screen lies at four to five of ten seconds, in the third of eight bands."""
    require(shutil.which("chromium") is not None, "chromium")
    image = pytest.importorskip("matplotlib.image", reason="matplotlib, extra plot")
    path, _, _ = written(tmp_path, portrait())
    browse(path, f"--screenshot={tmp_path / 'a.png'}")
    seen = image.imread(tmp_path / "a.png")[..., :3]
    dark = seen.sum(2) < 0.1
    rows, columns = np.flatnonzero(dark.sum(1) > 400), np.flatnonzero(dark.sum(0) > 150)
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    bright = np.argwhere(
        (seen[top:bottom, left:right] > [0.95, 0.95, 0.6]).all(2) & (seen[top:bottom, left:right, 2] < 0.8)
    )
    place = bright / [bottom - top, right - left]
    np.testing.assert_allclose(place.min(0), [5 / 8, 0.4], atol=0.02)
    np.testing.assert_allclose(place.max(0), [6 / 8, 0.5], atol=0.02)


def test_the_command_writes_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A page needs no matplotlib; of a recording cut short it says so; without a target there is nothing to do."""
    path = write(tmp_path / "20261126_030000Z.wav", varied(3.0))
    path.write_bytes(path.read_bytes()[:60_000])
    assert show.command(str(path), html=tmp_path / "a.html", model="esc10") == 1
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "2026-11-26 03:00:00 UTC" in text
    assert "cut short" in text
    assert "cut short" in capfd.readouterr().err
    with pytest.raises(UsageError, match=r"nothing to draw; use --out FILE\.png, or --html FILE\.html"):
        show.command(str(path))
