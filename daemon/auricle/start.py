"""The program begins here. The daemon itself starts without the command line's libraries, which would be a quarter of
its start."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

# numpy's BLAS would otherwise start a thread a core; set before anything loads numpy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from auricle.errors import EXIT_AGAIN, EXIT_INTERNAL, EXIT_OUTPUT, EXIT_USAGE, AuricleError, one_line
from auricle.secrecy import mask
from auricle.stages import allocator

OPTIONS = {"--config": "config", "-c": "config", "--model": "model"}
"""The options of `auricle run`."""


UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of output that cannot be written where it is no file of ours."""


def main() -> None:
    """Run the program: an error is one line, never a traceback."""
    allocator.keep_freed()
    if (stderr := sys.__stderr__) is not None and sys.stderr is stderr:
        # Ours is a copy: descriptor 2 belongs to libraries in C, which are muted where they talk too much.
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=stderr.encoding, closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # there is none where it was closed
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal; a file name that is no UTF-8
    try:
        try:
            _command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a failure still gets its line
    except AuricleError as e:
        _leave(e.exit_code, e.lines())
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError:
        _leave(EXIT_AGAIN, ["no memory is left; free some, or use a smaller model"])
    except BrokenPipeError:
        # Whoever read our output has gone: that is how a pipe ends, not an error.
        _leave(0, [])
    except UnicodeEncodeError as e:
        _leave(EXIT_USAGE, [f"{e.object[e.start : e.end]!r} is not UTF-8; what is named or published has to be"])
    except OSError as e:
        if e.filename is not None or e.errno not in UNWRITABLE:
            _internal(e)
        _leave(EXIT_OUTPUT, [f"standard output cannot be written: {e.strerror}; free some space, or write elsewhere"])
    except Exception as e:
        _internal(e)


def _command() -> None:
    if (options := _plain(sys.argv[1:])) is not None:
        # A reload that is asked for while the program is still being loaded waits until there is something to.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        from auricle.service import life

        path = options.get("config")
        sys.exit(life.main(None if path is None else Path(path), options.get("model")))
    from auricle.commands.cli import app

    stdout = sys.stdout
    try:
        app(standalone_mode=True)
    except SystemExit:
        if sys.stdout is not stdout:  # Typer met a pipe whose reader has gone, and would call that an error
            raise BrokenPipeError from None
        raise


def _leave(code: int, lines: Sequence[str]) -> NoReturn:
    """Print the lines of an error and exit; what waits for standard output and cannot be written is dropped."""
    from auricle.config import printable

    for line in lines:
        print(printable(f"auricle: error: {line}"), file=sys.stderr)
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _internal(error: Exception) -> NoReturn:
    """Keep the traceback of an error that is ours for whoever mends it, in the system's log, and print one line."""
    import syslog
    import traceback

    syslog.openlog("auricle", syslog.LOG_PID)
    for line in "".join(traceback.format_exception(error)).splitlines():
        syslog.syslog(syslog.LOG_ERR, mask(line))
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(at.filename).name}:{at.lineno}"
    said = one_line(mask(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__))
    _leave(
        EXIT_INTERNAL,
        [f"internal, at {where}: {said}; a fault of auricle's: journalctl -t auricle has the traceback, report it"],
    )


def _plain(arguments: Sequence[str]) -> dict[str, str] | None:
    """Return the options of an `auricle run` that says nothing unusual; ``None`` where the command line has to be
    asked."""
    if not arguments or arguments[0] != "run" or len(arguments) % 2 == 0:
        return None
    names, values = arguments[1::2], arguments[2::2]
    if any(name not in OPTIONS for name in names) or any(value.startswith("-") for value in values):
        return None
    return {OPTIONS[name]: value for name, value in zip(names, values, strict=True)}
