"""A bridge tells whoever supervises it how it fares, in the words of systemd."""

from __future__ import annotations

from typing import Protocol


class Supervisor(Protocol):
    """This started us and wants to know how we fare."""

    @property
    def watchdog_s(self) -> float | None:
        """Return how often, at the least, it wants to hear that we live; ``None`` if it does not."""

    def tell(self, **fields: str | int) -> bool:
        """Tell it something, in the words of sd_notify(3); return whether it was taken, or nobody wants it."""
