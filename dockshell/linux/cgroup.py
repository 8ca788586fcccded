"""Control groups: where a process is, and putting another there. cgroups(7), version 1 and 2."""

from __future__ import annotations

import ctypes
import errno
import os

from dockshell.linux.libc import syscall
from dockshell.linux.signals import signal
from dockshell.model import noun

__all__ = ["Places", "fork_into", "join_legacy", "mounted_at", "open_legacy", "places"]

_CLONE3 = 435
_CLONE_INTO_CGROUP = 0x200000000
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


def open_legacy(wanted: Places) -> list[int]:
    """Descriptors for join_legacy(). Raises OSError."""
    return [os.open(place + "/tasks", os.O_WRONLY | os.O_CLOEXEC) for place in wanted.legacy]


def join_legacy(descriptors: list[int]) -> None:
    """Puts the calling process, which must have one thread, into version 1 cgroups. Raises OSError.

    By `tasks` and not `cgroup.procs`: moving a whole process has the kernel wait for every fork in the machine to be
    seen (an RCU grace period, 10 ms), a thread that moves itself does not (cgroup_procs_write_start in the kernel's
    cgroup.c).
    """
    for descriptor in descriptors:
        os.write(descriptor, b"0")


def fork_into(wanted: Places) -> int:
    """fork(2) into a version 2 cgroup, for the same reason by clone3(2) with CLONE_INTO_CGROUP where the kernel has it.
    The caller must have one thread; the child may make system calls and execve. Raises OSError."""
    if not wanted.unified:
        return os.fork()
    directory = os.open(wanted.unified, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, two of the stack, tls, two of set_tid,
        # and the cgroup's directory.
        arguments = (_CLONE_INTO_CGROUP, 0, 0, 0, int(signal.SIGCHLD), 0, 0, 0, 0, 0, directory)
        return syscall(_CLONE3, (ctypes.c_uint64 * 11)(*arguments), ctypes.c_size_t(88))
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    finally:
        os.close(directory)
    child = os.fork()
    if child == 0:
        with open(wanted.unified + "/cgroup.procs", "w", encoding="utf-8") as file:
            file.write("0")
    return child


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
