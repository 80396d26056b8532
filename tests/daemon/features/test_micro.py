"""The fixed-point micro front end is the one of its makers, and a stage like any other."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from auricle.features import extract, front_end
from auricle.features.micro import Micro
from helpers import laws
from helpers.sounds import varied

FRONT = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160, "features": [{"kind": "micro"}]}


@pytest.fixture
def reference() -> type:
    """The front end of its makers; skips where it is absent."""
    found: type = pytest.importorskip("pymicro_features", reason="missing here: the extra micro").MicroFrontend
    return found


def test_rows_are_its_makers(reference: type) -> None:
    """Every feature is equal to what the makers' library gives for the same 16-bit samples."""
    sound = varied(2.0)
    samples = np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2").tobytes()
    theirs, wanted, at = reference(), [], 0
    while at < len(samples):
        given = theirs.process_samples(samples[at : at + 320])
        at += 2 * given.samples_read
        if given.features:
            wanted.append(given.features)
    rows = extract(sound, 16_000, "micro", n_fft=512, hop_length=160)
    assert rows.shape == (198, 40)
    assert rows.std() > 1
    np.testing.assert_array_equal(rows, np.asarray(wanted, np.float32))


def test_it_keeps_the_laws(reference: type) -> None:
    """Cut, count, reset and batch, by itself and as a front end."""
    laws.hold(Micro, varied(0.8), [1, 159, 160, 161, 700, 3, 2000])
    laws.hold(lambda: front_end(**FRONT), varied(0.5), [5, 400, 1000])  # type: ignore[arg-type]


def test_what_it_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, reference: type) -> None:
    """Another rate or hop, the gate before it, and a machine that has not the library: each says so."""
    with pytest.raises(ValueError, match="feature micro: sample_rate 8000 and hop_length 160 cannot be; use 16000"):
        front_end(**{**FRONT, "sample_rate": 8000})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="micro does not pass through the gate; turn the gate off"):
        front_end(**FRONT, gate={})  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pymicro_features", None)
    with pytest.raises(ValueError, match=r"pymicro-features is missing; pip install 'auricle\[micro\]'"):
        front_end(**FRONT)  # type: ignore[arg-type]
