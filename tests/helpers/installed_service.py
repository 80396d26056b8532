"""The installed service on a machine of its own, and what tests put beside it."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

from helpers.systemd_machine import Machine

UNIT = "auricle.service"
DROPIN = f"/etc/systemd/system/{UNIT}.d/test.conf"
ENDPOINT = "tcp://127.0.0.1:5557"

SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe("")
socket.connect(sys.argv[1])
print("{}", flush=True)
while True:
    topic, payload = socket.recv_multipart()
    print('{"topic": "%s", %s' % (topic.decode(), payload.decode()[1:]), flush=True)
"""

# The daemon, with two faults to be switched on by files: a pipeline that hangs, and a source that gives nothing more.
BROKEN = """
import pathlib, sys, time
from auricle import start
from auricle.capture import recording

flags = pathlib.Path("/run/auricle")
poll = recording.Recordings.poll

def broken(self, now_s):
    if self.name == "garden" and (flags / "stall").exists():
        return iter(())
    while (flags / "hang").exists():
        time.sleep(60)
    return poll(self, now_s)

recording.Recordings.poll = broken
sys.argv[0] = "auricle"
start.main()
"""

PROBE = """
import ctypes, json, mmap, os, pathlib, socket

def tried(what):
    try:
        what()
    except OSError as e:
        return e.strerror
    return "allowed"

def unshare():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

print(json.dumps({
    "usr": tried(lambda: open("/usr/auricle-was-here", "w")),
    "etc": tried(lambda: open("/etc/auricle/auricle.yaml", "a")),
    "opt": tried(lambda: open("/opt/auricle/auricle-was-here", "w")),
    "home": tried(lambda: os.listdir("/home")),
    "root": tried(lambda: os.listdir("/root")),
    "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "packet": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "bluetooth": tried(lambda: socket.socket(31, socket.SOCK_RAW)),
    "raw": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
    "write and execute": tried(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
    "namespace": tried(unshare),
    "root again": tried(lambda: os.setuid(0)),
    "state": tried(lambda: open(os.environ["STATE_DIRECTORY"] + "/probe", "w")),
    "runtime": tried(lambda: open("/run/auricle/probe", "w")),
    "tcp": tried(lambda: socket.socket(socket.AF_INET)),
    "local": tried(lambda: socket.socket(socket.AF_UNIX)),
    "null": tried(lambda: open("/dev/null", "w")),
    "processes": [p.name for p in pathlib.Path("/proc").glob("[0-9]*") if p.name != str(os.getpid())],
}))
"""


class Service:
    """Holds the unit on the machine, and a subscriber beside it, outside its sandbox."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.heard: list[dict[str, Any]] = []
        self._listening: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def configure(self, wanted: dict[str, Any]) -> None:
        """Write the configuration; the sources play a crying baby unless told otherwise."""
        crying = {"name": "porch", "recording": {"path": "/srv/crying.wav", "speed": 1, "loop": True}}
        cfg = {
            "node": "machine",
            "sources": [crying],
            "gate": {"enabled": "off"},
            "decision": {"threshold": 0.5, "min_duration_ms": 100},
            **wanted,
        }
        self.machine.write("/etc/auricle/auricle.yaml", json.dumps(cfg))

    def dropin(self, *lines: str) -> None:
        self.machine.write(DROPIN, "\n".join(["[Service]", *lines, ""]))
        self.machine.run("systemctl", "daemon-reload")

    def start(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.machine.run("systemctl", "start", UNIT, check=check)

    def show(self, name: str) -> str:
        return self.machine.show(UNIT, name)[name]

    def journal(self, *options: str) -> str:
        return self.machine.journal(UNIT, *options)

    def listen(self) -> None:
        """Subscribe, in a process of its own with nothing of Auricle in it."""
        self._listening = self.machine.start("/opt/auricle/bin/python", "-I", "/srv/subscriber.py", ENDPOINT)
        assert self._listening.stdout is not None
        assert self._listening.stdout.readline() == "{}\n"
        self._reader = threading.Thread(target=self._read, args=(self._listening.stdout,))
        self._reader.start()

    def _read(self, stream: Any) -> None:
        self.heard.extend(json.loads(line) for line in stream)

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [message for message in list(self.heard) if message["topic"].startswith(topic)]

    def close(self) -> None:
        if self._listening is not None:
            assert self._reader is not None
            assert self._listening.stdout is not None
            self.machine.end(self._listening)
            self._reader.join(5)
            self._listening.stdout.close()
        self.machine.run("systemctl", "stop", UNIT, check=False)
        self.machine.run("systemctl", "reset-failed", UNIT, check=False)
        self.machine.run("rm", "-rf", DROPIN, "/var/lib/private/auricle")
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("journalctl", "--rotate", "--vacuum-time=1s", "-q", check=False)
