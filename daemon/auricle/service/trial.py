"""A model from outside is first run in a child: its graph is read by C++, which does not raise but ends the process.

What came with the package is trusted, and what has once held with this runtime is known, so that a start waits for no
child but the first with a new model or runtime. While sound is heard nobody waits: a reload goes on when the child has
ended.
"""

from __future__ import annotations

import logging
import sys
from contextlib import closing
from pathlib import Path

from auricle import config
from auricle.errors import ModelError, StoredError
from auricle.hearing.ear import Ear
from auricle.model import bundle, litert
from auricle.model.bundle import PACKAGED, Bundle
from auricle.service import apart
from auricle.service.apart import Child
from auricle.service.kept import write_atomically
from auricle.stored import plain

log = logging.getLogger("auricle")

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
        self._trial: Child | None = None
        self._tried = ""

    def __call__(self, model: Bundle) -> None:
        """Run a model in a child unless it has held before, and wait for the child.

        Raises:
            ModelError: the model did not hold, ended the child, or took more memory or time than a model may.
        """
        if not self._holds(model):
            with closing(self._child(model)) as trial:
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
        if self._trial is None or self._tried != model.hash:
            self.close()
            self._trial, self._tried = self._child(model), model.hash
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

    def _child(self, model: Bundle) -> Child:
        return Child([*self._command, str(model.path.absolute()), model.hash], model.path)

    def _holds(self, model: Bundle) -> bool:
        if model.path.parent == PACKAGED:
            return True
        what = _with_runtime(model)
        return what in self._held or what in self._known()

    def _keep_held(self, model: Bundle) -> None:
        self._keep([*self._known(), _with_runtime(model)][-KNOWN:])
        self._held.append(_with_runtime(model))

    def _known(self) -> list[str]:
        if self._record is None:
            return []
        try:
            # A damaged line matches no model, which is tried again; so is each one without the file.
            return plain.read(self._record, 65_536).decode("ascii", "replace").split()
        except StoredError as e:
            log.debug("no model is known to have held: %s", e)
            return []

    def _keep(self, hashes: list[str]) -> None:
        if self._record is not None:
            try:
                write_atomically(self._record, "".join(f"{each}\n" for each in hashes).encode())
            except OSError as e:
                why = e.strerror or e
                log.warning("%s: cannot be written: %s; models are tried again at the next start", self._record, why)


def _with_runtime(model: Bundle) -> str:
    """Name a model together with the runtime that is installed: another one may end where this one did not."""
    return f"{model.hash}@{litert.version()}"


def main(path: str, wanted: str) -> int:
    """Do in the child everything that the daemon does with a model up to its first decision; return the exit code."""

    def try_it() -> None:
        model = bundle.load(path)
        if model.hash != wanted:
            raise ModelError(f"{path}: changed while it was read; try again")
        Ear(model, config.Decision(), config.Gate(), config.Publish()).warm()

    return apart.told(path, try_it)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
