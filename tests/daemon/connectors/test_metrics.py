"""The bridge to Prometheus: its figures, by its own parser and by a real Prometheus, and who may fetch them."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from auricle.config import load
from auricle.connectors.figures import MOST_LABELS, Figures
from auricle.errors import ConfigError
from auricle.messages import decode
from auricle.messages.topics import examples
from helpers.bridged import House, house
from helpers.broker import free_port

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "config" / "monitoring"
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]

pytestmark = [pytest.mark.timeout(180)]


def fetch(port: int, *, token: str | None = None, path: str = "/metrics") -> str:
    """What is served there."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def values(text: str) -> Values:
    """Every sample by name and labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


@contextmanager
def served(folder: Path, **more: Any) -> Iterator[tuple[House, int]]:
    """A daemon and a bridge that serves its figures."""
    port = free_port()
    with house(folder, {"metrics": {"listen": f"127.0.0.1:{port}", **more}}) as here:
        here.start("metrics")
        here.until(lambda: here.notified.get("STATUS") == "the daemon is heard", "it is there")
        yield here, port


def test_figures_are_what_the_daemon_says(tmp_path: Path) -> None:
    """Events a source and label, gaps by cause, counters, states, level, latency, model and version; when the daemon
    dies it is not up and no source is heard, and what it counted stays."""
    with served(tmp_path) as (here, port):
        for label in ("rain", "rain", "siren"):
            here.here.event("onset", label)
            here.here.event("offset", label)
        here.here.status("lost", "hall")
        here.here.lanes[1].told.state = "lost"

        def now() -> Values:
            return values(fetch(port))

        def get(name: str, **labels: str) -> float | None:
            return now().get((name, tuple(sorted(labels.items()))))

        here.until(lambda: get("auricle_events_total", source="porch", label="siren") == 1, "events")
        assert get("auricle_events_total", source="porch", label="rain") == 2
        here.until(lambda: get("auricle_source_state", source="hall", state="lost") == 1, "states")
        assert get("auricle_hearing", source="hall") == 0
        assert get("auricle_hearing", source="porch") == 1
        assert get("auricle_up") == 1
        here.until(lambda: get("auricle_level_dbfs", source="porch") == -30, "the level")
        assert get("auricle_decisions_total", source="porch") == 1
        assert get("auricle_latency_seconds_count", source="porch") == 6
        assert get("auricle_latency_seconds_bucket", source="porch", le="0.01") == 6
        assert get("auricle_model_info", source="porch", model="test", hash="0" * 12) == 1
        assert [key for key in now() if key[0] == "auricle_info" and ("node", "test") in key[1]]
        here.kill_daemon()
        here.until(lambda: get("auricle_up") == 0, "it is away")
        assert get("auricle_hearing", source="porch") == 0
        assert get("auricle_level_dbfs", source="porch") is None
        assert get("auricle_events_total", source="porch", label="rain") == 2
        assert here.stop() == 0


def test_a_token_lets_in(tmp_path: Path) -> None:
    """With a token in a file: nobody without it, and it is in no log; another path is none."""
    (tmp_path / "token").write_text("a secret token\n")
    with served(tmp_path, token=str(tmp_path / "token")) as (here, port):
        for token in (None, "", "another", "a secret tokeN", "a secret token and more"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                fetch(port, token=token)
        assert "auricle_up 1.0" in fetch(port, token="a secret token")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(port, token="a secret token", path="/")
        assert "a secret token" not in here.log


def test_those_who_never_end_hold_up_nobody(tmp_path: Path) -> None:
    """Connections that say nothing are cut off after 5 s; meanwhile no more than 16 are answered at a time, and then
    everybody is again."""
    with served(tmp_path) as (here, port):
        quiet = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]

        def answered() -> bool:
            try:
                return "auricle_up" in fetch(port)
            except OSError:
                return False

        here.until(answered, "it answers")
        for each in quiet:
            each.close()


def test_an_address_of_others_wants_a_token(tmp_path: Path) -> None:
    """Without a token an address that is no loopback is refused by `run` too; one that is in use is a line, and 78."""
    path = tmp_path / "auricle.yaml"
    path.write_text("bridges: {metrics: {listen: '0.0.0.0:9557'}}\n")
    with pytest.raises(ConfigError, match=r"'0\.0\.0\.0:9557' can be reached from other machines; give a token"):
        load(path, environ={})
    path.write_text("bridges: {metrics: {listen: '0.0.0.0:9557', token: none}}\n")
    assert load(path, environ={}).bridges.metrics.token == tmp_path / "none", "the file is not looked for"
    with socket.create_server(("127.0.0.1", 0)) as taken, house(tmp_path, {}) as here:
        port = taken.getsockname()[1]
        here.config.write_text(json.dumps({"bridges": {"metrics": {"listen": f"127.0.0.1:{port}"}}}))
        here.start("metrics")
        assert here.process is not None
        here.until(lambda: here.process and here.process.poll() is not None, "it ends")
        assert here.process.returncode == 78
        assert here.log == (
            f"auricle: error: bridges.metrics.listen: 127.0.0.1:{port}: Address already in use; name another\n"
        )


def test_labels_are_bounded() -> None:
    """However many sources and labels come, so many are told apart; the others are counted together."""
    figures, registry = Figures(), CollectorRegistry()
    registry.register(figures)
    event = decode(next(text for name, text in examples().items() if name.startswith("event.")))
    for n in range(MOST_LABELS + 7):
        figures.take(msgspec.structs.replace(event, phase="onset", source=f"source {n}", label=f"label_{n}"))
    (found,) = [family for family in registry.collect() if family.name == "auricle_events"]
    assert len(found.samples) == MOST_LABELS + 1
    assert {sample.value for sample in found.samples if sample.labels["source"] == "other"} == {7}
    assert all(len(family.samples) <= 16 * MOST_LABELS for family in registry.collect())


def names(expression: str) -> set[str]:
    """The metrics that an expression of Prometheus is about."""
    return set(re.findall(r"\bauricle_\w+", expression))


def test_the_examples_ask_for_what_there_is(tmp_path: Path) -> None:
    """Every metric in the dashboard, in the alerts and in docs/monitoring.md is served, and every one served is in the
    docs."""
    with served(tmp_path) as (here, port):
        here.here.event("onset")
        here.until(lambda: "auricle_latency_seconds_count" in fetch(port), "events are counted")
        here.until(lambda: "auricle_cpu_ratio" in fetch(port), "figures are told")
        there = {family.name for family in text_string_to_metric_families(fetch(port))}
        there |= {name for name, _ in values(fetch(port))}
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"] for name in names(target["expr"])}
    rules = yaml.safe_load((MONITORING / "auricle.rules.yml").read_text())
    asked |= {name for group in rules["groups"] for rule in group["rules"] for name in names(rule["expr"])}
    docs = set(re.findall(r"`(auricle_\w+)`", (ROOT / "docs" / "monitoring.md").read_text()))
    # Figures that the daemon of this test does not have: it has heard nothing for a percentile, nor lost anything.
    absent = {"auricle_latency_p99_seconds", "auricle_gaps_total", "auricle_gap_seconds_total"}
    assert asked | docs <= there | absent
    assert {name for name in there if name.endswith(("_total", "_info")) or name == "auricle_up"} <= docs
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 5


def test_a_real_prometheus_scrapes_it(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """Prometheus takes the examples of configuration and alerts, scrapes the bridge, and fires when it is deaf."""
    require(shutil.which("prometheus") is not None and shutil.which("promtool") is not None, "prometheus")
    for name in ("prometheus.yml", "auricle.rules.yml"):
        shutil.copy(MONITORING / name, tmp_path / name)
    subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)
    with served(tmp_path) as (here, port):
        wanted = (tmp_path / "prometheus.yml").read_text()
        (tmp_path / "prometheus.yml").write_text(wanted.replace("9557", str(port)).replace("15s", "1s"))
        at = free_port()
        prometheus = subprocess.Popen(
            [
                "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
                f"--web.listen-address=127.0.0.1:{at}",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

        def asked(query: str) -> list[Any]:
            try:
                told = json.loads(fetch(at, path=f"/api/v1/query?query={query}"))
            except OSError:
                return []
            found: list[Any] = told["data"]["result"]
            return found

        try:
            here.here.event("onset", "rain")
            query = "auricle_events_total"
            here.until(lambda: asked(query), "it has scraped")
            (found,) = asked(query)
            assert (found["metric"]["source"], found["metric"]["label"], found["value"][1]) == ("porch", "rain", "1")
            assert [each["value"][1] for each in asked("auricle_hearing")] == ["1", "1"]
            for lane in here.here.lanes:
                lane.told.state = "lost"
            expression = "max_over_time(auricle_hearing%5B2s%5D)"
            here.until(
                lambda: [each["value"][1] for each in asked(expression)] == ["0", "0"], "deaf, as the alert asks"
            )
        finally:
            prometheus.kill()
            prometheus.wait()
