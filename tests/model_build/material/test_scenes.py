"""Soundscapes: the truth is exact, the levels are as asked, and nothing that was trained on is in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from auricle.errors import ConfigError
from auricle.judge import truth
from auricle_build.cli import app
from auricle_build.material import scenes
from auricle_build.material.scenes import Plan
from auricle_build.material.sound import Sound

RATE = 16000


def tone(seconds: float, hz: float = 1000.0) -> Sound:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.float32)


def noise(seconds: float, seed: int = 0) -> Sound:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def stretches(*parts: Sound) -> list[tuple[float, float]]:
    return [(a / RATE, b / RATE) for a, b in scenes.active(np.concatenate(parts), RATE)]


def test_padding_is_no_event() -> None:
    """What counts is where it sounds: within 40 ms, of a tone between digital zeros, and of one over faint noise."""
    [(first, last)] = stretches(silence(1.0), tone(0.5), silence(2.0))
    assert (first, last) == pytest.approx((1.0, 1.5), abs=0.04)
    [(first, last)] = stretches(0.02 * noise(1.0), tone(0.5) + 0.02 * noise(0.5), 0.02 * noise(2.0))
    assert (first, last) == pytest.approx((1.0, 1.5), abs=0.04)
    assert stretches(silence(2.0)) == []


def test_pauses_part_sounds_and_ticks_do_not() -> None:
    """Two barks two seconds apart are two; a clock that ticks every second is one; steady rain is all of it."""
    assert len(stretches(tone(0.3), silence(2.0), tone(0.3), silence(1.0))) == 2
    [(first, last)] = stretches(*[part for _ in range(4) for part in (tone(0.04), silence(0.96))])
    assert (first, last) == pytest.approx((0.0, 3.04), abs=0.08)
    [(first, last)] = stretches(noise(5.0))
    assert (first, last) == pytest.approx((0.0, 5.0), abs=0.04)


def plan(**more: object) -> Plan:
    given = {"seconds": 60.0, "every_s": 6.0, "snr_db": (10.0, 10.0), "room": 0.0, "overlap": 0.0}
    return Plan(**{**given, **more})  # type: ignore[arg-type]


def test_the_truth_is_where_the_sound_is_and_as_loud_as_asked() -> None:
    """With the background taken away, sound is exactly within the events, and 10 dB above what it lies on."""
    events = {"beep": [np.concatenate((silence(0.7), tone(1.0), silence(1.0)))]}
    background = [noise(70.0)]
    with_events = scenes.compose(7, plan(), events, background, [])
    without = scenes.compose(7, plan(), {}, background, [])
    assert len(with_events.events) >= 8
    difference = with_events.sound.astype(np.float64) - without.sound
    inside = np.zeros(len(difference), bool)
    for event, snr_db in zip(with_events.events, with_events.snr_db, strict=True):
        first, last = round(event.onset_s * RATE), round(event.offset_s * RATE)
        inside[first:last] = True
        behind = np.mean(np.square(without.sound[first:last], dtype=np.float64))
        measured = 10 * np.log10(np.mean(np.square(difference[first:last])) / behind)
        assert snr_db == 10.0
        assert measured == pytest.approx(10.0, abs=0.1)
    assert np.abs(difference[~inside]).max() < 1e-6


def test_a_seed_is_a_scene() -> None:
    """The same seed gives the same bits and the same truth, another one another scene."""
    material = ({"beep": [tone(1.0)], "hum": [tone(2.0, 200.0)]}, [noise(20.0), noise(30.0, 1)], [tone(0.5, 3000.0)])
    one, same, other = (scenes.compose(seed, plan(room=0.5), *material) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.sound, same.sound)
    assert one.events == same.events
    assert one.events != other.events
    assert np.abs(one.sound).max() <= 0.99


def test_events_of_a_label_never_run_together() -> None:
    """Labels take turns; two of one label lie two seconds apart, and without overlap any two do."""
    material = ({"beep": [tone(1.0)], "hum": [tone(2.0, 200.0)]}, [noise(70.0)], [tone(0.5, 3000.0)])
    for overlap in (0.0, 1.0):
        found = scenes.compose(5, plan(overlap=overlap, every_s=4.0), *material).events
        for i, a in enumerate(found):
            for b in found[i + 1 :]:
                if a.label == b.label or not overlap:
                    assert b.onset_s >= a.offset_s + 2.0 or a.onset_s >= b.offset_s + 2.0
    assert {event.label for event in found} == {"beep", "hum"}


def test_a_room_rings_after_the_event_not_before() -> None:
    """The onset stays where it is, and the tail is outside the truth."""
    events = {"beep": [tone(1.0)]}
    wet = scenes.compose(9, plan(room=1.0, every_s=30.0), events, [noise(70.0)], [])
    without = scenes.compose(9, plan(), {}, [noise(70.0)], [])
    difference = np.abs(wet.sound.astype(np.float64) - without.sound)
    first, last = round(wet.events[0].onset_s * RATE), round(wet.events[0].offset_s * RATE)
    assert difference[:first].max() < 1e-6
    assert difference[last : last + RATE // 10].max() > 1e-4
    behind = np.mean(np.square(without.sound[first:last], dtype=np.float64))
    level_db = 10 * np.log10(np.mean(np.square(difference[first:last])) / behind)
    assert level_db == pytest.approx(10.0, abs=0.1), "as loud as asked for, whatever the room adds"


def test_negatives_hold_every_foreign_sound_once() -> None:
    """Each is where the list says, none twice, without the zeros that it was padded with."""
    sounds = [np.concatenate((tone(0.5 + i / 10, 500.0 * (i + 1)), silence(1.0))) for i in range(4)]
    mixed, what = scenes.medley(1, sounds, list("abcd"), RATE, (-30.0, -20.0))
    assert sorted(event.label for event in what) == list("abcd")
    assert what[-1].offset_s == pytest.approx(len(mixed) / RATE)
    assert len(mixed) / RATE == pytest.approx(0.5 + 0.6 + 0.7 + 0.8, abs=0.06)
    for event in what:
        part = mixed[round(event.onset_s * RATE) : round(event.offset_s * RATE)]
        loudest = np.fft.rfftfreq(len(part), 1 / RATE)[np.abs(np.fft.rfft(part)).argmax()]
        assert loudest == pytest.approx(500.0 * ("abcd".index(event.label) + 1), abs=5)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe whose folds and held-out set can be told apart by pitch."""
    rows = ["file,fold,label"]
    (tmp_path / "data" / "places").mkdir(parents=True)
    for fold in (1, 2):
        for label, hz in (("beep", 1000.0 * fold), ("foreign", 300.0 * fold)):
            for take in range(2):
                name = f"{fold}-{fold}{label}-{take}.wav"
                soundfile.write(tmp_path / "data" / name, 0.3 * tone(1.0, hz), RATE)
                rows.append(f"{name},{fold},{label}")
    (tmp_path / "data" / "t.csv").write_text("\n".join(rows) + "\n")
    for i in range(20):
        soundfile.write(tmp_path / "data" / "places" / f"p{i}.wav", noise(3.0, i), RATE)
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "name: mini\nlabels: [beep, background]\nbackground: background\nseed: 1\n"
        "front_end: {sample_rate: 16000, n_fft: 512, hop_length: 160, features: [{kind: log_mel, n_mels: 8}]}\n"
        f"data:\n  root: {tmp_path}/data\n  held_out: [5]\n  sets:\n"
        "    - {name: clips, reader: table, path: t.csv, licence: x, source: y}\n"
        "    - {name: ambient, reader: folders, path: places, licence: x, source: y}\n"
        "network: {columns: 4, layers: [[conv, [4, 8], [2, 1], 4]]}\n"
        "schedule: {steps: 10, check_every: 10, learning_rate: 0.001}\n"
    )
    return file


def test_only_what_the_model_never_saw(recipe: Path) -> None:
    """Of the folds asked for and of those that the recipe holds out: events, foreign sounds and places, no others."""
    from auricle_build.grammar.read import load

    rec = load(recipe)
    found = scenes.material(rec, [2], rec.data.folder(None))
    assert {clip.path.name[0] for clip in found.events["beep"]} == {"2"}
    assert {clip.path.name[0] for clip in found.foreign} == {"2"}
    assert found.backgrounds
    assert {clip.fold for clip in found.backgrounds} <= {2, 5}
    none = scenes.material(rec, [], rec.data.folder(None))
    assert not none.events["beep"]
    assert not none.foreign
    rec = dataclasses.replace(rec, data=dataclasses.replace(rec.data, sets=rec.data.sets[:-1]))
    with pytest.raises(ConfigError, match="no background"):
        scenes.material(rec, [2], rec.data.folder(None))


def test_events_of_chosen_labels_alone(recipe: Path) -> None:
    """What is of other labels becomes foreign; a label that is not known, or has no recordings, is refused."""
    from auricle_build.grammar.read import load

    recipe.write_text(recipe.read_text().replace("[beep, background]", "[beep, foreign, hum, background]"))
    rec = load(recipe)
    root = rec.data.folder(None)
    every = scenes.material(rec, [2], root)
    assert set(every.events) == {"beep", "foreign", "hum"}
    assert not every.foreign
    chosen = scenes.material(rec, [2], root, ["beep"])
    assert chosen.events == {"beep": every.events["beep"]}
    assert chosen.foreign == every.events["foreign"]
    assert chosen.backgrounds == every.backgrounds
    assert chosen.quiet >= set(chosen.foreign)
    with pytest.raises(ConfigError, match="--label: 'beap' is none of the labels; did you mean 'beep'"):
        scenes.material(rec, [2], root, ["beap"])
    with pytest.raises(ConfigError, match="--label: no recordings of hum among the folds"):
        scenes.material(rec, [2], root, ["hum"])


def test_the_command_writes_scenes_with_their_truth(recipe: Path, tmp_path: Path) -> None:
    """FLAC at the front end's rate, beside each its truth as `auricle` reads it; negatives in their own folder."""
    out = tmp_path / "out"
    arguments = ["scenes", str(recipe), "--out", str(out), "--fold", "2", "--number", "2", "--minutes", "0.5"]
    result = CliRunner().invoke(app, [*arguments, "--every", "5", "--negatives"])
    assert result.exit_code == 0, result.output
    recordings = sorted(str(path) for path in out.glob("*.flac"))
    assert [soundfile.info(path).duration for path in recordings] == [30.0, 30.0]
    files = truth.find(out, recordings)
    assert all({event.label for event in truth.read(file)} == {"beep"} for file in files.values())
    assert (out / "negatives" / "foreign.flac").exists()
    assert {event.label for event in truth.read(out / "negatives" / "foreign.txt")} == {
        "foreign 2-2foreign-0",
        "foreign 2-2foreign-1",
    }
