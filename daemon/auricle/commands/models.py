"""`auricle models`: which models can be used by name."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from auricle.errors import EXIT_SKIPPED, ModelError
from auricle.model import bundle


def print_models(models_dir: Path | None, *, json: bool) -> int:
    """One line a model; a broken one is named and does not hide the others. The exit code."""
    broken = 0
    for name, path in sorted(bundle.names(models_dir).items()):
        try:
            found = bundle.load(name, models_dir)
        except ModelError as e:
            print(f"auricle: {e}", file=sys.stderr)
            broken += 1
            continue
        card = found.card
        size_kb = len(found.whole) / 1000
        if json:
            entry = {
                "name": name,
                "path": str(path),
                "hash": found.hash,
                "labels": card.labels,
                "licence": card.licence,
                "description": card.description,
                "model_kb": round(size_kb, 1),
                "streaming": card.streaming,
                "figures": found.raw.get("figures"),
            }
            print(msgspec.json.encode(entry).decode())
        else:
            print(f"{name}  {size_kb:.0f} KB, {card.licence}: {', '.join(card.labels)}")
            if card.description:
                print(f"    {card.description}")
    return EXIT_SKIPPED if broken else 0
