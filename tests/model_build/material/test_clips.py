"""Readers, and splits that never leak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.errors import AudioError, ConfigError
from auricle_build.grammar.material import ClipSet
from auricle_build.material import clips, rows, scenes, sound
from auricle_build.material.clips import Clip


def wav(path: Path, seconds: float = 0.1, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, 0.1 * rng.standard_normal(int(seconds * rate)), rate)
    return path


def test_esc50_official_layout(tmp_path: Path) -> None:
    """ESC-50's own table and folder are read; ESC-10 is a part of it; the source file is the group."""
    wav(tmp_path / "audio" / "1-100032-A-0.wav")
    wav(tmp_path / "audio" / "2-118072-A-7.wav")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-100032-A-0.wav,1,0,dog,True,100032,A\n2-118072-A-7.wav,2,7,hen,False,118072,A\n"
    )
    every, ten = clips.read_esc50(tmp_path), clips.read_esc50(tmp_path, esc10=True)
    assert [(c.label, c.group, c.fold) for c in every] == [("dog", "100032", 1), ("hen", "118072", 2)]
    assert [c.label for c in ten] == ["dog"]


def test_esc10_official_layout(tmp_path: Path) -> None:
    """A folder a class, 'NNN - Name'; fold and source are in the file's name."""
    wav(tmp_path / "001 - Dog bark" / "1-30226-A.wav")
    wav(tmp_path / "010 - Rain" / "3-17367-B.wav")
    found = clips.read_esc10(tmp_path)
    assert [(c.label, c.group, c.fold) for c in found] == [("dog_bark", "30226", 1), ("rain", "17367", 3)]


def test_table_with_source_in_the_name_and_with_group(tmp_path: Path) -> None:
    """Our layout: file, fold, label; or a group of one's own, from which the fold follows."""
    table = tmp_path / "t.csv"
    table.write_text("file,fold,label\ndog/1-77-A.ogg,1,dog\ndog/1-77-B.ogg,1,dog\n")
    assert {c.group for c in clips.read_table(table)} == {"77"}
    table.write_text("file,label,group,onset,offset\na.wav,dog,porch,0.5,1.25\nb.wav,dog,porch,,\n")
    a, b = clips.read_table(table)
    assert (a.onset_s, a.offset_s, b.onset_s, b.offset_s) == (0.5, 1.25, 0.0, None)
    assert a.fold == b.fold == clips.fold_of("porch")


def test_labels_that_are_left_out(tmp_path: Path) -> None:
    """Of a label that is left out nothing is taken, whether the set calls it so or the recipe."""
    for name in ("dog-1.wav", "hen-1.wav", "cat-1.wav"):
        wav(tmp_path / "sounds" / name.partition("-")[0] / name)
    entry = ClipSet(
        name="own", reader="folders", path="sounds", licence="CC0", source="own", relabel={"hen-1.wav": "dog"},
        leave_out=("dog",),
    )  # fmt: skip
    assert [clip.label for clip in clips.read([entry], tmp_path)] == ["cat"]


def test_table_errors_name_file_and_line(tmp_path: Path) -> None:
    """A missing column or a number that is none is said with its place."""
    table = tmp_path / "t.csv"
    table.write_text("file,what\na.wav,dog\n")
    with pytest.raises(ConfigError, match=r"t\.csv:1: no column label"):
        clips.read_table(table)
    table.write_text("file,label,onset,offset\na.wav,dog,2.0,1.0\n")
    with pytest.raises(ConfigError, match=r"t\.csv:2: onset 2 and offset 1\.0"):
        clips.read_table(table)
    table.write_text("file,label,onset\na.wav,dog,early\n")
    with pytest.raises(ConfigError, match=r"t\.csv:2: 'early' is not a number"):
        clips.read_table(table)


def test_fsdd_groups_by_speaker(tmp_path: Path) -> None:
    """All takes of a speaker have one fold."""
    for name in ("0_george_0.wav", "9_george_3.wav", "4_lucas_1.wav"):
        wav(tmp_path / name)
    found = clips.read_fsdd(tmp_path)
    assert [(c.label, c.group) for c in found] == [("zero", "george"), ("four", "lucas"), ("nine", "george")]
    assert found[0].fold == found[2].fold


@pytest.mark.parametrize(("reader", "name"), [("fsdd", "george_0.wav"), ("esc10", "001 - Dog bark/bark.wav")])
def test_a_file_of_another_name_is_told(tmp_path: Path, reader: str, name: str) -> None:
    """In a layout whose names carry label or fold, a file without them is an error that names it."""
    wav(tmp_path / name)
    with pytest.raises(ConfigError, match=Path(name).name):
        clips.READERS[reader](tmp_path)


def test_sound_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    """A recording in a format that nothing here decodes is taken up, and told when it is read."""
    (tmp_path / "mine" / "knock").mkdir(parents=True)
    (tmp_path / "mine" / "knock" / "phone.m4a").write_bytes(b"no sound at all")
    (found,) = clips.read_folders(tmp_path / "mine")
    features = rows.Features({"sample_rate": 8000, "n_fft": 256, "hop_length": 80, "features": [{"kind": "rms"}]}, 10)
    _, _, failed = rows.load_all(features, [found])
    assert len(failed) == 1
    assert "phone.m4a" in failed[0]


def test_folders_take_their_names(tmp_path: Path) -> None:
    """A folder a class, of any depth below it; anything that is no sound is passed over."""
    root = tmp_path / "mine"
    wav(root / "knock" / "a.wav")
    wav(root / "knock" / "old" / "b.wav")
    wav(root / "loose.wav")
    (root / "knock" / "notes.txt").write_text("none")
    assert sorted((c.path.name, c.label) for c in clips.read_folders(root)) == [
        ("a.wav", "knock"),
        ("b.wav", "knock"),
        ("loose.wav", "mine"),
    ]


def test_audacity_labels(tmp_path: Path) -> None:
    """Onset, offset and label by tabs; lines of frequencies are passed over; the recording lies beside."""
    wav(tmp_path / "night.wav", 3.0)
    labels = tmp_path / "night.txt"
    labels.write_text("0.5\t1.25\towl\n\\\t200\t900\n2.0\t2.5\tfox\n")
    found = clips.read_annotated(labels)
    assert [(c.label, c.onset_s, c.offset_s) for c in found] == [("owl", 0.5, 1.25), ("fox", 2.0, 2.5)]
    assert len({(c.group, c.fold) for c in found}) == 1
    assert len(sound.load(found[0].path, 16000, found[0].onset_s, found[0].offset_s)) == 12000
    labels.write_text("0.5 1.25 owl\n")
    with pytest.raises(ConfigError, match=r"night\.txt:1"):
        clips.read_annotated(labels)


def test_a_folder_of_scenes_is_material_to_train_on(tmp_path: Path) -> None:
    """What `auricle-build scenes` writes, negatives among it, is read again: every event of every recording."""
    rng = np.random.default_rng(1)
    for name, seconds in (("bark", 2.0), ("wind", 9.0), ("gull", 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(int(16000 * seconds)), 16000)
    clip = {name: Clip(tmp_path / f"{name}.wav", name, name, 1) for name in ("bark", "wind", "gull")}
    chosen = scenes.Material(
        {"bark": [clip["bark"]]}, [clip["wind"]], [clip["gull"]], frozenset({clip["wind"], clip["gull"]})
    )
    plan = scenes.Plan(20.0, every_s=8.0)
    scenes.write(tmp_path / "made", chosen, plan, seed=1, number=2, negatives=True, say=lambda _: None)
    found = clips.read(
        [ClipSet(name="scenes", reader="annotated", path="made", licence="CC0", source="code")], tmp_path
    )
    assert [c.path.name for c in found if c.label == "bark"] == ["scene-001.flac"] * 2 + ["scene-002.flac"] * 2
    assert [c.path.name for c in found if c.label.startswith("gull")] == ["foreign.flac"]
    for c in found:
        assert c.offset_s is not None
        assert len(sound.load(c.path, 16000, c.onset_s, c.offset_s)) == round((c.offset_s - c.onset_s) * 16000)


def test_raven_selection_table(tmp_path: Path) -> None:
    """One clip a selection, though Raven writes one line for each view of it."""
    wav(tmp_path / "marsh.wav", 2.0)
    table = tmp_path / "marsh.Table.1.selections.txt"
    table.write_text(
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation\n"
        "1\tWaveform 1\t0.1\t0.6\tfrog\n1\tSpectrogram 1\t0.1\t0.6\tfrog\n2\tWaveform 1\t1.0\t1.5\theron\n"
    )
    found = clips.read_annotated(table)
    assert [(c.label, c.onset_s, c.offset_s) for c in found] == [("frog", 0.1, 0.6), ("heron", 1.0, 1.5)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), min_size=1), st.sets(st.integers(1, 5)))
def test_split_by_drawn_folds_never_parts_a_group(takes: list[tuple[str, int]], held: set[int]) -> None:
    """Whatever is held out, no group is on both sides, and no clip is lost."""
    every = [Clip(Path(f"{g}{k}.wav"), "x", g, clips.fold_of(g), origin="s") for g, k in takes]
    train, kept, known = clips.split(every, held)
    assert not {c.group for c in train} & {c.group for c in kept}
    assert len(train) + len(kept) == len(every)
    assert not known


def test_a_source_that_two_sets_share_is_not_judged_by(tmp_path: Path) -> None:
    """One recording cut into a rooster of one set and a hen of another: trained on from one, it leaves the judged."""
    rooster = Clip(Path("3-134049-A.wav"), "rooster", "134049", 3, origin="ESC-10")
    hen = Clip(Path("2-134049-B.wav"), "hen", "134049", 2, origin="ESC-50")
    other = Clip(Path("3-7-A.wav"), "rooster", "7", 3, origin="ESC-10")
    assert clips.split([rooster, hen, other], [3]) == ([hen], [other], [rooster])
    assert clips.split([rooster, hen, other], [2, 3]) == ([], [rooster, hen, other], [])


def test_split_that_leaks_is_refused() -> None:
    """Given folds that part the takes of one source are an error, not a habit."""
    every = [Clip(Path("a.wav"), "x", "porch", 1, origin="s"), Clip(Path("b.wav"), "x", "porch", 2, origin="s")]
    with pytest.raises(ConfigError, match="porch"):
        clips.split(every, [2])


def test_poor_labels_are_said_before_training() -> None:
    """Every label with too few clips is named with its count."""
    every = [Clip(Path(f"{i}.wav"), "dog", str(i), 1) for i in range(5)] + [Clip(Path("c.wav"), "cat", "c", 1)]
    with pytest.raises(ConfigError) as caught:
        clips.check_counts(every, ["dog", "cat", "hen"], 4)
    assert [p.split(";")[0] for p in caught.value.problems] == [
        "cat: 1 clips to train on",
        "hen: 0 clips to train on",
    ]


def test_unreadable_recordings_are_named_and_counted(tmp_path: Path) -> None:
    """Empty, mislabelled and missing files are left out by name; the good one is read."""
    good = wav(tmp_path / "good.wav", 0.5)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not sound")
    every = [
        Clip(p, "x", p.stem, 1) for p in (good, tmp_path / "empty.wav", tmp_path / "text.wav", tmp_path / "no.wav")
    ]
    features = rows.Features(FRONT_END, 20)
    read, found, failed = rows.load_all(features, every)
    assert [c.path.name for c in read] == ["good.wav"]
    assert len(found) == 1
    assert [name for name in ("empty.wav", "text.wav", "no.wav") if any(name in line for line in failed)] == [
        "empty.wav",
        "text.wav",
        "no.wav",
    ]
    assert len(failed) == 3


FRONT_END = {
    "sample_rate": 16000,
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "features": [{"kind": "log_mel", "n_mels": 64, "fmin": 50.0, "fmax": 7200.0}],
}


def test_cached_rows_are_those_computed(tmp_path: Path) -> None:
    """A second reading comes from the cache and is the same; another front end has a place of its own."""
    clip = Clip(wav(tmp_path / "a.wav", 0.5), "x", "a", 1)
    cached = rows.Features(FRONT_END, 20, tmp_path / "cache")
    first, second = cached.load(clip), cached.load(clip)
    np.testing.assert_array_equal(first, second, strict=True)
    np.testing.assert_array_equal(first, rows.Features(FRONT_END, 20).load(clip), strict=True)
    n = len(list((tmp_path / "cache").rglob("*.npy")))
    rows.Features({**FRONT_END, "hop_length": 320}, 20, tmp_path / "cache").load(clip)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == n + 1


def test_short_sound_is_repeated_and_digital_silence_found() -> None:
    """Padding repeats the recording; the sounding part leaves out zeros at both ends."""
    tone = np.sin(np.arange(800) * 0.3).astype(np.float32)
    np.testing.assert_array_equal(sound.wrap(tone, 2000), np.resize(tone, 2000))
    padded = np.concatenate([np.zeros(1600, np.float32), tone, np.zeros(3200, np.float32)])
    assert sound.sounding(padded) == (1600, 2400)


def test_missing_recording_is_one_line(tmp_path: Path) -> None:
    """An error names the file and fits on one line."""
    with pytest.raises(AudioError, match=r"no\.wav") as caught:
        sound.load(tmp_path / "no.wav", 16000)
    assert "\n" not in str(caught.value)
