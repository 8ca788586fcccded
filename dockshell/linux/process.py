"""One process of this machine, held by a pidfd so that its number can't come to mean another while it is looked at."""

from __future__ import annotations

import os

__all__ = ["Process", "boot_time", "container_in", "host_container", "ids_in", "rows_of"]

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
        """A file of /proc/PID, as it is: a process's own words in there may hold any kind of newline."""
        with open(f"/proc/{self.pid}/{name}", encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()

    def status(self) -> dict[str, str]:
        """/proc/PID/status as names and values: proc_pid_status(5)."""
        lines = (line.partition(":") for line in self.read("status").split("\n"))
        return {name: value.strip() for name, colon, value in lines if colon}

    def cgroups(self) -> list[tuple[str, str]]:
        """See rows_of()."""
        return rows_of(self.read("cgroup"))

    def started(self) -> float:
        """When it started, in seconds since 1970, to a hundredth."""
        return boot_time() + int(self.ticks()) / _TICKS

    def ticks(self) -> str:
        """When it started, in the kernel's ticks since boot: proc_pid_stat(5), field 22."""
        # The name in parentheses may hold anything, parentheses too: fields are counted from the last one.
        return self.read("stat").rpartition(")")[2].split()[19]

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

    def look(self) -> None:
        """Raises PermissionError where we may not look at its files and namespaces: ptrace(2), PTRACE_MODE_READ."""
        os.readlink(f"/proc/{self.pid}/root")

    def container(self) -> str:
        """The id of the container that it is in by its cgroup, empty for none."""
        return container_in(self.read("cgroup"), Process(os.getpid()).read("cgroup"))

    def belongs_to(self, container: str, started: float, engine: int) -> bool:
        """Is it proved to be a process of the container with that id, of an engine that the user with the number
        `engine` runs? By its cgroup, which carries the id; where the engine keeps cgroups of other names, by having
        started when the engine says the container did, but never where its cgroup names other containers alone.
        Checked while the pidfd is held, so that a recycled number proves nothing.

        What an engine of another user says proves nothing alone: it may name any process of the host and the moment at
        which that started. Its containers are in user namespaces that this user made."""
        found = ids_in(self.read("cgroup"), Process(os.getpid()).read("cgroup"))
        proved = found[:1] == [container]
        if not proved and (not found or container in found or container not in _ids(container)):
            # Below a container's cgroup names are given inside: there the id alone proves nothing.
            proved = started > 0 and abs(self.started() - started) < _SKEW
        return proved and (engine in (0, os.geteuid()) or self._governed_by(engine)) and self.alive()

    def _governed_by(self, user: int) -> bool:
        """Is it in a user namespace that this user made? user_namespaces(7)."""
        from dockshell.linux.namespaces import user_namespace_owner

        descriptor = os.open(f"/proc/{self.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return user_namespace_owner(descriptor) == user
        finally:
            os.close(descriptor)


def boot_time() -> float:
    """When the machine started, in seconds since 1970: btime of proc_stat(5)."""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0


def host_container(pid: int) -> str:
    """The container of the host's process with that number, empty where it is in none."""
    try:
        return Process(pid).container()
    except OSError:
        return ""


def container_in(theirs: str, ours: str) -> str:
    """The id of the container that a process is in, empty for none, by the content of its /proc/PID/cgroup and of our
    own. An id is 64 hexadecimal digits; Docker, containerd, CRI-O and Podman all put it at the end of the path, some
    with `docker-` before and `.scope` behind. The first that isn't in our own path, too, counts: what comes below it
    was named inside."""
    return next(iter(ids_in(theirs, ours)), "")


def ids_in(theirs: str, ours: str) -> list[str]:
    """All ids that such a path has, in the same way."""
    return [each for _, path in rows_of(theirs) for each in _ids(path) if each not in ours]


def rows_of(cgroups: str) -> list[tuple[str, str]]:
    """The content of /proc/PID/cgroup → (controllers, path) for each hierarchy, controllers empty for cgroup v2:
    proc_pid_cgroup(5)."""
    rows = (line.split(":", 2) for line in cgroups.split("\n"))
    return [(row[1], row[2]) for row in rows if len(row) == 3]


def _ids(path: str) -> list[str]:
    words = (part.removesuffix(".scope").rpartition("-")[2] for part in path.split("/"))
    return [word for word in words if len(word) == 64 and set(word) <= _HEX]
