"""A network of somebody's becomes a bundle by one command, or is refused with all that stands against it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auricle import config
from auricle.adopt import child
from auricle.capture.recording import Reader
from auricle.commands.cli import app
from auricle.config import layers
from auricle.errors import ModelError
from auricle.hearing.whole import Classifier
from auricle.model import bundle as bundles
from auricle.model import litert
from auricle.model.card import Affine
from helpers import graphs
from helpers.sounds import RATE, write


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "SYSTEM_FILE", Path("/absent/auricle.yaml"))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models of one's own."""
    monkeypatch.setenv("AURICLE__MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def run(*arguments: object) -> tuple[int, str]:
    """The exit code of `auricle models`, and what it says: its output, or the lines of its error."""
    done = CliRunner().invoke(app, ["models", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert hasattr(done.exception, "lines"), done.exception
        return done.exception.exit_code, "\n".join(done.exception.lines())
    return done.exit_code, done.output


def added(*arguments: object) -> str:
    """What a command that succeeds says."""
    code, said = run(*arguments)
    assert code == 0, said
    return said


def refused(*arguments: object) -> list[str]:
    """The lines of a command that does not."""
    code, said = run(*arguments)
    assert code != 0, said
    return said.splitlines()


LOUD = np.stack([np.full(1000, 300.0) / 1000, np.full(1000, -300.0) / 1000, np.zeros(1000)])


def loud(path: Path, names: str = "Loud\nQuiet\nHalf\n") -> Path:
    """A network that takes 1000 samples and hears how loud they are; its labels lie beside it."""
    weights = np.repeat(LOUD, 4, axis=1) / 4
    content = graphs.linear((1, 4000), weights, [-2.0, 2.0, 0.0], head="LOGISTIC", squared=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (path.parent / "labels.txt").write_text(names)
    return path


def test_one_command_adds_a_network(tmp_path: Path, models: Path) -> None:
    """What was found, assumed and is not known is told; the bundle is listed, shown, checked, heard with, removed."""
    said = added("add", loud(tmp_path / "in" / "My Ear.tflite"))
    assert "found:     3 labels from" in said
    assert "takes float32 of shape [1, 4000], gives [[1, 3]]" in said
    assert "LOGISTIC ends the graph: its output is scores" in said
    assert "assumed:   a sample rate of 16000 Hz, the usual" in said
    assert "not known: its licence" in said
    found = bundles.load("my_ear", models)
    assert found.labels == ("loud", "quiet", "half")
    assert found.card.display == {"loud": "Loud", "quiet": "Quiet", "half": "Half"}
    assert found.card.input.shape == (4000,)
    assert sorted(file.name for file in models.iterdir()) == ["my_ear"], "nothing is left of the making"
    listed = next(line for line in added().splitlines() if line.startswith("my_ear"))
    assert listed.split()[:2] == ["my_ear", "3"]
    assert "0.25 s" in listed
    assert "Loud" in added("my_ear")
    assert added("my_ear") == added("show", "my_ear")
    entry = next(each for each in map(json.loads, added("--json").splitlines()) if each["name"] == "my_ear")
    assert (entry["window_s"], entry["hop_ms"]) == (0.25, 120)
    assert "its golden vectors hold" in added("check", "my_ear")
    quiet = write(tmp_path / "quiet.wav", np.zeros(RATE, np.float32))
    done = CliRunner().invoke(app, ["classify", str(quiet), "--model", "my_ear", "--json"])
    assert json.loads(done.output)["label"] == "quiet"
    assert "my_ear" in added("remove", "my_ear")
    assert list(models.iterdir()) == []


def test_what_the_daemon_would_refuse_is_found_by_check(tmp_path: Path, models: Path) -> None:
    """A bundle that was changed since is no longer the one that was added; a network can be tried without adding it."""
    path = loud(tmp_path / "in" / "ear.tflite")
    assert "ok: it can be added" in added("check", path)
    assert not models.exists()
    added("add", path)
    graph = models / "ear" / "model.tflite"
    graph.write_bytes(graph.read_bytes() + b"more")
    assert "its SHA-256" in refused("check", "ear")[0]


def test_a_name_that_is_taken_or_a_command_is_refused(tmp_path: Path, models: Path) -> None:
    """Nothing is written over, and no model hides a command."""
    path = loud(tmp_path / "in" / "ear.tflite")
    added("add", path)
    assert "is there already; auricle models remove ear" in refused("add", path)[0]
    for name in ("add", "check", "remove", "show"):
        assert f"--name: '{name}' is a command" in refused("add", path, "--name", name)[0]
    assert "--name: 'Bad/Name' is no name" in refused("add", path, "--name", "Bad/Name")[0]
    assert len(refused("add", path, "--name", "add", "--like", "yamnett", "--order", "size", "--is", "dog")) == 4
    assert "holds no model 'gone'; there: ear" in refused("remove", "gone")[0]
    assert refused("remove", "..")[0].startswith(str(models))


def test_without_a_folder_for_models_nothing_is_added(tmp_path: Path) -> None:
    """The remedy names the key."""
    assert "set it, as models_dir:" in refused("add", loud(tmp_path / "in" / "ear.tflite"))[0]


def test_the_model_in_use_is_not_removed(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that is started anew would have nothing to hear with."""
    added("add", loud(tmp_path / "in" / "ear.tflite"))
    monkeypatch.setenv("AURICLE__MODEL", "ear")
    assert refused("remove", "ear") == ["models remove: ear is what mic hears with; configure another model first"]


def test_metadata_in_the_file_is_read(tmp_path: Path, models: Path) -> None:
    """Rate, labels, name and licence that its makers wrote into it are found there, and nothing is assumed of them."""
    graph = graphs.Graph()
    inp, power, out = (
        graph.tensor("samples", (1, 8000)),
        graph.tensor("power", (1, 8000)),
        graph.tensor("logits", (1, 2)),
    )
    weights = graph.tensor("weights", (2, 8000), data=np.full((2, 8000), 1e-3, np.float32))
    bias = graph.tensor("bias", (2,), data=np.zeros(2, np.float32))
    graph.op("MUL", [inp, inp], [power], "MulOptions")
    graph.op("FULLY_CONNECTED", [power, weights, bias], [out], "FullyConnectedOptions")
    graph.note("TFLITE_METADATA", metadata(rate=32000, labels=["german.txt", "names.txt"], licence="CC-BY-NC-SA-4.0"))
    path = tmp_path / "birds.tflite"
    path.write_bytes(graph.content([inp], [out]))
    with zipfile.ZipFile(path, "a") as tail:
        tail.writestr("german.txt", "Amsel\nEule\n")
        tail.writestr("names.txt", "Blackbird\nOwl\n")
    said = added("add", path)
    assert "takes sound at 32000 Hz" in said
    assert "its output is logits" in said
    card = bundles.load("birds", models).card
    assert (card.labels, card.licence, card.front_end.sample_rate) == (["blackbird", "owl"], "CC-BY-NC-SA-4.0", 32000)
    assert card.description == "hears birds"
    assert card.output.logits


def metadata(*, rate: int, labels: list[str], licence: str) -> bytes:
    """A TFLITE_METADATA buffer as tflite-support writes it; the first label file is in German."""
    flatbuffers = pytest.importorskip("flatbuffers")
    b = flatbuffers.Builder(1024)

    def table(fields: dict[int, tuple[str, Any]]) -> int:
        b.StartObject(8)
        for at, (kind, value) in fields.items():
            if kind == "offset":
                b.PrependUOffsetTRelativeSlot(at, value, 0)
            else:
                getattr(b, f"Prepend{kind}Slot")(at, value, 0)
        return int(b.EndObject())

    def vector(tables: list[int]) -> int:
        b.StartVector(4, len(tables), 4)
        for each in reversed(tables):
            b.PrependUOffsetTRelative(each)
        return int(b.EndVector())

    audio = table({0: ("Uint32", rate), 1: ("Uint32", 1)})
    content = table({0: ("Uint8", 4), 1: ("offset", audio)})
    inputs = vector([table({3: ("offset", content)})])
    files = []
    for name, locale in zip(labels, ("de", "en"), strict=True):
        called, said = b.CreateString(name), b.CreateString(locale)
        files.append(table({0: ("offset", called), 2: ("Int8", 2), 3: ("offset", said)}))
    outputs = vector([table({6: ("offset", vector(files))})])
    graph = vector([table({2: ("offset", inputs), 3: ("offset", outputs)})])
    name, about, terms = b.CreateString("birds"), b.CreateString("hears birds"), b.CreateString(licence)
    b.Finish(table({0: ("offset", name), 1: ("offset", about), 3: ("offset", graph), 5: ("offset", terms)}), b"M001")
    return bytes(b.Output())


SPEAKING = {
    "nothing but zeros": (lambda path: path.write_bytes(bytes(10_000_000)), "is no TFLite file; give a .tflite"),
    "text": (lambda path: path.write_text("no network at all"), "is no TFLite file"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "a graph|damaged|TFLite"),
    "its head alone": (lambda path: path.write_bytes(path.read_bytes()[:16]), "is cut off or damaged"),
    "not there": (lambda path: path.unlink(), "No such file"),
    "too few labels": (
        lambda path: (path.parent / "labels.txt").write_text("a\nb\n"),
        "labels.txt has 2 labels, but the network gives 3 scores",
    ),
    "no labels": (
        lambda path: (path.parent / "labels.txt").unlink(),
        "no labels lie in it or beside it; give --labels FILE with 3 lines, in the order of its scores",
    ),
    "doubled labels": (
        lambda path: (path.parent / "labels.txt").write_text("a\nb\na\n"),
        "'a' stands there twice; every label needs a name of its own",
    ),
    "labels in UTF-16": (
        lambda path: (path.parent / "labels.txt").write_text("a\nb\nc\n", encoding="utf-16"),
        "is written in UTF-16, or is no text; save it as UTF-8",
    ),
    "another type": (lambda path: path.write_bytes(_of_type("float16")), "'input' is float16; use int8, uint8 or"),
    "two inputs": (lambda path: path.write_bytes(_two_inputs()), "it takes 2 inputs ('left', 'right')"),
    "select TF": (lambda path: path.write_bytes(_custom("FlexAudioSpectrogram")), "own op AudioSpectrogram (select"),
    "Edge TPU": (lambda path: path.write_bytes(_custom("edgetpu-custom-op")), "it is compiled for the Edge TPU"),
    "another's op": (lambda path: path.write_bytes(_custom("MyOwnOp")), "it needs the custom op 'MyOwnOp'"),
    "ten minutes": (lambda path: path.write_bytes(_of_samples(9_600_000)), "a window of 600 s; at most 60 s are heard"),
    "no numbers": (lambda path: path.write_bytes(_no_number()), "gives what is no number for plain sounds"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPEAKING)
def test_bad_input_is_one_clear_line(tmp_path: Path, models: Path, what: str) -> None:
    """Each is one line with the file, what is wrong and the remedy; nothing is written."""
    path = loud(tmp_path / "in" / "ear.tflite")
    spoil, said = SPEAKING[what]
    spoil(path)
    lines = refused("add", path)
    assert len(lines) == 1
    assert any(part in lines[0] for part in said.split("|")), lines
    assert str(tmp_path / "in") in lines[0]
    assert not models.exists() or list(models.iterdir()) == []


def _of_type(dtype: str) -> bytes:
    graph = graphs.Graph()
    inp, out = graph.tensor("input", (1, 3), dtype), graph.tensor("out", (1, 3))
    graph.op("CAST", [inp], [out], "CastOptions")
    return graph.content([inp], [out])


def _two_inputs() -> bytes:
    graph = graphs.Graph()
    left, right, out = (graph.tensor(name, (1, 3)) for name in ("left", "right", "out"))
    graph.op("ADD", [left, right], [out], "AddOptions")
    return graph.content([left, right], [out])


def _custom(op: str) -> bytes:
    graph = graphs.Graph()
    inp, out = graph.tensor("input", (1, 8000)), graph.tensor("out", (1, 3))
    graph.op(op, [inp], [out])
    return graph.content([inp], [out])


def _of_samples(n: int) -> bytes:
    graph = graphs.Graph()
    inp, out = graph.tensor("input", (1, n)), graph.tensor("out", (1, 3))
    graph.op("LOGISTIC", [inp], [out])
    return graph.content([inp], [out])


def _no_number() -> bytes:
    return graphs.linear((1, 4000), np.full((3, 4000), np.nan), [0.0, 0.0, 0.0], head="LOGISTIC")


def test_what_is_no_score_is_told(tmp_path: Path, models: Path) -> None:
    """A graph that is said to give scores, and gives other numbers, is not cut off at 0 and 1 unsaid."""
    path, own = loud(tmp_path / "in" / "ear.tflite"), tmp_path / "mine.yaml"
    path.write_bytes(graphs.linear((1, 4000), LOUD.repeat(4, axis=1) / 4, [-2.0, 7.5, 0.0], squared=True))
    own.write_text("output: {logits: false}\n")
    (line,) = refused("add", path, "--card", own)
    assert "for a plain sound, which is no score from 0 to 1; if it gives logits, say so in a card" in line
    own.write_text("output: {logits: true}\n")
    added("add", path, "--card", own)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, models: Path) -> None:
    """Two inputs, an op that is not there, labels that are missing: one run tells them all."""
    graph = graphs.Graph()
    left, right, out = (graph.tensor(name, (1, 3)) for name in ("left", "right", "out"))
    graph.op("MyOwnOp", [left, right], [out])
    path = tmp_path / "ear.tflite"
    path.write_bytes(graph.content([left, right], [out]))
    lines = refused("add", path)
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_labels_card_and_network_are_told_of_in_one_run(tmp_path: Path, models: Path) -> None:
    """A list that cannot be read, keys of a card that cannot be, parameters of its features, and a graph of another
    type: none waits until another is mended."""
    path, own, names = tmp_path / "ear.tflite", tmp_path / "mine.yaml", tmp_path / "names.txt"
    path.write_bytes(graphs.linear((1, 20, 12), np.zeros((2, 240)), [1.0, -1.0]))
    names.write_bytes("yes\nno\n".encode("utf-16"))
    own.write_text(
        "head: argmax\nfront_end:\n  sample_rate: 8000\n  n_fft: 256\n  hop_length: 80\n"
        "  features:\n  - kind: log_mel\n    n_mels: 12\n    fmax: 5000\n    nmels: 3\n    power: 0\n"
    )
    wrong = ("add", path, "--labels", names, "--card", own)
    assert [line.rsplit("; ")[0] for line in refused(*wrong)] == [
        f"{names}: is written in UTF-16, or is no text",
        f"{own}:1: head: 'argmax' is not known",
        f"{own}:9: front_end.features[0].fmax: 5000 is above half the sample rate",
        f"{own}:10: front_end.features[0].nmels: unknown parameter 'nmels'",
        f"{own}:11: front_end.features[0].power: 0 must be above 0",
    ]
    path.write_bytes(b"no network")
    lines = refused(*wrong, "--like", "yamnett")
    assert [line.split(": ")[0] for line in lines] == ["--like", str(path), str(names)]


def test_a_graph_that_ends_its_process_is_one_line(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal in the child that looks at a file first is told, and harms nobody."""
    path = loud(tmp_path / "in" / "ear.tflite")
    monkeypatch.setattr(child, "_COMMAND", ("sh", "-c", "kill -SEGV $$"))
    assert refused("add", path) == [
        f"{path}: ends the process that runs it, by signal 11: its graph is damaged; build it anew"
    ]


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.9])
def test_flipped_bytes_never_end_the_command(tmp_path: Path, models: Path, fraction: float) -> None:
    """Whatever a damaged file makes of its graph, it is added or refused in lines."""
    path = loud(tmp_path / "in" / "ear.tflite")
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(int(100 * fraction))
    head = len(content) - int(fraction * 2000)
    for at in rng.integers(max(8, head - 600), len(content), 12):
        content[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    code, said = run("add", path)
    assert code in (0, 78), said
    if code == 0:
        bundles.load("ear", models)


def test_a_recording_proves_the_network(tmp_path: Path, models: Path) -> None:
    """The label that is in it must be among the best; else nothing is added, and what was heard is told."""
    path = loud(tmp_path / "in" / "ear.tflite", "Quiet\nLoud\nMiddle\n")
    clip = write(tmp_path / "loud.wav", np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32))
    lines = refused("add", path, "--clip", clip, "--is", "loud")
    assert "the network hears Quiet 1.00" in lines[0]
    assert "with the labels in the order of the alphabet it hears Loud 1.00" in lines[1]
    assert lines[1].endswith("try --order alphabet")
    assert not (models / "ear").exists()
    said = added("add", path, "--clip", clip, "--is", "loud", "--order", "alphabet")
    assert "proven:" in said
    assert bundles.load("ear", models).labels == ("loud", "middle", "quiet")
    loud(path, "Loud\nQuiet\nAloud\n")
    said = added("add", path, "--clip", clip, "--is", "Loud", "--name", "right")
    assert "the file's order is right" in said
    assert "none of its labels" in refused("add", path, "--clip", clip, "--is", "cat", "--name", "other")[0]


def test_another_front_end_is_shown_what_it_would_hear(tmp_path: Path, models: Path) -> None:
    """Where the proof fails, each front end that fits the input says what the network would hear behind it."""
    # Natural logarithms of magnitudes lie between -7 and 6: a sum that is positive for none of ours in dB.
    weights = np.stack([np.full(96 * 64, -1 / 6144), np.full(96 * 64, 1 / 6144), np.zeros(6144)])
    path = tmp_path / "in" / "ear.tflite"
    path.parent.mkdir()
    path.write_bytes(graphs.linear((1, 96, 64), weights, [-20.0, 20.0, 0.0], head="LOGISTIC"))
    (path.parent / "labels.txt").write_text("decibel\nnatural\nneither\n")
    clip = write(tmp_path / "soft.wav", (1e-3 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32))
    lines = refused("add", path, "--clip", clip, "--is", "decibel")
    assert "the network hears natural" in lines[0]
    assert "with --like mel (librosa's log-mel in dB" in lines[-1]
    assert "it hears decibel" in lines[-1]
    assert "proven:" in added("add", path, "--clip", clip, "--is", "decibel", "--like", "mel")


@pytest.mark.parametrize(
    ("shape", "dtype", "like", "card"),
    [
        ((1, 96, 64), "float32", None, ("features", (96, 64), "frames_features", 160)),
        ((1, 64, 96), "float32", None, ("features", (96, 64), "features_frames", 160)),
        ((1, 96 * 64), "float32", "yamnet", ("features", (96, 64), "frames_features", 160)),
        ((1, 49, 10, 1), "int8", None, ("features", (49, 10), "frames_features", 320)),
        ((1, 40, 32), "uint8", None, ("features", (40, 32), "frames_features", 160)),
        ((1, 15600), "float32", None, ("waveform", (15600,), "frames_features", 160)),
        ((144000,), "float32", None, ("waveform", (144000,), "frames_features", 480)),
        ((1, 44032), "float32", None, ("waveform", (44032,), "frames_features", 441)),
    ],
)
def test_what_a_network_takes_is_read_from_its_input(
    tmp_path: Path, models: Path, shape: tuple[int, ...], dtype: str, like: str | None, card: tuple[Any, ...]
) -> None:
    """Shape, type and grid say which front end it is likely to have; sound is told from features by how much it is."""
    n = int(np.prod(shape))
    source = None if dtype == "float32" else Affine(0.5, 10)
    weights = np.random.default_rng(1).uniform(-1, 1, (3, n)) / (n if dtype == "float32" else 1)
    path = tmp_path / "ear.tflite"
    path.write_bytes(graphs.linear(shape, weights, [0.0, 0.5, -0.5], dtype=dtype, source=source, head="SOFTMAX"))
    (tmp_path / "labels.txt").write_text("_silence_\nyes\nno\n")
    said = added("add", path, *([] if like is None else ["--like", like]))
    assert "silence means that there is nothing" in said
    found = bundles.load("ear", models).card
    assert (found.input.kind, found.input.shape, found.input.layout, found.front_end.hop_length) == card
    assert (found.head, found.background, found.input.dtype) == ("softmax", "silence", dtype)


def test_a_graph_with_a_state_is_given_every_window_once(tmp_path: Path, models: Path) -> None:
    """Variables in the graph are found; its hop is a multiple of what it takes."""
    path = tmp_path / "word.tflite"
    path.write_bytes(graphs.counting(1, 3, 20))
    (tmp_path / "labels.txt").write_text("\n".join(f"w{i}" for i in range(60)))
    assert "it remembers what it heard in variables" in added("add", path)
    found = bundles.load("word", models).card
    assert (found.keeps_state, found.decision.hop_ms, found.input.shape) == (True, 60, (3, 20))
    assert "its features are librosa's log-mel" in added("check", path)
    pytest.importorskip("pymicro_features", reason="missing here: the extra micro")
    path.write_bytes(graphs.counting(1, 2, 40))
    (tmp_path / "labels.txt").write_text("\n".join(f"w{i}" for i in range(80)))
    assert "its features are the fixed-point front end of wake words" in added("add", path, "--name", "micro")
    assert bundles.load("micro", models).card.front_end.features == [{"kind": "micro"}]
    path.write_bytes(graphs.counting(1, 60))
    assert "does not say how many frames and features they are" in refused("add", path, "--name", "flat")[0]


def test_only_the_child_reads_graphs(tmp_path: Path) -> None:
    """What parses foreign files in Python is not loaded by who lists or shows models."""
    import subprocess
    import sys

    code = (
        "import sys; from auricle.adopt import add; from auricle.commands import models; "
        "print([name for name in sys.modules if name in ('auricle.adopt.graph', 'auricle.adopt.told')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(ModelError):
        child.look(tmp_path / "none.tflite")


def test_yamnet_is_added_by_one_command(tmp_path: Path, models: Path, data: Path) -> None:
    """Its labels and rate lie in it; speech and dogs are heard, and its scores are those of the graph itself."""
    whole = data.parent / "models" / "yamnet.tflite"
    if not whole.exists():
        pytest.skip("missing here: shared/models/yamnet.tflite")
    shutil.copy(whole, tmp_path / "yamnet.tflite")
    said = added("add", tmp_path / "yamnet.tflite")
    assert "takes sound at 16000 Hz" in said
    assert "521 labels from" in said
    found = bundles.load("yamnet", models)
    assert found.card.licence.startswith("Apache")
    assert (found.card.input.shape, found.card.decision.hop_ms) == ((15600,), 480)
    assert found.card.display["child_speech_kid_speaking"] == "Child speech, kid speaking"
    interpreter = litert.load(whole.read_bytes())
    (given,), (said_of,) = interpreter.get_input_details(), interpreter.get_output_details()
    classifier = Classifier(found, config.Decision(), config.Gate())
    right = []
    for folder, wanted in ((data / "esc10" / "dog_bark", "dog"), (data / "speech" / "computer", "speech")):
        for path in sorted(folder.iterdir())[:8]:
            scores, _, padded = classifier.scores(str(path))
            sound = np.concatenate(list(Reader(str(path), RATE).blocks(RATE)))
            for k, row in enumerate([] if padded else scores):
                end = 98 * 160 + k * 48 * 160
                interpreter.set_tensor(given["index"], sound[end - 15_600 : end])
                interpreter.invoke()
                np.testing.assert_array_equal(row, interpreter.get_tensor(said_of["index"])[0])
            highest = scores.max(axis=0)
            best = [found.labels[i] for i in np.argsort(-highest)[:5]]
            right.append(wanted in best)
    assert np.mean(right) >= 0.8


def test_what_is_not_found_can_be_told(tmp_path: Path, models: Path) -> None:
    """Keys of a card of one's own go before what was found; all that is wrong in them is told at once."""
    path, own = tmp_path / "ear.tflite", tmp_path / "mine.yaml"
    path.write_bytes(graphs.linear((1, 20, 12), np.zeros((2, 240)), [1.0, -1.0]))
    own.write_text(
        "labels: ['yes', 'no']\ndisplay: {'yes': 'Да'}\nlicence: mine\nthresholds: {'yes': 0.7}\n"
        "front_end: {sample_rate: 8000, n_fft: 256, hop_length: 80, features: [{kind: log_mel, n_mels: 12}]}\n"
    )
    said = added("add", path, "--card", own)
    assert "2 labels from the card that was given" in said
    card = bundles.load("ear", models).card
    assert (card.labels, card.display, card.licence) == (["yes", "no"], {"yes": "Да"}, "mine")
    assert (card.front_end.sample_rate, card.front_end.align, card.front_end.win_length) == (8000, "centre", None)
    assert card.input.shape == (20, 12)
    assert "Да" in added("show", "ear")
    own.write_text("labels: ['yes', 'no']\nhead: argmax\nthresholds: {maybe: 2}\nfront_end: {sample_rate: 8000}\n")
    again = ("add", path, "--card", own, "--name", "other")
    lines = refused(*again)
    assert "must name front_end.sample_rate, n_fft and hop_length" in lines[0]
    assert f"{own}:4: front_end.n_fft: is missing" in lines
    own.write_text("labels: ['yes', 'no']\nhead: argmax\n\nthresholds: {maybe: 2}\ndisplai: {'yes': 'Да'}\n")
    lines = refused(*again)
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{own}:2", "head"],
        [f"{own}:4", "thresholds.maybe"],
        [f"{own}:4", "thresholds.maybe"],
        [f"{own}:5", "displai"],
    ]
    own.write_text("labels: [yes, no]\n")
    assert "labels: [0] is bool; use str; put yes, no, on and off in quotes" in refused(*again)[0]
    own.write_text("- a list\n")
    assert "holds no keys; write some of a card" in refused(*again)[0]


def test_yamnet_is_cut_where_it_quantises_its_features(tmp_path: Path, models: Path, data: Path) -> None:
    """Of real sounds the highest label is that of the whole graph in 99 % of windows, and scores are near."""
    whole = data.parent / "models" / "yamnet.tflite"
    if not whole.exists():
        pytest.skip("missing here: shared/models/yamnet.tflite")
    shutil.copy(whole, tmp_path / "yamnet.tflite")
    said = added("add", tmp_path / "yamnet.tflite", "--cut", "--name", "cut")
    assert "cut where it quantises its features: the highest label is the whole graph's in" in said
    cut = bundles.load("cut", models)
    assert (cut.card.input.shape, cut.card.input.dtype, cut.card.decision.hop_ms) == ((96, 64), "int8", 480)
    assert len(cut.labels) == 521
    interpreter = litert.load(whole.read_bytes())
    (given,), (said_of,) = interpreter.get_input_details(), interpreter.get_output_details()
    classifier = Classifier(cut, config.Decision(hop_ms=480), config.Gate())
    assert classifier.span == 15_600
    same, off = [], []
    for path in [*sorted((data / "esc10").rglob("*.ogg"))[::16], *sorted((data / "esc50").rglob("*.ogg"))[::100]]:
        scores, _, padded = classifier.scores(str(path))
        sound = np.concatenate(list(Reader(str(path), RATE).blocks(RATE)))
        for k, row in enumerate([] if padded else scores):
            interpreter.set_tensor(given["index"], sound[k * 7680 : k * 7680 + 15_600])
            interpreter.invoke()
            wanted = interpreter.get_tensor(said_of["index"])[0]
            same.append(wanted[row.argmax()] >= wanted.max() - 1 / 128)
            off.append(float(np.abs(row - wanted).max()))
    assert len(same) > 150
    assert np.mean(same) >= 0.99
    assert np.median(off) <= 1 / 64
