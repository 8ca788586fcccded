"""What a process's cgroup can keep everything in it from: running, while it is frozen, forking, while it holds as many
processes as it may, and having more memory. cgroups(7); freezer-subsystem.rst, pids.rst, memory.rst and cgroup-v2.rst
of the kernel."""

from __future__ import annotations

import os

from dockshell.linux.cgroup import mounted_at
from dockshell.linux.process import rows_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["freezer", "full", "most_memory"]


def freezer(pid: int) -> tuple[str, str]:
    """The file that stops the process as its cgroup's, or one above that, is frozen, and what to write to it so that
    it goes on; two empty strings where it isn't frozen or nobody can tell."""
    for directory in _directories(pid, "freezer"):
        if _read(f"{directory}/freezer.self_freezing") == "1":
            return f"{directory}/freezer.state", "THAWED"
    for directory in _directories(pid, ""):
        if _read(f"{directory}/cgroup.freeze") == "1":
            return f"{directory}/cgroup.freeze", "0"
    return "", ""


def most_memory(pid: int) -> int:
    """How many bytes of memory the process's cgroup, or one above that, may have at the most; 0 where nothing bounds
    it, or nobody can tell."""
    limits = []
    for controller, name in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        for directory in _directories(pid, controller):
            said = _read(f"{directory}/{name}")
            limits += [int(said)] if said.isdecimal() else []
    return min(limits, default=0)


def full(pid: int, spare: int = 0) -> tuple[int, str]:
    """The limit of processes that the process's cgroup, or one above that, has reached, and the file that holds it; 0
    where it has reached none, or nobody can tell. spare: a limit that has kept something from forking counts as reached
    while there is no room for more than so many."""
    for controller in ("pids", ""):
        for directory in _directories(pid, controller):
            limit, current = _read(f"{directory}/pids.max"), _read(f"{directory}/pids.current")
            if not (limit.isdecimal() and current.isdecimal()):
                continue
            room = int(limit) - int(current)
            if room <= 0 or (room <= spare and _read(f"{directory}/pids.events") not in ("", "max 0")):
                return int(limit), f"{directory}/pids.max"
    return 0, ""


def _directories(pid: int, controller: str) -> Iterator[str]:
    """The process's cgroup by that controller of version 1, by version 2 where it is empty, and each above it."""
    for controllers, path in rows_of(_read(f"/proc/{pid}/cgroup")):
        if controller not in controllers.split(",") or ".." in path:
            continue
        root, at = mounted_at({controllers}).get(controllers, ("", ""))
        directory = at + path.removeprefix(root.rstrip("/"))
        while at and len(directory) > len(at):
            yield directory
            directory = os.path.dirname(directory)


def _read(path: str) -> str:
    """Empty where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read().strip()
    except OSError:
        return ""
