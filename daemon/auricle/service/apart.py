"""A model from outside is first handled in a child process here, because its graph is read by C++, which does not raise
but ends the process."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from auricle.errors import AuricleError, ModelError

LIMIT_S = 30.0
"""A model may keep a processor busy for so long."""
PATIENCE_S = 80.0
"""The child is waited for so long, since others may use the processors; systemd gives a start 90 s."""
LIMIT_BYTES = 2 * 2**30
"""How many bytes of addresses the child may have; the runtime and its libraries take half a GB of them before there is
a model."""


class Child:
    """Runs a command upon one model, for so long as a model may take.

    Args:
        command: starts the child, which holds itself to its limits by `told`.
        path: names the model in errors.

    Raises:
        ModelError: the child cannot be started.
    """

    def __init__(self, command: Sequence[str], path: Path) -> None:
        self.path = path
        self._until_s = time.monotonic() + PATIENCE_S
        self._late = False
        self._said = b""
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as e:
            raise ModelError(f"{path}: cannot be tried in a process of its own: {e.strerror}") from None

    @property
    def ended(self) -> bool:
        """Return whether the child has ended; it is killed when its time is up. It must say less than a pipe holds."""
        if self._child.poll() is None and time.monotonic() > self._until_s:
            self.wait(0.0)
        return self._child.returncode is not None

    def wait(self, limit_s: float | None = None) -> None:
        """Wait for the child's end; it is killed when its time is up."""
        try:
            self._said, _ = self._child.communicate(timeout=PATIENCE_S if limit_s is None else limit_s)
        except subprocess.TimeoutExpired:
            self._late = True
            self._child.kill()
            self._child.wait()

    def judge(self) -> bytes:
        """Return what the child has said.

        Raises:
            ModelError: it has found something, or did not come to its own end.
        """
        if not self._late and not self._said and self._child.stdout is not None and not self._child.stdout.closed:
            self._said = self._child.stdout.read()
        code = self._child.returncode
        if self._late:
            raise ModelError(f"{self.path}: did not answer within {PATIENCE_S:g} s when it was tried")
        if code == 0:
            return self._said
        if code == -signal.SIGXCPU:
            raise ModelError(f"{self.path}: computes for more than {LIMIT_S:g} s when it is tried; use a smaller model")
        said = self._said.decode(errors="replace").splitlines()
        if code > 0 and said:
            raise ModelError(said[-1][:1000])
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        raise ModelError(f"{self.path}: ends the process that runs it, {how}: its graph is damaged; build it anew")

    def close(self) -> None:
        """End the child, whatever it does."""
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


def told(path: str, action: Callable[[], None]) -> int:
    """Act upon a model within a child's limits, print in a line what is wrong with it, and return the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Should whoever began it be killed, a graph that never ends does not stay behind.
    # Past the lower limit it is told why it ends; a handler of its own would not keep it alive beyond the higher one.
    resource.setrlimit(resource.RLIMIT_CPU, (round(LIMIT_S), round(LIMIT_S) + 1))
    try:
        action()
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
