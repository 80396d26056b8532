"""Every test may ask for these: real parts of this machine, and the recordings that lie outside the repository."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Early: selenium's trio hands hypothesis a random generator when that is imported, and hypothesis takes it for one that
# nobody holds once the engine has frozen the garbage collector.
import hypothesis  # noqa: F401
import pytest

from auricle.client import ask

ASK_S = 30.0
ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


def require(present: bool, what: str) -> None:
    """Skip, naming what is missing; where AURICLE_REQUIRE_REAL is set, fail instead."""
    if present:
        return
    if os.environ.get("AURICLE_REQUIRE_REAL") == "1":
        pytest.fail(f"missing here, and AURICLE_REQUIRE_REAL=1: {what}")
    pytest.skip(f"missing here: {what}")


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """Put the daemon's log back as it was: a test may run the daemon in its own process, which sets the log up."""
    log = logging.getLogger("auricle")
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:] = handlers
    log.setLevel(level)
    log.propagate = propagate


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state folder that is not this user's own: a daemon keeps it for itself, and tests run beside each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """Questions to a daemon wait longer than a user would: a machine that tests keep busy is no daemon that is gone."""
    assert ask.__kwdefaults__ is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ask.__kwdefaults__, "timeout_s", ASK_S)
        yield


@pytest.fixture(scope="session", name="require")
def _require() -> Callable[[bool, str], None]:
    """Give `require` to tests and their fixtures."""
    return require


@pytest.fixture(scope="session")
def data() -> Path:
    """Give the folder of recordings beside the checkout; skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"missing here: the recordings in {DATA.parent.name}/{DATA.name}")
    return DATA


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Give the same folder, to tests that have sounds of their own where it is absent."""
    return DATA
