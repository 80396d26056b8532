"""A model from outside is first run in a child: its graph is read by C++, which does not raise but ends the process.

What came with the package is trusted, and what has once held is known by its hash, so that a start waits for no child
but the first with a new model. While sound is heard nobody waits: a reload goes on when the child has ended.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
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
"""How many bytes of addresses the child may have; the runtime and its libraries take half a GB of them before there is
a model."""
KNOWN = 64
"""How many hashes are kept of models that have held."""


class Trying(ModelError):
    """A model is being tried at this moment: whether it holds is known once its child has ended."""


class Trials:
    """Tries models, and remembers which have held.

    Args:
        record: the file that remembers them, or ``None`` to remember them as long as this object lives.
        command: starts the child, in place of this Python's own.
    """

    def __init__(self, record: Path | None, command: tuple[str, ...] = (sys.executable, "-P", "-m", __name__)) -> None:
        self._record = record
        self._command = command
        self._held: list[str] = []
        self._trial: _Trial | None = None

    def __call__(self, model: Bundle) -> None:
        """Run a model in a child unless it has held before, and wait for the child.

        Raises:
            ModelError: the model did not hold, ended the child, or took more memory or time than a model may.
        """
        if not self._holds(model):
            with closing(_Trial(model, self._command)) as trial:
                trial.wait()
                trial.judge()
            self._keep_held(model)

    def apart(self, model: Bundle) -> None:
        """Try a model while sound is heard: a child is begun, and the caller asks again when none is `busy`.

        Raises:
            Trying: the model is being tried.
            ModelError: as of `__call__`.
        """
        if self._holds(model):
            return
        if self._trial is None or self._trial.model.hash != model.hash:
            self.close()
            self._trial = _Trial(model, self._command)
        if not self._trial.ended:
            raise Trying(f"{model.path}: is being tried")
        with closing(self._trial) as trial:
            self._trial = None
            trial.judge()
        self._keep_held(model)

    @property
    def busy(self) -> bool:
        """Return whether a model is being tried."""
        return self._trial is not None and not self._trial.ended

    def close(self) -> None:
        """Give up the model that is being tried."""
        if self._trial is not None:
            self._trial.close()
            self._trial = None

    def _holds(self, model: Bundle) -> bool:
        return model.path.parent == PACKAGED or model.hash in self._held or model.hash in self._known()

    def _keep_held(self, model: Bundle) -> None:
        self._keep([*self._known(), model.hash][-KNOWN:])
        self._held.append(model.hash)

    def _known(self) -> list[str]:
        if self._record is None or not self._record.is_file():
            return []
        try:
            # A damaged line matches no hash, and its model is tried again.
            return plain.read(self._record, 65_536).decode("ascii", "replace").split()
        except StoredError:
            return []

    def _keep(self, hashes: list[str]) -> None:
        if self._record is not None:
            try:
                write_atomically(self._record, "".join(f"{each}\n" for each in hashes).encode())
            except OSError:
                return  # tried again at the next start, which costs a second


class _Trial:
    """Tries one model in one child."""

    def __init__(self, model: Bundle, command: Sequence[str]) -> None:
        self.model = model
        self._until_s = time.monotonic() + LIMIT_S
        self._late = False
        try:
            self._child = subprocess.Popen(
                [*command, str(model.path.absolute()), model.hash],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a line at the most
                stderr=subprocess.DEVNULL,
            )
        except OSError as e:
            raise ModelError(f"{model.path}: cannot be tried in a process of its own: {e.strerror}") from None

    @property
    def ended(self) -> bool:
        """Return whether the child has ended; it is killed when its time is up."""
        if self._child.poll() is None and time.monotonic() > self._until_s:
            self._late = True
            self.wait(0.0)
        return self._child.returncode is not None

    def wait(self, limit_s: float = LIMIT_S) -> None:
        """Wait for the child's end; it is killed when its time is up."""
        try:
            self._child.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._late = True
            self._child.kill()
            self._child.wait()

    def judge(self) -> None:
        """Raise what the child has found wrong, if anything."""
        path, code = self.model.path, self._child.returncode
        if self._late:
            raise ModelError(f"{path}: did not answer within {LIMIT_S:g} s when it was tried")
        if code == 0:
            return
        assert self._child.stdout is not None
        said = self._child.stdout.read().decode(errors="replace").splitlines()
        if code > 0 and said:
            raise ModelError(said[-1][:1000])
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        raise ModelError(f"{path}: ends the process that runs it, {how}: its graph is damaged; build it anew")

    def close(self) -> None:
        """End the child, whatever it does."""
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


def main(path: str, wanted: str) -> int:
    """Do in the child everything that the daemon does with a model up to its first decision; return the exit code."""
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
