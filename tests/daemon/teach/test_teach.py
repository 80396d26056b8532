"""`auricle teach` gives a bundle a label from clips, says what to expect of it, and touches nothing when it cannot."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auricle import config
from auricle.commands import doctor
from auricle.errors import AuricleError, ModelError, OutputError
from auricle.hearing.hearer import Hearer
from auricle.judge import plots
from auricle.model import bundle
from auricle.model.bundle import Bundle
from auricle.teach import bank, course, judged, pictures, shelf
from auricle.teach.course import Course, Material
from helpers import lessons, sounds
from helpers.bundles import made_up, tone
from helpers.lessons import TONES, burst, clips, pump


@pytest.fixture
def house(tmp_path: Path) -> Bundle:
    """A bundle of two labels with a bank: noises of all kinds, and tones."""
    return lessons.house(tmp_path / "house")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The folder of models."""
    return tmp_path / "models"


def taught(base: Bundle, models: Path, *paths: Path, name: str = "gate", **given: Any) -> Course:
    """Teach it."""
    material = Material([*map(str, paths)], given.pop("others", []), given.pop("room", None), given.pop("kind_of", []))
    return course.run(
        base, name, material, models, again=given.pop("again", False), anyway=given.pop("anyway", False),
        progress=lambda share: None,
    )  # fmt: skip


def test_a_label_is_taught_and_heard(tmp_path: Path, house: Bundle, models: Path) -> None:
    """From ten clips comes a bundle in which the daemon's rules hear the eleventh, and no other sound; the labels that
    were there score as before, to the bit."""
    found = taught(house, models, clips(tmp_path / "gate", 10))
    assert found.bundle.path == models / "house-taught"
    assert found.bundle.labels == (*TONES, "gate")
    hearer = Hearer(found.bundle, config.Decision(), config.Gate())
    before = Hearer(house, config.Decision(), config.Gate())
    quiet = 1e-3 * np.random.default_rng(5).standard_normal(16000).astype(np.float32)
    for name, sound, heard in (
        ("new", burst(99), True),
        ("siren", tone(1000.0, seconds=1.0), False),
        ("noise", sounds.varied(2.0, seed=77), False),
    ):
        path = sounds.write(tmp_path / f"{name}.wav", np.concatenate((quiet, sound, quiet)))
        hearing = hearer.hear(str(path))
        assert ("gate" in {event.label for event in hearer.decide(hearing)}) == heard, name
        np.testing.assert_array_equal(hearing.scores[:, :2], before.hear(str(path)).scores)


def test_it_says_what_to_expect(tmp_path: Path, house: Bundle, models: Path) -> None:
    """Recall with its interval at one false alarm an hour and a day, the hardest clips, the nearest labels, a learning
    curve: for people in lines, for programs as JSON; the card keeps hashes and no sound."""
    found = taught(house, models, clips(tmp_path / "gate", 10))
    told = json.loads(json.dumps(found.told()))
    assert 0 <= told["recall_at_one_a_day"] <= told["recall_at_one_an_hour"]
    assert told["recall_at_one_an_hour"] >= 0.5
    low, high = told["recall_interval_95"]
    assert low < told["recall_at_one_an_hour"] <= high
    assert [point["clips"] for point in told["learning_curve"]] == [2, 5, 8]
    assert len(told["hardest"]) == 3
    text = "\n".join(found.lines())
    for part in (
        "taught from 10 clips",
        "at one false alarm an hour",
        "at one a day",
        "hardest: ",
        "learning curve: 2 clips",
    ):
        assert part in text
    about = found.bundle.raw["taught"]["labels"]["gate"]
    first = tmp_path / "gate" / "01.wav"
    assert about["clips"][0] == {"file": str(first), "sha256": hashlib.sha256(first.read_bytes()).hexdigest()}
    assert found.bundle.card.measured["gate"].startswith("taught from 10 clips")


def test_two_labels_stand_side_by_side_and_are_forgotten(tmp_path: Path, house: Bundle, models: Path) -> None:
    """A second label changes no score of the first; each is forgotten by itself, and with the last the bundle goes."""
    one = taught(house, models, clips(tmp_path / "gate", 8)).bundle
    both = taught(one, models, clips(tmp_path / "pump", 8, pump), name="pump").bundle
    assert both.path == one.path
    assert both.labels == (*TONES, "gate", "pump")
    assert one.heads is not None
    assert both.heads is not None
    for seed in range(20):
        embedding = np.random.default_rng(seed).integers(-128, 128, one.heads.weights.shape[1]).astype(np.int8)
        assert one.heads(embedding)[0] == both.heads(embedding)[0]
    assert len(list(both.path.glob("heads-*"))) == 1
    left = shelf.forget(both, "gate")
    assert left is not None
    assert left.labels == (*TONES, "pump")
    assert "gate" not in left.card.thresholds
    assert shelf.forget(left, "pump") is None
    assert list(models.iterdir()) == []


def test_again_takes_the_clips_of_last_time(tmp_path: Path, house: Bundle, models: Path) -> None:
    """Taught again from the same clips, a label is the same; a clip that is there now is taken too."""
    folder = clips(tmp_path / "gate", 8)
    one = taught(house, models, folder).bundle
    again = taught(one, models, again=True).bundle
    assert again.card.files == one.card.files
    sounds.write(folder / "99.wav", burst(99))
    assert len(taught(again, models, folder, again=True).clips) == 9


def test_it_is_taught_again_on_a_newer_trunk(
    tmp_path: Path, house: Bundle, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a model ships with another network the bundle keeps its own, until the label is taught again."""
    one = taught(house, models, clips(tmp_path / "gate", 8)).bundle
    assert shelf.newer(one) is None
    shipped = tmp_path / "shipped"
    made_up(shipped / "house", {**TONES, "horn": [400.0]}, embedding="embedding")
    raw = yaml.safe_load((shipped / "house" / "card.yaml").read_text())
    shutil.copy(house.path / "bank.npz", shipped / "house")
    raw |= {"bank": house.raw["bank"]}
    raw["files"]["bank.npz"] = house.raw["files"]["bank.npz"]
    (shipped / "house" / "card.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    monkeypatch.setattr(bundle, "PACKAGED", shipped)
    assert shelf.newer(one) == "house"
    assert bundle.load(str(one.path)).labels == (*TONES, "gate")
    renewed = taught(one, models, again=True).bundle
    assert (renewed.path, renewed.labels) == (one.path, (*TONES, "horn", "gate"))
    assert shelf.newer(renewed) is None


def test_a_kind_of_a_label_is_not_told_from_it(tmp_path: Path, house: Bundle, models: Path) -> None:
    """What the bank holds of the label that a sound is a kind of is no background, also when it is taught again; the
    command says so where that label hears the clips; a label of which there is nothing is refused."""
    lessons.with_bank(house.path, bank.of(house).embeddings, ["noises"] * 200 + ["siren"] * 200)
    base = bundle.load(str(house.path))
    folder = clips(tmp_path / "gate", 8, lambda seed: burst(seed, 1000.0))
    against = taught(base, models, folder)
    assert any(line.endswith("teach it with --kind-of siren") for line in against.lines())
    assert "siren" in against.taught.kinds
    kind = taught(against.bundle, models, again=True, kind_of=["siren"])
    assert set(kind.taught.kinds) == {"noises", "noise"}
    again = taught(kind.bundle, models, again=True)
    assert again.bundle.card.files == kind.bundle.card.files
    line = refused(base, models, folder, name="pump", kind_of=["noise"])
    assert line == "--kind-of: the bank of house holds nothing of 'noise'; did you mean 'noises'?"


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(base: Bundle, models: Path, *paths: Path, **given: Any) -> str:
    """The one line with which a lesson is refused; nothing was written."""
    before = snapshot(models)
    with pytest.raises(AuricleError) as caught:
        taught(base, models, *paths, **given)
    (line,) = caught.value.lines()
    assert "\n" not in line
    assert snapshot(models) == before
    return line


BAD = {
    "one": (lambda folder: clips(folder, 1), "1 clip; use 5 to 500"),
    "copies": (lambda folder: clips(folder, 20, lambda seed: burst(7)), "20 clips, of which 1 differ"),
    "silence": (lambda folder: clips(folder, 6, lambda seed: np.zeros(9000)), "01.wav: silence"),
    "short": (lambda folder: clips(folder, 6, lambda seed: burst(seed)[2000:2800]), "01.wav: 0.05 s; a clip has"),
    "long": (lambda folder: clips(folder, 5, lambda seed: np.zeros(16000 * 31)), "01.wav: 31 s; a clip is one sound"),
    "nothing": (lambda folder: folder, "nothing: No such file"),
    "no sound": (lambda folder: texts(folder), "clip 1: "),
}  # fmt: skip


def texts(folder: Path) -> Path:
    """Files that are called sound and are none."""
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.wav").write_text("no sound at all")
    return folder


@pytest.mark.parametrize("what", BAD)
def test_bad_clips_are_refused_in_a_line(tmp_path: Path, house: Bundle, models: Path, what: str) -> None:
    """Too few, copies, silence, too short, too long, none, no sound: each is one line, and the bundle that was there
    stays as it was."""
    before = taught(house, models, clips(tmp_path / "gate", 8)).bundle
    make, said = BAD[what]
    assert said in refused(before, models, make(tmp_path / what), name="pump")


def test_clips_of_other_sounds_are_told_by_their_numbers(tmp_path: Path, house: Bundle, models: Path) -> None:
    """Two clips that are nothing like the others are named; they are taken when somebody says so."""

    def mixed(seed: int) -> np.ndarray:
        return sounds.varied(0.6, seed=seed) if seed in (2, 6) else burst(seed)

    folder = clips(tmp_path / "gate", 12, mixed)
    assert "clips 3 (03.wav) and 7 (07.wav) are nothing like the others" in refused(house, models, folder)
    assert taught(house, models, folder, anyway=True).bundle.labels[-1] == "gate"


def test_names_that_cannot_be(tmp_path: Path, house: Bundle, models: Path) -> None:
    """A label of the model's own, one that was taught already, and one to be renewed that never was: a line each."""
    folder = clips(tmp_path / "gate", 8)
    assert "'siren' is a label of house already; use another name" in refused(house, models, folder, name="siren")
    one = taught(house, models, folder).bundle
    assert "auricle teach gate --again, or auricle forget gate" in refused(one, models, folder)
    assert "'pump' was not taught yet" in refused(one, models, folder, name="pump", again=True)
    assert "which clips?" in refused(one, models, name="pump")


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, house: Bundle, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk fills up, however far the writing came, there is one line, and the old bundle is heard on."""
    one = taught(house, models, clips(tmp_path / "gate", 8)).bundle
    more = clips(tmp_path / "pump", 8, pump)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for target in ("shutil.copyfile", "auricle.teach.shelf.write_card", "os.fsync", "pathlib.Path.write_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(target, full)
            line = refused(one, models, more, name="pump")
        assert line.endswith("cannot be written: No space left on device; what was there is as it was")
    assert bundle.load(str(one.path)).hash == one.hash


def test_a_bundle_without_background_needs_a_room(tmp_path: Path, models: Path) -> None:
    """Without a bank a recording of the room must be long enough; a network without an embedding cannot be taught."""
    plain = bundle.load(str(made_up(tmp_path / "plain", TONES, embedding="embedding")))
    folder = clips(tmp_path / "gate", 8)
    assert "give --room a recording of" in refused(plain, models, folder)
    room = sounds.write(tmp_path / "room.wav", sounds.varied(80.0, seed=3))
    assert taught(plain, models, folder, room=room).bundle.labels[-1] == "gate"
    deaf = bundle.load(str(made_up(tmp_path / "deaf", TONES)))
    with pytest.raises(ModelError, match="its network gives no embedding to teach"):
        taught(deaf, models, folder)


def test_a_bank_that_does_not_fit_is_refused(house: Bundle) -> None:
    """Embeddings of another size, and kinds that the card does not name, are refused in a line."""
    of = bank.of(house)
    assert (len(of.kinds), set(of.kinds)) == (400, {"noises", "tones"})
    file = io.BytesIO()
    np.savez(file, embeddings=of.embeddings, kinds=np.full(400, 7, np.uint8))
    for content in (bank.packed(of.embeddings[:, :9], [0] * 400), file.getvalue(), b"nothing"):
        (house.path / "bank.npz").write_bytes(content)
        with pytest.raises(ModelError, match=r"bank\.npz"):
            bank.of(house)


def test_rates_beyond_what_was_heard_follow_the_tail() -> None:
    """Of logits that fall off exponentially, the score passed once an hour, and once a day, is the one that their law
    says, within a tenth of their spread."""
    window_s, fall = 1.6, 0.7
    logits = np.random.default_rng(0).exponential(fall, 20_000) - 4
    for per_hour in (1.0, 1 / 24):
        share = per_hour * window_s / 3600
        wanted = -4 - fall * np.log(share)
        at = judged.threshold(logits, window_s, per_hour)
        assert abs(np.log(at / (1 - at)) - wanted) < 0.1 * fall * -np.log(share)


def auricle(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "auricle", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.skipif(not plots.available(), reason="missing here: matplotlib")
def test_pictures_are_drawn(tmp_path: Path, house: Bundle, models: Path) -> None:
    """Three pictures show what was learned; a folder that cannot be written is a line."""
    found = taught(house, models, clips(tmp_path / "gate", 8))
    pictures.draw(found, tmp_path / "report")
    for name in pictures.NAMES:
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="cannot be written"):
        pictures.draw(found, tmp_path / "gate" / "01.wav")


def test_the_commands(tmp_path: Path, house: Bundle, models: Path) -> None:
    """`teach`, `teach --list` and `forget` do what they say from the command line, each mistake a line; the daemon is
    reloaded to what was taught by its name."""
    configured = tmp_path / "auricle.yaml"
    source = "sources: [{name: pipe, stdin: {rate: 16000, format: f32le}}]"
    configured.write_text(f"model: {house.path}\nmodels_dir: {models}\n{source}\n")
    folder = clips(tmp_path / "gate", 8)
    files = sorted(folder.iterdir())
    done = auricle("teach", "gate", "--clips", *files, "--json", "-c", configured)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["clips"] == 8
    listed = auricle("teach", "--list", "--json", "-c", configured)
    assert json.loads(listed.stdout) == {
        "label": "gate", "model": "house-taught", "measured": json.loads(listed.stdout)["measured"], "newer": None,
    }  # fmt: skip
    for words, said in (
        (["teach", "Gate!", "--clips", folder], "'Gate!' is no label"),
        (["teach"], "which label?"),
        (["forget", "pump"], "'pump' was not taught; taught are gate"),
    ):
        wrong = auricle(*words, "-c", configured)
        assert wrong.returncode == 2
        assert said in wrong.stderr
        assert len(wrong.stderr.splitlines()) == 1
    gone = auricle("forget", "gate", "-c", configured)
    assert (gone.returncode, gone.stderr) == (0, "")
    assert list(models.iterdir()) == []
    none = auricle("teach", "gate", "--clips", folder, "-c", sounds_only(tmp_path, source))
    assert "models_dir" in none.stderr


def sounds_only(folder: Path, source: str) -> Path:
    """A configuration without a folder of models."""
    path = folder / "plain.yaml"
    path.write_text(f"{source}\n")
    return path


def test_doctor_says_when_a_network_ships_anew(
    tmp_path: Path, house: Bundle, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle whose trunk ships with another network by now is named with what to do; it is well all the same."""
    taught(house, models, clips(tmp_path / "gate", 8))
    configured = tmp_path / "auricle.yaml"
    source = "sources: [{name: pipe, stdin: {rate: 16000, format: f32le}}]"
    configured.write_text(f"model: house-taught\nmodels_dir: {models}\n{source}\n")
    cfg = config.load(configured)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert not [finding for finding in doctor.models(cfg) if finding.what == "taught labels"]
    made_up(tmp_path / "shipped" / "house", {"horn": [400.0]}, embedding="embedding")
    monkeypatch.setattr(bundle, "PACKAGED", tmp_path / "shipped")
    (note,) = [finding for finding in doctor.models(cfg) if finding.what == "taught labels"]
    assert note.ok
    assert str(note).endswith("house ships with a newer network than gate was taught on; auricle teach gate --again")
