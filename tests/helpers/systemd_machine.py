"""A machine for tests: this one's files under a throw-away overlay, a real systemd as its process 1, in namespaces.

Nothing that happens inside reaches the host: files are written to an overlay in memory, there is no network but a
loopback of its own, and process 1 takes everything with it when it is killed. Needs root, systemd and util-linux.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

TOOLS = ("unshare", "nsenter", "systemctl", "systemd-run", "journalctl", "pivot_root")
INIT = "/lib/systemd/systemd"
# What would wait for hardware, or reach for what only a whole machine has.
MASKED = (
    "systemd-udevd.service systemd-udev-trigger.service systemd-networkd.service systemd-resolved.service "
    "systemd-timesyncd.service systemd-logind.service systemd-modules-load.service systemd-sysctl.service "
    "systemd-binfmt.service systemd-random-seed.service systemd-remount-fs.service getty.target console-getty.service "
    "apt-daily.timer apt-daily-upgrade.timer ldconfig.service systemd-journal-catalog-update.service"
)

# Runs as process 1 of the new namespaces, until it becomes systemd. $1: an empty folder; then SOURCE:TARGET binds.
_INNER = r"""
set -eu
work=$1; shift
mount -t tmpfs -o mode=755 machine "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
root=$work/root
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" machine "$root"
for at in run dev; do mount -t tmpfs -o nosuid,mode=755 $at "$root/$at"; done
mount -t tmpfs -o nosuid,mode=1777 tmp "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sys "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup "$root/sys/fs/cgroup"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
for node in null zero full random urandom tty; do
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 pts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "$root/dev/${n#*:}"; done
units=$root/etc/systemd/system
mkdir -p "$units"
find "$units" -name '*.wants' -prune -exec rm -r {} +
for unit in $MASKED; do ln -sf /dev/null "$units/$unit"; done
printf '[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target\nAllowIsolate=yes\n' > "$units/tests.target"
: > "$root/etc/fstab"
rm -f "$root/etc/machine-id"
echo 6175726963756c617465737473616161 > "$root/etc/machine-id"
for bind; do
  mkdir -p "$root/${bind#*:}"
  mount --bind "${bind%%:*}" "$root/${bind#*:}"
done
mkdir -p "$root/mnt"
mount --make-rprivate /
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
exec env -i container=auricle-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
  /lib/systemd/systemd --system --unit=tests.target --show-status=0 --log-target=journal \
  --default-standard-output=journal
"""


def missing() -> str | None:
    """Name what this host lacks for such a machine; ``None`` if nothing."""
    if os.geteuid() != 0:
        return "root, to boot a systemd in namespaces"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not Path(INIT).exists():
        lacking.append(INIT)
    if not any(Path(at).exists() for at in ("/usr/bin/dbus-daemon", "/usr/bin/dbus-broker")):
        lacking.append("dbus")
    return f"{', '.join(lacking)} (apt-get install systemd util-linux dbus)" if lacking else None


def wait_for(what: Callable[[], T | None], until_s: float, claim: str) -> T:
    """Ask again and again; return the first answer that is true."""
    deadline_s = time.monotonic() + until_s
    while not (answer := what()):
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {until_s:g} s: {claim}")
        time.sleep(0.02)
    return answer


class Machine:
    """Boots when entered, is gone when left.

    Args:
        folder: an empty one, for this machine alone.
        binds: (host folder, path inside) of what it sees besides the host's own files.
    """

    def __init__(self, folder: Path, binds: Sequence[tuple[Path, str]] = ()) -> None:
        self._folder = folder
        self._binds = binds
        self._outer: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._cgroup = Path()

    def __enter__(self) -> Machine:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        base = Path(next(at for _, at, kind, *_ in mounts if kind == "cgroup2"))
        self._cgroup = base / f"auricle-tests-{os.getpid()}-{time.monotonic_ns()}"
        self._cgroup.mkdir()
        work = self._folder / "machine"
        work.mkdir(parents=True)
        script = self._folder / "boot.sh"
        script.write_text(_INNER)
        boot = (
            f"echo $$ > {self._cgroup}/cgroup.procs; exec unshare --mount --propagation private --pid --fork "
            f'--kill-child=SIGKILL --cgroup --uts --ipc --net bash {script} {work} "$@"'
        )
        with (self._folder / "boot.log").open("wb") as log:
            self._outer = subprocess.Popen(
                ["bash", "-c", boot, "boot", *(f"{source}:{target}" for source, target in self._binds)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "MASKED": MASKED},
                start_new_session=True,
            )
        try:
            self._init = wait_for(self._find_init, 10, "the machine's process 1 is systemd")
            wait_for(self._up, 20, "systemd is up")
        except AssertionError as e:
            log_text = (self._folder / "boot.log").read_text()
            self.__exit__(None, None, None)
            raise AssertionError(f"{e}\n{log_text}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._outer is not None
        if self._init:
            # Process 1 of the namespace: everything inside goes with it.
            os.kill(self._init, signal.SIGKILL)
        else:
            os.killpg(self._outer.pid, signal.SIGKILL)
        self._outer.wait(10)
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            wait_for(lambda at=folder: _removed(at), 5, f"{folder} is empty")  # type: ignore[misc]

    def _find_init(self) -> int | None:
        assert self._outer is not None
        if self._outer.poll() is not None:
            raise AssertionError("the machine did not boot")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        return next((int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "systemd\n"), None)

    def _up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(
        self, *command: str, check: bool = True, text: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root, and return what it said; unless told otherwise it must succeed."""
        done = subprocess.run(
            self._inside(command), input=text, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command inside and read what it says while it runs; `end` ends it."""
        return subprocess.Popen(self._inside(command), stdout=subprocess.PIPE, text=True, start_new_session=True)

    def end(self, process: subprocess.Popen[str]) -> None:
        """End a command that was started: nsenter waits for it as for a child, so both must go."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)

    def _inside(self, command: Sequence[str]) -> list[str]:
        clean = ("env", "-i", "--chdir=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
        return ["nsenter", "-t", str(self._init), "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net",
                "--", *clean, *command]  # fmt: skip

    def write(self, path: str, content: str) -> None:
        """Write a file inside."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "write", path, text=content)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, unit: str, *options: str) -> str:
        """Return what the unit has logged, and what systemd says of it."""
        return self.run("journalctl", "--no-pager", "-q", f"--unit={unit}", *options).stdout


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
