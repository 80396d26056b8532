"""Damage, haste and malice are done to input here: bytes struck, numbers that cannot be, pieces cut, doubled and
moved."""

from __future__ import annotations

import datetime
import random
from typing import Any

HEAD = 120
"""Most of what a file says of itself stands in so many of its first bytes."""

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)

WORDS = (
    "", "0", "-1", "1", "1e999", "-1e-999", "nan", ".inf", "9" * 400, "0x10", "1_0", "~", "null", "true", "off", "[",
    "]", "{", "}", "{}", "[]", "&a [*a]", "*a", "&a", "<<", "!!python/object:os.system x", "!!binary x", "!!set {a}",
    "'", '"', "\\", "\x00", "\x1b[2J", "\u2028", "\ufeff", "é" * 300, "%", "@", "`", "- ", "? ", ": ", "# ", "|", ">",
    "---", "...", "\t", "\r", "\n", "2026-13-41", "0000-00-00", "9999-12-31T23:59:59Z", "12:61", "/dev/zero", "../..",
    "ipc://", "tcp://*:99999", "tcp://[::1", "rtsp://a:b,c@d", "\\udead", "\udcff", "١٢", "1" + "0" * 5000,
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 2**31, -(2**31), 2**63, 2**70, 10**400, 0.5, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), float("-inf"), "", "x", "\n", "\x00", "9" * 300, "..", "/dev/zero", [], {}, [[]],
    [None], {"a": 1}, {1: 2}, [0] * 300, "x" * 5000, b"\xff", datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31),
)  # fmt: skip


def content(chance: random.Random, good: bytes, head: int = HEAD) -> bytes:
    """Return a file's bytes with one to six faults, more of them in its head."""
    found = bytearray(good)
    for _ in range(chance.randint(1, 6)):
        if not found:
            break
        at = chance.randrange(min(len(found), head) if chance.random() < 0.7 else len(found))
        size = chance.choice((1, 2, 4, 8, chance.randint(1, 64), chance.randint(1, 1 + len(found) // 2)))
        match chance.randrange(10):
            case 0 | 1 | 2:
                found[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 3:
                found[at] ^= 1 << chance.randrange(8)
            case 4 | 5:
                width = chance.choice((2, 4, 8))
                number = chance.choice((*NUMBERS, chance.randrange(2**16))) % 2 ** (8 * width)
                found[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
            case 6:
                del found[at : at + size]
            case 7:
                found[at:at] = found[at : at + size]
            case 8:
                found[at:at] = chance.randbytes(min(size, 4096))
            case 9:
                del found[chance.randrange(len(found)) :]
    return bytes(found)


def text(chance: random.Random, good: str) -> str:
    """Return lines of text with one to four faults: words that cannot be, lines lost, doubled, moved or indented
    otherwise."""
    lines = good.split("\n")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(lines))
        line = lines[at]
        match chance.randrange(8):
            case 0:
                lines[at : at + chance.randint(1, 3)] = [""] if len(lines) < 5 else []
            case 1:
                lines[at:at] = [line] * chance.choice((1, 2, 50))
            case 2:
                lines[at] = chance.choice((" ", "  ", "\t", "- ")) + line
            case 3:
                lines[at] = line.lstrip()
            case 4:
                lines.insert(chance.randrange(len(lines) + 1), lines.pop(at))
            case 5:
                where = chance.randint(0, len(line))
                lines[at] = line[:where] + chance.choice(WORDS) + line[where + chance.choice((0, 0, 1, 5)) :]
            case _:
                words = line.split(" ")
                words[chance.randrange(len(words))] = chance.choice(WORDS)
                lines[at] = " ".join(words)
    found = "\n".join(lines)
    return found if chance.random() < 0.9 else found[: chance.randrange(len(found) + 1)]


def tree(chance: random.Random, good: Any) -> Any:
    """Return a copy of nested lists and mappings with one to three values, keys or entries that cannot be."""
    found = good
    for _ in range(chance.randint(1, 3)):
        found = _tree(chance, found)
    return found


def _tree(chance: random.Random, node: Any) -> Any:
    if isinstance(node, dict) and node and chance.random() < 0.97:
        key = chance.choice(list(node))
        match chance.randrange(12):
            case 0:
                return {name: value for name, value in node.items() if name != key}
            case 1:
                return {(chance.choice(WORDS) if name == key else name): value for name, value in node.items()}
            case 2:
                return {**node, chance.choice((*WORDS, 7)): chance.choice(VALUES)}
            case _:
                return {**node, key: _tree(chance, node[key])}
    if isinstance(node, list) and node and chance.random() < 0.8:
        at = chance.randrange(len(node))
        match chance.randrange(6):
            case 0:
                return node[:at] + node[at + 1 :]
            case 1:
                return node[:at] + [node[at]] * chance.choice((2, 300)) + node[at + 1 :]
            case _:
                return [*node[:at], _tree(chance, node[at]), *node[at + 1 :]]
    if isinstance(node, int | float) and not isinstance(node, bool) and chance.random() < 0.3:
        grown, more = node * chance.choice((-1, 2, 1000, 2**20)), chance.choice((0, 1, 0.5))
        return grown + more if abs(grown) < 1e300 else grown  # no fraction can be added to the largest integers
    return chance.choice((*VALUES, [node], {"x": node}))
