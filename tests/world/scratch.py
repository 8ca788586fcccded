"""A run's own directory, and what a run that was killed left behind.

Each run has ${TMPDIR:-/tmp}/dockshell-tests-UID/PID.STARTTIME. One whose process is gone was killed: its processes
are ended, its mounts, bridges and cgroups removed, the directory deleted. So a setup can always start again."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

_ENGINES = (b"dockerd", b"containerd", b"conmon", b"podman")


def make_scratch() -> str:
    """Makes this run's directory, after removing those of runs that are dead. Raises RuntimeError where someone else
    owns the place."""
    base = os.path.join(tempfile.gettempdir(), f"dockshell-tests-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(base, 0o700)
    if os.lstat(base).st_uid != os.getuid() or os.path.islink(base):
        raise RuntimeError(f"{base} belongs to someone else: remove it")
    for name in os.listdir(base):
        pid, _, started = name.partition(".")
        if pid.isdigit() and _start_time(int(pid)) != started:
            remove_scratch(os.path.join(base, name))
    path = os.path.join(base, f"{os.getpid()}.{_start_time(os.getpid())}")
    os.makedirs(path, 0o700, exist_ok=True)
    return path


def remove_scratch(path: str) -> None:
    """Ends every process that was started with a path in this directory, takes its mounts down and deletes it."""
    if os.path.exists(os.path.join(path, "podman", "root")):
        from tests.world.own_podman import remove_containers

        remove_containers(path)
    _end_processes(path)
    for mount in sorted(_mounts(path), reverse=True):
        subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
    for bridge in _bridges(path):
        ip("link", "del", bridge, check=False)
    for container in glob.glob(os.path.join(path, "docker*", "data", "containers", "*")):
        for cgroup in glob.glob(f"/sys/fs/cgroup/**/{os.path.basename(container)}", recursive=True):
            with contextlib.suppress(OSError):
                os.rmdir(cgroup)
    shutil.rmtree(path, ignore_errors=True)


def ip(*words: str, check: bool = True) -> None:
    """The `ip` command, or busybox's."""
    command = ["ip"] if shutil.which("ip") else ["busybox", "ip"]
    subprocess.run([*command, *words], capture_output=True, check=check)


def new_bridge(scratch: str, name: str) -> str:
    """Makes a network bridge in a private /24 that is still free, notes it in the scratch directory, and returns the
    address it got."""
    prefix = free_subnet(29)
    note_bridge(scratch, name)
    ip("link", "add", name, "type", "bridge")
    ip("addr", "add", f"{prefix}.1/24", "dev", name)
    ip("link", "set", name, "up")
    return f"{prefix}.1"


def free_subnet(second: int) -> str:
    """The first three numbers of a /24 below 172.SECOND that this machine has no route to."""
    with open("/proc/net/route", encoding="ascii") as file:
        used = {int(line.split()[1], 16).to_bytes(4, "little")[:3] for line in file.read().splitlines()[1:]}
    third = next(n for n in ((os.getpid() + i) % 250 for i in range(250)) if bytes((172, second, n)) not in used)
    return f"172.{second}.{third}"


def note_bridge(scratch: str, name: str) -> None:
    with open(os.path.join(scratch, "bridges"), "a", encoding="ascii") as file:
        file.write(name + "\n")


def _bridges(path: str) -> set[str]:
    """The bridges of this run: those noted, and those of networks that its dockerd knew."""
    found: set[str] = set()
    for name, pattern in (("bridges", rb"(\w+)"), ("docker/data/network/files/local-kv.db", rb"\b(br-[0-9a-f]{12})\b")):
        with contextlib.suppress(OSError), open(os.path.join(path, name), "rb") as file:
            found.update(match.decode() for match in re.findall(pattern, file.read()))
    return {name for name in found if os.path.exists(f"/sys/class/net/{name}/bridge")}


def _mounts(path: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        points = [line.split()[4] for line in file]
    return [point for point in points if point.startswith(path + "/")]


def _end_processes(path: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        doomed = _family(path)
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        until = time.monotonic() + 5
        while _family(path) and time.monotonic() < until:
            time.sleep(0.05)


def _family(path: str) -> list[int]:
    """Engines and shims with a path in this directory among their words or in their environment, and everything below
    them (containers)."""
    parents, found = {}, []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read()
            with open(f"/proc/{pid}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
            if state == b"Z":
                continue
            parents[pid] = int(parent)
            if path.encode() + b"/" in words + environment and os.path.basename(words.split(b"\0")[0]).startswith(
                _ENGINES
            ):
                found.append(pid)
    grown = True
    while grown:
        below = [pid for pid, parent in parents.items() if parent in found and pid not in found]
        found += below
        grown = bool(below)
    return found


def _start_time(pid: int) -> str:
    """Field 22 of proc_pid_stat(5); empty where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""
