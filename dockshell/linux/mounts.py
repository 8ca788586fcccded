"""Making namespaces and what is mounted in them: unshare(2), mount(2), umount2(2), pivot_root(2). Every call raises
OSError."""

from __future__ import annotations

import ctypes
import os

from dockshell.linux.libc import call

__all__ = [
    "BIND",
    "NEWIPC",
    "NEWNET",
    "NEWNS",
    "NEWPID",
    "NEWUSER",
    "NEWUTS",
    "NODEV",
    "NOEXEC",
    "NOSUID",
    "PRIVATE",
    "READ_ONLY",
    "RECURSIVE",
    "REMOUNT",
    "SLAVE",
    "change_root",
    "mount",
    "unmount",
    "unshare",
]

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, RECURSIVE = 1, 2, 4, 8, 32, 4096, 16384
PRIVATE, SLAVE = 1 << 18, 1 << 19
_DETACH = 2
# glibc has no function for it.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "ppc64le": 203, "s390x": 217}


def unshare(kinds: int) -> None:
    """Leaves the namespaces of those kinds (NEW… flags) for new ones. NEWPID takes effect for children only."""
    call("unshare", ctypes.c_int(kinds))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mounts a file system of that kind, or changes a mount where the flags say so (BIND, REMOUNT, PRIVATE, SLAVE)."""
    words = [os.fsencode(word) or None for word in (source, target, kind)]
    try:
        call("mount", *words, ctypes.c_ulong(flags), os.fsencode(options) or None)
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, f"mount {target}") from None


def unmount(target: str) -> None:
    """Takes the mount, and all below it, out of the tree at once; it goes away when nothing uses it any more."""
    call("umount2", os.fsencode(target), ctypes.c_int(_DETACH))


def change_root(directory: str) -> None:
    """Makes that mount point the root of this mount namespace, with nothing left of the former one.

    The former root is stacked upon the new one and taken off again, so that no directory is needed for it:
    pivot_root(2), NOTES.
    """
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"the number of pivot_root is not known for {os.uname().machine}")
    os.chdir(directory)
    call("syscall", ctypes.c_long(number), b".", b".")
    unmount(".")
    os.chdir("/")
