"""The rules in force can be seen: of a model, under a configuration, and while listening."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from auricle import config
from auricle.client import Scores
from auricle.commands import listen
from auricle.commands.cli import app
from auricle.config import layers
from auricle.messages import Model, rfc3339
from auricle.model import bundle
from auricle.terminal import rules
from helpers.bundles import made_up


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "SYSTEM_FILE", Path("/absent/auricle.yaml"))


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder of models with one that proposes how to decide."""
    made_up(
        tmp_path / "models" / "house",
        {"siren": [1000.0], "alarm": [1000.0, 5000.0], "silence": []},
        background="silence",
        includes={"alarm": ["siren"]},
        decision={"hop_ms": 160, "smoothing_ms": 320},
        thresholds={"siren": 0.625},
        hystereses={"siren": 0.2},
        measured={"siren": "no recording: AudioSet's word"},
        timing={
            "window_frames": 24,
            "onset_lag_samples": 2000,
            "offset_lag_samples": 4000,
            "lags": {"siren": [16000, 0]},
        },
    )
    return tmp_path / "models"


def run(*arguments: object) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


def configured(folder: Path, wanted: dict[str, Any]) -> Path:
    """A configuration's file."""
    path = folder / "auricle.yaml"
    path.write_text(json.dumps({"models_dir": str(folder / "models"), **wanted}))
    return path


def test_a_model_prints_every_label_with_its_rule(house: Path) -> None:
    """Its rule and lags, what it contains and how it was measured, as a table and as JSON."""
    file = configured(house.parent, {})
    lines = run("models", "house", "-c", file).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("label"))
    columns = lines[head].split()
    shown = {line.split()[0]: dict(zip(columns, line.split(), strict=False)) for line in lines[head + 1 : head + 4]}
    assert shown["siren"] == {
        "label": "siren", "smoothing_ms": "320", "threshold": "0.625", "hysteresis": "0.2", "min_duration_ms": "100",
        "refractory_ms": "500", "onset_lag_s": "1", "offset_lag_s": "0",
    }  # fmt: skip
    assert (shown["alarm"]["threshold"], shown["alarm"]["onset_lag_s"]) == ("0.5", "0.125")
    assert lines[head + 1].endswith("no recording: AudioSet's word")
    assert lines[head + 2].endswith("contains siren")
    assert lines[head + 3].endswith("raises no event")
    assert "a decision every 160 ms, upon the last 0.26 s of sound" in "\n".join(lines)
    siren, alarm, silence = map(json.loads, run("models", "house", "--json", "-c", file).splitlines())
    assert (siren["model"], siren["threshold"], siren["measured"]) == ("house", 0.625, "no recording: AudioSet's word")
    assert (alarm["contains"], alarm["offset_lag_s"]) == (["siren"], 0.25)
    assert silence["threshold"] is None
    assert "house" in run("models", "-c", file), "without a name: the list"


def test_a_model_that_is_not_there_is_named(house: Path) -> None:
    """With those that are."""
    done = CliRunner().invoke(app, ["models", "hose", "-c", str(configured(house.parent, {}))])
    assert "model 'hose' is not known; use audioset, digits, esc10, home, house" in str(done.exception)


def test_the_configuration_shows_the_rules_that_hold(house: Path) -> None:
    """Below the values, each label's rule and whose word it is; read again, the text is the same configuration."""
    file = configured(
        house.parent,
        {
            "model": "house",
            "decision": {"min_duration_ms": 400},
            "sources": [
                {"name": "a", "microphone": {}},
                {"name": "b", "microphone": {}},
                {"name": "c", "microphone": {}, "decision": {"labels": {"alarm": {"threshold": 0.7}}}},
                {"name": "d", "microphone": {}, "model": "hose"},
            ],
        },
    )
    text = run("config", "show", "-c", file)
    again = file.with_name("again.yaml")
    again.write_text(text)
    assert config.load(again, environ={}) == config.load(file, environ={})
    assert yaml.safe_load(text)["decision"]["hop_ms"] is None
    lines = [re.sub(r"  +# ", " # ", line) for line in text.splitlines()]
    place = f"{file}:1"
    common = [
        "# hop_ms: 160 # card of house",
        "# smoothing_ms, every label: 320 # card of house",
        f"# min_duration_ms, every label: 400 # {place}",
        "# refractory_ms, every label: 500 # default",
        "# siren: {threshold: 0.625, hysteresis: 0.2} # card of house",
    ]
    shown = [
        re.sub("^# +", "# ", line) for line in lines[lines.index("# The rules that hold for a, b, with model house:") :]
    ]
    assert shown == [
        "# The rules that hold for a, b, with model house:",
        *common,
        "# alarm: {threshold: 0.5, hysteresis: 0.1} # default",
        "# The rules that hold for c, with model house:",
        *common,
        f"# alarm: {{threshold: 0.7, hysteresis: 0.1}} # threshold: {place}; hysteresis: default",
        "# The rules that hold for d, with model hose:",
        "# are not known: model 'hose' is not known; use audioset, digits, esc10, home, house, or a bundle's folder",
    ]


def decided(**more: Any) -> Scores:
    """A decision of a house."""
    scores = {"siren": 0.5, "alarm": 0.95, "dog": 0.8, "rain": 0.3, "silence": 0.9, "clock": 0.1}
    return Scores(
        node="n", instance="i", seq=1, source="a", model=Model("house", "0"), t=rfc3339(0), sample=0, latency_ms=None,
        scores=scores, level_dbfs=-30.0, **more,
    )  # fmt: skip


def test_listen_marks_thresholds_and_says_why_there_is_no_event() -> None:
    """A bar that reaches its threshold's mark is above it: green with an event, and else it says why."""
    thresholds = {"siren": 0.5, "alarm": 0.5, "dog": 0.9, "rain": 1.0, "clock": 0.1}
    message = decided(held_back={"alarm": "in:siren"})
    shown = {line.split()[0]: (line.split(), style) for line, style in listen.scores(message, thresholds)}
    assert list(shown) == ["level", "alarm", "silence", "dog", "siren", "rain"]
    bar = "█" * 14 + "|" + "█" * 13 + "··"
    assert shown["alarm"] == (["alarm", bar[:28] + "··", "0.95", "told", "as", "siren"], "yellow")
    assert shown["siren"] == (["siren", "█" * 14 + "|" + "·" * 15, "0.50"], "green")
    assert shown["dog"] == (["dog", "█" * 24 + "··|···", "0.80"], "")
    assert shown["silence"] == (["silence", "█" * 27 + "···", "0.90"], "")
    assert shown["rain"][0][1] == "█" * 9 + "·" * 20 + "|"
    for why, said in (("short", "too short so far"), ("refractory", "too soon after the last")):
        lines = dict(listen.scores(decided(held_back={"siren": why}), thresholds))
        assert [style for line, style in lines.items() if line.endswith(said)] == ["yellow"]
    assert {style for _, style in listen.scores(decided(), {})} == {""}, "before the thresholds are known"


def test_listen_shows_what_people_call_a_label() -> None:
    """The name alone where the label can be read out of it, else both; bars stand below each other, and a name of
    hundreds of letters is cut."""
    display = {"alarm": "Alarm", "dog": "Собака", "siren": "S" * 300}
    lines = [line for line, _ in listen.scores(decided(), {}, display)]
    assert [line[2:42].strip() for line in lines] == [
        "level", "Alarm", "silence", "Собака (dog)", "S" * 39 + "…", "rain",
    ]  # fmt: skip
    assert {re.search("[█·]", line).start() for line in lines} == {2 + 40 + 1}  # type: ignore[union-attr]


def test_the_packaged_models_print_their_rules() -> None:
    """Every label of every packaged model is in its table."""
    for name in bundle.names():
        card = bundle.card_of(name)
        assert [row["label"] for row in rules.proposed(card)] == card.labels
        assert len(list(rules.table(card))) == 1 + len(card.labels)
