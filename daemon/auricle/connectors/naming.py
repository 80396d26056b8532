"""A name becomes a slug here, for topics and identifiers of others: the same for ever, and of no other name."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 64
_PLAIN = re.compile(rf"[a-zA-Z0-9_-]{{1,{LONGEST}}}")
_LIKE_OURS = re.compile(r".*-[0-9a-f]{8}")
"""How a slug with a hash ends: a name that does so by itself is given one too, or two names could have one slug."""


def slug(name: str) -> str:
    """Write a name in letters, digits, ``_`` and ``-``; one that is more than these ends in a short hash of itself.

    MQTT's wildcards and slashes, letters of any script and names of any length become 64 characters at most.
    """
    if _PLAIN.fullmatch(name) and not _LIKE_OURS.fullmatch(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-zA-Z0-9_]+", "_", plain).strip("_")[: LONGEST - 9]
    return f"{words or 'x'}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
