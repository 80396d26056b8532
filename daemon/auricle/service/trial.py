"""A model from outside is first run in a child: its graph is read by C++, which does not raise but ends the process.

What came with the package is trusted, and what has once held is known by its hash, so that a start waits for no child
but the first with a new model.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from auricle import config
from auricle.errors import AuricleError, ModelError, StoredError
from auricle.hearing.ear import Ear
from auricle.model import bundle
from auricle.model.bundle import PACKAGED, Bundle
from auricle.service.state import write_atomically
from auricle.stored import plain

LIMIT_S = 30.0
LIMIT_BYTES = 2 * 2**30
"""Of addresses; the runtime and its libraries take half a GB of them before there is a model."""
KNOWN = 64
"""Hashes kept of models that have held."""


class Trials:
    """Which models have held.

    Args:
        record: the file that remembers them, or ``None`` to remember them as long as this object lives.
        command: starts the child, in place of this Python's own.
    """

    def __init__(self, record: Path | None, command: tuple[str, ...] = (sys.executable, "-P", "-m", __name__)) -> None:
        self._record = record
        self._command = command
        self._held: list[str] = []

    def __call__(self, model: Bundle) -> None:
        """Run a model in a child unless it has held before.

        Raises:
            ModelError: it did not hold, ended the child, or took more memory or time than a model may.
        """
        if model.path.parent == PACKAGED or model.hash in self._held:
            return
        known = self._known()
        if model.hash not in known:
            self._run(model)
            self._keep([*known, model.hash][-KNOWN:])
        self._held.append(model.hash)

    def _run(self, model: Bundle) -> None:
        try:
            child = subprocess.run(
                [*self._command, str(model.path.absolute()), model.hash],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f"{model.path}: did not answer within {LIMIT_S:g} s when it was tried") from None
        except OSError as e:
            raise ModelError(f"{model.path}: cannot be tried in a process of its own: {e.strerror}") from None
        if child.returncode == 0:
            return
        said = child.stdout.decode(errors="replace").splitlines()
        if child.returncode > 0 and said:
            raise ModelError(said[-1][:1000])
        how = f"by signal {-child.returncode}" if child.returncode < 0 else f"with status {child.returncode}"
        raise ModelError(f"{model.path}: ends the process that runs it, {how}: its graph is damaged; build it anew")

    def _known(self) -> list[str]:
        if self._record is None or not self._record.is_file():
            return []
        try:
            # What is damaged in it matches no hash, and that model is tried again.
            return plain.read(self._record, 65_536).decode("ascii", "replace").split()
        except StoredError:
            return []

    def _keep(self, hashes: list[str]) -> None:
        if self._record is not None:
            try:
                write_atomically(self._record, "".join(f"{each}\n" for each in hashes).encode())
            except OSError:
                return  # tried again at the next start, which costs a second


def main(path: str, wanted: str) -> int:
    """The child: everything that the daemon does with a model up to its first decision; its exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        model = bundle.load(path)
        if model.hash != wanted:
            raise ModelError(f"{path}: changed while it was read; try again")
        Ear(model, config.Decision(), config.Gate(), config.Publish()).warm()
    except AuricleError as e:
        print(e.lines()[0])
        return e.exit_code
    except MemoryError:
        print(f"{path}: needs more than {LIMIT_BYTES // 2**20} MiB")
        return ModelError.exit_code
    except Exception as e:  # the child's purpose: whatever is wrong with a model is told, and harms nobody
        print(f"{path}: cannot be run ({type(e).__name__}: {' '.join(str(e).split())[:300]})")
        return ModelError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
