"""`auricle status` and `auricle mark`: a question to the daemon, for people and monitors."""

from __future__ import annotations

import msgspec

from auricle.client import AskMark, AskStatus, Marked, Report, ask
from auricle.commands import text
from auricle.errors import EXIT_SKIPPED
from auricle.messages.questions import SourceReport


def print_status(query: str, *, json: bool) -> int:
    """Say whether the daemon hears: 0 it does, 1 not all is well; the exit code.

    Raises:
        NoDaemonError: nobody answers.
    """
    report = ask(query, AskStatus(), Report)
    if json:
        print(msgspec.json.encode(report).decode())
    else:
        for line in _lines(report):
            text.say(line)
    return 0 if report.hearing else EXIT_SKIPPED


def mark(query: str, words: str, *, label: str | None, source: str | None) -> int:
    """Mark this moment; the exit code.

    Raises:
        NoDaemonError: nobody answers.
        UsageError: there is no such source.
    """
    print(ask(query, AskMark(text=words, label=label, source=source), Marked).id)
    return 0


def _lines(report: Report) -> list[str]:
    state = "hearing" if report.hearing else "degraded"
    lines = [
        f"{report.node}  {state}  up {text.duration(report.uptime_s)}, auricle {report.version}, "
        f"configuration {report.config}"
    ]
    lines += [f"  {name}  {_source(source)}" for name, source in report.sources.items()]
    history = report.history
    if history.enabled:
        lost = f"; {history.missed} messages lost" if history.missed else ""
        lines.append(f"  history  about {history.events} events, {history.mb:.1f} MB{lost}")
    lines += [f"  ! {reason}" for reason in report.reasons]
    return lines


def _source(source: SourceReport) -> str:
    level = "" if source.level_dbfs is None else f"  {source.level_dbfs:.1f} dBFS"
    model = "" if source.model is None else f", model {source.model.name}"
    return (
        f"{source.state}{level}  heard {text.duration(source.heard_s)}, {source.gaps} gaps, {source.events} events, "
        f"gate {source.gate}{model}"
    )
