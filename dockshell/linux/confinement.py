"""A process of ours that is to do nothing but read and write by the descriptors that it has: it gives up all rights,
the machine's files, its network and most system calls. namespaces(7), pivot_root(2), seccomp(2)."""

from __future__ import annotations

import os
import resource

from dockshell.linux import mounts, seccomp
from dockshell.linux.calls import Calls
from dockshell.linux.credentials import not_dumpable
from dockshell.linux.libc import prctl, setns
from dockshell.linux.namespaces import KINDS
from dockshell.linux.signals import gone
from dockshell.linux.syscall_filter import program

__all__ = ["Nowhere", "confine"]

_KINDS = ("net", "ipc", "uts", "mnt")  # in the order of joining
_PR_SET_NO_NEW_PRIVS = 38  # prctl(2)
_MOST_MEMORY = 192 << 20  # bytes


class Nowhere:
    """Namespaces with nothing in them, for any number of processes: a network without an interface, and a root
    directory that is empty and can't be written."""

    def __init__(self) -> None:
        """Makes them. Raises OSError where that isn't allowed."""
        ready, over = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                os.close(over[1])
                _leave()
                os.write(ready[1], b"1")
                os.read(over[0], 1)
            finally:
                os._exit(0)
        self._kinds: dict[str, int] = {}
        os.close(ready[1])
        os.close(over[0])
        try:
            if not os.read(ready[0], 1):
                raise PermissionError(1, "no namespaces can be made")
            for kind in _KINDS:
                self._kinds[kind] = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(ready[0])
            os.close(over[1])
            gone(pid)

    @property
    def descriptors(self) -> list[int]:
        """What holds them."""
        return list(self._kinds.values())

    def enter(self) -> None:
        """Joins them, for good. The process must have one thread only. Raises OSError."""
        for kind in _KINDS:
            setns(self._kinds[kind], KINDS[kind])
        for descriptor in self.descriptors:
            os.close(descriptor)


def _leave() -> None:
    mounts.unshare(sum(KINDS[kind] for kind in _KINDS))
    mounts.mount("", "/", flags=mounts.PRIVATE | mounts.RECURSIVE)  # nothing mounted here is to show elsewhere
    safe = mounts.NOSUID | mounts.NODEV | mounts.NOEXEC
    mounts.mount("none", "/proc", "tmpfs", safe, "size=4k,mode=555")  # any directory that there is
    mounts.change_root("/proc")
    mounts.mount("", "/", flags=mounts.REMOUNT | mounts.READ_ONLY | safe)


def confine(uid: int, gid: int, nowhere: Nowhere | None) -> None:
    """Confines the calling process, for good: to be called before it reads anything, with all imported that it will
    take, and with descriptors 0 to 2 leading nowhere. As root it becomes that user; without root it stays who it is,
    and nowhere is None. Raises OSError."""
    if nowhere:
        nowhere.enter()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)  # by which all capabilities are gone: capabilities(7)
    not_dumpable()  # so that others of that user's can't trace it: ptrace(2)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE):
        resource.setrlimit(kind, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    least = _MOST_MEMORY if most == resource.RLIM_INFINITY else min(most, _MOST_MEMORY)
    resource.setrlimit(resource.RLIMIT_DATA, (least, least))
    if filter := program(os.uname().machine):
        calls = Calls()
        seccomp.install(calls, filter)
        calls.end()
        calls.run()
