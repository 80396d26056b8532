"""The process may have so many files and connections open; they are shared out here."""

from __future__ import annotations

import resource

from auricle.publish.door import CONNECTIONS

WANTED = 4096
"""Twice what clients may take, and more than any number of sources needs."""
RESERVE = 256
"""Descriptors kept for sources, models, the history and the state, whatever clients do."""
BETWEEN = 2
"""For each connection that clients may have, so many descriptors are there: between two rounds of the engine more
connections come than may stay."""
FEWEST = 8


def connections_each() -> int:
    """Return how many connections each of the two sockets may have.

    The process's soft limit is raised first, as far as it may be: 1,024 is the usual one, of which any local user could
    take all by connecting.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < (wanted := min(WANTED, hard)):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(FEWEST, min(CONNECTIONS, (soft - RESERVE) // (2 * BETWEEN)))
