"""`auricle bench` measures every stage and every decision hop, and its figures agree with each other."""

from __future__ import annotations

import json

import pytest

from auricle import config
from auricle.commands import bench
from auricle.model import bundle


def _measured(capsys: pytest.CaptureFixture[str], **overrides: object) -> list[dict[str, object]]:
    cfg = config.load(None, environ={}, overrides={"model": "esc10", "gate.enabled": "on", **overrides})
    assert bench.bench(cfg, bundle.load(cfg.model), seconds=1.0, json=True) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_stage_and_every_hop_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """The stages are those of the configured pipeline; hops are the model's steps and the configured one."""
    lines = _measured(capsys, **{"decision.hop_ms": 120})
    stages = [line["stage"] for line in lines if line["measure"] == "stage"]
    assert stages[:4] == ["slices", "spectrum", "power", "noise gate"]
    assert stages[-2:] == ["smoother", "level"]
    hops = {line["hop_ms"]: line for line in lines if line["measure"] == "hop"}
    assert list(hops) == [40, 80, 120, 160, 320]
    for hop_ms, line in hops.items():
        assert 0 < line["together_us"] < 1000 * hop_ms
        # The sources that fit in four fifths of a core, by the cost of one of them.
        assert abs(line["sources"] - 800 * hop_ms / line["together_us"]) < 2
    (carries,) = [line for line in lines if line["measure"] == "carries"]
    assert carries["gate"] is True
    assert carries["replay_x_real_time"] > 20
    assert carries["configured_hop_ms"] == 120
    assert carries["suggested_hop_ms"] in hops
    assert carries["cpu_percent"] == pytest.approx(hops[120]["one_us"] / 1200, abs=0.01)


def test_without_json_a_person_can_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The table names the model, the gate, every stage and what follows from the figures."""
    cfg = config.load(None, environ={}, overrides={"model": "esc10", "gate.enabled": "off"})
    assert bench.bench(cfg, bundle.load(cfg.model), seconds=1.0, json=False) == 0
    out = capsys.readouterr().out
    assert out.startswith("model esc10, without the noise gate, on one core\n")
    assert "noise gate  " not in out
    for words in ("mel spectrogram", "live sources a core", "times real time", "suggested decision.hop_ms"):
        assert words in out
