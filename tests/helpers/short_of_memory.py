"""SQLite has no memory for a history here: `python -m helpers.short_of_memory FOLDER STEP` prints what came of it.

Every STEP-th of SQLite's allocations fails. This takes a process of its own: SQLite takes another allocator only
before its first database. FOLDER holds a history, `state`, and what is said, `said.jsonl`.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

from auricle import messages
from helpers.faults import SqliteMemory
from helpers.histories import Life

memory = SqliteMemory()
folder, step = Path(sys.argv[1]), int(sys.argv[2])
said = [messages.decode(line) for line in (folder / "said.jsonl").read_bytes().splitlines()]
lines: list[str] = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
log = logging.getLogger("auricle")
log.addHandler(handler)
log.propagate = False
k, told, hit = 0, 0, "first"
while hit:
    k += step
    lines.clear()
    life = Life(folder / "state", folder / "copy")
    memory.fail(k)
    life.round(said)
    hit = memory.fail(0)
    assert len(lines) <= 2, (k, lines)
    assert lines or len(life.told) == len(said) + 1, k
    life.agrees()
    told += bool(lines)
    life.store.close()
    shutil.rmtree(folder / "copy")
print(json.dumps({"failed": k // step - 1, "told": told}))
