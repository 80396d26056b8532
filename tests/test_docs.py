"""What README and docs tell a reader to type works as it stands there."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[object]:
    """Every block of a language, by page and number. `sh` blocks run; what cannot run here is written as `console`."""
    return [
        pytest.param(match[2], id=f"{page.name}-{i}")
        for page in PAGES
        for i, match in enumerate(BLOCK.finditer(page.read_text()))
        if match[1] == language
    ]


@pytest.mark.parametrize("block", blocks("sh"))
def test_every_shell_block_runs(block: str, tmp_path: Path) -> None:
    """Each `sh` block ends without an error, in an empty folder, with only Auricle on the path."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AURICLE__PUBLISH__ENDPOINT": f"ipc://{tmp_path}/events",
            "AURICLE__PUBLISH__QUERY": f"ipc://{tmp_path}/query",
        },
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr


def test_the_readmes_json_lines_are_json(tmp_path: Path) -> None:
    """What `replay --json` wrote is one JSON object a line."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "auricle demo --out scene.wav && auricle replay --speed max --json --no-publish scene.wav"
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) > 100
    assert all("topic" in json.loads(line) for line in lines)


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if "README" in str(b)])
def test_every_configuration_block_is_valid(block: str, tmp_path: Path) -> None:
    """The README's YAML is accepted as it stands."""
    from auricle import config

    path = tmp_path / "auricle.yaml"
    path.write_text(block)
    assert config.load(path, environ={}).sources
    assert yaml.safe_load(block)


def test_the_readme_names_the_two_commands() -> None:
    """`make demo` and `make test` are what a newcomer needs, and each how-to has at most ten lines of code."""
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    assert all(len(match[2].splitlines()) <= 10 for match in BLOCK.finditer(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository finds it."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_what_is_made_is_as_it_is_made() -> None:
    """`make docs` would change nothing, and a page without the two lines that it looks for is refused."""
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    texts = dict(made["generated"]())
    assert len(texts) == 6
    for path, text in texts.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: run: make docs"
    page = f"a\n{made['BEGIN']}old\n{made['END']}z\n"
    assert made["filled"](page, "new\n") == page.replace("old", "new")
    with pytest.raises(ValueError, match="unpack"):
        made["filled"]("a\n", "new\n")


def test_the_files_that_architecture_names_exist() -> None:
    """Every file or folder that docs/architecture.md names is there, from the root or in one of the packages."""
    bases = [ROOT, ROOT / "daemon" / "auricle", ROOT / "model_build" / "auricle_build"]
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w./-]+(?:/|\.(?:py|md|yaml|jsonl)))`", text))
    assert len(named) > 50
    # To be written by whoever follows a recipe; of a bundle.
    new = {"features/NAME.py", "stages/NAME.py", "capture/NAME.py", "tests/daemon/capture/test_NAME.py", "card.yaml"}
    assert {name for name in named if not any((base / name).exists() for base in bases)} == new
