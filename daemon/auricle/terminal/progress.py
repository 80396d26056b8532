"""Commands that take their time show progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from auricle.hearing.hearer import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


def bars(*, counted: bool = False, shown: bool = True) -> Bars:
    """Make bars on standard error, each with its task and the time left; none where that is no terminal.

    Args:
        counted: steps done and to do, in place of the per cent.
        shown: whether there shall be any.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    how_far = MofNCompleteColumn() if counted else TextColumn("{task.percentage:>3.0f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), how_far, TimeRemainingColumn())
    return Bars(
        *columns,
        console=console,
        disable=not (shown and console.is_terminal),
        redirect_stdout=sys.stdout.isatty(),  # lines go above the bars, but into a file or a pipe as they are
    )


@contextmanager
def bar(what: str, *, shown: bool = True, says: Callable[[], str] | None = None) -> Iterator[Progress]:
    """Show a bar for one task, whose progress is a share of 1.

    Args:
        what: its name.
        shown: whether there shall be a bar.
        says: what stands in the name's place once there is progress.
    """
    if not shown or not sys.stderr.isatty():  # without a terminal nothing of rich is loaded
        yield lambda share: None
        return
    with bars() as drawn:
        task = drawn.add_task(what, total=1.0)
        yield lambda share: drawn.update(task, completed=share, description=what if says is None else says())
