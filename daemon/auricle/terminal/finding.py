"""A finding is one line of `auricle doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Holds what was looked at, what was found, and what to do where it is not well; a ``note`` is well, but may not be
    meant."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    note: bool = False

    def __str__(self) -> str:
        if self.ok:
            return f"{'note' if self.note else 'ok  '}  {self.what}: {self.found}"
        return f"MEND  {self.what}: {self.found}; {self.remedy}"
