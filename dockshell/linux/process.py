"""One process of this machine, held by a pidfd so that its number can't come to mean another while it is looked at."""

from __future__ import annotations

import os

__all__ = ["Process", "boot_time", "host_container"]

_TICKS = os.sysconf("SC_CLK_TCK")
# Seconds by which an engine's clock of a start and the kernel's may differ: the runtime sets up first, btime is round.
_SKEW = 5.0
_EXITING = 0x4
_HEX = frozenset("0123456789abcdef")


class Process:
    """pid: the process's number in our pid namespace. Raises OSError where there is none, or we may not look at it."""

    pidfd = -1

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)  # pidfd_open(2): from here on the number can be checked against reuse

    def close(self) -> None:
        """Lets go of the pidfd."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    __del__ = close

    def read(self, name: str) -> str:
        """A file of /proc/PID."""
        with open(f"/proc/{self.pid}/{name}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def status(self) -> dict[str, str]:
        """/proc/PID/status as names and values: proc_pid_status(5)."""
        lines = (line.partition(":") for line in self.read("status").splitlines())
        return {name: value.strip() for name, colon, value in lines if colon}

    def cgroups(self) -> list[tuple[str, str]]:
        """(controllers, path) for each hierarchy, controllers empty for cgroup v2: proc_pid_cgroup(5)."""
        rows = (line.split(":", 2) for line in self.read("cgroup").splitlines())
        return [(row[1], row[2]) for row in rows if len(row) == 3]

    def started(self) -> float:
        """When it started, in seconds since 1970, to a hundredth: proc_pid_stat(5), field 22."""
        # The name in parentheses may hold anything, parentheses too: fields are counted from the last one.
        return boot_time() + int(self.read("stat").rpartition(")")[2].split()[19]) / _TICKS

    def alive(self) -> bool:
        """Does it still run? A pidfd polls readable once it doesn't."""
        from select import POLLIN, poll

        poller = poll()
        poller.register(self.pidfd, POLLIN)
        return not poller.poll(0)

    def ending(self) -> bool:
        """Has it begun to exit? Process 1 of a pid namespace first waits there for all others to be gone:
        proc_pid_stat(5), field 9, PF_EXITING of the kernel's sched.h."""
        return bool(int(self.read("stat").rpartition(")")[2].split()[6]) & _EXITING)

    def belongs_to(self, container: str, started: float) -> bool:
        """Is it proved to be a process of the container with that id? By its cgroup, which carries the id; where the
        engine keeps cgroups of other names, by having started when the engine says the container did. Checked while the
        pidfd is held, so that a recycled number proves nothing."""
        proved = any(container in path for _, path in self.cgroups()) or (
            started > 0 and abs(self.started() - started) < _SKEW
        )
        return proved and self.alive()


def boot_time() -> float:
    """When the machine started, in seconds since 1970: btime of proc_stat(5)."""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0


def host_container(pid: int) -> str:
    """The container id in the cgroup of the host's process, empty where it is in none. An id is 64 hexadecimal digits;
    Docker, containerd, CRI-O and Podman all put it at the end of the path, some with `docker-` before and `.scope`
    behind."""
    try:
        paths = [path for _, path in Process(pid).cgroups()]
    except OSError:
        return ""
    for path in paths:
        for part in reversed(path.split("/")):
            word = part.removesuffix(".scope").rpartition("-")[2]
            if len(word) == 64 and set(word) <= _HEX:
                return word
    return ""
