"""The rule of the house: a room uses the floors below it, never what is above and never a neighbour, in no circle.

Every import counts: those at a file's head, those that a function makes when it runs, and those for types alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSES = {"auricle": ROOT / "daemon" / "auricle", "auricle_build": ROOT / "model_build" / "auricle_build"}

FLOORS = {
    "auricle": """
        __main__
        start
        commands
        terminal
        teach
        adopt
        service judge scan
        hearing tables
        model
        features connectors
        capture client clips config gate publish
        messages stages stored
        errors secrecy
        """,
    "auricle_build": """
        cli
        judging
        terminal
        reports
        ship
        finetune
        bank
        build
        export
        judge
        int8
        recipe
        learn
        material
        grammar
        """,
}
"""From the top down; rooms in one line are neighbours."""
ONLY = {
    "capture": {"errors", "secrecy"},
    "client": {"messages", "errors"},
    "connectors": {"client", "messages", "errors"},
}
"""Rooms of `auricle` that use these alone of what is below: each is to be had without the rest."""
LENT = {
    "teach",
    "judge",
    "hearing",
    "features",
    "capture",
    "config",
    "gate",
    "model",
    "messages",
    "stages",
    "stored",
    "errors",
}
"""The rooms of `auricle` that `auricle_build` uses; how the daemon lives and publishes is no affair of a model."""
SHARED = {"auricle.terminal.progress"}
"""Single files of `auricle` that `auricle_build` uses too: a bar looks alike whichever program draws it."""
FACES = {"client", "config", "features", "gate", "messages"}
"""Rooms of `auricle` whose `__init__` hands names on."""


def modules(house: str) -> dict[str, Path]:
    """Every file of a package by the name under which it is imported."""
    found = {}
    for path in sorted(HOUSES[house].rglob("*.py")):
        parts = path.relative_to(HOUSES[house].parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = {name: path for house in HOUSES for name, path in modules(house).items()}


def imports(source: str, known: Mapping[str, object] = MODULES) -> Iterator[tuple[int, str]]:
    """The line and the module of every import of one of our packages, wherever in the file it stands."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                named = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                beside = [f"{module}.{alias.name}" for alias in node.names]
                named = [name if name in known else module for name in beside]
            case ast.ImportFrom():
                raise AssertionError(f"line {node.lineno}: a relative import; write the whole name")
            case _:
                continue
        for name in dict.fromkeys(named):
            if name.partition(".")[0] in HOUSES:
                yield node.lineno, name


def room(module: str) -> str:
    """The room of a module, or the file at the top; of a package itself nothing: its head is below all floors."""
    return module.split(".")[1] if "." in module else ""


def fault(importing: str, imported: str) -> str | None:
    """What the rule has against this import; ``None`` if nothing."""
    house, other = importing.partition(".")[0], imported.partition(".")[0]
    mine, theirs = room(importing), room(imported)
    if house != other:
        lent = house == "auricle_build" and (theirs in {*LENT, ""} or imported in SHARED)
        return None if lent else f"is no affair of {house}"
    if theirs in ("", mine):
        return None
    floors = {name: i for i, line in enumerate(FLOORS[house].split("\n")) for name in line.split()}
    if floors[theirs] <= floors[mine]:
        return "is its neighbour" if floors[theirs] == floors[mine] else "is above it"
    if house == "auricle" and theirs not in ONLY.get(mine, {theirs}):
        return f"is none of what {mine} may use: {', '.join(sorted(ONLY[mine]))}"
    return None


@pytest.mark.parametrize("house", HOUSES)
def test_every_room_is_on_a_floor(house: str) -> None:
    """A new room, or a file at the top, gets its place in the rule before anything is built on it."""
    assert {room(name) for name in modules(house)} - {""} <= set(FLOORS[house].split())


@pytest.mark.parametrize("house", HOUSES)
def test_rooms_use_the_floors_below(house: str) -> None:
    """No import goes upwards or to a neighbour, and `auricle` never imports `auricle_build`."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {imported} {what}"
        for name, path in modules(house).items()
        for line, imported in imports(path.read_text(encoding="utf-8"))
        if (what := fault(name, imported)) is not None
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_no_files_import_each_other() -> None:
    """The files of both packages can be put in a row in which each imports only those after it."""
    graph = {
        name: {imported for _, imported in imports(path.read_text(encoding="utf-8"))} for name, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + ", imported by ".join(error.args[1]))


def test_an_init_is_a_face_or_says_what_the_room_is() -> None:
    """What is imported by a room's name is imported with each of its files: faces hand names on, the others hold none.

    The child of every microphone reads that of capture.
    """
    for name, path in MODULES.items():
        if path.name != "__init__.py" or name in HOUSES:
            continue
        text, *rest = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(text, ast.Expr), path
        face = name.partition(".")[0] == "auricle" and room(name) in FACES
        assert bool(rest) == face, path
        names = [node for node in rest if not isinstance(node, ast.ImportFrom)]
        assert [ast.unparse(node.targets[0]) for node in names if isinstance(node, ast.Assign)] == ["__all__"] * face
        assert len(names) == face, path


def test_the_rule_sees_every_import() -> None:
    """Imports in functions and for types count, a name of a module as much as one within it."""
    source = """
import numpy, auricle.start
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auricle.hearing.lane import Lane

def later():
    from auricle import __version__, config
    from auricle.config import load, schema
"""
    known = ["auricle.config", "auricle.config.schema", "auricle.hearing.lane"]
    found = [name for _, name in sorted(imports(source, dict.fromkeys(known)))]
    assert found == [
        "auricle.start",
        "auricle.hearing.lane",
        "auricle",
        "auricle.config",
        "auricle.config",
        "auricle.config.schema",
    ]


@pytest.mark.parametrize(
    ("importing", "imported", "what"),
    [
        ("auricle.service.life", "auricle.commands.demo", "is above it"),
        ("auricle.publish.store", "auricle.config", "is its neighbour"),
        ("auricle.capture.live", "auricle.messages", "is none of what capture may use: errors, secrecy"),
        ("auricle.judge.truth", "auricle_build.recipe", "is no affair of auricle"),
        ("auricle_build.judge.lags", "auricle.publish.store", "is no affair of auricle_build"),
        ("auricle.service.query", "auricle", None),
        ("auricle.service.life", "auricle.errors", None),
        ("auricle_build.build", "auricle.model.bundle", None),
    ],
)
def test_the_rule_says_no(importing: str, imported: str, what: str | None) -> None:
    """Each kind of wrong import is told from the right ones."""
    assert fault(importing, imported) == what
