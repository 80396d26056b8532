"""What is not there at a start and comes later: `run` waits for it and hears meanwhile; others say so and end."""

from __future__ import annotations

import os
import shutil
import socket as sockets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zmq

from auricle.client import AskStatus, Client, Report, Scores, ask
from auricle.publish.endpoint import bind
from auricle.publish.holder import holder
from helpers.sounds import RATE, write
from helpers.supervised import supervised, until

LISTENER = """
import socket, sys
held = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(held.getsockname()[1], flush=True)
sys.stdin.read()
"""
LOOPBACK = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:
    at = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(sys.argv[1]))
    fcntl.ioctl(any, 0x8916, struct.pack("16s16s8x", b"lo", at))  # SIOCSIFADDR
    fcntl.ioctl(any, 0x8914, struct.pack("16sH22x", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
"""
"""Gives the loopback of a network of its own an address, as an interface gets one when it comes up."""
INSIDE = """
mount --bind "$1" /etc/hosts
"$2" -I -c "$3" 127.0.0.1
shift 3
exec "$@"
"""


def listener(port: int = 0) -> tuple[subprocess.Popen[str], int]:
    """Another program that listens on a port of loopback, and the port."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", LISTENER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_port_in_use_is_waited_for(tmp_path: Path) -> None:
    """While another program has the port, the daemon hears, and says whose it is; then it publishes there."""
    other, port = listener()
    endpoint = f"tcp://127.0.0.1:{port}"
    try:
        with supervised(tmp_path, publish={"endpoint": endpoint}) as one:
            one.until_status(f"process {other.pid}")
            assert f"{endpoint}: cannot be bound: Address already in use" in one.status
            one.until_ready()
            report = ask(one.query, AskStatus(), Report)
            assert report.sources["porch"].state == "running"
            assert not report.hearing
            assert f"process {other.pid}" in report.reasons[0]
            assert one.log.count("cannot be bound") == 1, "said once, not with every attempt"
            other.communicate()
            with Client(endpoint, topics=["score."]) as client:
                until(lambda: isinstance(client.receive(0.2), Scores), lambda: one.log)
            assert f"publish.endpoint: bound to {endpoint} now" in one.log
            until(lambda: "cannot be bound" not in one.status, "it is told no more")
            assert ask(one.query, AskStatus(), Report).hearing
    finally:
        other.kill()
        other.communicate()


def test_the_question_socket_is_waited_for(tmp_path: Path) -> None:
    """The same of `publish.query`: a client that has joined before learns where to ask when it can."""
    other, port = listener()
    try:
        with supervised(tmp_path, publish={"query": f"tcp://127.0.0.1:{port}"}) as one:
            one.until_status(f"process {other.pid}")
            other.communicate()
            one.until_logged("publish.query: bound to")
            assert ask(f"tcp://127.0.0.1:{port}", AskStatus(), Report).hearing
    finally:
        other.kill()
        other.communicate()


def test_an_address_and_a_name_that_come_later(tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """An address that no interface has, and a name nobody knows: both are tried again until they are there."""
    require(os.geteuid() == 0, "root, for a network and a file of names of our own")
    require(shutil.which("unshare") is not None and shutil.which("nsenter") is not None, "util-linux")
    hosts = tmp_path / "hosts"
    hosts.write_text("")
    inside = ["unshare", "--net", "--mount", "sh", "-ec", INSIDE, "sh", hosts, sys.executable, LOOPBACK]
    wanted = {"endpoint": "tcp://192.0.2.7:5557", "query": "tcp://porch.invalid:5558", "allow_plaintext": True}
    with supervised(tmp_path, before=inside, publish=wanted) as one:
        one.until_status("tcp://192.0.2.7:5557: cannot be bound: Cannot assign requested address")
        one.until_status("tcp://porch.invalid:5558: cannot be bound: 'porch.invalid' is no interface")
        enter = ["nsenter", "-t", str(one.process.pid), "--net", sys.executable, "-I", "-c"]
        subprocess.run([*enter, LOOPBACK, "192.0.2.7"], check=True, timeout=20)
        one.until_logged("publish.endpoint: bound to tcp://192.0.2.7:5557 now")
        hosts.write_text("192.0.2.7 porch.invalid\n")
        one.until_logged("publish.query: bound to tcp://192.0.2.7:5558 now")
        until(lambda: "cannot be bound" not in one.status, lambda: one.status)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("ipc:///nowhere/at/all", "cannot be bound: No such file or directory; set another publish.endpoint"),
        ("ipc://{folder}/file", "no socket; move it away, or set another publish.endpoint"),
    ],
)
def test_what_cannot_mend_itself_ends_it(tmp_path: Path, endpoint: str, said: str) -> None:
    """An endpoint that will not be there later either is one line, and 78."""
    (tmp_path / "file").write_text("mine")
    with supervised(tmp_path, stopped=False, publish={"endpoint": endpoint.format(folder=tmp_path)}) as one:
        assert one.process.wait(timeout=30) == 78
    (line,) = [line for line in one.log.splitlines() if "WARNING" not in line]
    assert line.startswith("auricle: error: ")
    assert line.endswith(said)


def test_two_daemons_on_one_state_folder(tmp_path: Path) -> None:
    """The second ends at once, with one line that names the first and the remedy, and 78; the first hears on."""
    with supervised(tmp_path) as one:
        one.until_logged("publishing on")
        (tmp_path / "second").mkdir()
        state = {"STATE_DIRECTORY": str(tmp_path / "state")}
        with supervised(tmp_path / "second", environ=state, stopped=False) as two:
            assert two.process.wait(timeout=30) == 78
        assert two.log == (
            f"auricle: error: {tmp_path}/state: another auricle (process {one.process.pid}) keeps its state there; "
            "stop it, or name another folder in STATE_DIRECTORY\n"
        )
        assert ask(one.query, AskStatus(), Report).hearing
    (tmp_path / "third").mkdir()
    with supervised(tmp_path / "third", environ=state) as three:
        three.until_logged("publishing on")


def test_a_state_folder_that_cannot_be_is_no_reason_not_to_hear(tmp_path: Path) -> None:
    """Where there is a file instead of the folder, that is said, and the daemon hears."""
    (tmp_path / "state").write_text("")
    with supervised(tmp_path) as one:
        one.until_logged("publishing on")
        assert "cannot be kept for this daemon alone" in one.log


ELSEWHERE = {
    "ENDPOINT": [("tcp://192.0.2.1:5557", "Cannot assign requested address")],
    "QUERY": [("tcp://porch.invalid:5557", "No such device")],
}


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_replay_never_waits(tmp_path: Path, key: str) -> None:
    """`auricle replay` ends at once with one line that names the key and `--no-publish`, whatever is in the way."""
    write(tmp_path / "a.wav", np.zeros(RATE, np.float32))
    other, port = listener()
    name = Path(f"/proc/{other.pid}/comm").read_text().strip()
    try:
        for endpoint, why in (
            (f"tcp://127.0.0.1:{port}", f"Address already in use ({name}, process {other.pid})"),
            *ELSEWHERE[key],
        ):
            environ = {f"AURICLE__PUBLISH__{name}": f"ipc://{tmp_path}/{name}" for name in ("ENDPOINT", "QUERY")}
            environ |= {f"AURICLE__PUBLISH__{key}": endpoint, "AURICLE__PUBLISH__ALLOW_PLAINTEXT": "true"}
            done = subprocess.run(
                [sys.executable, "-m", "auricle", "replay", tmp_path / "a.wav"],
                capture_output=True, text=True, timeout=60, env={**os.environ, **environ},
            )  # fmt: skip
            assert done.returncode == 78, done.stderr
            (line,) = done.stderr.splitlines()
            assert f"{endpoint}: cannot be bound: {why}" in line
            assert f"set another publish.{key.lower()}; or give --no-publish" in line
    finally:
        other.kill()
        other.communicate()


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:*", "ipc://{folder}/s", "ipc://@auricle-{pid}", "tcp://[::1]:*"])
def test_who_listens_is_found(tmp_path: Path, where: str, require: Callable[[bool, str], None]) -> None:
    """Of an address of any kind its holder is named; of one that is free nobody is."""
    require(where.find("[") < 0 or sockets.has_ipv6, "IPv6")
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        at = bind(socket, where.format(folder=tmp_path, pid=os.getpid()))
        found = holder(at)
        assert found is not None
        assert found.endswith(f"process {os.getpid()}")
        socket.unbind(at)
        until(lambda: holder(at) is None, f"nobody listens at {at}")


def test_of_another_users_process_the_user_is_told(tmp_path: Path) -> None:
    """Where its descriptors cannot be read, the kernel's table still has the user."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:15B5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 325763 1 0\n"
        "   1: 0100007F:15B6 0100007F:9999 01 00000000:00000000 00:00000000 00000000 65534        0 325764 1 0\n"
    )
    assert holder("tcp://127.0.0.1:5557", tmp_path) == "a process of the user root"
    assert holder("tcp://127.0.0.1:5558", tmp_path) is None, "connected is not listening"
    assert holder("tcp://127.0.0.1:*", tmp_path) is None
