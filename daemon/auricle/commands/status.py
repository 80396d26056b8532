"""`auricle status` asks the daemon whether it hears, for people and monitors."""

from __future__ import annotations

import msgspec

from auricle.client import AskStatus, Report, ask
from auricle.errors import EXIT_SKIPPED
from auricle.messages.questions import SourceReport
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, Json, KeyFile, QueryEndpoint


def command(query: QueryEndpoint = None, key: KeyFile = None, json: Json = False, config: ConfigFile = None) -> int:
    """Print whether the daemon hears; return the exit code, 1 where not all is well.

    Raises:
        NoDaemonError: nobody answers.
    """
    endpoint, pair = options.reach(query, key, config)
    report = ask(endpoint, AskStatus(), Report, key=pair)
    if json:
        print(msgspec.json.encode(report).decode())
    else:
        for line in lines(report):
            text.say(line)
    return 0 if report.hearing else EXIT_SKIPPED


def lines(report: Report) -> list[str]:
    """Return the answer for people."""
    state = "hearing" if report.hearing else "degraded"
    said = [
        f"{report.node}  {state}  up {text.duration(report.uptime_s)}, auricle {report.version}, "
        f"configuration {report.config}"
    ]
    said += [f"  {name}  {_source(source)}" for name, source in report.sources.items()]
    history = report.history
    if history.enabled:
        lost = f"; {history.missed} messages lost" if history.missed else ""
        anew = f"; began anew at {history.anew.t}: its file {history.anew.why}" if history.anew else ""
        said.append(f"  history  about {history.events} events, {history.mb:.1f} MB{lost}{anew}")
    clips = report.clips
    if clips.enabled:
        lost = f"; {clips.missed} events have none" if clips.missed else ""
        said.append(f"  clips    {clips.files}, {clips.mb:.1f} MB; {clips.kept} since the start{lost}")
    for name, thresholds in report.overrides.thresholds.items():
        values = ", ".join(f"{label} {value:g}" for label, value in thresholds.items())
        said.append(f"  set      {name}: {values} (thresholds, over what is configured)")
    said += [f"  - {line}" for line in report.overrides.waiting]
    said += [f"  ! {reason}" for reason in report.reasons]
    return said


def _source(source: SourceReport) -> str:
    level = "" if source.level_dbfs is None else f"  {source.level_dbfs:.1f} dBFS"
    model = "" if source.model is None else f", model {source.model.name}"
    return (
        f"{source.state}{level}  heard {text.duration(source.heard_s)}, {source.gaps} gaps, {source.events} events, "
        f"gate {source.gate}{model}"
    )
