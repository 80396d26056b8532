"""`auricle classify` gives each recording one verdict."""

from __future__ import annotations

import msgspec

from auricle.capture.folders import find
from auricle.errors import EXIT_SKIPPED, AudioError
from auricle.hearing.whole import Classifier
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, Json, ModelName, Paths


def command(paths: Paths, json: Json = False, config: ConfigFile = None, model: ModelName = None) -> int:
    """Print a verdict for each file; return the exit code."""
    cfg = options.load(config, model)
    bundle = options.model_of(cfg)
    files, faults = find(paths)
    classifier = Classifier(bundle, cfg.decision, cfg.gate)
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
            padded = "  (padded)" if verdict.padded else ""
            text.say(f"{file}  {verdict.label}  {verdict.score:.2f}  {verdict.duration_s:.2f} s{padded}")
    return EXIT_SKIPPED if skipped else 0


def _complain(reason: str) -> None:
    text.complain(f"auricle: skipped: {reason}")
