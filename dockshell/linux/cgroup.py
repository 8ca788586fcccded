"""Control groups: where a process is, and putting another there. cgroups(7), version 1 and 2."""

from __future__ import annotations

import errno
import os

from dockshell.linux.calls import Result, errors
from dockshell.linux.signals import signal
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.linux.calls import Argument, Calls

__all__ = ["Doors", "Places", "fork_into", "mounted_at", "places"]

_CLONE_INTO_CGROUP, _CLONE_PARENT = 0x200000000, 0x8000
# Kernels before 5.7 don't know CLONE_INTO_CGROUP, and what filters system calls may not know clone3.
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.E2BIG, errno.EPERM)


@noun(frozen=True)
class Places:
    """Where one must go: directories of version 1 hierarchies, and the directory of version 2, empty for none."""

    legacy: tuple[str, ...]
    unified: str


def places(theirs: list[tuple[str, str]], ours: list[tuple[str, str]]) -> Places:
    """What leads from our cgroups to theirs: (controllers, path) pairs as in /proc/PID/cgroup.

    Raises FileNotFoundError for a hierarchy that isn't mounted here.
    """
    wanted = [each for each in theirs if each not in ours]
    mounts = mounted_at({controllers for controllers, _ in wanted})
    legacy, unified = [], ""
    for controllers, path in wanted:
        if controllers not in mounts:
            raise FileNotFoundError(2, f"the cgroup hierarchy of {controllers or 'version 2'} is not mounted")
        root, at = mounts[controllers]
        place = at + path.removeprefix(root.rstrip("/"))
        if controllers:
            legacy.append(place)
        else:
            unified = place
    return Places(tuple(legacy), unified)


class Doors:
    """Descriptors by which a process puts itself, or is put at its birth, into these cgroups. Raises OSError."""

    def __init__(self, wanted: Places) -> None:
        # By `tasks` and not `cgroup.procs`: moving a whole process has the kernel wait for every fork in the machine to
        # be seen (an RCU grace period, 10 ms), a thread that moves itself does not (cgroup_procs_write_start in the
        # kernel's cgroup.c).
        self.legacy = [os.open(place + "/tasks", os.O_WRONLY | os.O_CLOEXEC) for place in wanted.legacy]
        self.unified: tuple[int, ...] = ()
        if wanted.unified:
            directory = os.open(wanted.unified, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self.unified = directory, os.open(wanted.unified + "/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        self.descriptors = [*self.legacy, *self.unified]


def fork_into(calls: Calls, doors: Doors, born: int) -> None:
    """Adds the calls by which a process, which must have one thread, has a child in these cgroups that goes on with the
    list; its parent is that of the process (clone(2), CLONE_PARENT), which writes the child's number to the descriptor
    born, 8 bytes, and ends.

    Into version 2 by clone3(2) with CLONE_INTO_CGROUP where the kernel has it, for that doesn't wait either."""
    moves = []
    if doors.unified:
        # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal (the parent's by CLONE_PARENT), two of the
        # stack, tls, two of set_tid, and the cgroup's directory.
        arguments: list[Argument] = [_CLONE_INTO_CGROUP | _CLONE_PARENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, doors.unified[0]]
        directly = calls.add("clone3", arguments, 88, expected=0, allowed=errors(*_UNKNOWN))
        unknown = calls.peek(Result(directly, 7), 0xFF)  # of a negative number, an error
        _report(calls, directly, born)
        calls.go_on(unknown, calls.following, calls.following - 2)
        moves.append(doors.unified[1])
    fork = calls.add("clone", _CLONE_PARENT | signal.SIGCHLD, expected=0)
    aside = _report(calls, fork, born)
    calls.go_on(fork, calls.following, aside)
    for descriptor in moves:
        calls.add("write", descriptor, b"0", 1)
    if doors.unified:
        calls.go_on(directly, calls.following)
    for descriptor in doors.legacy:
        calls.add("write", descriptor, b"0", 1)
    for descriptor in (*doors.descriptors, born):
        calls.add("close", descriptor)


def _report(calls: Calls, fork: int, born: int) -> int:
    """Adds what the parent does after that call; returns the first entry."""
    first = calls.add("write", born, Result(fork), 8)
    calls.add("exit_group", 0)
    return first


def _carries(names: frozenset[str], controllers: str) -> bool:
    return set(controllers.split(",")) <= names if controllers else not names


def mounted_at(wanted: set[str]) -> dict[str, tuple[str, str]]:
    """(root, mount point) of the mounted hierarchy that carries each of these controllers, empty for version 2:
    proc_pid_mountinfo(5)."""
    found: dict[str, tuple[str, str]] = {}
    # The kernel spells a newline out, but not a carriage return.
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for line in file:
            if len(found) == len(wanted):
                break  # each container has mounts of its own, long ones, and they come last
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            if kind in ("cgroup", "cgroup2"):
                root, at = before.split(" ")[3:5]
                names = frozenset(options.strip().split(",")) if kind == "cgroup" else frozenset()
                for controllers in wanted - found.keys():
                    if _carries(names, controllers):
                        found[controllers] = (root, at.replace("\\040", " "))
    return found
