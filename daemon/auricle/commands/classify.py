"""`auricle classify` gives each recording one verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from auricle import messages
from auricle.capture.folders import find
from auricle.errors import EXIT_SKIPPED, AudioError
from auricle.hearing.whole import Classifier, Verdict
from auricle.tables.output import tables
from auricle.tables.row import Row, readable
from auricle.terminal import options, text
from auricle.terminal.options import Beside, Channel, ConfigFile, Form, Json, Local, ModelName, Out, Paths
from auricle.terminal.text import duration


def command(
    paths: Paths,
    json: Json = False,
    channel: Channel = "mix",
    local: Local = False,
    out: Out = None,
    beside: Beside = False,
    form: Form = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Print a verdict for each file; return the exit code.

    Raises:
        UsageError: an option's value cannot be.
        OutputError: a table cannot be written.
    """
    cfg = options.load(config, model)
    bundle = options.model_of(cfg)
    files, faults = find(paths)
    classifier = Classifier(bundle, cfg.decision, cfg.gate, channel=options.channel(channel), local=local)
    table = tables(out, form, bundle, beside=beside, recordings=len(files))
    for fault in faults:
        _complain(fault)
    skipped = len(faults)
    for file in files:
        try:
            verdict = classifier.verdict(file)
        except AudioError as e:
            _complain(str(e))
            skipped += 1
            continue
        if table is not None:
            for row in _rows(verdict, classifier.span / bundle.card.front_end.sample_rate):
                table.add(file, row)
            table.heard(file, verdict.duration_s)
        if json:
            print(msgspec.json.encode(verdict).decode(), flush=True)
        else:
            text.say(_line(verdict, bundle.card.display))
        if verdict.cut is not None:
            text.complain(f"auricle: {verdict.cut}; the verdict is of what was heard")
            skipped += 1
    if table is not None:
        table.close()
    return EXIT_SKIPPED if skipped else 0


def _rows(verdict: Verdict, span_s: float) -> Iterator[Row]:
    began_us = None if verdict.t is None else messages.microseconds(verdict.t)
    for label, begin_s, end_s, score in verdict.windows(span_s):
        times = [None if began_us is None else messages.rfc3339(began_us + round(s * 1e6)) for s in (begin_s, end_s)]
        yield Row(
            file=verdict.file,
            begin_s=round(begin_s, 6),
            end_s=round(end_s, 6),
            begin=times[0],
            end=times[1],
            label=label,
            name=readable(label),
            peak=score,
            mean=verdict.scores[label],
            also="",
            source="classify",
            model=verdict.model.name,
            hash=verdict.model.hash,
        )


def _line(verdict: Verdict, display: Mapping[str, str]) -> str:
    """Write a verdict for a person, labels as people call them."""

    def name(label: str) -> str:
        return text.called(label, display.get(label))

    if not verdict.long:
        padded = "  (padded)" if verdict.padded else ""
        return f"{verdict.file}  {name(verdict.label)}  {verdict.score:.2f}  {verdict.duration_s:.2f} s{padded}"
    strongest = ", ".join(
        f"{name(found.label)} {found.score:.2f} at {duration(found.at_s)}" for found in verdict.strongest
    )
    return f"{verdict.file}  {duration(verdict.duration_s)}  strongest: {strongest}"


def _complain(reason: str) -> None:
    text.complain(f"auricle: skipped: {reason}")
