"""Control groups: where a process is, and putting another there. cgroups(7), version 1 and 2."""

from __future__ import annotations

import os

__all__ = ["move", "places"]


def places(theirs: list[tuple[str, str]], ours: list[tuple[str, str]]) -> list[str]:
    """The directories that one must be moved to, to go from our cgroups to theirs: (controllers, path) pairs as in
    /proc/PID/cgroup.

    Raises FileNotFoundError for a hierarchy that isn't mounted here.
    """
    mounts = None
    found = []
    for controllers, path in theirs:
        if (controllers, path) in ours:
            continue
        if mounts is None:
            mounts = _mounts()
        place = next(
            (at + path.removeprefix(root.rstrip("/")) for names, root, at in mounts if _carries(names, controllers)), ""
        )
        if not place:
            raise FileNotFoundError(2, f"the cgroup hierarchy of {controllers or 'version 2'} is not mounted")
        found.append(place)
    return found


def move(pid: int, place: str) -> None:
    """Puts a process into the cgroup whose directory that is. Raises OSError."""
    descriptor = os.open(place + "/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"%d" % pid)
    finally:
        os.close(descriptor)


def _carries(names: frozenset[str], controllers: str) -> bool:
    return set(controllers.split(",")) <= names if controllers else not names


def _mounts() -> list[tuple[frozenset[str], str, str]]:
    """(controllers, root, mount point) of each mounted hierarchy, no controllers for version 2:
    proc_pid_mountinfo(5)."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            if kind in ("cgroup", "cgroup2"):
                root, at = before.split(" ")[3:5]
                names = frozenset(options.strip().split(",")) if kind == "cgroup" else frozenset()
                found.append((names, root, at.replace("\\040", " ")))
    return found
