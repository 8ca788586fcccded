"""A tree of mounts of ours, and its place in a copy of another's mount namespace that nobody else sees.

It is made in a mount namespace of its own and taken out of there by open_tree(2), so that it is nowhere; a process that
is about to become a command takes a copy of the container's mount namespace and attaches it there by move_mount(2)
(both Linux 5.2). It goes with the last process that has it."""

from __future__ import annotations

import ctypes
import os
from stat import S_IFCHR

from dockshell.linux import passing
from dockshell.linux.calls import text
from dockshell.linux.libc import syscall
from dockshell.linux.mounts import (
    BIND,
    NEWNS,
    NODEV,
    NOSUID,
    PRIVATE,
    READ_ONLY,
    RECURSIVE,
    REMOUNT,
    SLAVE,
    mount,
    unshare,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.linux.calls import Calls
    from dockshell.linux.namespaces import Namespaces
    from dockshell.linux.rootfs import RootFiles

__all__ = ["Detached", "empty_place", "null_device", "union"]

_OPEN_TREE = 428
_CLONE, _CLOEXEC, _RECURSIVE = 1, 0o2000000, 0x8000
_FROM_DESCRIPTOR = 4  # MOVE_MOUNT_F_EMPTY_PATH
_HERE = -100  # AT_FDCWD
# Where a mount covers nothing. /proc and /sys have directories that are there to be mounted on and always empty
# (proc_create_mount_point and sysfs_create_mount_point of the kernel); the others are empty as a rule.
_PLACES = ("/proc/fs/nfsd", "/sys/kernel/debug", "/sys/kernel/security", "/mnt", "/media", "/srv")
_SAFE = READ_ONLY | NOSUID | NODEV


def empty_place(files: RootFiles) -> str:
    """An empty directory of that root, to attach a tree at; an empty text where none of the usual ones is."""
    return next((place for place in _PLACES if files.directory(place) and not files.names(place)), "")


class Detached:
    """A tree that is nowhere yet. place: where it is to be attached."""

    def __init__(self, place: str, build: Callable[[str], None], namespaces: Namespaces | None = None) -> None:
        """build: fills a small file system in memory at the path that it is given, mounts on it included; it is called
        in a child of ours that sees our files. namespaces: whose user namespace the child is to join first, for who has
        no right to mount but in there. Raises OSError."""
        self.place = place

        def make() -> int:
            if namespaces is not None:
                namespaces.join("user")
            return _built(build)

        self._tree = passing.from_child(make)

    def attach(self, calls: Calls) -> list[int]:
        """Adds the calls that give a process, which must have one thread, a copy of its mount namespace, and attach the
        tree in there. Returns the descriptors that it needs for that, and closes."""
        calls.add("unshare", NEWNS)
        # What is mounted in here from now on stays here, also where mounts out there are shared: mount_namespaces(7).
        calls.add("mount", 0, b"/\0", 0, SLAVE | RECURSIVE)
        calls.add("move_mount", self._tree, b"\0", _HERE, text(os.fsencode(self.place)), _FROM_DESCRIPTOR)
        calls.add("close", self._tree)
        return [self._tree]

    def close(self) -> None:
        """Lets go of it: who has attached it keeps it."""
        if self._tree >= 0:
            os.close(self._tree)
            self._tree = -1


def _built(build: Callable[[str], None]) -> int:
    """The descriptor of the tree. It lives for as long as this very open file does, so it can only be passed on."""
    unshare(NEWNS)
    mount("", "/", flags=PRIVATE | RECURSIVE)
    place = next(place for place in (*_PLACES, "/tmp") if os.path.isdir(place))
    mount("toolbox", place, "tmpfs", NOSUID | NODEV, "mode=755")
    build(place)
    mount("", place, flags=REMOUNT | BIND | _SAFE)
    flags = ctypes.c_uint(_CLONE | _RECURSIVE | _CLOEXEC)
    return syscall(_OPEN_TREE, ctypes.c_int(_HERE), os.fsencode(place), flags)


def null_device() -> int:
    """A descriptor of a null device on a file system of its own, which goes with it. Raises OSError."""

    def make() -> int:
        unshare(NEWNS)
        mount("", "/", flags=PRIVATE | RECURSIVE)
        mount("null", "/tmp", "tmpfs", NOSUID, "mode=755")
        os.mknod("/tmp/null", S_IFCHR, os.makedev(1, 3))
        os.chmod("/tmp/null", 0o666)
        return os.open("/tmp/null", os.O_RDWR | os.O_CLOEXEC)

    return passing.from_child(make)


def union(layers: list[str], place: str, empty: str) -> None:
    """Mounts those directories of ours as one, the first above the others, so that nobody can write to them, whatever
    rights they have: an overlay without an upper layer has no way to. empty: a directory with nothing in it, for an
    overlay takes two. Raises OSError."""
    # Short names for what may be many long paths: mount(2) takes a page of options.
    held = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in (*layers, empty)]
    try:
        os.chdir("/proc/self/fd")
        mount("toolbox", place, "overlay", _SAFE, "lowerdir=" + ":".join(map(str, held)))
    finally:
        os.chdir("/")
        for descriptor in held:
            os.close(descriptor)
