"""`auricle topics` shows what is published, by its topics."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.messages import topics


def command(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of every message.")] = False,
) -> int:
    """Print the topics, or the schema; return the exit code."""
    return topics.print_topics(as_schema=schema)
