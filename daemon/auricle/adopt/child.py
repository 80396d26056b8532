"""A graph that nobody has tried yet is handled in a process of its own: its C++ does not raise, it ends."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from auricle.adopt.facts import Facts
from auricle.errors import ModelError, StoredError
from auricle.service import apart
from auricle.stored import plain

MOST_BYTES = 256 * 2**20
_COMMAND = (sys.executable, "-P", "-m", "auricle.adopt.child")


def look(path: Path) -> Facts:
    """Return what is in a `.tflite` file.

    Raises:
        ModelError: it is none, or damaged.
    """
    return msgspec.json.decode(_ask("look", path), type=Facts)


def hear(folder: Path) -> None:
    """Complete the bundle in a folder by what its network says of Auricle's own sounds, its golden vectors, and hear
    with it as the daemon does.

    Raises:
        ModelError: its graph is not what the card says, or cannot be run.
    """
    _ask("hear", folder)


def cut(path: Path, into: Path) -> None:
    """Write the graph of a file from where it quantises features of its own.

    Raises:
        ModelError: it does not.
    """
    _ask("cut", path, into)


def agree(folder: Path, whole: Path) -> tuple[float, float]:
    """Hear with a bundle whose graph was cut and with the whole graph, and return how well they agree.

    Raises:
        ModelError: they do not.
    """
    share, furthest = msgspec.json.decode(_ask("agree", folder, whole), type=tuple[float, float])
    return share, furthest


def _ask(what: str, path: Path, *more: Path) -> bytes:
    paths = [str(each.absolute()) for each in (path, *more)]
    with closing(apart.Child([*_COMMAND, what, *paths], path)) as asked:
        asked.wait()
        return asked.judge()


def _look(path: str) -> None:
    # Nobody but this child reads graphs, so that nobody else need load what reads them.
    from auricle.adopt import graph

    content = read(Path(path))
    try:
        found = graph.facts(content)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        raise ModelError(f"{path}: is cut off or damaged, {len(content)} bytes of it; get it anew") from None
    print(msgspec.json.encode(found).decode())


def _hear(folder: str) -> None:
    from auricle.adopt import golden

    golden.complete(Path(folder))


def _cut(path: str, into: str) -> None:
    from auricle.adopt import cut

    Path(into).write_bytes(cut.cut(read(Path(path)), path))


def _agree(folder: str, whole: str) -> None:
    from auricle.adopt import cut

    print(msgspec.json.encode(cut.agreement(Path(folder), read(Path(whole)))).decode())


def read(path: Path) -> bytes:
    """Return a `.tflite` file, whole.

    Raises:
        ModelError: it cannot be read, or is none.
    """
    try:
        content = plain.read(path, MOST_BYTES)
    except StoredError as e:
        raise ModelError(str(e)) from None
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: is no TFLite file; give a .tflite")
    return content


def main(what: str, *paths: str) -> int:
    """Do one thing in the child, and return its exit code."""
    actions: dict[str, Callable[..., None]] = {"look": _look, "hear": _hear, "cut": _cut, "agree": _agree}
    return apart.told(paths[0], lambda: actions[what](*paths))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
