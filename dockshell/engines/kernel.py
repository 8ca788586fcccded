"""No engine at all: a container is a pid namespace other than ours, known by the processes in it. namespaces(7),
pid_namespaces(7).

Its id is the namespace's inode number, its name what its first process calls itself. `pid:N` also finds what is no such
container: any process that has a namespace of another kind of its own, such as one that `unshare --mount` started.
Containers of engines are found like all others, by what the kernel knows of them, which is less than their engine does.
"""

from __future__ import annotations

import os
import sys

from dockshell import target as targets
from dockshell.errors import EngineError
from dockshell.linux.process import Process
from dockshell.linux.rootfs import RootFiles
from dockshell.model import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dockshell.engines import Files
    from dockshell.model import Target
    from dockshell.target import Project

__all__ = ["KernelEngine"]

_KINDS = ("pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time")  # the first that differs gives the id
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MOST_IDS = 0xFFFFFFFE


class KernelEngine:
    """The `Engine` that reads /proc. It sees the processes that the caller may look at: root all, others their own
    (ptrace(2))."""

    name = "kernel"
    address = "this kernel"
    api = None

    def __init__(self) -> None:
        self._starts: dict[int, str] = {}

    def refuses(self) -> str | None:
        if sys.platform != "linux":
            return f"namespaces are Linux's, and this is {sys.platform}: name a container of an engine"
        if not os.path.exists("/proc/self/ns/pid"):
            return "no /proc with namespaces is mounted here: mount one, or name a container of an engine"
        return None

    def find(self, target: Target, project: Callable[[], Project] = targets.elsewhere) -> list[Container]:
        if reason := self.refuses():
            raise EngineError(reason)
        if target.kind == "pid":
            return self._with(int(target.value))
        if target.kind == "latest":
            return self.all()[:1]
        return targets.fits(target, self.all(), project())

    def all(self, filters: Mapping[str, list[str]] | None = None) -> list[Container]:
        if filters:
            raise EngineError("filters are an engine's, and none is asked here: name it with -H")
        known = [self._first(namespace, pids) for namespace, pids in _foreign().items()]
        return sorted((each for each in known if each), key=lambda each: each.created, reverse=True)

    def alive(self, filters: Mapping[str, list[str]] | None = None) -> list[Container]:
        return self.all(filters)

    def newest(self) -> Container | None:
        return next(iter(self.all()), None)

    def files(self, container: Container) -> Files:
        try:
            return RootFiles(container.pid)
        except OSError as problem:
            raise EngineError(
                f"the files of process {container.pid} can't be read ({problem.strerror}): run as root"
            ) from None

    def running(self, container: Container) -> bool:
        try:
            # By the start in the kernel's own ticks, for the number alone may have come to mean another process.
            return Process(container.pid).ticks() == self._starts.get(container.pid)
        except OSError:
            return False

    def _with(self, pid: int) -> list[Container]:
        """What the process is in: the container of its pid namespace; or the process alone, where it differs from that
        container's first process, or lives in our own pid namespace, but in another namespace of some kind."""
        try:
            theirs = _namespaces(pid)
            owner = self._first(theirs["pid"], _foreign().get(theirs["pid"], []))
            reference = _namespaces(owner.pid) if owner else _namespaces(os.getpid())
            other = next((kind for kind in _KINDS if theirs.get(kind) != reference.get(kind)), "")
            if other:
                return [self._container(theirs[other], Process(pid))]
        except PermissionError:
            raise EngineError(f"process {pid} is not ours to look at: run as root") from None
        except (FileNotFoundError, ProcessLookupError):
            return []
        return [owner] if owner else []

    def _first(self, namespace: str, pids: list[int]) -> Container | None:
        """The container whose namespace holds these processes: told by process 1 in it, or by the oldest that we may
        look at. None where that has just ended."""
        visible = []
        for pid in pids:
            try:
                process = Process(pid)
                inside = process.status().get("NSpid", "").split()
                visible.append((inside[-1:] != ["1"], int(process.ticks()), pid, process))
            except OSError:
                continue
        try:
            return self._container(namespace, min(visible)[3]) if visible else None
        except (FileNotFoundError, ProcessLookupError):
            return None

    def _container(self, namespace: str, process: Process) -> Container:
        """Raises OSError where the process has just ended."""
        status = process.status()
        created = process.started()
        self._starts[process.pid] = process.ticks()
        return Container(
            id=namespace,
            name=_plain(process.read("comm").removesuffix("\n"), process.pid),
            engine=self,
            pid=process.pid,
            created=created,
            started=created,
            user=_user(process, status),
            env=_environment(process),
            directory="/",
            user_groups=_groups(process, status),
            umask=int(status.get("Umask", "0022"), 8),
            local=True,
        )


def _foreign() -> dict[str, list[int]]:
    """The processes in each pid namespace but our own, as far as we may look."""
    ours = _namespace(os.getpid(), "pid")
    found: dict[str, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                namespace = _namespace(int(name), "pid")
            except OSError:
                continue  # gone meanwhile, or another user's
            if namespace != ours:
                found.setdefault(namespace, []).append(int(name))
    return found


def _namespace(pid: int, kind: str) -> str:
    """The inode number of one of a process's namespaces: /proc/PID/ns/pid is a link to `pid:[4026531836]`."""
    return os.readlink(f"/proc/{pid}/ns/{kind}").partition("[")[2].rstrip("]")


def _namespaces(pid: int) -> dict[str, str]:
    return {kind: _namespace(pid, kind) for kind in _KINDS if os.path.lexists(f"/proc/self/ns/{kind}")}


def _plain(name: str, pid: int) -> str:
    """The name as TARGET can spell it: a process may call itself anything."""
    spelled = "".join(c if c in _PLAIN else "_" for c in name).lstrip("_.-")
    return spelled or f"process-{pid}"


def _user(process: Process, status: dict[str, str]) -> str:
    """Its effective user and group, as numbers in its own user namespace."""
    ids = [int(status[name].split()[1]) for name in ("Uid", "Gid")]
    # One that isn't mapped has no number inside: then as seen from here, and entering with it is refused by the kernel.
    uid, gid = (
        number if inside is None else inside
        for number, inside in zip(ids, map(_inside, ids, _maps(process)), strict=True)
    )
    return "0" if uid == gid == 0 else f"{uid}:{gid}"


def _groups(process: Process, status: dict[str, str]) -> tuple[str, ...]:
    """Its supplementary groups, as numbers in its own user namespace; those that have none there can't be had there."""
    mapping = _maps(process)[1]
    inside = (_inside(int(number), mapping) for number in status.get("Groups", "").split())
    return tuple(str(number) for number in inside if number is not None)


_EVERYTHING = f"0 0 {_MOST_IDS + 1}"


def _maps(process: Process) -> tuple[str, str]:
    """How ids of ours are numbered in its user namespace: uid_map and gid_map."""
    try:
        if _namespace(process.pid, "user") != _namespace(os.getpid(), "user"):
            return process.read("uid_map"), process.read("gid_map")
    except OSError:
        pass  # not ours to look at; as seen from here is the best guess, and entering it will be refused anyway
    return _EVERYTHING, _EVERYTHING


def _inside(number: int, mapping: str) -> int | None:
    """What an id of ours is inside, by lines of `INSIDE OURS LENGTH`: user_namespaces(7). None for one that isn't
    mapped."""
    for line in mapping.splitlines():
        inside, ours, length = map(int, line.split())
        if ours <= number < ours + length and inside + number - ours <= _MOST_IDS:
            return inside + number - ours
    return None


def _environment(process: Process) -> tuple[str, ...]:
    """What it was started with: proc_pid_environ(5)."""
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as file:  # as bytes, for a value may hold any kind of newline
            texts = file.read().decode("utf-8", "surrogateescape").split("\0")
        return tuple(text for text in texts if "=" in text[1:])
    except OSError:
        return ()
