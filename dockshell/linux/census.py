"""Which processes are the containers', however many there are."""

from __future__ import annotations

import os

from dockshell.linux.cgroup import places
from dockshell.linux.process import container_in, rows_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["first_processes"]


def first_processes(ids: Iterable[str]) -> dict[str, int]:
    """A container's id → the lowest number of a process in its cgroup: the first one's, or after the numbers have begun
    anew another's of that container. Those of which no process can be found so are left out: an engine may keep cgroups
    of other names. Takes no privilege."""
    wanted = set(ids)
    ours = _read("/proc/self/cgroup")
    found: dict[str, int] = {}
    for pid in reversed(os.listdir("/proc")):  # containers are younger than most of what runs
        if not wanted:
            break
        theirs = _read(f"/proc/{pid}/cgroup") if pid.isdecimal() else ""
        id = container_in(theirs, ours) if theirs != ours else ""
        # A Podman under systemd has its monitor in a scope of its own that carries the id, too.
        if id in wanted and "-conmon-" not in theirs:
            found[id] = int(pid)
            found.update(_neighbours(theirs, id, wanted))
            wanted -= found.keys()
    return found


def _neighbours(cgroups: str, id: str, wanted: set[str]) -> dict[str, int]:
    """The wanted ones whose cgroups are where this one's is: an engine keeps them side by side, and to ask each costs
    much less than to look at all processes."""
    try:
        known = places([next(row for row in rows_of(cgroups) if id in row[1])], [])
    except OSError:
        return {}  # its hierarchy isn't mounted here
    before, _, behind = (known.unified or known.legacy[0]).partition(id)
    members = {each: _read(f"{before}{each}{behind}/cgroup.procs").split() for each in wanted}
    # 0 stands for one that has no number here: pid_namespaces(7).
    return {each: min(map(int, pids)) for each, pids in members.items() if pids and "0" not in pids}


def _read(path: str) -> str:
    """A file of the kernel's; empty where there is none any longer. Not by open(), which takes as long again."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 1 << 14).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
