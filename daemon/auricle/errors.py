"""These are the errors that a user is shown: one line each, with where, what is wrong with the value, and the
remedy."""

from __future__ import annotations

from collections.abc import Iterable

EXIT_SKIPPED = 1
EXIT_USAGE = 2
EXIT_NO_DAEMON = 69
EXIT_INTERNAL = 70
EXIT_OUTPUT = 74
EXIT_AGAIN = 75
EXIT_CONFIG = 78


LONGEST = 1000
"""A problem has no more characters than this; of one that quotes thousands the middle is left out."""


def one_line(problem: str) -> str:
    """Write a problem on one line that can be read, whatever it quotes from a file."""
    line, half = "\\n".join(problem.splitlines()), (LONGEST - 5) // 2
    return line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}"


class AuricleError(Exception):
    """Says what a user can understand and mend: ``where: what is wrong; the remedy``."""

    exit_code = EXIT_SKIPPED

    def lines(self) -> list[str]:
        """Return the error as lines for a terminal, without the program's name."""
        return [one_line(str(self))]


class UsageError(AuricleError):
    """The command line asks for something that cannot be."""

    exit_code = EXIT_USAGE


class AudioError(AuricleError):
    """A recording cannot be read; the daemon skips it and goes on."""


class DeviceError(AuricleError):
    """A microphone, or the sound system below it, is not there."""


class StoredError(AuricleError):
    """A stored file is not what it should be; whoever reads it says in an error of its own what that means."""


class ShortError(AuricleError):
    """Memory was short for something that is well otherwise: to start again may do."""

    exit_code = EXIT_AGAIN


class ClusterError(AuricleError):
    """Machines that were to do the work are gone, or cannot do it: the same command goes on when they are there."""

    exit_code = EXIT_AGAIN


class ModelError(AuricleError):
    """A bundle that does not hold: it is refused before the first sample, for one problem or for several."""

    exit_code = EXIT_CONFIG

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("\n".join(self.problems))

    def lines(self) -> list[str]:
        return list(self.problems)


class ConfigError(AuricleError):
    """A configuration does not validate: every problem found is a line of its own."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("\n".join(self.problems))

    def lines(self) -> list[str]:
        return list(self.problems)


class EndpointError(AuricleError):
    """A ZeroMQ endpoint cannot be bound or understood."""

    exit_code = EXIT_CONFIG


class NotYetError(EndpointError):
    """An endpoint that cannot be bound now: it is in use, or its address is not there, and that may change."""


class OutputError(AuricleError):
    """Tells that a file cannot be written."""

    exit_code = EXIT_OUTPUT


class KeysError(AuricleError):
    """A file of keys that cannot be read or written, or holds something else."""

    exit_code = EXIT_CONFIG


class MissingError(AuricleError):
    """A package that only some need is not installed."""

    exit_code = EXIT_CONFIG


class ProbeError(AuricleError):
    """A broker or a target is not there, or does not take what a bridge would tell it.

    Args:
        found: what is wrong.
        remedy: how to mend it.
    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found, self.remedy = found, remedy


class NoDaemonError(AuricleError):
    """Nobody answers at the endpoint."""

    exit_code = EXIT_NO_DAEMON
