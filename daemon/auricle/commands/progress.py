"""A progress bar for commands that take their time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from auricle.hearing.hearer import Progress


@contextmanager
def bar(what: str, *, shown: bool = True) -> Iterator[Progress]:
    """A progress bar with the time left, on a terminal; nothing elsewhere."""
    if not shown or not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=1.0)
        yield lambda share: bars.update(task, completed=share)
