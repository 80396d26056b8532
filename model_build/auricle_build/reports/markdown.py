"""Pages are made of this."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write the lines of a Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + "-|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
