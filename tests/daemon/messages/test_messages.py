"""The contract: every message keeps it, the schema says it, the docs show it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auricle import config, messages
from auricle.capture.source import Gap, LossCause, News, NominalClock, Segment
from auricle.errors import ModelError
from auricle.hearing.decision import Change, Detector, Rule
from auricle.hearing.reporter import Reporter
from auricle.messages import questions, topics
from auricle.model import bundle
from auricle.publish.journal import Journal
from auricle.publish.leftover import closed
from auricle.publish.publisher import Publisher
from auricle.publish.store import Store
from helpers.wire import daemon

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "messages.md"
VALID = jsonschema.Draft202012Validator(topics.schema())


def valid(of: str) -> jsonschema.Draft202012Validator:
    """Of one definition in the schema."""
    return jsonschema.Draft202012Validator({**topics.schema(), "anyOf": [{"$ref": f"#/$defs/{of}"}]})


def test_the_schema_in_the_package_is_that_of_the_types() -> None:
    """messages.schema.json is what the types say."""
    assert topics.SCHEMA.read_text() == topics.schema_text(), "run: make docs"
    jsonschema.Draft202012Validator.check_schema(topics.schema())


def test_the_docs_are_those_of_the_types() -> None:
    """The generated part of docs/messages.md is what the contract says."""
    assert topics.page() in PAGE.read_text(), "run: make docs"


def test_every_topic_has_an_example_that_keeps_the_contract() -> None:
    """One example for each family; each validates, decodes as its type, and belongs to a topic of its family."""
    shown = topics.examples()
    assert list(shown) == [family.name for family in topics.TOPICS]
    for family in topics.TOPICS:
        VALID.validate(json.loads(shown[family.name]))
        message = messages.decode(shown[family.name])
        assert type(message) is family.kind
        pattern = re.sub(r"<\w+>", "[^.]+", family.name.replace(".", r"\."))
        assert re.fullmatch(pattern, topics.topic_of(message))


def test_every_field_is_explained() -> None:
    """A key of a message says what it means, in the schema and so in the docs, unless its name with a unit says all."""
    plain = {"type", "level_dbfs", "state", "text"}
    for family in topics.TOPICS:
        for name, said in topics.schema()["$defs"][family.kind.__name__]["properties"].items():
            unit = re.search(r"_(s|ms|mb|sample|samples|percent)$", name)
            assert said.get("description") or name in plain or unit or "$ref" in said or name == "sources", name


def test_the_schema_refuses_what_is_wrong() -> None:
    """A schema that takes anything would prove nothing: each of these breaks one promise and is refused."""
    event = json.loads(topics.examples()["event.<source>.<label>."])
    VALID.validate(event)
    for name, wrong in [
        ("v", 2), ("seq", -1), ("t", "2026-05-01 04:30:00"), ("t", "2026-05-01T04:30:00Z"), ("label", "Dog bark"),
        ("label", "dog.bark"), ("score", 1.5), ("score", None), ("phase", "begin"), ("onset_sample", 1.5),
        ("duration_s", -1.0), ("type", "events"), ("id", None), ("instance", 0), ("cause", "lost"), ("cause", None),
    ]:  # fmt: skip
        with pytest.raises(jsonschema.ValidationError):
            VALID.validate({**event, name: wrong})
    for kind, name, wrong in [
        ("gap.<source>.", "cause", "score"), ("status.<source>.", "state", "well"), ("status.<source>.", "state", ""),
    ]:  # fmt: skip
        with pytest.raises(jsonschema.ValidationError):
            VALID.validate({**json.loads(topics.examples()[kind]), name: wrong})
    for name in ("v", "seq", "instance", "id", "t", "offset"):
        with pytest.raises(jsonschema.ValidationError):
            VALID.validate({key: value for key, value in event.items() if key != name})


def test_the_contract_has_the_words_of_capture() -> None:
    """A source knows nothing of messages: why it lost sound, and its news, are words of the contract all the same."""
    assert get_args(LossCause) == get_args(messages.GapCause)
    assert {*get_args(News)} < {*get_args(messages.SourceNews)}
    assert {*get_args(messages.SourceState)} > messages.NOT_HEARD | messages.UNDER_WAY
    assert not messages.NOT_HEARD & messages.UNDER_WAY


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_no_name_reaches_into_anothers_topic(one: str, other: str) -> None:
    """Whatever sources are called, the topics of one begin with the prefix of another only if they are the same."""
    with suppress(UnicodeEncodeError):
        mine, others = topics.topic("event", one, "rain"), topics.topic("event", other)
        assert mine.startswith(others) == (one == other)
        assert re.fullmatch(r"[A-Za-z0-9_%.-]+", mine)


@pytest.mark.parametrize("us", [0, 1, 999_999, 1_767_225_600_000_000, 4_102_444_799_999_999])
def test_times_have_all_their_digits(us: int) -> None:
    """Microseconds become RFC 3339 with six digits, and back the same; without a zone a time is refused."""
    text = messages.rfc3339(us)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert messages.microseconds(text) == us
    with pytest.raises(ValueError, match="no time zone"):
        messages.microseconds(text[:-1])


def test_a_label_that_is_no_slug_is_refused(tmp_path: Path) -> None:
    """A model whose labels could not stand in a topic as they are does not get as far as the first message."""
    folder = tmp_path / "model"
    shutil.copytree(bundle.PACKAGED / "esc10", folder)
    card = (folder / "card.yaml").read_text()
    (folder / "card.yaml").write_text(card.replace("dog_bark", "dog bark"))
    with pytest.raises(ModelError, match=r"labels\[3\]: 'dog bark' is no slug"):
        bundle.load(str(folder))


# Random lives of a daemon: scores, gaps, reloads, stops and crashes.

MODEL = bundle.load("esc10")
RATE = MODEL.card.front_end.sample_rate
HOP, SPAN = 1280, 2560
RULES = {
    label: Rule(threshold=0.5, hysteresis=0.1, min_duration_samples=HOP, refractory_samples=2 * HOP)
    for label in MODEL.labels[:3]
}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("scores"), st.lists(st.tuples(*[st.sampled_from([0.0, 0.45, 0.6, 1.0])] * 3), max_size=12)),
        st.sampled_from([("gap", None), ("end", None), ("reload", None), ("stop", None), ("crash", None)]),
    ),
    max_size=25,
)


class Life:
    """Starts of a daemon over one history, without sound: scores go into the detector."""

    def __init__(self, folder: Path, known: bool) -> None:
        self.folder, self.known = folder, known
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.start()

    def start(self) -> None:
        self.store = Store(self.folder / "events.db", max_mb=10, max_days=10)
        self.journal = Journal()
        self.publisher = Publisher("test", [self.store, self.journal, self._hear])
        self.store.open(lambda name, event: self.publisher.send(name, closed(event, self.publisher.instance)))
        self.reporter = Reporter("porch", MODEL, self.publisher)
        self.detector = Detector(
            MODEL.labels,
            RULES,
            span=SPAN,
            hop=HOP,
            onset_lag=900,
            offset_lag=2000,
            update_samples=2 * HOP,
            contained={MODEL.labels[0]: {MODEL.labels[1]}},
        )
        self.sample = 0
        self.begin()

    def begin(self) -> None:
        self.clock = NominalClock(48_000, 1_700_000_000_000_000 if self.known else 0, self.known)
        self.detector.reset()
        self.samples = self.rows = 0
        file = None if self.known else "scene.wav"
        self.reporter.begin(Segment(self.sample * 48_000 // RATE, 48_000, self.clock, file))

    def scores(self, rows: list[tuple[float, ...]]) -> None:
        for row in rows:
            full = np.zeros((1, len(MODEL.labels)), np.float32)
            full[0, :3] = row
            at = SPAN + self.rows * HOP
            self.rows, self.samples = self.rows + 1, at
            changes = self.detector.process(full)
            why, thresholds = self.detector.held_back.get(at), self.detector.thresholds
            self.reporter.scores(at, full[0], -30.0, None, held_back=why, thresholds=thresholds)
            for change in changes:
                self.tell(change)

    def end(self, cause: str) -> None:
        for change in self.detector.close(self.samples, cause):
            self.tell(change)
        self.sample += self.samples
        self.reporter.end(self.samples)
        if cause == "gap":
            self.reporter.gap(Gap(self.sample * 3, 480, 48_000, "overrun", False, self.clock), 0.16)

    def crash(self) -> None:
        """As SIGKILL leaves it: the kernel closes files and locks."""
        self.store.database.release()

    def tell(self, change: Change) -> None:
        self.reporter.change(change, None)

    def _hear(self, name: str, payload: bytes) -> None:
        self.heard.append((name, json.loads(payload)))


@pytest.mark.parametrize("known", [True, False])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_life_keeps_the_promises(tmp_path_factory: pytest.TempPathFactory, known: bool, steps: Any) -> None:
    """Over scores, gaps, reloads, stops and crashes: valid messages; onset, updates, one offset; ids once; no hole."""
    life = Life(tmp_path_factory.mktemp("life"), known)
    for what, rows in steps:
        if what == "scores":
            life.scores(rows)
        elif what == "crash":
            life.crash()
            life.start()
        else:
            life.end(what)
            life.begin()
    life.end("stop")
    heard = [m for _, m in life.heard]
    for name, m in life.heard:
        VALID.validate(m)
        assert topics.topic_of(messages.decode(json.dumps(m).encode())) == name
    by_id = defaultdict(list)
    for m in heard:
        if m["type"] == "event":
            by_id[m["id"]].append(m)
    for told in by_id.values():
        phases = [m["phase"] for m in told]
        assert phases[0] == "onset"
        assert phases[-1] == "offset"
        assert set(phases[1:-1]) <= {"update"}
        assert UUID(told[0]["id"]).version == 7
        assert len({(m["label"], m["source"], m["onset"], m["onset_sample"]) for m in told}) == 1
        assert told[-1]["offset"] > told[0]["onset"]
        assert told[-1]["offset_sample"] > told[0]["onset_sample"]
        assert min(m["duration_s"] for m in told) >= HOP / RATE
        assert all(m.get("also", [MODEL.labels[0]]) == [MODEL.labels[0]] for m in told)
        assert told[-1].get("estimated", False) == (told[-1]["cause"] == "restart")
        peaks = [m["peak"] for m in told]
        assert peaks == sorted(peaks)
    seqs = defaultdict(list)
    for name, m in life.heard:
        seqs[m["instance"], name].append(m["seq"])
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())
    assert life.journal.open == {}
    kept, after = life.store.page(0, None, label=None, source=None)
    while after is not None:
        more, after = life.store.page(0, after, label=None, source=None)
        kept += more
    assert Counter(m.id for m in kept) == Counter(dict.fromkeys(by_id, 2))
    life.store.close()


def test_a_status_of_the_daemon_itself_has_no_source(tmp_path: Path) -> None:
    """It is told on `status.`, with null for its source, and keeps the contract."""
    with daemon(tmp_path, store=False) as one:
        one.publisher.tell("store", "the disk is full")
        name, message = one.sent[-1]
    assert name == "status."
    assert message.source is None
    VALID.validate(json.loads(messages.encode(message)))


def test_questions_and_answers_are_in_the_schema(tmp_path: Path) -> None:
    """Every question that the docs name is answered, and both keep the schema."""
    with daemon(tmp_path) as one:
        one.event("onset")
        position = {"instance": one.publisher.instance, "last_seq": {}}
        for asked in (
            {"ask": "snapshot", "tag": 7},
            {"v": 1, "ask": "status"},
            {"ask": "events", "since": "2026-01-01T00:00:00Z", "label": "rain"},
            {"ask": "events", "since": position, "topics": ["event."]},
            {"ask": "mark", "text": "here", "source": "porch"},
            {"ask": "nonsense"},
        ):
            if asked["ask"] != "nonsense":
                valid("Question").validate(asked)
            answer = json.loads(msgspec.json.encode(one.query.answer([json.dumps(asked).encode()])))
            valid("Answer").validate(answer)
            assert (answer["type"] == "error") == (asked["ask"] == "nonsense")
            assert answer["tag"] == asked.get("tag")
        assert msgspec.json.decode(json.dumps(asked | {"ask": "status"}), type=questions.AnyQuestion)


# The subscribers in the docs, run.


def fences(kind: str) -> list[str]:
    """The blocks of code of this language in docs/messages.md."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.S)


def first_line(command: list[str | Path], folder: Path, environ: dict[str, str] | None = None) -> str:
    """What a subscriber prints first, with a daemon that has an event again and again."""
    with daemon(folder, store=False) as one:
        process = subprocess.Popen(
            [*map(str, command), one.endpoint],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(environ or {})},
        )  # fmt: skip
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        line = b""
        try:
            while not line.endswith(b"\n") and process.poll() is None:
                one.serve()
                one.event("onset")
                one.event("offset")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
                line += process.stdout.read() or b""
        finally:
            process.kill()
            _, complaint = process.communicate()
    assert line, complaint.decode()
    return line.decode().splitlines()[0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_the_python_in_the_docs_runs(tmp_path: Path, n: int) -> None:
    """The subscribers on the page, as they stand there, in a process of their own, get events."""
    (tmp_path / "subscriber.py").write_text(fences("python")[n])
    line = first_line([sys.executable, tmp_path / "subscriber.py"], tmp_path)
    assert re.fullmatch(r"porch rain \d{4}-.*Z" if n < 2 else r"\d events go on", line)


def test_the_javascript_in_the_docs_runs(tmp_path: Path) -> None:
    """Node's subscriber on the page, as it stands there, gets events; zeromq comes from npm, into a cache folder."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("missing here: node and npm")
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "auricle-tests" / "node"
    if not (folder / "node_modules" / "zeromq").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(npm), "install", "--no-audit", "--no-fund", "--no-package-lock", "zeromq@6"],
            cwd=folder, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"missing here: zeromq from npm ({done.stderr.strip()[-200:]})")
    loaded = subprocess.run(
        [str(node), "-e", "require('zeromq')"], cwd=folder, capture_output=True, text=True, timeout=30
    )
    if loaded.returncode != 0:
        pytest.skip(f"missing here: a build of zeromq for this machine ({loaded.stderr.strip()[-200:]})")
    (tmp_path / "subscriber.js").write_text(fences("javascript")[0])
    line = first_line([str(node), tmp_path / "subscriber.js"], tmp_path, {"NODE_PATH": str(folder / "node_modules")})
    assert re.fullmatch(r"porch rain \d{4}-.*Z", line)


def test_topics_prints_all_of_it() -> None:
    """`auricle topics` names every family with its example; `--schema` is the schema."""
    listed = subprocess.run([sys.executable, "-m", "auricle", "topics"], capture_output=True, text=True, check=True)
    for family in topics.TOPICS:
        assert f"\n{family.name}\n" in f"\n{listed.stdout}"
    assert len([line for line in listed.stdout.splitlines() if line.startswith("  {")]) == len(topics.TOPICS)
    schema = subprocess.run(
        [sys.executable, "-m", "auricle", "topics", "--schema"], capture_output=True, text=True, check=True
    )
    assert json.loads(schema.stdout) == topics.schema()


def test_a_long_mixed_run_keeps_the_schema(tmp_path: Path) -> None:
    """Every message of `auricle run` over several sources, from the start to the stop, validates."""
    from auricle.commands.synth import scene
    from helpers.processes import run
    from helpers.sounds import RATE as SCENE_RATE
    from helpers.sounds import write

    samples, _ = scene(["rain", "dog_bark", "chainsaw"], SCENE_RATE, sound_s=3.0, pause_s=1.0)
    write(tmp_path / "scene.wav", samples)
    write(tmp_path / "other.wav", samples[::-1])
    heard = run(tmp_path, [str(tmp_path / "scene.wav"), str(tmp_path / "other.wav")], speed=6)
    for m in heard:
        name = m.pop("topic")
        if not name.startswith("welcome."):
            VALID.validate(m)
            assert topics.topic_of(messages.decode(json.dumps(m).encode())) == name
    assert {m["type"] for m in heard} >= {"event", "score", "status", "health"}


def test_the_configuration_bounds_the_defaults() -> None:
    """The docs' figures are the code's."""
    from auricle.publish import bounds, database, journal, table, waiting, zeromq

    text = PAGE.read_text()
    assert f"{zeromq.QUEUE:,} messages are queued" in text
    assert f"after {zeromq.GIVEN_UP_S} s" in text
    assert f"syncs every {database.CHECKPOINT_S:g} s" in text
    assert f"up to {waiting.WAITING:,} messages wait" in text
    assert f"the newest {journal.HELD:,}" in text
    assert f"{table.PAGE} events a page" in text
    assert bounds.PRUNED == 8
    defaults = config.load(None, environ={}).publish
    assert f"`{defaults.endpoint}`" in text
    assert f"`{defaults.query}`" in text
