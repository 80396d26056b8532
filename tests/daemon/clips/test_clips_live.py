"""A daemon keeps the sound around events, to the sample, and is never held up by it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle import messages
from auricle.client import AskEvents, AskStatus, Client, Clip, Event, History, Report, ask
from auricle.clips.reading import clips as lying
from helpers import kept
from helpers.kept import agrees, clips, configuration, scene, told
from helpers.running import hears, running, wait_for
from helpers.sounds import RATE


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept.model(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_clip_is_the_recording(tmp_path: Path, tones: Path, rate: int) -> None:
    """Path, SHA-256 and samples are as told once the file is there, the sound is the recording's own before resampling,
    and the history has it with the event; nobody else can read it."""
    sound = scene() if rate == RATE else _at(scene(), rate)
    soundfile.write(tmp_path / "own.wav", sound, rate)
    source = {"name": "porch", "recording": {"path": str(tmp_path / "own.wav"), "speed": 4, "loop": True}}
    wanted = configuration(tmp_path, tones, {}, source)
    with running(tmp_path, wanted) as one, Client(one.events, topics=["event.", "clip."]) as client:
        found, heard = [], {}
        while len(found) < 2:
            item = client.receive(30)
            if isinstance(item, Event):
                heard[item.id] = item
            elif isinstance(item, Clip):
                assert heard[item.id].phase == "offset", "an offset never waits for its clip"
                found.append(item)
        past = ask(one.query, AskEvents(), History, timeout_s=30).messages
        report = ask(one.query, AskStatus(), Report, timeout_s=30)
    for clip in found:
        agrees(clip, sound)
        event = heard[clip.id]
        assert event.offset_sample is not None
        assert clip.sample == event.onset_sample - rate
        assert clip.sample + clip.samples == event.offset_sample + rate // 2
        assert (clip.rate, clip.exact, clip.gaps, clip.onset_s) == (rate, True, [], 1.0)
        assert clip in past
    assert report.clips.enabled
    assert report.clips.kept >= 2
    assert report.clips.files == report.clips.kept
    assert report.sources["porch"].clips >= 2


def _at(sound: np.ndarray, rate: int) -> np.ndarray:
    """The same sound at another rate, in 16 bits."""
    import soxr

    return np.rint(soxr.resample(sound.astype(np.float64), RATE, rate)).clip(-(2**15), 2**15 - 1).astype(np.int16)


def test_live_sound(tmp_path: Path, tones: Path) -> None:
    """So it is with live sound at a rate of its own, in stereo: the mean of both channels, in 24 bits."""
    left = _at(scene(), 48_000)
    right = np.roll(left, 5)
    raw = np.stack((left, right), axis=1).astype("<i2").tobytes()
    source = {"name": "hall", "stdin": {"rate": 48_000, "channels": 2}}
    wanted = {**configuration(tmp_path, tones, {}, source), "capture": {"ring_s": 30}}
    with running(tmp_path, wanted, stdin=subprocess.PIPE) as one:
        assert one.process.stdin is not None
        one.process.stdin.write(raw + bytes(4 * 48_000))
        one.process.stdin.flush()

        def both() -> list[Clip]:
            told = [m for m in ask(one.query, AskEvents(), History, timeout_s=30).messages if isinstance(m, Clip)]
            return told if len(told) == 2 else []

        found = wait_for(both, "two clips")
        one.process.stdin.close()
    mean = (left.astype(np.int32) + right) / 2**16
    for clip in found:
        assert clip.path is not None
        samples, rate = soundfile.read(clip.path)
        assert clip.sample is not None
        assert (rate, clip.exact) == (48_000, True)
        np.testing.assert_array_equal(samples, mean[clip.sample : clip.sample + clip.samples])


def test_opus_and_what_lies_beside(tmp_path: Path, tones: Path) -> None:
    """Opus says that it is lossy; JSON and picture lie beside each clip, for nobody else either."""
    wanted = configuration(tmp_path, tones, {"format": "opus", "beside": ["json", "png"], "labels": ["high"]})
    with running(tmp_path, wanted) as one, Client(one.events, topics=["clip."]) as client:
        found = clips(client, 2)
    for clip in found:
        assert (clip.label, clip.format, clip.exact, clip.rate) == ("high", "opus", False, 48_000)
        assert clip.path is not None
        path = Path(clip.path)
        said = json.loads(path.with_suffix(".json").read_bytes())
        assert (said["path"], said["sha256"]) == (clip.path, clip.sha256)
        picture = path.with_suffix(".png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n")
        for each in path.parent.iterdir():
            assert each.stat().st_mode & 0o777 == 0o600


def test_a_reload_changes_it(tmp_path: Path, tones: Path) -> None:
    """Clips begin and end with a reload, and go elsewhere, in another form, while the source hears on."""
    wanted = configuration(tmp_path, tones, {})
    off = {**wanted, "clips": {"enabled": False}}
    with running(tmp_path, off) as one, Client(one.events, topics=["clip.", "event.", "score.", "status."]) as client:
        segment = hears(client, 30)
        assert not (tmp_path / "state" / "clips").exists()
        for clip_config, folder in (
            ({}, tmp_path / "state" / "clips"),
            ({"folder": "b", "format": "opus"}, tmp_path / "b"),
        ):
            one.config.write_text(json.dumps({**wanted, "clips": {**wanted["clips"], **clip_config}}))
            one.hang_up()
            while True:
                (clip,) = clips(client, 1)
                if clip.path is not None and Path(clip.path).parent.parent == folder:
                    break
        one.config.write_text(json.dumps(off))
        one.hang_up()
        wait_for(lambda: not ask(one.query, AskStatus(), Report, timeout_s=30).clips.enabled, "they are off")
        lock = (tmp_path / "b" / ".lock").open()
        wait_for(lambda: _free(lock), "the folder is let go of")
        lie = set((tmp_path / "b" / "porch").iterdir())
        seen = hears(client, 100)
        assert set((tmp_path / "b" / "porch").iterdir()) == lie
        assert seen[-1] > segment[-1], "no hole between them either, else `hears` would have met a Missed"
        lock.close()


def _free(lock: TextIOWrapper) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_after_kill_9_no_half_file_is_believed(tmp_path: Path, tones: Path) -> None:
    """Whatever a killed daemon left half written is removed by the next start, and told; whole files stay."""
    wanted = configuration(tmp_path, tones, {})
    with running(tmp_path, wanted) as one, Client(one.events, topics=["clip."]) as client:
        (whole,) = clips(client, 1)
        one.process.kill()
        one.process.wait()
    folder = tmp_path / "state" / "clips" / "porch"
    before = {path for path in folder.iterdir() if not path.name.startswith(".")}
    assert whole.path is not None
    half = folder / f".{Path(whole.path).name.replace('T', 't')}.part"
    half.write_bytes(Path(whole.path).read_bytes()[:1000])
    foreign = folder / "notes.txt"
    foreign.write_text("mine")
    with running(tmp_path, wanted) as one, Client(one.events, topics=["clip.", "status."]) as client:
        wait_for(lambda: not half.exists(), "the half file is gone")
        # The kill may have left one of its own, and it is told a moment after it is gone.
        said = r"[12] clips that were not written to their end are removed"
        wait_for(lambda: re.search(said, one.log), "it is told")
        clips(client, 1)
    assert before < set(folder.iterdir())
    assert foreign.read_text() == "mine"
    assert all(isinstance(clip, Clip) for _, clip in lying(folder.parent))


def test_a_crash_costs_the_clips_under_way_alone(tmp_path: Path, tones: Path) -> None:
    """However often it is killed, at any moment: every file under a clip's name is whole."""
    wanted = configuration(tmp_path, tones, {})
    for n in range(2):
        with running(tmp_path, wanted) as one, Client(one.events, topics=["clip.", "score."]) as client:
            hears(client, 40 + 33 * n)
            one.process.kill()
            one.process.wait()
    found = [clip for _, clip in lying(tmp_path / "state" / "clips")]
    assert all(isinstance(clip, Clip) for clip in found), found
    for clip in found:
        assert isinstance(clip, Clip)
        assert clip.path is not None
        assert len(soundfile.read(clip.path)[0]) == clip.samples


def test_the_folder_is_bounded(tmp_path: Path, tones: Path) -> None:
    """The oldest clips go before the folder is larger than allowed, with what lies beside them."""
    noise = (0.3 * np.random.default_rng(0).standard_normal(2 * RATE) * 2**13).astype(np.int16)
    sound = np.concatenate([np.concatenate((noise, noise // 64 + _low(2))) for _ in range(4)])
    soundfile.write(tmp_path / "loud.wav", sound, RATE)
    source = {"name": "porch", "recording": {"path": str(tmp_path / "loud.wav"), "speed": "max", "loop": True}}
    wanted = configuration(tmp_path, tones, {"max_mb": 1, "before_s": 3, "beside": ["json"]}, source)
    sizes = []
    with running(tmp_path, wanted) as one, Client(one.events, topics=["clip."]) as client:
        written = 0
        while written < 40:
            written += len([clip for clip in clips(client, 1) if clip.path is not None])
            sizes.append(sum(path.stat().st_size for path in (tmp_path / "state" / "clips").rglob("*.[fj]*")))
        one.process.send_signal(signal.SIGSTOP)
        names = sorted(path.stem for path in (tmp_path / "state" / "clips").rglob("*.flac"))
        beside = sorted(path.stem for path in (tmp_path / "state" / "clips").rglob("*.json"))
        one.process.send_signal(signal.SIGCONT)
    assert max(sizes) <= 1e6 + 2e5, "the files of a moment, as they were counted one after the other"
    assert len(names) < written
    assert set(names) <= set(beside)


def _low(seconds: float) -> np.ndarray:
    return np.rint(kept.tone(400.0, seconds=seconds) * 2**15).astype(np.int16)


def test_private_sound_is_not_kept(tmp_path: Path, tones: Path) -> None:
    """Of a source whose privacy names a label no clip holds such sound; others are kept, and it is told why."""
    source = configuration(tmp_path, tones, {})["sources"][0]
    wanted = configuration(tmp_path, tones, {}, {**source, "privacy": "high"})
    with running(tmp_path, wanted) as one, Client(one.events, topics=["clip."]) as client:
        found = clips(client, 4)
        report = ask(one.query, AskStatus(), Report, timeout_s=30)
    assert {(clip.label, clip.why) for clip in found} == {("low", None), ("high", "privacy")}
    assert report.sources["porch"].clips_missed >= 1
    for clip in found:
        if clip.path is not None:
            agrees(clip, np.tile(scene(), 2))
    assert not list((tmp_path / "state" / "clips").rglob("*high*"))


HANG = """
import sys, threading
from auricle.clips import folder, writer
def hang(path, content):
    threading.Event().wait()
folder._write = hang
writer.STUCK_S = 1.0
from auricle.start import main
sys.exit(main())
"""


def test_a_disk_that_hangs_holds_up_nothing(tmp_path: Path, tones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk never answers: it is told, status says so, hearing goes on without a hole, and the daemon ends."""
    (tmp_path / "hang.py").write_text(HANG)
    monkeypatch.setattr("helpers.running.PROGRAM", [sys.executable, str(tmp_path / "hang.py")])
    with running(tmp_path, configuration(tmp_path, tones, {})) as one:
        with Client(one.events, topics=["clip.", "status.", "score."]) as client:
            told(client, "the disk does not answer")
            hears(client, 100)
        report = ask(one.query, AskStatus(), Report, timeout_s=30)
        assert any("the disk does not answer" in reason for reason in report.reasons)
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(30) == 0
        assert "Traceback" not in one.log


def test_a_folder_that_cannot_be_written(tmp_path: Path, tones: Path) -> None:
    """It costs clips, each told with its reason, one line and not one for each, and they are kept again as soon as that
    is mended; no decision is missed."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    with (
        running(tmp_path, configuration(tmp_path, tones, {"folder": str(blocked / "clips")})) as one,
        Client(one.events, topics=["clip.", "status.", "score."]) as client,
    ):
        lost = clips(client, 3)
        assert [(clip.why, clip.path, clip.sha256) for clip in lost] == [("disk", None, None)] * 3
        assert one.log.count("clips are lost until that is mended") == 1
        assert any("Not a directory" in reason for reason in ask(one.query, AskStatus(), Report, timeout_s=30).reasons)
        blocked.unlink()
        news: list[str] = []
        while (clip := clips(client, 1, news=news)[0]).path is None:
            pass
        agrees(clip, np.tile(scene(), 2))
        wait_for(lambda: "clips are kept again" in one.log, "it is said")
        assert ask(one.query, AskStatus(), Report, timeout_s=30).clips.trouble is None


def test_a_folder_that_is_deleted(tmp_path: Path, tones: Path) -> None:
    """A folder that goes while the daemon runs is made anew for the next clip, as private as before."""
    import shutil

    with (
        running(tmp_path, configuration(tmp_path, tones, {})) as one,
        Client(one.events, topics=["clip."]) as client,
    ):
        clips(client, 1)
        shutil.rmtree(tmp_path / "state" / "clips", ignore_errors=True)
        shutil.rmtree(tmp_path / "state" / "clips", ignore_errors=True)
        found = [clip for clip in clips(client, 4) if clip.path is not None and os.path.exists(clip.path)]
        agrees(found[-1], np.tile(scene(), 2))
        assert (tmp_path / "state" / "clips").stat().st_mode & 0o777 == 0o700
        files = ask(one.query, AskStatus(), Report, timeout_s=30).clips.files
        assert files <= 5


def test_a_disk_that_is_full(tmp_path: Path, tones: Path, require: Callable[[bool, str], None]) -> None:
    """On a full tmpfs clips are lost and told, and nothing half written stays; with room again they are kept."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    require(subprocess.run(mount, capture_output=True).returncode == 0, "the right to mount a tmpfs")
    try:
        with (
            running(tmp_path, configuration(tmp_path, tones, {"folder": str(disk / "clips")})) as one,
            Client(one.events, topics=["clip.", "status.", "score."]) as client,
        ):
            while clips(client, 1)[0].path is not None:
                pass
            assert one.log.count("No space left on device; clips are lost") == 1
            assert not list((disk / "clips").rglob(".*.part"))
            for path in (disk / "clips" / "porch").iterdir():
                path.unlink()
            while (clip := clips(client, 1)[0]).path is None:
                pass
            agrees(clip, np.tile(scene(), 2))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_two_daemons_do_not_share_a_folder(tmp_path: Path, tones: Path) -> None:
    """The second is told so, and hears on."""
    wanted = configuration(tmp_path, tones, {"folder": str(tmp_path / "both")})
    other = tmp_path / "other"
    other.mkdir()
    with running(tmp_path, wanted) as one, Client(one.events, topics=["clip."]) as client:
        clips(client, 1)
        theirs = {**wanted, "store": {"path": str(other / "events.db")}}
        with running(other, theirs) as two, Client(two.events, topics=["clip.", "score."]) as listening:
            assert [clip.why for clip in clips(listening, 1)] == ["disk"]
            assert "another auricle keeps its clips there; set another clips.folder" in two.log
        clips(client, 1)


def test_at_the_end(tmp_path: Path, tones: Path) -> None:
    """A daemon that stops writes the clips of the events that it ends, and says so before it goes."""
    sound = np.concatenate((scene()[: 2 * RATE], _low(600)))
    soundfile.write(tmp_path / "long.wav", sound, RATE)
    source = {"name": "porch", "recording": {"path": str(tmp_path / "long.wav"), "speed": 4}}
    wanted = configuration(tmp_path, tones, {"max_s": 600}, source)
    with running(tmp_path, wanted) as one, Client(one.events, topics=["clip.", "event."]) as client:
        while not isinstance(item := client.receive(30), Event):
            pass
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(30) == 0
        (clip,) = clips(client, 1)
    assert clip.id == item.id
    agrees(clip, sound)


def test_replay(tmp_path: Path, tones: Path) -> None:
    """A replay keeps clips where it is told to, every one however fast it is, and nowhere else whatever is configured;
    no score and no event differs."""
    wanted = configuration(tmp_path, tones, {})
    del wanted["sources"], wanted["publish"]
    (tmp_path / "auricle.yaml").write_text(json.dumps(wanted))
    command = [sys.executable, "-m", "auricle", "replay", str(tmp_path / "scene.wav"), "--speed", "max", "--json"]
    command += ["--no-publish", "-c", str(tmp_path / "auricle.yaml")]
    said = []
    for more in ([], ["--clips", str(tmp_path / "kept")]):
        environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")}
        done = subprocess.run([*command, *more], env=environ, capture_output=True, check=True, timeout=60)
        said.append([json.loads(line) for line in done.stdout.splitlines()])
    assert not (tmp_path / "state" / "clips").exists()
    found = [messages.decode(json.dumps(m).encode()) for m in said[1] if m["type"] == "clip"]
    assert [clip.label for clip in found if isinstance(clip, Clip)] == ["low", "high"]
    for clip in found:
        assert isinstance(clip, Clip)
        agrees(clip, scene())
    told = [[_lasting(m) for m in each if m["type"] in ("score", "event")] for each in said]
    assert told[0] == told[1]


def _lasting(message: dict[str, object]) -> dict[str, object]:
    """A message without what differs from start to start."""
    return {key: value for key, value in message.items() if key not in ("id", "instance", "t")}
