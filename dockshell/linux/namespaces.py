"""Namespaces: which of a process's differ from ours, and joining them. namespaces(7), setns(2)."""

from __future__ import annotations

import os

from dockshell.linux.libc import setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.linux.calls import Calls

__all__ = ["KINDS", "Namespaces", "governs_network", "user_namespace_owner", "user_of"]

# In the order of joining: the user namespace first, for the rights that it gives in the others; the mount namespace
# last, for /proc is another after it. Only then the pid namespace, whose processes see the children of who joins it:
# those are wholly inside by then.
KINDS = {
    "user": 0x10000000,
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "net": 0x40000000,
    "time": 0x80,
    "mnt": 0x00020000,
}
_PID = 0x20000000
_NS_GET_USERNS, _NS_GET_OWNER_UID = 0xB701, 0xB704  # ioctl_ns(2)


class Namespaces:
    """Descriptors of those of a process's namespaces that are not our own, all opened before the first is joined.

    Raises OSError without the right to look at the process.
    """

    def __init__(self, pid: int) -> None:
        self._descriptors: dict[str, int] = {}
        for kind in (*KINDS, "pid"):
            try:
                ours = os.stat(f"/proc/self/ns/{kind}")
            except FileNotFoundError:
                continue  # a kernel without that kind has nothing of it to differ
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            theirs = os.fstat(descriptor)
            if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
                os.close(descriptor)
            else:
                self._descriptors[kind] = descriptor

    def __contains__(self, kind: str) -> bool:
        return kind in self._descriptors

    def join(self, kind: str) -> None:
        """Joins one, if it is another than ours. After `pid`, the caller's next children are in it."""
        descriptor = self._descriptors.pop(kind, -1)
        if descriptor >= 0:
            setns(descriptor, KINDS.get(kind, _PID))
            os.close(descriptor)

    def join_rest(self, calls: Calls) -> list[int]:
        """Adds the calls by which a process, which must have one thread only, joins all that were not joined yet;
        `pid` comes last, and counts for its children. Returns the descriptors that it needs for that, and closes."""
        needed = []
        for kind, flag in (*KINDS.items(), ("pid", _PID)):
            if kind in self._descriptors:
                needed.append(self._descriptors[kind])
                calls.add("setns", needed[-1], flag)
                calls.add("close", needed[-1])
        return needed

    def close(self) -> None:
        """Closes the descriptors."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    __del__ = close

    def owned(self) -> bool:
        """Does the user namespace belong to our own effective user, who then has all rights in it?"""
        return "user" in self._descriptors and user_namespace_owner(self._descriptors["user"]) == os.geteuid()


def user_namespace_owner(descriptor: int) -> int:
    """The user id (as ours) that made the user namespace: ioctl_ns(2), NS_GET_OWNER_UID."""
    import fcntl
    from struct import unpack

    answer = fcntl.ioctl(descriptor, _NS_GET_OWNER_UID, bytes(4))
    owner: int = unpack("I", answer)[0]
    return owner


def governs_network(pid: int) -> bool:
    """Do the process's capabilities hold for its network namespace? Not where that belongs to another user namespace,
    as a host's does for a container of somebody without root: network_namespaces(7). Raises OSError."""
    import fcntl

    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        owner = fcntl.ioctl(network, _NS_GET_USERNS)
    except PermissionError:
        return False  # one above our own
    finally:
        os.close(network)
    try:
        above, theirs = os.fstat(owner), os.stat(f"/proc/{pid}/ns/user")
        return (above.st_dev, above.st_ino) == (theirs.st_dev, theirs.st_ino)
    finally:
        os.close(owner)


def user_of(uid_map: str) -> int:
    """The user id (as ours) of somebody who has one in the user namespace, its root as a rule; -1 where nobody has.
    uid_map: that file of a process in it, user_namespaces(7)."""
    return int((uid_map.split() or ("0", "-1"))[1])
