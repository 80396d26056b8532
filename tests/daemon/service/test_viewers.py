"""A spectrum comes from a daemon to those who ask for it, while they do, and to nobody else's cost."""

from __future__ import annotations

import json
from pathlib import Path

from auricle.client import Client, Missed, Scores, Spectrum
from helpers.running import LIMIT_S, Running, configuration, running, wait_for


def heard_until(client: Client, kind: type, n: int) -> list[object]:
    """Return all that comes until so many of a kind have come."""
    items: list[object] = []

    def enough() -> bool:
        if (item := client.receive(0.2)) is not None:
            items.append(item)
        return sum(isinstance(item, kind) for item in items) >= n

    wait_for(enough, f"{n} of {kind.__name__}", LIMIT_S)
    assert not any(isinstance(item, Missed) for item in items)
    return items


def spectra(items: list[object]) -> int:
    """Return how many of these are spectra."""
    return sum(isinstance(item, Spectrum) for item in items)


def reload(one: Running, wanted: object, times: int) -> None:
    """Let the daemon take over another configuration."""
    one.config.write_text(json.dumps(wanted))
    one.hang_up()
    wait_for(lambda: one.log.count("reloaded in") == times, "it has reloaded")


def test_a_spectrum_comes_while_somebody_asks(tmp_path: Path) -> None:
    """Who listens to everything hears none, until somebody asks for one; it comes without a hole, stops with the
    asker, and with `spectrum.enabled: false` at a reload; `true` brings it back."""
    on = configuration(tmp_path, spectrum={"enabled": True})
    with running(tmp_path, on) as one, Client(one.events) as everything:
        assert not spectra(heard_until(everything, Scores, 15))
        with Client(one.events, topics=["spectrum.porch."]) as viewer:
            seen = [item for item in heard_until(viewer, Spectrum, 5) if isinstance(item, Spectrum)]
            assert [item.seq for item in seen] == list(range(seen[0].seq, seen[0].seq + 5))
            assert {(len(item.bands), item.columns, item.source) for item in seen} == {(192, 3, "porch")}
            heard_until(everything, Spectrum, 1)
            reload(one, configuration(tmp_path), 1)
            wait_for(lambda: not spectra(heard_until(everything, Scores, 10)), "there is none any more")
            reload(one, on, 2)
            heard_until(everything, Spectrum, 1)
        wait_for(lambda: not spectra(heard_until(everything, Scores, 10)), "nobody asks any more")
