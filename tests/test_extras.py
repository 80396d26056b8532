"""`make install` chooses here what pip is to install besides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_an_upgrade_keeps_the_extras(tmp_path: Path) -> None:
    """What was asked for once is asked for again at each upgrade, with what comes to it; a name that is not known
    changes nothing."""
    _, _, after = (ROOT / "Makefile").read_text().partition("define CHOOSE_EXTRAS\n")
    program, kept = after.partition("endef")[0], tmp_path / "extras"

    def choose(asked: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, asked, str(kept)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    for asked, wanted in (
        ("", ""),
        ("mqtt", "[mqtt]"),
        ("", "[mqtt]"),
        ("web, mqtt", "[mqtt,web]"),
        ("", "[mqtt,web]"),
    ):
        assert choose(asked).returncode == 0
        assert kept.read_text() == wanted
    refused = choose("mqqt")
    assert refused.returncode == 1
    assert refused.stderr.startswith("EXTRAS: 'mqqt' is not known; use ")
    assert kept.read_text() == "[mqtt,web]"
