"""A threshold that is set while the daemon runs holds at once, over everything that is configured, and is kept; nobody
sets one who may not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from auricle import config
from auricle.client import AskStatus, AskThreshold, AskUndo, Client, Event, Overridden, Report, Scores, ask
from auricle.errors import ConfigError, StoredError, UsageError
from auricle.service.checks import load_models
from auricle.service.overrides import FILE, MOST, Kept, Overrides, read, write
from auricle.service.permits import Permits
from helpers.running import configuration, running, wait_for

TOKEN = "a token of the test"
WHO = {"node": "n", "instance": "i"}


class Held:
    """Holds overrides over a configuration, and what was brought into force by them."""

    def __init__(self, folder: Path, wanted: Mapping[str, Any]) -> None:
        (folder / "auricle.yaml").write_text(json.dumps(wanted))
        self.plain = config.load(folder / "auricle.yaml", environ={})
        self.overrides = Overrides(folder / FILE, lambda token: None)
        self.cfg = self.overrides.over(self.plain, load_models(self.plain))
        self.overrides.take_over(self.cfg)
        self.decided: Mapping[str, config.Decision] = {}

        def decide(decisions: Mapping[str, config.Decision]) -> None:
            self.decided = decisions

        self.overrides.decide = decide

    def set(self, label: str, threshold: float | None, source: str | None = None) -> Overridden:
        """Set a threshold."""
        return self.overrides.answer(AskThreshold(label=label, threshold=threshold, source=source), WHO)

    def undo(self) -> Overridden:
        """Take the last one back."""
        return self.overrides.answer(AskUndo(), WHO)

    def threshold(self, source: str, label: str) -> float | None:
        """Return what was brought into force."""
        rule = self.decided[source].labels.get(label)
        return None if rule is None else rule.threshold


def two(**more: Any) -> dict[str, Any]:
    return {
        "model": "esc10",
        "sources": [{"name": "porch", "stdin": {"rate": 16000}}, {"name": "hall", "microphone": {}}],
        **more,
    }


def test_one_source_or_all_and_one_undo(tmp_path: Path) -> None:
    """A threshold is set at a source, or at all; it is over what files say, for this label alone; the last change is
    taken back once, by whom also the file knows; null is what is configured again."""
    held = Held(tmp_path, two(decision={"labels": {"rain": {"threshold": 0.4, "min_duration_ms": 250}}}))
    assert held.set("rain", 0.7, "porch").overrides.thresholds == {"porch": {"rain": 0.7}}
    assert (held.threshold("porch", "rain"), held.threshold("hall", "rain")) == (0.7, 0.4)
    assert held.decided["porch"].labels["rain"].min_duration_ms == 250
    told = held.set("rooster", 0.3).overrides
    assert told.thresholds == {"porch": {"rain": 0.7, "rooster": 0.3}, "hall": {"rooster": 0.3}}
    assert told.undo
    anew = Held(tmp_path, two())
    assert anew.cfg.sources[0].decision.labels["rain"].threshold == 0.7
    assert anew.cfg.origins["sources[0].decision.labels.rain.threshold"] == str(tmp_path / FILE)
    assert anew.undo().overrides.thresholds == {"porch": {"rain": 0.7}}
    with pytest.raises(UsageError, match=r"^undo: there is no change of a threshold to take back"):
        anew.undo()
    assert anew.set("rain", None, "porch").overrides.thresholds == {}
    assert anew.threshold("porch", "rain") is None
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert read(tmp_path / FILE) == Kept({}, {"porch": {"rain": 0.7}})


@pytest.mark.parametrize(
    ("label", "threshold", "source", "line"),
    [
        ("rain", 0.5, "prch", "source: there is none called 'prch'; use one of porch, hall"),
        ("rainn", 0.5, None, "rainn: the model has no label 'rainn'; did you mean 'rain'?"),
        ("rain", 0.05, None, "rain: it is not above the hysteresis 0.1, so that no event would end; use a higher one"),
        ("rooster", 0.5, None, "rooster: the label raises no event here; decision.only, except and groups say which"),
        ("rain", None, None, "rain: no threshold was set, it is as configured; name one that was"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, label: str, threshold: float | None, source: str | None, line: str
) -> None:
    """A threshold that no event could have is refused in one line, and nothing changes."""
    held = Held(tmp_path, two(decision={"except": ["rooster"], "hysteresis": 0.1}))
    with pytest.raises(UsageError) as refused:
        held.set(label, threshold, source)
    assert str(refused.value).startswith(line)
    assert not held.decided
    assert not (tmp_path / FILE).exists()


def test_what_does_not_fit_any_more_waits(tmp_path: Path) -> None:
    """A source, a label or a hysteresis may be another at the next start: the daemon starts, says what is not in force,
    and has it again when it fits again."""
    write(tmp_path / FILE, Kept({"porch": {"rain": 0.7, "siren": 0.6}, "attic": {"rain": 0.5}, "hall": {"rain": 0.2}}))
    held = Held(tmp_path, two(decision={"labels": {"rain": {"threshold": 0.5, "hysteresis": 0.3}}}))
    assert held.cfg.sources[0].decision.labels["rain"].threshold == 0.7
    assert held.cfg.sources[1].decision.labels["rain"].threshold == 0.5
    waiting = held.overrides.report().waiting
    assert [line.removeprefix(f"{tmp_path / FILE}: ").partition(";")[0] for line in waiting] == [
        "porch: siren: 0.6 is not in force: the model has no label 'siren'",
        "hall: rain: 0.2 is not in force: it is not above the hysteresis 0.3, so that no event would end",
        "attic: there is no such source now",
    ]
    held.set("rain", 0.6, "hall")
    assert read(tmp_path / FILE).thresholds["porch"] == {"rain": 0.7, "siren": 0.6}


def test_many_are_bounded(tmp_path: Path) -> None:
    """The file holds so many thresholds and no more."""
    write(tmp_path / FILE, Kept({"attic": {f"label_{i}": 0.5 for i in range(MOST)}}))
    with pytest.raises(UsageError, match=f"{MOST} thresholds are set already"):
        Held(tmp_path, two()).set("rain", 0.5, "porch")


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file in which any byte is another, that is cut short, or that is none of ours, is put beside and told once;
    nothing of it is believed, and the next change writes a whole one."""
    path = tmp_path / FILE
    write(path, Kept({"porch": {"rain": 0.7}}, {}))
    whole = path.read_bytes()
    damaged = [whole[:-1], whole[:40], b"", b"thresholds: {porch: {rain: 0.2}}\n", whole + b"\n"]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    for content in damaged:
        path.write_bytes(content)
        caplog.clear()
        assert Overrides(path, lambda token: None).report().thresholds == {}
        assert [record.message.startswith(f"{path}: it is damaged, or was edited") for record in caplog.records] == [
            True
        ]
        assert (tmp_path / f"{FILE}.damaged").read_bytes() == content
        assert not path.exists()
        caplog.clear()
        Overrides(path, lambda token: None)
        assert not caplog.records
    Held(tmp_path, two()).set("rain", 0.6, "porch")
    assert read(path).thresholds == {"porch": {"rain": 0.6}}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The threshold holds, and the answer says that a restart will not know of it."""
    held = Held(tmp_path, two())
    (tmp_path / f".{FILE}.new").mkdir()
    told = held.set("rain", 0.6, "porch").overrides
    assert told.trouble is not None
    assert "a restart will not know of it" in told.trouble
    assert held.threshold("porch", "rain") == 0.6


def test_who_may(tmp_path: Path) -> None:
    """With neither keys nor token nobody may, and the line says how; with a token who shows it; with keys who is in."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    nobody = Permits(config.Publish(), keyed=False)
    for shown in (None, "", TOKEN):
        with pytest.raises(
            UsageError, match=r"with a token or a key alone; name a file .* in publish.token, or make keys"
        ):
            nobody.check(shown)
    shown_one = Permits(config.Publish(token=token), keyed=False)
    shown_one.check(TOKEN)
    for shown in (None, "", TOKEN[:-1], f"{TOKEN}s", "\udcff"):
        with pytest.raises(UsageError, match=r"^token: (none|a wrong one) is shown; publish.token has it$"):
            shown_one.check(shown)
    Permits(config.Publish(), keyed=True).check(None)
    token.write_text("short\n")
    with pytest.raises(ConfigError, match="holds fewer than 16 characters; make one by openssl"):
        Permits(config.Publish(token=token), keyed=False)


def test_the_very_next_decision(tmp_path: Path) -> None:
    """A daemon that hears decides by the new threshold from its next decision on; a reload and a kill -9 keep it,
    `config show` names the file it is from, `config check` says it, and the undo takes it back."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    wanted = configuration(tmp_path)
    wanted["publish"]["token"] = str(tmp_path / "token")
    wanted["model"] = "esc10"
    wanted["decision"] = {"threshold": 0.99, "hysteresis": 0.01, "min_duration_ms": 0}

    def change(query: str, threshold: float | None) -> Overridden:
        asked = AskThreshold(label="rain", threshold=threshold, source="porch", token=TOKEN)
        return ask(query, asked, Overridden, timeout_s=30)

    with running(tmp_path, wanted) as one, Client(one.events, topics=["event.", "score."]) as client:
        wait_for(lambda: isinstance(item := client.receive(1), Scores) and item.scores["rain"] > 0.2, "it rains")
        with pytest.raises(UsageError, match="token: none is shown"):
            ask(one.query, AskThreshold(label="rain", threshold=0.05), Overridden, timeout_s=30)
        while client.receive(0) is not None:
            pass
        change(one.query, 0.05)
        told: list[Scores | Event] = []
        while not told or isinstance(told[-1], Scores):
            told += [item for item in (client.receive(30),) if isinstance(item, Scores | Event)]
        onset = told.pop()
        # What was decided before the answer came may still be on its way.
        by = [scores.thresholds["rain"] for scores in told if isinstance(scores, Scores) and scores.thresholds]
        assert by[-1] == 0.05
        assert len(told) <= 3
        assert isinstance(onset, Event)
        assert (onset.label, onset.phase) == ("rain", "onset")
        one.hang_up()
        wait_for(lambda: "reloaded in" in one.log, "it is reloaded")
        assert ask(one.query, AskStatus(), Report, timeout_s=30).overrides.thresholds == {"porch": {"rain": 0.05}}
        assert "nothing changed" in one.log
        one.process.send_signal(signal.SIGKILL)
        one.process.wait()
    said = {}
    for command in ("show", "check"):
        said[command] = subprocess.run(
            [sys.executable, "-m", "auricle", "config", command, "-c", one.config],
            env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    file = tmp_path / "state" / FILE
    assert any("threshold: 0.05" in line and line.endswith(f"# {file}") for line in said["show"].splitlines())
    assert f"porch: rain: threshold 0.05, set while it ran, over what is configured ({file})" in said["check"]
    with running(tmp_path, wanted) as one, Client(one.events, topics=["score."]) as client:
        scores = wait_for(lambda: item if isinstance(item := client.receive(1), Scores) else None, "a decision")
        assert isinstance(scores.thresholds, dict)
        assert scores.thresholds["rain"] == 0.05
        ask(one.query, AskUndo(token=TOKEN), Overridden, timeout_s=30)

        def taken_back() -> bool:
            item = client.receive(1)
            return isinstance(item, Scores) and isinstance(item.thresholds, dict) and item.thresholds["rain"] == 0.99

        wait_for(taken_back, "it is taken back")


def test_a_file_that_is_none_is_told_by_check(tmp_path: Path) -> None:
    """Reading says what a file is that cannot be believed; `config check` warns of it and leaves it where it is."""
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / FILE
    path.write_text("thresholds: {porch: {rain: 0.2}}\n")
    with pytest.raises(StoredError):
        read(path)
    (tmp_path / "auricle.yaml").write_text("node: porch\n")
    done = subprocess.run(
        [sys.executable, "-m", "auricle", "config", "check", "-c", tmp_path / "auricle.yaml"],
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert f"warning: {path}: it is damaged, or was edited; a start sets it aside" in done.stderr
    assert path.exists()
