"""What is shown of the configuration: nothing but what is read, and all of it."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from auricle.commands.config import app
from auricle.config import Config, load
from auricle.config import layers as config_layers
from auricle.config import show as config_show
from auricle.config.keys import keys_of, values
from auricle.config.sections import DEFAULT_MODEL
from auricle.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "config" / "auricle.yaml"


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_layers, "SYSTEM_FILE", Path("/absent/auricle.yaml"))


def paths(of: type, path: str = "", *, sections: bool = True) -> list[str]:
    """Every declared key path; lists and labels as one step. Without ``sections``: values of their own alone."""
    found = []
    for name, about in keys_of(of).items():
        if sections or not (about.section or about.inherits):
            found.append(f"{path}{name}")
        if about.section is not None and not about.inherits:
            found += paths(about.section, f"{path}{name}.", sections=sections)
    return found


def written_paths(value: Any, path: str = "") -> set[str]:
    """Every key path in parsed YAML, the entries of lists taken together and the labels left out."""
    found: set[str] = set()
    if isinstance(value, list):
        return found.union(*(written_paths(item, path) for item in value))
    for key, inner in value.items() if isinstance(value, dict) else ():
        if path.endswith("labels."):
            found |= {f"{path}{rule}" for rule in inner}
        else:
            found |= {f"{path}{key}"} | written_paths(inner, f"{path}{key}.")
    return found


def uncommented(text: str) -> str:
    """The example with its commented keys put in: '#key' or '#  key', not '# prose'."""
    return re.sub(r"(?m)^( *)#(?! \S)", r"\1", text)


def test_the_example_is_the_defaults() -> None:
    """config/auricle.yaml is what `auricle config example` prints, and reads as the built-in defaults.

    It sets none of them: whoever installs it goes on following Auricle's defaults and the model's card.
    """
    assert EXAMPLE.read_text(encoding="utf-8") == config_show.example(), "run: make docs"
    config = load(EXAMPLE, environ={})
    assert config == load(environ={})
    assert {path for path, origin in config.origins.items() if origin != "default"} == {"sources[0].name"}


def test_the_example_holds_every_key(tmp_path: Path) -> None:
    """With its commented lines put in, the example is valid and has every key there is."""
    text = uncommented(EXAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "auricle.yaml").write_text(text, encoding="utf-8")
    config = load(tmp_path / "auricle.yaml", environ={})
    assert {source.kind for source in config.sources} == {"microphone", "recording", "ffmpeg", "stdin"}
    inherited = {"sources.model", "sources.gate", "sources.decision"}
    assert set(paths(Config)) | inherited <= written_paths(yaml.safe_load(text))


def test_the_example_explains_every_key() -> None:
    """Every value has what may be written and when a change takes effect in brackets before it, nothing else has."""
    text = re.sub(r"\n *# (?=\S)", " ", EXAMPLE.read_text(encoding="utf-8"))
    explained = re.findall(r"; (?:live|segment|restart|bridge)\]\n *#? *(?:- )?(\w+):", text)
    assert sorted(explained) == sorted(path.rpartition(".")[2] for path in paths(Config, sections=False))


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "config" / "examples").glob("*.yaml")))
def test_the_other_examples_are_valid(name: str) -> None:
    """Each further example loads, alone."""
    assert load(ROOT / "config" / "examples" / name, environ={}).sources


def test_the_docs_hold_the_table() -> None:
    """docs/configuration.md holds every key as `auricle config keys` prints it."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert config_show.table() in text, "run: make docs"
    for path in paths(Config):
        shown = re.sub(r"^sources|(?<=notify\.)rules", r"\g<0>[]", path)
        assert f"`{shown.replace('decision.labels', 'decision.labels.LABEL')}`" in text


def test_the_schema_takes_the_examples() -> None:
    """The JSON Schema is one, takes the examples, and refuses an unknown key, a wrong type and two kinds of source."""
    schema = config_show.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    text = EXAMPLE.read_text(encoding="utf-8")
    for good in (text, uncommented(text), (ROOT / "config" / "examples" / "10-house.yaml").read_text(encoding="utf-8")):
        check.validate(yaml.safe_load(good))
    for bad in (
        {"gaet": {}},
        {"gate": {"sensitivity": "high"}},
        {"gate": {"sensitivity": 11}},
        {"sources": [{"name": "a", "microphone": {}, "stdin": {"rate": 16000}}]},
        {"sources": [{"name": "a.b", "microphone": {}}]},
        {"sources": [{"name": "a", "ffmpeg": {}}]},
    ):
        assert not check.is_valid(bad), bad


def number(low: float, high: float) -> st.SearchStrategy[float | int]:
    return st.floats(low, high, allow_nan=False).map(lambda x: int(x) if x.is_integer() else x)


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20).filter(str.strip)
NAME = st.from_regex(r"[\w-]{1,12}", fullmatch=True) | st.sampled_from(["no", "010", "null", "1e3", "on"])
MASKED = TEXT.filter(lambda text: "=" not in text and ":" not in text and not text.startswith("-"))
RULE = st.fixed_dictionaries(
    {},
    optional={
        "threshold": number(0.5, 1) | st.none(),
        "hysteresis": number(0, 0.4) | st.none(),
        "min_duration_ms": number(0, 60_000) | st.none(),
        "smoothing_ms": number(0, 10_000) | st.none(),
    },
)
GATE = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.sampled_from(["auto", "on", "off"]),
        "sensitivity": number(0, 10),
        "lookahead_frames": st.integers(0, 200),
        "noise_profile": st.none() | TEXT,
    },
)
DECISION = st.fixed_dictionaries(
    {},
    optional={
        "threshold": number(0.5, 1),
        "hysteresis": number(0, 0.4) | st.none(),
        "hop_ms": number(10, 10_000) | st.none(),
        "smoothing_ms": number(0, 10_000) | st.none(),
        "labels": st.dictionaries(NAME, RULE, max_size=3),
    },
)
KIND = st.one_of(
    st.fixed_dictionaries(
        {
            "microphone": st.fixed_dictionaries(
                {}, optional={"device": st.integers(0, 999) | MASKED, "channel": st.integers(1, 64)}
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "recording": st.fixed_dictionaries(
                {"path": st.lists(MASKED, min_size=1, max_size=3)},
                optional={
                    "speed": number(0.01, 1000) | st.just("max"),
                    "loop": st.booleans(),
                    "start_time": st.datetimes(
                        dt.datetime(1901, 1, 1), dt.datetime(2198, 1, 1), timezones=st.timezones()
                    ),
                },
            )
        }
    ),
    st.fixed_dictionaries(
        {"ffmpeg": st.fixed_dictionaries({"url": MASKED}, optional={"options": st.lists(MASKED, max_size=3)})}
    ),
)
SOURCE = st.tuples(KIND, st.fixed_dictionaries({}, optional={"model": NAME, "gate": GATE, "decision": DECISION}))
VALID = st.fixed_dictionaries(
    {},
    optional={
        "node": TEXT,
        "model": NAME,
        "models_dir": TEXT | st.none(),
        "sources": st.lists(SOURCE, min_size=1, max_size=3).map(
            lambda sources: [{"name": f"s{i}"} | kind | more for i, (kind, more) in enumerate(sources)]
        ),
        "gate": GATE,
        "decision": DECISION,
        "store": st.fixed_dictionaries({"enabled": st.booleans()}),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted=VALID)
def test_what_is_shown_reads_as_the_same(tmp_path: Path, wanted: dict[str, Any]) -> None:
    """Any valid configuration, shown and read again, is equal but for what may be a secret; every other YAML reader
    sees the same values in it."""
    config = load(environ={}, overrides=wanted)
    text = config_show.show(config)
    (tmp_path / "auricle.yaml").write_text(text, encoding="utf-8")
    assert values(load(tmp_path / "auricle.yaml", environ={}), masked=True) == values(config, masked=True)
    seen = yaml.safe_load(text)
    assert {key: seen[key] for key in ("node", "model", "models_dir", "gate")} == {
        key: values(config)[key] for key in ("node", "model", "models_dir", "gate")
    }
    assert load(environ={}, overrides=values(config)) == config
    assert load(environ={}, overrides=values(config)).hash() == config.hash()


def test_show_says_where_each_value_came_from(tmp_path: Path) -> None:
    """Every value line carries its origin; a source shows what differs from the top; passwords are masked."""
    file = tmp_path / "a.yaml"
    file.write_text(
        "gate: {sensitivity: 2}\n"
        "sources:\n- name: cam\n"
        "  ffmpeg: {url: 'rtsp://me:geheim@host/x?token=abc', options: [-headers, 'Cookie: geheim']}\n"
        "  gate: {reduction: 0.5}\n  decision:\n    labels: {dog: {threshold: 0.7}}\n",
        encoding="utf-8",
    )
    config = load(file, environ={"AURICLE__LOG__LEVEL": "debug"}, overrides={"model": "m"})
    lines = [re.sub(r"  +# ", " # ", line) for line in config_show.show(config).splitlines()]
    head = lines.index("sources:")
    assert lines[head : head + 13] == [
        "sources:",
        f"  - name: cam # {file}:3",
        "    ffmpeg:",
        f'      url: "rtsp://***@host/***" # {file}:4',
        f'      options: ["-headers", "***"] # {file}:4',
        "      stall_s: 5 # default",
        "    gate:",
        f"      reduction: 0.5 # {file}:5",
        "    decision:",
        "      labels:",
        "        dog:",
        f"          threshold: 0.7 # {file}:7",
        "gate:",
    ]
    assert f"  sensitivity: 2 # {file}:1" in lines
    assert "  level: debug # AURICLE__LOG__LEVEL" in lines
    assert "model: m # command line" in lines
    assert all(line.endswith(":") or " # " in line for line in lines)


def test_show_has_what_a_source_keeps_to_itself(tmp_path: Path) -> None:
    """Privacy and schedule of a source are shown where they are set, so that what is printed can be run as it is."""
    file = tmp_path / "a.yaml"
    source = {"name": "mic", "microphone": {}, "privacy": ["speech"], "schedule": ["mon-fri 07:00-19:00"]}
    file.write_text(json.dumps({"sources": [source]}), encoding="utf-8")
    text = config_show.show(load(file, environ={}))
    again = tmp_path / "b.yaml"
    again.write_text(text, encoding="utf-8")
    assert load(again, environ={}).sources == load(file, environ={}).sources
    assert re.search(rf"privacy: \[speech\] +# {re.escape(str(file))}:1", text)


def test_the_command_line(tmp_path: Path) -> None:
    """show, check, schema, example and keys print what the functions give; check raises what a start would raise."""
    run = CliRunner().invoke
    assert run(app, ["example"]).output == config_show.example()
    assert run(app, ["keys"]).output == config_show.table()
    assert json.loads(run(app, ["schema"]).output) == config_show.schema()
    shown = run(app, ["show", "-c", str(EXAMPLE)]).output
    assert shown.startswith(config_show.show(load(EXAMPLE)) + "# The rules that hold for mic, with model ")
    assert run(app, ["check", "-c", str(EXAMPLE)]).output.startswith(
        f"ok: 1 source(s), model {DEFAULT_MODEL}, configuration "
    )
    wrong = tmp_path / "wrong.yaml"
    for text, said in (
        ("model: esc11", f"{wrong}:1: model: model 'esc11' is not known; use "),
        ("model: esc10\ndecision: {hop_ms: 90}", f"{wrong}:2: decision.hop_ms: 90 is no multiple of 40"),
        ("model: esc10\ndecision: {hysteresis: 0.3}", f"{wrong}:2: decision.hysteresis: a hysteresis of 0.3 is not"),
        ("model: esc10\ndecision: {labels: {dog: {}}}", "decision.labels: the model has no label 'dog'; did you mean"),
    ):
        wrong.write_text(text, encoding="utf-8")
        assert str(run(app, ["check", "-c", str(wrong)]).exception).startswith(said)
    error = run(app, ["check", "-c", str(tmp_path / "absent.yaml")]).exception
    assert isinstance(error, ConfigError)
    assert error.lines() == [f"{tmp_path}/absent.yaml: no such file; auricle config example prints one to begin with"]
