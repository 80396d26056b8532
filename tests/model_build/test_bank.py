"""A bank holds background of every label alike, of what a recipe trains on and nothing that it holds out; and what is
taught with it is judged as it says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from auricle.model import bundle
from auricle.teach import bank as banks
from auricle.teach.embedding import Trunk
from auricle_build import bank
from auricle_build.material.clips import Clip
from auricle_build.reports import embedded, teach_report
from helpers import sounds
from helpers.bundles import made_up, tone

TONES = {"siren": [1000.0]}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A bundle with an embedding."""
    return made_up(tmp_path / "house", TONES, embedding="embedding")


def clip(folder: Path, label: str, fold: int, hz: float, origin: str = "tones") -> Clip:
    """A recording of a tone."""
    folder.mkdir(exist_ok=True)
    path = sounds.write(folder / f"{label}-{fold}-{hz:g}.wav", tone(hz, seconds=0.6))
    return Clip(path, label, path.stem, fold, origin=origin)


def test_every_label_and_every_place_has_as_many(tmp_path: Path, house: Path) -> None:
    """However many recordings a label has, it has as many windows as any other, and so has each recording of a place;
    the same again gives the same."""
    trunk = Trunk(bundle.load(str(house)))
    clips = [clip(tmp_path / "a", "bell", 1, 300.0 + i) for i in range(7)]
    clips += [
        clip(tmp_path / "a", "pump", 1, 900.0),
        *(clip(tmp_path / "a", "rooms", i, 50.0, "places") for i in (1, 2)),
    ]
    embeddings, kinds = bank.made(trunk, clips, {"places"}, 40)
    assert embeddings.shape == (40, trunk.card.embedding.size if trunk.card.embedding else 0)
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
        ["bell", "pump", "rooms-1-50", "rooms-2-50"], 10
    )
    np.testing.assert_array_equal(bank.made(trunk, clips, {"places"}, 40)[0], embeddings)


def test_it_is_written_into_a_bundle(tmp_path: Path, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle holds afterwards, with the bank and its kinds; nothing of a fold that is held out is in it."""
    clips = [
        clip(tmp_path / "a", label, fold, hz) for label, hz in (("bell", 300.0), ("pump", 900.0)) for fold in (1, 2)
    ]
    kept_aside = clip(tmp_path / "a", "secret", 5, 2000.0)
    monkeypatch.setattr(bank.material, "read", lambda sets, root: [*clips, kept_aside])
    sets = [SimpleNamespace(name="tones", place=False)]
    recipe: Any = SimpleNamespace(data=SimpleNamespace(sets=sets, held_out=[5]))
    opened = bank.write(recipe, house, root=tmp_path, vectors=200)
    of = banks.of(opened)
    assert (len(of.kinds), set(of.kinds)) == (200, {"bell", "pump"})
    assert set(of.without("bell").kinds) == {"pump"}


def test_precision_is_that_of_its_definition() -> None:
    """Two of four, first and third: the mean of 1 and 2/3. All first: 1."""
    assert teach_report.average_precision(np.array([4.0, 2.0]), np.array([3.0, 1.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert teach_report.average_precision(np.array([4.0, 3.0]), np.array([2.0, 1.0])) == 1


def test_a_figure_has_the_interval_of_its_draws() -> None:
    """Of five draws the mean comes with Student's interval, of fewer alone, of none nothing."""
    assert str(teach_report.Figure([0.5, 0.6, 0.7, 0.6, 0.6])) == "0.60 (0.51 to 0.69)"
    assert str(teach_report.Figure([0.5, 0.7])) == "0.60"
    assert str(teach_report.Figure([])) == "-"


def scene(folder: Path) -> Path:
    """Ten seconds of hush in which two bells and another tone sound."""
    folder.mkdir()
    sound = (1e-4 * np.random.default_rng(1).standard_normal(160_000)).astype(np.float32)
    for begin_s, hz in ((2, 4050.0), (5, 1500.0), (7, 4020.0)):
        sound[begin_s * 16000 : begin_s * 16000 + 9600] += tone(hz, seconds=0.6)
    sounds.write(folder / "one.wav", sound)
    (folder / "one.txt").write_text("2\t2.6\tbell\n5\t5.6\tother_1\n7\t7.6\tbell\n")
    return folder


def test_a_class_is_taught_and_judged(tmp_path: Path, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tone among other tones is told from them, alone and in a scene: the page has a row for it, near 1."""
    rng = np.random.default_rng(0)
    clips = [clip(tmp_path / "a", "bell", i % 4 + 1, 4000.0 + 10 * i) for i in range(12)]
    clips += [clip(tmp_path / "a", f"other_{i % 5}", i % 4 + 1, float(rng.uniform(200, 3000))) for i in range(40)]
    made = bank.made
    monkeypatch.setattr(teach_report.material, "read", lambda sets, root: clips)
    monkeypatch.setattr(embedded.bank, "made", lambda trunk, clips, places, n, say: made(trunk, clips, places, 100))
    sets = [SimpleNamespace(name="tones", place=False, label=None)]
    recipe: Any = SimpleNamespace(data=SimpleNamespace(sets=sets, held_out=[]))
    page = teach_report.of(
        recipe, bundle.load(str(house)), root=tmp_path, only=["bell"], numbers=(6, 3), least=12,
        scenes=scene(tmp_path / "scenes"), fold=4, cache=tmp_path / "cache", say=lambda line: None,
    )  # fmt: skip
    (row,) = [line for line in page if line.startswith("| bell")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["bell", "12", "12"]
    assert float(cells[3].split()[0]) > 0.9
    assert cells[5] == "2"
    assert float(cells[6].split()[0]) > 0.9
