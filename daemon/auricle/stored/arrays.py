"""Arrays that were saved as ``.npz`` are read here: every member is checked before a byte of it is unpacked, and no
code is run."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from auricle.errors import StoredError

MOST_BYTES = 64 * 2**20
"""What all arrays of a file may have together, unpacked."""
_HEADER_BYTES = 10_000
"""What the header of an array may have; numpy's own bound."""


@dataclass(frozen=True, slots=True)
class Member:
    """Says what an array must be.

    Args:
        kinds: of its dtype, as numpy's letters: ``f`` floats, ``i`` and ``u`` integers.
        ndim: its dimensions; 0 for a number.
    """

    kinds: str
    ndim: int


def read(
    where: object, content: bytes, members: Mapping[str, Member], most: int = MOST_BYTES
) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file, by name.

    Args:
        where: names the file in errors.
        content: of the file.
        members: the arrays that the file must hold, and no others.
        most: bytes of all of them together, unpacked.

    Raises:
        StoredError: the content is not that of such a file, whatever is wrong there.
        MemoryError: there is not enough.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _members(archive, members, most)
    except MemoryError:
        raise
    except _Wrong as e:
        raise StoredError(f"{where}: {e}") from None
    except Exception as e:  # what the parsers of zip, deflate and numpy raise over damaged bytes has no common base
        said = (str(e).splitlines() or [""])[0][:200]
        raise StoredError(f"{where}: not a file of arrays ({said or type(e).__name__})") from e


class _Wrong(Exception):
    """Says what is wrong with a file, without the file's name."""


def _members(archive: zipfile.ZipFile, members: Mapping[str, Member], most: int) -> dict[str, NDArray[Any]]:
    listed = archive.infolist()
    names, wanted = [info.filename for info in listed], [f"{name}.npy" for name in members]
    if missing := [name for name in wanted if name not in names]:
        raise _Wrong(f"{', '.join(name.removesuffix('.npy') for name in missing)} missing")
    if len(names) != len(wanted):
        stray = next((name for name in names if name not in wanted), names[0])
        raise _Wrong(f"holds {stray[:80]!r} besides {', '.join(members)}, or one of them twice")
    if (size := sum(info.file_size for info in listed)) > most:
        raise _Wrong(f"{size} bytes unpacked; it may have {most}")
    for info in listed:
        if info.flag_bits & 1:
            raise _Wrong(f"{info.filename} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Wrong(f"{info.filename} is packed in a way that is not known ({info.compress_type})")
    return {name: _array(name, archive, member) for name, member in members.items()}


def _array(name: str, archive: zipfile.ZipFile, member: Member) -> NDArray[Any]:
    stated = archive.getinfo(f"{name}.npy").file_size
    with archive.open(f"{name}.npy") as packed:
        raw = packed.read(stated + 1)  # to its end, where its sum is checked
    file = io.BytesIO(raw)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise _Wrong(f"{name} is written in a form that is not known {version}")
    of_version = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = of_version(file, max_header_size=_HEADER_BYTES)
    if dtype.kind not in member.kinds or dtype.itemsize > 8 or len(shape) != member.ndim:
        raise _Wrong(f"{name} is {dtype} of shape {shape}; it must have {member.ndim} dimensions and be {member.kinds}")
    held = len(raw) - file.tell()
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != held:
        raise _Wrong(f"{name} is said to be {shape} of {dtype}, in {held} bytes")
    flat = np.frombuffer(raw, dtype, offset=file.tell())
    # A copy, which can be written to and is in the machine's own order of bytes.
    return np.array(flat.reshape(shape, order="F" if fortran else "C"), dtype.newbyteorder("="))
