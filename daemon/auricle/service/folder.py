"""The state folder is found here, in which a service of ours keeps what outlives it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SERVICE = Path("/var/lib/auricle")
"""The state folder of the installed service."""


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for what is kept: systemd's ``StateDirectory``, else the user's own (XDG Base Directory)."""
    if given := environ.get("STATE_DIRECTORY"):
        # systemd gives several, colon-separated, when a unit asks for several: ours is the first.
        return Path(given.split(":")[0])
    base = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "auricle"


def found(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where a daemon on this machine keeps something: in our own state folder; where it is not there, and the
    service is installed, in that one's, which only root may look into."""
    own = state_dir(environ) / name
    return SERVICE / name if not os.path.exists(own) and os.path.lexists(SERVICE) else own
