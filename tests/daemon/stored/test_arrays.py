"""A file of arrays is read whole, or refused in one line that names it: no byte of it can end the reader."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import StoredError
from auricle.stored import arrays, plain
from auricle.stored.arrays import Member

MEMBERS = {"x": Member("f", 2), "n": Member("iu", 0)}
X = np.arange(600, dtype=np.float32).reshape(20, 30)


def saved(*, packed: bool = True, **members: object) -> bytes:
    """The bytes of an ``.npz`` file."""
    out = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(out, **members)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_saved_comes_back(packed: bool) -> None:
    """Packed or not, in either order of axes and of bytes: the same numbers, in the machine's own order."""
    for x in (X, np.asfortranarray(X), X.astype(">f4"), X.astype(np.float64)):
        found = arrays.read("a.npz", saved(packed=packed, x=x, n=np.array(7)), MEMBERS)
        np.testing.assert_array_equal(found["x"], X)
        assert found["x"].dtype.isnative
        assert int(found["n"]) == 7


def stated(shape: str, dtype: str = "<f4") -> bytes:
    """A file whose ``x`` says of itself what its bytes do not bear out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(x=X, n=1))) as good, zipfile.ZipFile(out, "w") as bad:
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
        bad.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"\0" * 64)
        bad.writestr("n.npy", good.read("n.npy"))
    return out.getvalue()


def encrypted() -> bytes:
    """A file with one flipped bit in the flags of its directory."""
    content = bytearray(saved(x=X, n=1))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04broken",
        saved(x=X, n=1)[:-30],
        encrypted(),
        saved(x=X),
        saved(x=X, n=1, more=1),
        saved(x=X[0], n=1),
        saved(x=X.astype(np.complex64), n=1),
        saved(x=np.array([[None]], object), n=1),
        saved(x=np.array([["a"]]), n=1),
        saved(x=X, n=1.5),
        saved(x=np.zeros((3000, 6000), np.float32), n=1),
        stated("(1000000000, 1000000000)"),
        stated("(-1, -16)"),
        stated("(4, 4)", "|O"),
        stated("(4,"),
        stated("(" * 5000),
    ],
)
def test_what_is_none_is_refused_in_a_line(content: bytes) -> None:
    """Truncated, encrypted, of other members, kinds or shapes, pickled, or 72 MB in 70 kB: one error, one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StoredError, match=r"^a\.npz: [^\n]+$"):
            arrays.read("a.npz", content, MEMBERS)


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    """A device, a pipe, a folder, a file that is not there or is too large is a line, and nothing waits for it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"0" * 101)
    for path in (Path("/dev/zero"), tmp_path / "pipe", tmp_path, tmp_path / "none", tmp_path / "large"):
        with pytest.raises(StoredError, match=rf"^{path}: [^\n]+$"):
            plain.read(path, 100)
    assert plain.read(tmp_path / "large", 101) == b"0" * 101
