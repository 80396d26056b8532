"""A sound file is held in memory here, open under a descriptor.

libsndfile reads and writes files of Python through callbacks, which are code made at run time: where the unit forbids
that (`MemoryDenyWriteExecute`), there is "no memory" for them. A descriptor needs none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO


@contextmanager
def held(content: bytes = b"") -> Iterator[IO[bytes]]:
    """Open a file in memory, or in the folder for temporary ones where the system has none such, that holds this and
    stands at its beginning; it is gone afterwards."""
    with _opened() as file:
        file.write(content)
        file.seek(0)
        yield file


def _opened() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open("auricle-clip", "w+b", opener=lambda name, _: os.memfd_create(name))
    return TemporaryFile()
