"""The command line as a user meets it: real processes, exit codes, one-line errors, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import zmq

from auricle import start
from auricle.commands.cli import app
from auricle.config.sections import DEFAULT_MODEL
from auricle.model import bundle
from helpers.sounds import varied, write


def auricle(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command; a traceback fails the test whatever else is claimed."""
    done = subprocess.run(
        [sys.executable, "-m", "auricle", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One good recording."""
    write(tmp_path / "good.wav", varied(3.0))
    return tmp_path


def test_help_names_every_command() -> None:
    """--help lists the commands; each has a line of its own."""
    text = auricle("--help").stdout
    for command in ("run", "replay", "classify", "listen", "devices", "config", "models", "demo"):
        assert f"\n  {command} " in text


@pytest.mark.parametrize("command", [["classify"], ["replay", "--no-publish", "--speed", "max"]])
def test_a_model_of_others_is_tried_first(folder: Path, command: list[str]) -> None:
    """A graph that was never run here is first run in a child, which may die of it; what has held is remembered."""
    model = shutil.copytree(bundle.find("esc10"), folder / "esc10")
    state = {"STATE_DIRECTORY": str(folder / "state")}
    done = auricle(*command, folder / "good.wav", "--model", model, **state)
    assert done.returncode == 0, done.stderr
    (held,) = (folder / "state" / "models").read_text().split()
    assert held.startswith(bundle.load(str(model)).hash)


def test_run_is_asked_for_in_any_way_that_the_command_line_knows(folder: Path) -> None:
    """The daemon's own short way in takes what it knows; all else goes to the command line, to the same end."""
    missing = folder / "none.yaml"
    said = {
        auricle("run", *words).stderr
        for words in (["--config", missing], ["-c", missing], [f"--config={missing}"], ["--model", "x", "-c", missing])
    }
    (line,) = said
    assert str(missing) in line
    assert "--config" in auricle("run", "--help").stdout
    for wrong in (["--config"], ["--confg", missing], ["--config", missing, "surplus"], ["surplus"]):
        done = auricle("run", *wrong)
        assert done.returncode == 2
        assert "Error" in done.stderr


def test_the_short_way_in_knows_the_options_of_run() -> None:
    """What the program takes for `auricle run` before the command line is loaded are the options declared for it."""
    declared = typer.main.get_command(app).get_command(None, "run").params
    assert {name: p.name for p in declared for name in p.opts if p.name != "help"} == start.OPTIONS


def test_classify_gives_one_json_line_a_file(folder: Path) -> None:
    """Each line holds what is promised; scores are one a label and the label is the highest of them."""
    done = auricle("classify", "--json", folder / "good.wav")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    verdict = json.loads(line)
    assert set(verdict) == {
        "file",
        "label",
        "score",
        "scores",
        "duration_s",
        "padded",
        "model",
        "peak",
        "strongest",
        "t",
        "cut",
    }
    assert verdict["file"] == str(folder / "good.wav")
    assert verdict["label"] == max(verdict["scores"], key=verdict["scores"].get)
    assert verdict["score"] == verdict["scores"][verdict["label"]]
    assert verdict["duration_s"] == 3.0
    assert len(verdict["scores"]) == len(bundle.load(DEFAULT_MODEL).labels)


@pytest.mark.parametrize("command", [["classify"], ["replay", "--speed", "max", "--no-publish"]])
def test_a_bad_file_among_good_ones(folder: Path, command: list[str]) -> None:
    """It is named and skipped, the rest is heard, the exit code is 1."""
    (folder / "bad.wav").write_text("no sound")
    done = auricle(*command, "--json", folder)
    assert done.returncode == 1
    assert "bad.wav: not a recording" in done.stderr
    assert "good.wav" in done.stdout
    assert "bad.wav" not in done.stdout


@pytest.mark.parametrize(
    ("name", "rate", "seconds", "subtype"),
    [
        ("one.wav", 8000, 1 / 8000, None),
        ("u8.wav", 44100, 3.0, "PCM_U8"),
        ("fast.wav", 192000, 3.0, "PCM_24"),
        ("slow.wav", 8000, 3.0, "FLOAT"),
    ],
)
def test_odd_but_sound_files_are_heard(
    tmp_path: Path, name: str, rate: int, seconds: float, subtype: str | None
) -> None:
    """One sample, 8 bit, 24 bit, float, 8 kHz and 192 kHz are all classified."""
    write(tmp_path / name, varied(seconds, rate=rate), rate, subtype)
    done = auricle("classify", "--json", tmp_path / name)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["padded"] == (seconds < 2)


def test_silence_and_clipping_are_heard(tmp_path: Path) -> None:
    """Silence is none of the labels; a clipped recording is classified like any other."""
    write(tmp_path / "silence.wav", 0 * varied(4.0))
    write(tmp_path / "clipped.wav", (100 * varied(4.0)).clip(-1, 1))
    done = auricle("classify", "--json", tmp_path / "silence.wav", tmp_path / "clipped.wav")
    assert done.returncode == 0
    silence, clipped = map(json.loads, done.stdout.splitlines())
    assert silence["score"] < 0.5
    assert 0 < clipped["score"] <= 1


def test_replays_json_lines_are_messages_with_their_topic(folder: Path) -> None:
    """Every line is a message and names its topic; at full speed nothing claims a latency."""
    done = auricle("replay", "--speed", "max", "--no-publish", "--json", folder / "good.wav")
    assert done.returncode == 0
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    scores = [m for m in messages if m["topic"] == "score.replay."]
    assert len(scores) > 5
    assert all(m["latency_ms"] is None for m in scores)
    assert [m["seq"] for m in scores] == list(range(1, len(scores) + 1))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "-c", "missing.yaml"], 78, "missing.yaml"),
        (["run", "--model", "nonesuch"], 78, "model 'nonesuch' is not known"),
        (["replay", "x.wav", "--speed", "fast"], 2, "--speed: 'fast' is no speed"),
        (["replay", "x.wav", "--start-time", "noon"], 2, "--start-time: 'noon' is no time"),
        (["replay", "x.wav", "--no-publish"], 1, "x.wav: No such file"),
        (["classify", "x.wav"], 1, "x.wav: No such file"),
        (["classify"], 2, "PATH"),
        (["lissen"], 2, "lissen"),
    ],
)
def test_errors_are_one_line(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    """What is wrong is said with its value, and the exit code tells of what kind it is."""
    done = auricle(*words)
    assert done.returncode == code
    assert said in done.stderr


def test_an_endpoint_in_use_is_said(folder: Path) -> None:
    """A second daemon at the same endpoint ends at once with the endpoint's name."""
    with zmq.Context() as context, context.socket(zmq.PUB) as taken:
        port = taken.bind_to_random_port("tcp://127.0.0.1")
        done = auricle(
            "replay", folder / "good.wav", "--speed", "max", AURICLE__PUBLISH__ENDPOINT=f"tcp://127.0.0.1:{port}"
        )
    assert done.returncode == 78
    assert f"tcp://127.0.0.1:{port}: cannot be bound" in done.stderr
    assert "another auricle" in done.stderr


@pytest.mark.skipif(shutil.which("python3") is None, reason="needs a shell's python3")
def test_a_closed_pipe_ends_quietly(folder: Path) -> None:
    """`auricle replay ... | head -1` is no error."""
    done = subprocess.run(
        f'"{sys.executable}" -m auricle replay --speed max --no-publish --json --loop "{folder}/good.wav" | head -1',
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_models_lists_what_there_is() -> None:
    """The default model is listed with its labels."""
    done = auricle("models", "--json")
    assert done.returncode == 0
    names = {json.loads(line)["name"]: json.loads(line) for line in done.stdout.splitlines()}
    assert "dog_bark" in names["esc10"]["labels"]


def test_the_version_is_told() -> None:
    """--version prints the version that is installed."""
    from auricle import __version__

    assert auricle("--version").stdout == f"auricle {__version__}\n"


def test_a_rate_of_the_file_is_kept_in_its_sample_counts(tmp_path: Path) -> None:
    """`sample` counts at the file's own rate, not at the model's."""
    write(tmp_path / "a.wav", varied(3.0, rate=48000), 48000)
    done = auricle("replay", "--speed", "max", "--no-publish", "--json", tmp_path / "a.wav")
    first = next(m for m in map(json.loads, done.stdout.splitlines()) if m["topic"].startswith("score."))
    assert first["sample"] % 3 == 0
    card = bundle.load(DEFAULT_MODEL).card
    window_s = ((card.timing.window_frames - 1) * card.front_end.hop_length + card.front_end.win_length) / 16000
    assert window_s <= first["sample"] / 48000 < window_s + 0.5, "the window, and what smoothing and resampling take"
    assert first["t"].startswith(f"1970-01-01T00:00:0{first['sample'] // 48000}")
    assert first["t_known"] is False


def test_what_others_named_steers_no_terminal(tmp_path: Path) -> None:
    """A file's name with a line break, an escape and a mark that turns the writing comes out on one printable line."""
    hostile = "a\nforged line\x1b[2J\u202e.wav"
    write(tmp_path / hostile, varied(3.0))
    shown = r"a\nforged line\x1b[2J\u202e.wav"
    for words in (["classify"], ["replay", "--speed", "max", "--no-publish"]):
        done = auricle(*words, tmp_path)
        assert done.returncode == 0, done.stderr
        assert all(line.isprintable() for line in done.stdout.splitlines())
        assert not [line for line in done.stdout.splitlines() if line.startswith("forged")]
    assert shown in auricle("classify", tmp_path).stdout
    (tmp_path / hostile).write_text("no sound")
    (line,) = auricle("classify", tmp_path).stderr.splitlines()
    assert shown in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["models"], ["config", "example"], ["topics"], ["models", "--json"]])
def test_output_that_cannot_be_written_is_one_line(words: list[str]) -> None:
    """A full disk below standard output is told, with a code of its own."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "auricle", *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    (line,) = done.stderr.splitlines()
    assert line.startswith("auricle: error: standard output cannot be written: No space left on device; ")
    assert done.returncode == 74


@pytest.mark.parametrize("words", ["models", "config example", "topics"])
def test_a_reader_that_goes_away_is_no_error(words: str) -> None:
    """`auricle ... | head -1` exits with 0 and says nothing."""
    command = f'"{sys.executable}" -m auricle {words} | head -1 > /dev/null; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_terminals_without_unicode_and_words_without_utf8(tmp_path: Path) -> None:
    """An ASCII terminal gets escapes; what has to be UTF-8 and is not is refused in one line."""
    write(tmp_path / "caf\u00e9.wav", varied(3.0))
    done = auricle("classify", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert r"caf\xe9.wav" in done.stdout
    (line,) = auricle("mark", os.fsdecode(b"caf\xe9")).stderr.splitlines()
    assert line.startswith("auricle: error: ")
    assert "is not UTF-8" in line


def test_a_fault_of_our_own_is_one_line(tmp_path: Path) -> None:
    """Whatever no one thought of ends in one line, with where it was and where its traceback is; the code is 70."""
    broken = "import auricle.commands.cli as cli, auricle.start as start\ndef app(**_): raise KeyError('x\\ny')\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{broken}cli.app = app\nstart.main()", "models"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("auricle: error: internal, at <string>:2: KeyError: ")
    assert "journalctl -t auricle" in line
    assert done.returncode == 70


def test_a_replay_answers_as_the_daemon_does(folder: Path) -> None:
    """`status`, `mark`, `events` and `listen` work against `auricle replay`, which has no microphone."""
    where = {"AURICLE__PUBLISH__ENDPOINT": f"ipc://{folder}/events", "AURICLE__PUBLISH__QUERY": f"ipc://{folder}/query"}
    process = subprocess.Popen(
        [sys.executable, "-m", "auricle", "replay", "--loop", folder / "good.wav"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **where},
    )
    try:
        listened = subprocess.Popen(
            [sys.executable, "-m", "auricle", "listen", "--json"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **where},
        )
        assert listened.stdout is not None
        assert '"source":"replay"' in listened.stdout.readline()
        listened.terminate()
        listened.communicate(timeout=10)
        said = auricle("status", "--json", **where)
        assert "replay" in json.loads(said.stdout)["sources"]
        assert auricle("mark", "the dog", **where).returncode == 0
        marks = [json.loads(line) for line in auricle("events", "--json", **where).stdout.splitlines()]
        assert "the dog" in [each.get("text") for each in marks]
    finally:
        process.terminate()
        _, complaints = process.communicate(timeout=20)
    assert complaints == b""


def test_a_replay_that_cannot_publish_says_how_to_do_without(folder: Path) -> None:
    """An endpoint in use, either of the two, ends a replay at once, with the keys and --no-publish."""
    for name in ("ENDPOINT", "QUERY"):
        with zmq.Context() as context, context.socket(zmq.PUB) as taken:
            port = taken.bind_to_random_port("tcp://127.0.0.1")
            where = {
                "AURICLE__PUBLISH__ENDPOINT": "tcp://127.0.0.1:*",
                "AURICLE__PUBLISH__QUERY": "tcp://127.0.0.1:*",
                f"AURICLE__PUBLISH__{name}": f"tcp://127.0.0.1:{port}",
            }
            (line,) = auricle("replay", folder / "good.wav", **where).stderr.splitlines()
        assert f"publish.{name.lower()}" in line
        assert line.endswith("; or give --no-publish")


def test_lines_of_a_replay_go_into_a_file_beside_its_bar(folder: Path) -> None:
    """On a terminal there is a bar, but standard output stays where it was sent."""
    replay = f'"{sys.executable}" -m auricle replay --speed max --no-publish "{folder}/good.wav" > "{folder}/said"'
    subprocess.run(["script", "-qec", replay, "/dev/null"], capture_output=True, timeout=60, check=True)
    assert (folder / "said").read_text().startswith("heard 0:03.00 ")
