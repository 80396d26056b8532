"""The layers of a configuration lie over one another: the defaults, the main file, the fragments beside it, the
environment, the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from auricle.config.tree import (
    DEFAULT,
    MAX_BYTES,
    Branch,
    Leaf,
    Node,
    Parser,
    Problems,
    Row,
    TreeError,
    Where,
    from_object,
    graft,
    merge,
)
from auricle.config.wording import printable

PREFIX = "AURICLE__"
SYSTEM_FILE = Path("/etc/auricle/auricle.yaml")
_LONGEST_NAME = 120
"""More of a variable's name is not shown in errors; no key has one half as long."""
_ENVIRONMENT_RANK = 1_000_000
_COMMAND_LINE_RANK = 2_000_000
_DEFAULT_TREE = from_object({"sources": [{"name": "mic", "microphone": {}}]}, DEFAULT)


@dataclasses.dataclass(frozen=True, slots=True)
class Expected:
    """Says what a file should be, a key that it could begin with, and what to do where there is none."""

    what: str
    first: str
    remedy: str


_CONFIGURATION = Expected("configuration", "node: porch", "auricle config example prints one to begin with")


def layered(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    problems: Problems,
    without: Path | None = None,
) -> Node:
    """Lay all layers over one another, as one tree; but for the fragment ``without``.

    Raises ConfigError where a file is no YAML, since other complaints would be doubtful then.
    """
    tree = _DEFAULT_TREE
    if path is None and _is_there(SYSTEM_FILE):
        path = SYSTEM_FILE
    if path is not None:
        for layer in _files(path, problems, without):
            tree = merge(tree, layer)
    problems.raise_all()
    for parts, node in [*_environment(environ, problems), *_command_line(overrides)]:
        try:
            tree = graft(tree, parts, node)
        except TreeError as error:
            problems.add(error.where, "", str(error))
    return tree


def _is_there(path: Path) -> bool:
    """Return whether there is a file that has to be read, or to be complained of where that is not allowed."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _files(path: Path, problems: Problems, without: Path | None) -> Iterator[Node]:
    """Yield the main file and the fragments beside it, as trees."""
    layers = [path]
    fragments = path.parent / "conf.d"
    if _is_there(fragments):
        try:
            found = sorted(entry for entry in fragments.iterdir() if not entry.name.startswith("."))
        except NotADirectoryError:
            found = []
        except OSError as error:
            problems.add(Where(2, name=printable(str(fragments))), "", f"cannot be read: {error.strerror}")
            found = []
        layers += [entry for entry in found if entry.suffix == ".yaml" and entry != without]
        for entry in found:
            if entry.suffix == ".yml":
                problems.add(Where(2, name=printable(str(entry))), "", "is not read; name it .yaml")
    for rank, file in enumerate(layers, start=1):
        node = document(file, rank, problems, _CONFIGURATION)
        if node is not None:
            yield node


def document(file: Path, rank: int, problems: Problems, expected: Expected) -> Branch | None:
    """Read one file as a tree, or None where there is nothing in it; what keeps it from being one goes to
    ``problems``."""
    place = Where(rank, name=printable(str(file)), folder=file.parent)
    try:
        node = Parser(place, problems).parse(_text(file, place, expected))
    except TreeError as error:
        problems.add(error.where, "", str(error))
        return None
    if isinstance(node, Branch):
        return node
    if node is not None and not (isinstance(node, Leaf) and node.null):
        # A text is not repeated: this may be the file of a password.
        what = "a list" if isinstance(node, Row) else "only a text"
        problems.add(node.where, "", f"holds {what}, not keys; begin with a key, such as {expected.first!r}")
    return None


def _text(file: Path, place: Where, expected: Expected) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise TreeError(place, f"no such file; {expected.remedy}") from None
    except IsADirectoryError:
        raise TreeError(place, "is a folder; name the file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TreeError(place, f"cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise TreeError(place, f"is larger than {MAX_BYTES // 1024} KiB; this is no {expected.what}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TreeError(dataclasses.replace(place, line=line), "is not UTF-8 text; save it as UTF-8") from None
    if not text.strip():
        raise TreeError(place, f"is empty; {expected.remedy}")
    return text


def _environment(environ: Mapping[str, str], problems: Problems) -> Iterator[tuple[list[str], Node]]:
    """Yield the keys of the environment: two underscores nest (AURICLE__GATE__SENSITIVITY=2), and a value in brackets,
    braces or quotes is YAML."""
    names = sorted(name for name in environ if name.startswith(PREFIX))
    for rank, name in enumerate(names, start=_ENVIRONMENT_RANK):
        called = printable(name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "...")
        place = Where(rank, name=called, folder=Path.cwd())
        parts = name.removeprefix(PREFIX).lower().split("__")
        text = environ[name].strip()
        node: Node | None = Leaf(place, text)
        if text[:1] in ("[", "{", '"', "'"):
            try:
                node = Parser(place, problems, lines=False).parse(text)
            except TreeError as error:
                problems.add(place, "", str(error))
                continue
        if not all(parts):
            problems.add(place, "", "two underscores stand between keys, as in AURICLE__GATE__SENSITIVITY")
        elif node is not None:
            yield parts, node


def _command_line(overrides: Mapping[str, object]) -> Iterator[tuple[list[str], Node]]:
    place = Where(_COMMAND_LINE_RANK, name="command line", folder=Path.cwd())
    for path, value in overrides.items():
        yield path.replace("[", ".").replace("]", "").split("."), from_object(value, place)
