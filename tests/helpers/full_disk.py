"""A history's disk fills here, and has room again: `python -m helpers.full_disk TMPFS FOLDER` prints what it saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from auricle.client import Event, Status
from helpers.wire import daemon

disk, folder = map(Path, sys.argv[1:])
(folder / "state").symlink_to(disk)
with daemon(folder) as one:
    store = one.store
    assert store is not None
    one.event("onset")
    one.event("offset")
    before = len(store.page(0, None, label=None, source=None)[0])
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(512))
        except OSError:
            pass
    sent = len(one.sent)
    for _ in range(200):
        one.event("onset")
        one.event("offset")
        one.serve()
    trouble = store.trouble
    (disk / "filler").unlink()
    sent_while_full = len([m for _, m in one.sent[sent:] if isinstance(m, Event)])
    store._retry_s = 0.0  # as if ten seconds had passed
    one.serve()
    after: tuple[int, int] | None = None
    ids = set()
    while True:
        page, after = store.page(0, after, label=None, source=None)
        ids |= {m.id for m in page}
        if after is None:
            break
    events = {m.id for _, m in one.sent if isinstance(m, Event)}
    status = [m.detail for _, m in one.sent if isinstance(m, Status)]
    print(
        json.dumps(
            {
                "before": before, "trouble": trouble, "sent_while_full": sent_while_full, "status": status,
                "kept": len(ids & events), "events": len(events), "lost": store.lost,
            }
        )
    )  # fmt: skip
