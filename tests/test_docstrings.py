"""The first sentence of a docstring says to a stranger what it is about."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*(ROOT / "daemon" / "auricle").rglob("*.py"), *(ROOT / "model_build" / "auricle_build").rglob("*.py")])
RIDDLE = re.compile(r"(What|Whether|Those|That|Which|Whose|How|Of|Its|It|They)\b")
"""So begin phrases without a subject, and those whose subject was named somewhere else."""
ARTICLE = re.compile(r"(A|An|The)\b")
"""A function does something; a phrase that only names what it returns begins so."""
SHOWN = {
    "config/sections.py",
    "config/sources.py",
    "grammar/learning.py",
    "grammar/material.py",
    "grammar/pretrained.py",
    "messages/published.py",
    "messages/questions.py",
}
"""The docstrings of their classes are headings in generated pages, and read as such."""

Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def nodes(tree: ast.Module) -> Iterator[tuple[Node, bool]]:
    """Yield the module, its classes and its functions, and whether each may be used by others by its own name."""
    yield tree, True
    for node in ast.walk(tree):
        if isinstance(node, Node):
            for inner in node.body:
                if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield inner, node is tree and not inner.name.startswith("_")


def fault(node: Node, *, public: bool, heading: bool = False) -> str | None:
    """Return what is wrong with the docstring of a module, class or function; ``None`` if nothing."""
    text = ast.get_docstring(node)
    if text is None:
        return "says nothing; write a docstring" if public else None
    first = " ".join(text.split("\n\n")[0].split())
    if not first.endswith((".", ":")):
        return f"does not end its first paragraph with a full stop: {first!r}"
    if heading:
        return None
    if RIDDLE.match(first):
        return f"begins without a subject: {first!r}; write a sentence"
    if ARTICLE.match(first) and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"only names something: {first!r}; write what the function does, as 'Return the ...'"
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_docstring_begins_with_a_sentence(path: Path) -> None:
    """Modules, public classes and public functions have a docstring, and each begins with a sentence by itself."""
    heading = "/".join(path.parts[-2:]) in SHOWN
    wrong = [
        f"{getattr(node, 'lineno', 1)}: {getattr(node, 'name', 'the module')} {what}"
        for node, public in nodes(ast.parse(path.read_text(encoding="utf-8")))
        if (what := fault(node, public=public, heading=heading and isinstance(node, ast.ClassDef))) is not None
    ]
    assert not wrong, "\n" + "\n".join(f"{path.relative_to(ROOT)}:{line}" for line in wrong)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ('"""What hears now."""', "begins without a subject"),
        ('"""Reads a file"""', "does not end its first paragraph"),
        ("", "says nothing"),
        ('class Ear:\n    """The stages of a source."""', None),
        ('def ear():\n    """The stages of a source."""', "only names something"),
        ('def ear():\n    """Return the stages of a source.\n\n    Raises:\n        ValueError: none\n    """', None),
        ("def ear():\n    pass", "says nothing"),
        ("def _ear():\n    pass", None),
        ('def _ear():\n    """Whether it hears."""', "begins without a subject"),
        ("class Ear:\n    def hear(self): pass", None),
        ('class Ear:\n    def hear(self):\n        """It hears."""', "begins without a subject"),
    ],
)
def test_the_rule_knows_a_sentence(source: str, what: str | None) -> None:
    """The last thing that is defined in each source is told apart from a sentence, or taken for one."""
    node, public = list(nodes(ast.parse(source)))[-1]
    found = fault(node, public=public)
    assert (found is None) if what is None else (found is not None and what in found)
