"""Every mistake in a configuration gets one line that says where, what, and what to write instead; all at once."""

# ruff: noqa: E501 (each complaint stands whole beside what causes it)

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auricle.config import Config, load
from auricle.config import layers as config_layers
from auricle.config import tree as config_tree
from auricle.config.sections import DEFAULT_MODEL
from auricle.errors import EXIT_CONFIG, ConfigError


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_layers, "SYSTEM_FILE", Path("/absent/auricle.yaml"))


@pytest.fixture(params=["C", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """PyYAML with libyaml and without it: both must say the same."""
    if request.param == "C" and not yaml.__with_libyaml__:
        pytest.skip("missing here: PyYAML built with libyaml")
    monkeypatch.setattr(config_tree, "_LOADER", yaml.CSafeLoader if request.param == "C" else yaml.SafeLoader)
    return str(request.param)


def caught(path: Path | None, environ: Mapping[str, str]) -> ConfigError | None:
    """The error that loading raises, if it raises one; another kind of exception is not caught."""
    try:
        assert isinstance(load(path, environ=environ), Config)
    except ConfigError as error:
        return error
    return None


def problems(folder: Path, text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
    """The complaints about a file, with its folder left out; [] when there are none."""
    file = folder / "auricle.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    error = caught(file, environ or {})
    if error is None:
        return []
    assert error.exit_code == EXIT_CONFIG
    return [line.replace(f"{folder}/", "") for line in error.lines()]


def test_all_problems_come_at_once_in_file_order(tmp_path: Path) -> None:
    """A file with many mistakes is told them all in one go, by line, the environment after it."""
    text = """\
gate:
  sensitivity: high
  enabled: mostly
gaet: 3
decision: {threshold: 0.05, hysteresis: 0.1, hop_ms: 1}
sources:
  - name: porch
    microphone:
      devise: USB
  - {name: Porch, ffmpeg: {}}
  - {name: both, microphone: {}, stdin: {rate: 16000}}
  - {name: none}
sensitivity: 3
publish: {endpoint: "tcp://*:5557", query: "http://localhost"}
"""
    assert problems(tmp_path, text, {"AURICLE__GATE__REDUCTON": "1", "AURICLE__LOG__LEVEL": "warn"}) == [
        "auricle.yaml:2: gate.sensitivity: 'high' is not a number; use 0 to 10 (default 1.5)",
        "auricle.yaml:3: gate.enabled: 'mostly' is not known; use auto, on or off (default auto)",
        "auricle.yaml:4: unknown key 'gaet'; did you mean 'gate'?",
        "auricle.yaml:5: decision.hysteresis: '0.1' is not below the threshold '0.05', so that no event would end; "
        "lower the hysteresis",
        "auricle.yaml:5: decision.hop_ms: '1' is out of range; use 10 to 10000 ms, or null",
        "auricle.yaml:9: sources[0].microphone: unknown key 'devise'; did you mean 'device'?",
        "auricle.yaml:10: sources[1].name: 'Porch' is the name of sources[0] too; choose another",
        "auricle.yaml:10: sources[1].ffmpeg.url: is missing; give an address that ffmpeg reads, such as "
        "rtsp://camera.lan/stream",
        "auricle.yaml:11: sources[2]: has microphone and stdin; keep one, and make another source of the rest",
        "auricle.yaml:12: sources[3]: has nothing to listen to; give one of microphone, recording, ffmpeg or stdin",
        "auricle.yaml:13: unknown key 'sensitivity'; did you mean 'gate.sensitivity'?",
        "auricle.yaml:14: publish.endpoint: 'tcp://*:5557' can be reached from other machines, unencrypted; "
        "use tcp://127.0.0.1:5557, make keys (publish.secret_key), or set publish.allow_plaintext: true",
        "auricle.yaml:14: publish.query: 'http://localhost' is not an endpoint; use tcp://ADDRESS:PORT or ipc:///PATH "
        "(default tcp://127.0.0.1:5558)",
        "AURICLE__GATE__REDUCTON: gate: unknown key 'reducton'; did you mean 'reduction'?",
        "AURICLE__LOG__LEVEL: log.level: 'warn' is not known; did you mean 'warning'?",
    ]


TRAPS = [
    # what is written under gate, decision, ... -> what it means
    ("gate: {sensitivity: 010}", "gate.sensitivity", 10.0),
    ("gate: {sensitivity: 1e-3}", "gate.sensitivity", 0.001),
    ("gate: {sensitivity: .5}", "gate.sensitivity", 0.5),
    ("gate: {sensitivity: 5.}", "gate.sensitivity", 5.0),
    ("gate: {sensitivity: +2}", "gate.sensitivity", 2.0),
    ("gate: {sensitivity: '2'}", "gate.sensitivity", 2.0),
    ("decision: {refractory_ms: 1_000}", "decision.refractory_ms", 1000.0),
    ("decision: {refractory_ms: 1E3}", "decision.refractory_ms", 1000.0),
    ("gate: {enabled: on}", "gate.enabled", "on"),
    ("gate: {enabled: off}", "gate.enabled", "off"),
    ("gate: {enabled: yes}", "gate.enabled", "on"),
    ("gate: {enabled: No}", "gate.enabled", "off"),
    ("gate: {enabled: true}", "gate.enabled", "on"),
    ("gate: {enabled: AUTO}", "gate.enabled", "auto"),
    ("store: {enabled: off}", "store.enabled", False),
    ("store: {enabled: NO}", "store.enabled", False),
    ("store: {enabled: On}", "store.enabled", True),
    ("store: {enabled: 'yes'}", "store.enabled", True),
    ("node: 010", "node", "010"),
    ("node: no", "node", "no"),
    ("node: 1:30", "node", "1:30"),
    ("node: 1e3", "node", "1e3"),
    ("node: 2026-05-01", "node", "2026-05-01"),
    ("node: 'null'", "node", "null"),
    ("node: küche", "node", "küche"),
    ("models_dir: ~", "models_dir", None),
    ("models_dir:", "models_dir", None),
    ("gate:", "gate.sensitivity", 1.5),
    ("gate: ~", "gate.sensitivity", 1.5),
    ("gate: &g {sensitivity: 2}", "gate.sensitivity", 2.0),
    ("# nothing but a comment", "model", DEFAULT_MODEL),
    ("---\nmodel: x\n...\n", "model", "x"),
    ("\ufeffmodel: x\r\n", "model", "x"),
    ("publish: {endpoint: 'tcp://[::1]:1'}", "publish.endpoint", "tcp://[::1]:1"),
    ("publish: {endpoint: 'tcp://localhost:*'}", "publish.endpoint", "tcp://localhost:*"),
    ("publish: {endpoint: 'ipc:///run/auricle/events'}", "publish.endpoint", "ipc:///run/auricle/events"),
    ("publish: {endpoint: 'tcp://0.0.0.0:9', allow_plaintext: on}", "publish.endpoint", "tcp://0.0.0.0:9"),
]


@pytest.mark.parametrize(("text", "path", "value"), TRAPS)
def test_what_a_person_means(tmp_path: Path, parser: str, text: str, path: str, value: object) -> None:
    """YAML's traps give what a person means, the type of the key deciding, not the look of the value."""
    assert problems(tmp_path, text) == []
    found: object = load(tmp_path / "auricle.yaml", environ={})
    for name in path.split("."):
        found = getattr(found, name)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("name", "read"), [("रसोई", "रसोई"), ("\u09dc", "\u09a1\u09bc"), ("küche", "küche")])
def test_names_of_every_script(tmp_path: Path, parser: str, name: str, read: str) -> None:
    """A source may be called in any script: vowels and dots that are marks upon a letter belong to the name, also where
    a letter is no single character any more once it is written in the one way."""
    (tmp_path / "auricle.yaml").write_text(f"sources: [{{name: {name}, microphone: {{}}}}]", encoding="utf-8")
    assert [source.name for source in load(tmp_path / "auricle.yaml", environ={}).sources] == [read]


def test_labels_and_devices_stay_text(tmp_path: Path, parser: str) -> None:
    """The labels no, 010 and null are labels; a device in digits is a number, in quotes a name."""
    text = """\
decision: {labels: {no: {threshold: .6}, 010: {threshold: .7}, null: {threshold: .8}}}
sources:
- {name: on, microphone: {device: 010, channel: Mix}}
- {name: 1_0, microphone: {device: "2"}}
"""
    assert problems(tmp_path, text) == []
    config = load(tmp_path / "auricle.yaml", environ={})
    assert {label: rule.threshold for label, rule in config.decision.labels.items()} == {
        "no": 0.6,
        "010": 0.7,
        "null": 0.8,
    }
    assert [source.name for source in config.sources] == ["on", "1_0"]
    devices = [source.microphone and source.microphone.device for source in config.sources]
    assert devices == [10, "2"]


REFUSED = [
    ("gate: {sensitivity: 0x10}", "1: gate.sensitivity: '0x10' is not a number; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: 1:30}", "1: gate.sensitivity: '1:30' is not a number; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: .nan}", "1: gate.sensitivity: '.nan' is not a number; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: nan}", "1: gate.sensitivity: 'nan' is not a number; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: .inf}", "1: gate.sensitivity: '.inf' is not a number; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: 1e999}", "1: gate.sensitivity: '1e999' is out of range; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: -1}", "1: gate.sensitivity: '-1' is out of range; use 0 to 10 (default 1.5)"),
    (
        "gate: {sensitivity: '1,5'}",
        "1: gate.sensitivity: '1,5' is not a number (write a point, not a comma); use 0 to 10 (default 1.5)",
    ),
    ("gate: {sensitivity: on}", "1: gate.sensitivity: 'on' is not a number; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: }", "1: gate.sensitivity: is empty; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: ~}", "1: gate.sensitivity: is empty; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: [1]}", "1: gate.sensitivity: a list cannot stand here; use 0 to 10 (default 1.5)"),
    ("gate: {sensitivity: {a: 1}}", "1: gate.sensitivity: a section cannot stand here; use 0 to 10 (default 1.5)"),
    ("gate: {lookahead_frames: 1.5}", "1: gate.lookahead_frames: '1.5' is not a whole number; use 0 to 200 frames (default 0)"),
    ("gate: {enabled: atuo}", "1: gate.enabled: 'atuo' is not known; did you mean 'auto'?"),
    ("store: {enabled: 1}", "1: store.enabled: '1' is not true or false; use true or false (default true)"),
    ("decision:\n  hop_ms: 80ms", "2: decision.hop_ms: '80ms' is not a number; use 10 to 10000 ms, or null"),
    ("decision: {threshold: 0.5, hysteresis: 0.5}", "1: decision.hysteresis: '0.5' is not below the threshold '0.5', so that no event would end; lower the hysteresis"),
    ("decision: {hysteresis: 0.1, labels: {dog: {threshold: 0.1}}}", "1: decision.labels.dog.threshold: '0.1' is not above the hysteresis '0.1', so that no event would end; lower the hysteresis"),
    ("decision: {threshold: 0}", "1: decision.threshold: '0' is out of range; use above 0 to 1, or null"),
    ("decision: {labels: {dog: {threshold: 0}}}", "1: decision.labels.dog.threshold: '0' is out of range; use above 0 to 1, or null"),
    ("decision: {labels: {Dog bark: {}}}", "1: decision.labels: 'Dog bark' is not a name; did you mean 'Dog_bark'?"),
    ("decision: {labels: [dog]}", "1: decision.labels: put each label below it, indented, such as 'dog_bark: {threshold: 0.6}'"),
    ("gate: on", "1: gate: 'on' cannot stand here; put the keys below it, indented"),
    ("gate: [1]", "1: gate: a list cannot stand here; put the keys below it, indented"),
    ("gate:\n  threshold: 1", "2: gate: unknown key 'threshold'; did you mean 'decision.threshold'?"),
    ("clips: {model: x}", "1: clips: unknown key 'model'; 'model' stands at the top, not here"),
    ("clips: {before_s: 30, max_s: 20}", "1: clips.max_s: '20' is not above before_s '30', so that no clip would hold its event; lower before_s"),
    ("clips: {before_s: 60}", "1: clips.before_s: '60' is not below max_s '60', so that no clip would hold its event; lower before_s"),
    ("clips: {format: mp3}", "1: clips.format: 'mp3' is not known; use flac or opus (default flac)"),
    ("clips: {zzz: x}", "1: clips: unknown key 'zzz'; known here: enabled, before_s, after_s, max_s, missed_s, labels, format, beside, max_mb, max_days, folder, privacy_threshold"),
    ("publish: {ipc_group: audio, query: 'ipc://@house'}", "1: publish.query: 'ipc://@house' is no file that publish.ipc_group could be given: every user of this machine may connect; use ipc:///PATH"),
    ("node: ''", "1: node: is empty; use a name (default the host's name)"),
    ('node: "a\\nb"', "1: node: 'a\\nb' holds a line break or another character that cannot be shown; use a name (default the host's name)"),
    ("sources: []", "1: sources: is empty; name one, or remove the key (default: a microphone)"),
    ("sources:", "1: sources: is empty; name one, or remove the key (default: a microphone)"),
    ("sources: {name: a}", "1: sources: is not a list; begin each source with '- name: '"),
    ("sources: [a]", "1: sources[0]: a text cannot stand here; put the keys below it, indented"),
    ("sources: [{microphone: {}}]", "1: sources[0].name: is missing; give letters, digits, '_' and '-'"),
    ("sources: [{name: 'front door', microphone: {}}]", "1: sources[0].name: 'front door' is not a name; did you mean 'front_door'?"),
    ("sources: [{name: a.b, microphone: {}}]", "1: sources[0].name: 'a.b' is not a name; did you mean 'a_b'?"),
    ("sources: [{name: a, stdin: {}}]", "1: sources[0].stdin.rate: is missing; give 4000 to 384000 Hz"),
    ("sources:\n- {name: a, stdin: {rate: 8000}}\n- {name: b, stdin: {rate: 8000}}", "3: sources[1]: a second stdin; there is only one standard input"),
    ("sources: [{name: a, microphone: {channel: 0}}]", "1: sources[0].microphone.channel: '0' is out of range; use mix or 1 to 64 (default mix)"),
    ("sources: [{name: a, microphone: {channel: left}}]", "1: sources[0].microphone.channel: 'left' is not understood; use mix or 1 to 64 (default mix)"),
    ("sources: [{name: a, recording: {path: x, speed: fast}}]", "1: sources[0].recording.speed: 'fast' is not understood; use 0.01 to 1000, or max (default 1)"),
    ("sources: [{name: a, recording: {path: []}}]", "1: sources[0].recording.path: is empty; use a file, a folder, a pattern such as night/*.wav, or a list"),
    ("sources:\n- name: a\n  recording:\n    path:\n    - x\n    - {}", "6: sources[0].recording.path: a section cannot stand here; use a file, a folder, a pattern such as night/*.wav, or a list"),
    ("sources: [{name: a, recording: {path: x, start_time: 2026-05-01T04:30}}]", "1: sources[0].recording.start_time: '2026-05-01T04:30' has no time zone; add Z for UTC, or an offset such as +01:00; use RFC 3339, such as 2026-05-01T04:30:00+02:00, or null"),
    ("sources: [{name: a, ffmpeg: {url: -i}}]", "1: sources[0].ffmpeg.url: the value begins like an option; use an address that ffmpeg reads, such as rtsp://camera.lan/stream"),
    ("publish: {query: 'tcp://127.0.0.1:5557'}", "1: publish.query: 'tcp://127.0.0.1:5557' serves endpoint and query; give each its own port"),
    ("publish: {endpoint: 'tcp://127.0.0.1:99999'}", "1: publish.endpoint: 'tcp://127.0.0.1:99999' is not an endpoint; use tcp://ADDRESS:PORT or ipc:///PATH (default tcp://127.0.0.1:5557)"),
    # one file, not one value
    ("model: a\nmodel: b", "2: the key 'model' is already in line 1; keep one of them"),
    ("gate: {sensitivity: 1, 'sensitivity': 2}", "1: the key 'sensitivity' is already in line 1; keep one of them"),
    ("- a\n- b", "1: holds a list, not keys; begin with a key, such as 'node: porch'"),
    ("hello", "1: holds only a text, not keys; begin with a key, such as 'node: porch'"),
    ("", " is empty; auricle config example prints one to begin with"),
    (" \n\n", " is empty; auricle config example prints one to begin with"),
    ("gate:\n\tsensitivity: 2", "2: a tab where YAML wants spaces; indent with spaces"),
    ("model: a\n--- \nmodel: b", "2: a second document begins here; keep one, without '---'"),
    ("model: !!python/name:os.system x", "1: a tag ('!') is not allowed; put a value that begins so in quotes, or remove it"),
    ("gate: &g {sensitivity: 2}\ndecision: {<<: *g}", "2: merge keys ('<<') are not known here; write the keys out"),
    ("gate: *g", "1: '*' refers to no finished value above it; put a value that begins so in quotes"),
    ("gate: &g {sensitivity: *g}", "1: '*' refers to no finished value above it; put a value that begins so in quotes"),
    ("? [a]\n: b", "1: a key is one word, not a list or a section; check brackets and braces"),
    (b"model: caf\xe9", "1: is not UTF-8 text; save it as UTF-8"),
    (b"model: a\nnode: b\0c", "2: holds the character '\\x00'; remove it"),
    ("a: " + "[" * 5000, "1: nested more than 12 deep; nothing here needs that"),
    ("model: " + "x" * 300_000, " is larger than 256 KiB; this is no configuration"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_refused_with_a_remedy(tmp_path: Path, parser: str, text: str | bytes, line: str) -> None:
    """Each mistake gives exactly this one line, from both of PyYAML's parsers."""
    assert problems(tmp_path, text) == [f"auricle.yaml:{line}"]


def test_broken_yaml_names_its_line(tmp_path: Path, parser: str) -> None:
    """What is no YAML at all is one line with the place; no other complaint is made up from it."""
    for text, line in [("a: b: c", 1), ("gate: {sensitivity: 1", 1), ("model: 'x\n", 1), ("gate:\n   a: 1\n  b: 2", 3)]:
        (found,) = problems(tmp_path, text)
        name, number, problem = found.split(":", 2)
        assert (name, problem.startswith(" not valid YAML: ")) == ("auricle.yaml", True)
        assert line <= int(number) <= text.count("\n") + 2


def test_aliases_cannot_grow(tmp_path: Path, parser: str) -> None:
    """A billion laughs are refused while they are read, wide or deep."""
    wide = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    deep = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 5000))
    for text in (wide, deep):
        (found,) = problems(tmp_path, text)
        assert found.endswith("grows beyond 10000 values or 12 levels; use fewer aliases")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Absent, a folder, forbidden: one line each, naming the file; a fragment in .yml is not passed over in silence."""
    for path, problem in [
        (tmp_path / "absent.yaml", "no such file; auricle config example prints one to begin with"),
        (tmp_path, "is a folder; name the file in it"),
        (tmp_path / "x\ny", "no such file; auricle config example prints one to begin with"),
    ]:
        with pytest.raises(ConfigError) as raised:
            load(path, environ={})
        assert raised.value.lines() == [f"{path}: {problem}".replace("\n", "\\n")]
    fragments = tmp_path / "conf.d"
    fragments.mkdir()
    (fragments / "a.yml").write_text("model: x", encoding="utf-8")
    (fragments / "b.yaml").write_text("model: [", encoding="utf-8")
    first, second = problems(tmp_path, "- x")[1:]
    assert first == "conf.d/a.yml: is not read; name it .yaml"
    assert second.startswith("conf.d/b.yaml:1: not valid YAML: ")


def test_a_file_that_fails_to_read() -> None:
    """A file that is there and cannot be read is told as such, not taken for absent: the system's reason is given."""
    with pytest.raises(ConfigError) as raised:
        load(Path("/proc/self/mem"), environ={})  # fails at its first byte, for root as well
    assert raised.value.lines() == ["/proc/self/mem: cannot be read: Input/output error"]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("AURICLE__GATE__SENSITIVITY", "high", "gate.sensitivity: 'high' is not a number; use 0 to 10 (default 1.5)"),
        ("AURICLE__GAET__SENSITIVITY", "1", "unknown key 'gaet'; did you mean 'gate'?"),
        ("AURICLE__SOURCES__7__NAME", "x", "sources: no entry '7' in this list; use 0 to 0"),
        ("AURICLE__SOURCES__MIC__NAME", "x", "sources: no entry 'mic' in this list; use 0 to 0"),
        ("AURICLE__GATE___SENSITIVITY", "1", "gate: unknown key '_sensitivity'; did you mean 'sensitivity'?"),
        ("AURICLE__", "1", "two underscores stand between keys, as in AURICLE__GATE__SENSITIVITY"),
        ("AURICLE__GATE" + "__A" * 2000, "1", "nested more than 12 deep; no key is"),
        ("AURICLE__GATE", "{sensitivity: 11}", "gate.sensitivity: '11' is out of range; use 0 to 10 (default 1.5)"),
        ("AURICLE__GATE", "{a: 1, a: 2}", "the key 'a' is there already; keep one of them"),
    ],
    ids=range(9),
)
def test_environment_variables_are_named(name: str, value: str, line: str) -> None:
    """A mistake in the environment is told with the variable's name, or its first 120 letters, in place of a file."""
    with pytest.raises(ConfigError) as raised:
        load(environ={name: value})
    assert raised.value.lines()[0] == f"{name if len(name) <= 120 else name[:120] + '...'}: {line}"


def test_passwords_are_never_shown(tmp_path: Path) -> None:
    """A password in an address appears in no complaint, wherever the address stands."""
    for url in (
        "rtsp://u:geheim@host/a@b",
        "rtsp://u:gehe@im@host",
        "rtsp://host/x?user=u&password=geheim",
        "//u:geheim@h",
        "https://geheim@h/x",
    ):
        text = f"node: '{url}\\n'\nlog: {{level: '{url}'}}\npublish: {{endpoint: '{url}', '{url}': 1}}\n"
        lines = problems(tmp_path, text)
        assert len(lines) >= 3
        assert "geheim" not in "".join(lines), lines
        assert "im@" not in "".join(lines), lines


def test_a_fault_that_sources_inherit_is_told_once(tmp_path: Path) -> None:
    """A wrong key at the top is one line, under its own name, however many sources take it over."""
    text = "gate: {sensitivity: 11}\ndecision: {threshold: 0.1, hysteresis: 0.2}\nsources: [{name: a, microphone: {}}, {name: b, microphone: {}}]"
    assert [line.split(":")[2] for line in problems(tmp_path, text)] == [" gate.sensitivity", " decision.hysteresis"]


YAMLISH = st.lists(
    st.sampled_from(
        [
            *("[]{}:,-?&*!|>'\"%@`#~\n\t "),
            *("\n  ", "- ", ": ", "&a ", "*a", "<<", "!!int ", "---", "...", "\\x", "\\UFFFFFFFF"),
            *("a", "gate", "sources", "name", "microphone", "labels", "decision", "threshold", "url", "ffmpeg"),
            *("1", ".5", "null", "on", "\ufeff", "\x85", "\u2028", "\udcff", "\0", "é"),
        ]
    )
).map("".join)
BYTES = st.binary(max_size=200) | (YAMLISH | st.text()).map(lambda text: text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", ["9" * 5000, f"SOURCES__{'x' * 5000}__NAME", f"GATE__{'x' * 5000}"])
def test_a_name_without_end_is_cut(name: str) -> None:
    """A variable of 5,000 letters, as a key, an entry of a list or within a section: its error is short."""
    error = caught(None, {f"AURICLE__{name}": "1"})
    assert error is not None
    assert max(map(len, error.problems)) < 500


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=BYTES)
def test_no_text_raises_anything_but_config_error(tmp_path: Path, parser: str, text: bytes) -> None:
    """Whatever is in the file: a Config, or a ConfigError whose problems are one line each; never anything else."""
    file = tmp_path / "auricle.yaml"
    file.write_bytes(text)
    error = caught(file, {})
    assert error is None or (error.problems and all(len(line.splitlines()) == 1 for line in error.problems))
