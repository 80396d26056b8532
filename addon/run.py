"""The add-on starts here: the daemon and its bridge to MQTT, with the broker that the supervisor knows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

SUPERVISOR = "http://supervisor"
DATA, OWN = Path("/data"), Path("/config/auricle.yaml")


def broker(supervisor: str, token: str) -> dict[str, Any]:
    """Ask the supervisor where the broker is and how to get in."""
    asked = Request(f"{supervisor}/services/mqtt", headers={"Authorization": f"Bearer {token}"})
    with urlopen(asked, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)["data"]
    return found


def environment(options: Mapping[str, Any], found: Mapping[str, Any], data: Path, own: Path) -> dict[str, str]:
    """Return what is set over the configuration; the password is written into a file for us alone."""
    login = data / "mqtt.login"
    login.touch(mode=0o600)
    login.write_text(f"{found['username']}\n{found['password']}\n")
    scheme = "mqtts" if found.get("ssl") else "mqtt"
    told = {"NODE": options["node"], "BRIDGES__MQTT__BROKER": f"{scheme}://{found['host']}:{found['port']}"}
    told["BRIDGES__MQTT__LOGIN"] = str(login)
    if options.get("labels"):
        told["BRIDGES__MQTT__LABELS"] = json.dumps(options["labels"])
    if not own.exists():
        told["SOURCES"] = json.dumps([{"name": "mic", "microphone": {"device": "default"}}])
    return {f"AURICLE__{name}": value for name, value in told.items()}


def main() -> int:
    """Run both until one ends or we are told to; return the exit code of the one that ended."""
    options = json.loads((DATA / "options.json").read_text())
    more = environment(options, broker(SUPERVISOR, os.environ["SUPERVISOR_TOKEN"]), DATA, OWN)
    (DATA / "state" / "mqtt").mkdir(parents=True, exist_ok=True)
    given = ["-c", str(OWN)] if OWN.exists() else []
    daemon = subprocess.Popen(["auricle", "run", *given], env={**os.environ, **more})
    of_bridge = {**os.environ, **more, "STATE_DIRECTORY": str(DATA / "state" / "mqtt")}
    bridge = subprocess.Popen(["auricle", "bridge", "mqtt", *given], env=of_bridge)
    both = {daemon.pid: daemon, bridge.pid: bridge}
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: [each.terminate() for each in both.values()])
    ended, status = os.wait()
    code = both.pop(ended).returncode = os.waitstatus_to_exitcode(status)
    for each in both.values():
        each.terminate()
        each.wait()
    return code


if __name__ == "__main__":
    sys.exit(main())
