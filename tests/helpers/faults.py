"""Faults come on order here: the k-th call to the system, or the k-th time that memory is wanted, fails once."""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import linecache
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

CALLS = {
    os: ("open", "close", "stat", "fstat", "mkdir", "replace", "fsync"),
    fcntl: ("flock",),
    builtins: ("open",),
    io: ("open",),
    sqlite3: ("connect",),
}
"""Auricle's own files go through these calls, besides those of an open file."""
OF_FILES = ("read", "write", "flush", "close")


class Fault:
    """Counts calls, and says when one is to fail.

    Args:
        k: which call fails, from 1; 0: none.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.seen = 0
        self.hit = ""
        """The call that failed; empty before."""

    def due(self, what: str) -> bool:
        """Count this call; return whether it is to fail."""
        self.seen += 1
        if self.seen != self.k:
            return False
        self.hit = what
        return True


class _File:
    """Wraps an open file, whose own calls are counted too."""

    def __init__(self, file: Any, fault: Fault) -> None:
        self._file, self._fault = file, fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        return _counted(f"file.{name}", found, self._fault) if name in OF_FILES else found

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()


def _counted(what: str, call: Callable[..., Any], fault: Fault) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        if fault.due(what):
            if what.endswith("close"):
                call(*args, **kwargs)  # the kernel closes it all the same
            if what == "sqlite3.connect":
                raise sqlite3.OperationalError("unable to open database file")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done = call(*args, **kwargs)
        return _File(done, fault) if what in ("builtins.open", "io.open") else done

    return counted


@contextmanager
def failing_call(k: int) -> Iterator[Fault]:
    """Let the k-th call that Python makes for a file in this block fail with EIO."""
    fault = Fault(k)
    with pytest.MonkeyPatch.context() as patch:
        for module, names in CALLS.items():
            for name in names:
                what = f"{module.__name__}.{name}"
                patch.setattr(module, name, _counted(what, getattr(module, name), fault))
        yield fault


# SQLite makes its calls itself, and lets each be replaced: https://www.sqlite.org/c3ref/vfs.html, xSetSystemCall.

_pointer, _int = ctypes.c_void_p, ctypes.c_int
_LONG = ctypes.c_int64
SQLITE_CALLS: dict[str, tuple[Any, ...]] = {
    "open": (_int, _pointer, _int, _int),
    "stat": (_int, _pointer, _pointer),
    "fstat": (_int, _int, _pointer),
    "ftruncate": (_int, _int, _LONG),
    "fcntl": (_int, _int, _int, _pointer),
    "read": (ctypes.c_ssize_t, _int, _pointer, ctypes.c_size_t),
    "pread": (ctypes.c_ssize_t, _int, _pointer, ctypes.c_size_t, _LONG),
    "pread64": (ctypes.c_ssize_t, _int, _pointer, ctypes.c_size_t, _LONG),
    "write": (ctypes.c_ssize_t, _int, _pointer, ctypes.c_size_t),
    "pwrite": (ctypes.c_ssize_t, _int, _pointer, ctypes.c_size_t, _LONG),
    "pwrite64": (ctypes.c_ssize_t, _int, _pointer, ctypes.c_size_t, _LONG),
    "fallocate": (_int, _int, _LONG, _LONG),
    "unlink": (_int, _pointer),
    "mmap": (ctypes.c_ssize_t, _pointer, ctypes.c_size_t, _int, _int, _int, _LONG),
}
"""The types of each call's result and arguments."""


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", _int), ("file_size", _int), ("longest_path", _int), ("next", _pointer), ("name", ctypes.c_char_p),
        ("data", _pointer), ("methods", _pointer * 13),
        ("set_call", ctypes.CFUNCTYPE(_int, _pointer, ctypes.c_char_p, _pointer)),
        ("get_call", ctypes.CFUNCTYPE(_pointer, _pointer, ctypes.c_char_p)),
    ]  # fmt: skip


def _sqlite() -> Any:
    """Return the library that Python's own module is bound to."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "libsqlite3.so" in line:
            return ctypes.CDLL(line.split(maxsplit=5)[5])
    pytest.skip("missing here: a libsqlite3.so of its own, whose calls can be replaced")


@contextmanager
def failing_sqlite_call(k: int, number: int = errno.EIO) -> Iterator[Fault]:
    """Let the k-th call that SQLite makes to the system in this block fail with this error."""
    fault, library = Fault(k), _sqlite()
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    found = library.sqlite3_vfs_find(None)
    vfs = found.contents
    kept = []  # the library holds no reference of its own
    for name, (result, *given) in SQLITE_CALLS.items():
        address = vfs.get_call(found, name.encode())
        if address is None:
            continue
        kind = ctypes.CFUNCTYPE(result, *given, use_errno=True)

        kept.append(kind(partial(_or_fail, fault, f"sqlite {name}", kind(address), number)))
        vfs.set_call(found, name.encode(), ctypes.cast(kept[-1], _pointer))
    try:
        yield fault
    finally:
        vfs.set_call(found, None, None)


def _or_fail(fault: Fault, what: str, real: Callable[..., Any], number: int, *args: Any) -> int:
    # To give up a lock fails on no disk of one's own; SQLite, which still has it then, waits 10 s for itself.
    unlocks = what == "sqlite fcntl" and args[1] == fcntl.F_SETLK and _kind_of_lock(args[2]) == fcntl.F_UNLCK
    if not unlocks and fault.due(what):
        ctypes.set_errno(number)
        return -1
    return int(real(*args))


def _kind_of_lock(at: int) -> int:
    return ctypes.c_short.from_address(at).value


class _Memory(ctypes.Structure):
    _fields_ = [
        ("malloc", ctypes.CFUNCTYPE(_pointer, _int)), ("free", _pointer),
        ("realloc", ctypes.CFUNCTYPE(_pointer, _pointer, _int)), ("rest", _pointer * 5),
    ]  # fmt: skip


class SqliteMemory:
    """Is SQLite's allocator, which has none left once; for a process of its own, before its first database."""

    def __init__(self) -> None:
        library = _sqlite()
        self._fault = Fault(0)
        library.sqlite3_shutdown()
        real, self._ours = _Memory(), _Memory()
        assert library.sqlite3_config(5, ctypes.byref(real)) == 0  # SQLITE_CONFIG_GETMALLOC
        ctypes.memmove(ctypes.byref(self._ours), ctypes.byref(real), ctypes.sizeof(_Memory))
        malloc, realloc, kinds = real.malloc, real.realloc, dict(_Memory._fields_)
        self._ours.malloc = kinds["malloc"](lambda n: None if self._fault.due("malloc") else malloc(n))
        self._ours.realloc = kinds["realloc"](lambda at, n: None if self._fault.due("realloc") else realloc(at, n))
        assert library.sqlite3_config(4, ctypes.byref(self._ours)) == 0  # SQLITE_CONFIG_MALLOC
        assert library.sqlite3_initialize() == 0

    def fail(self, k: int) -> str:
        """Let the k-th allocation from now on fail, 0: none; return which one has failed since this was last said."""
        before, self._fault = self._fault, Fault(k)
        return before.hit


@contextmanager
def failing_line(k: int, within: str = "auricle/") -> Iterator[Fault]:
    """In this block there is no memory for the k-th line that is run of the files whose paths have that in them.

    Lines that call and make nothing are passed over; so are those with a `with`, which are run once more to close
    something, and those that log, which raises nothing. This is done by Python's own tracing: where CPython's allocator
    itself fails, libraries written in C end the process.
    """
    fault = Fault(k)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if within not in frame.f_code.co_filename:
            return None
        where, line = Path(frame.f_code.co_filename), frame.f_lineno
        text = linecache.getline(str(where), line).strip()
        calls = not text.startswith(("with ", "log.")) and not set("([{").isdisjoint(text)
        if event == "line" and calls and fault.due(f"{where.name}:{line}"):
            raise MemoryError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield fault
    finally:
        sys.settrace(before)
