"""A tap takes note of the windows that a network is given."""

from __future__ import annotations

from auricle.stages.stage import Block


class Newest:
    """Takes note of the newest window that passes, and is a stage that changes nothing."""

    hop = 1
    span = 1
    lead = 0

    def __init__(self) -> None:
        self.window: Block | None = None
        """The newest ``(frames, features)``, as the network takes it."""

    def process(self, block: Block) -> Block:
        """Let windows ``(n, frames, features)`` pass."""
        if len(block):
            self.window = block[-1].copy()
        return block

    def reset(self) -> None:
        """Forget the window: a segment begins."""
        self.window = None
