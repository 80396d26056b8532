"""The topics of MQTT on which a node says what is heard; their parts are slugs, so that no name reaches into another's,
and no wildcard into any."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.connectors.naming import slug


@dataclass(frozen=True)
class Topics:
    """Names the topics of one node.

    Args:
        prefix: before all of them.
        node: the machine's name.
    """

    prefix: str
    node: str

    @property
    def base(self) -> str:
        """Return what all topics of the node begin with, without the slash."""
        return f"{self.prefix}/{slug(self.node)}"

    @property
    def status(self) -> str:
        """Return the topic that says ``online`` or ``offline``, of bridge and daemon together; retained."""
        return f"{self.base}/status"

    @property
    def health(self) -> str:
        """Return the topic of the daemon's own figures."""
        return f"{self.base}/health"

    def of(self, source: str, what: str) -> str:
        """Return a topic of a source: ``available``, ``hearing`` (both retained), ``event``, ``gap``, ``level``,
        ``scores``, ``health``."""
        return f"{self.base}/{slug(source)}/{what}"

    def state(self, source: str, label: str) -> str:
        """Return the topic of the retained state of a label."""
        return f"{self.base}/{slug(source)}/state/{slug(label)}"
