"""`auricle classify` gives each recording one verdict."""

from __future__ import annotations

import msgspec

from auricle.capture.folders import find
from auricle.errors import EXIT_SKIPPED, AudioError
from auricle.hearing.whole import Classifier, Verdict
from auricle.terminal import options, text
from auricle.terminal.options import Channel, ConfigFile, Json, ModelName, Paths
from auricle.terminal.text import duration


def command(
    paths: Paths,
    json: Json = False,
    channel: Channel = "mix",
    config: ConfigFile = None,
    model: ModelName = None,
) -> int:
    """Print a verdict for each file; return the exit code.

    Raises:
        UsageError: there cannot be such a channel.
    """
    cfg = options.load(config, model)
    bundle = options.model_of(cfg)
    files, faults = find(paths)
    classifier = Classifier(bundle, cfg.decision, cfg.gate, channel=options.channel(channel))
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
        if json:
            print(msgspec.json.encode(verdict).decode(), flush=True)
        else:
            text.say(_line(verdict))
        if verdict.cut is not None:
            text.complain(f"auricle: {verdict.cut}; the verdict is of what was heard")
            skipped += 1
    return EXIT_SKIPPED if skipped else 0


def _line(verdict: Verdict) -> str:
    if not verdict.long:
        padded = "  (padded)" if verdict.padded else ""
        return f"{verdict.file}  {verdict.label}  {verdict.score:.2f}  {verdict.duration_s:.2f} s{padded}"
    strongest = ", ".join(f"{found.label} {found.score:.2f} at {duration(found.at_s)}" for found in verdict.strongest)
    return f"{verdict.file}  {duration(verdict.duration_s)}  strongest: {strongest}"


def _complain(reason: str) -> None:
    text.complain(f"auricle: skipped: {reason}")
