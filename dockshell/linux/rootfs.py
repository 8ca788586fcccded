"""The files of a container, read from outside it. What lies there is hostile: links that lead out, devices, FIFOs,
endless files.

A container's root is that of its mount namespace, where a newcomer begins (setns(2), CLONE_NEWNS) and where engines
exec and copy. Process 1 may have another by now: chroot(2)."""

from __future__ import annotations

import os
from errno import ELOOP
from stat import S_IMODE, S_ISCHR, S_ISDIR, S_ISREG

from dockshell.linux.libc import (
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
    shows_the_kernel,
)

__all__ = ["RootFiles", "open_root", "open_within"]

# Any of its hundreds of links could be an attempt to stall us; no honest directory that is read here holds as many.
_MOST_NAMES = 4096
_ROOT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def open_root(pid: int) -> int:
    """A descriptor of the root of the process's mount namespace. Needs the right to look at the process (ptrace(2),
    PTRACE_MODE_READ), and where that has another root, to enter its mount namespace. Raises OSError."""
    if _has_namespace_root(pid):
        # The parent of the topmost directory is itself, or what was mounted over it since: path_resolution(7).
        return os.open(f"/proc/{pid}/root/..", _ROOT)
    if os.path.samefile(f"/proc/{pid}/ns/mnt", "/proc/self/ns/mnt"):
        return os.open("/", _ROOT)  # who enters stays where we are
    import sys

    from dockshell.linux.credentials import not_dumpable
    from dockshell.linux.namespaces import Namespaces
    from dockshell.linux.passing import from_child

    namespaces = Namespaces(pid)

    def make() -> int:
        not_dumpable()
        sys.meta_path.clear()  # nothing of what is in there is ever imported
        if os.geteuid():
            namespaces.join("user")  # who made it has every right in it, and none out here
        namespaces.join("mnt")
        return os.open("/", _ROOT)

    try:
        return from_child(make)
    finally:
        namespaces.close()


def _has_namespace_root(pid: int) -> bool:
    """Is the process's root that of its mount namespace? The link is a path from the namespace's root. It is "/" in a
    mount that was detached, too, but then mountinfo, which lists what is mounted below the process's root, is empty:
    proc_pid_root(5), proc_pid_mountinfo(5)."""
    if os.readlink(f"/proc/{pid}/root") != "/":
        return False
    descriptor = os.open(f"/proc/{pid}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bool(os.read(descriptor, 1))
    finally:
        os.close(descriptor)


def open_within(root: int, path: str | bytes, flags: int) -> int:
    """A descriptor of what is at that path in a container's root: every link, absolute or with `..`, stays inside, and
    none leads to files in which the kernel shows itself. Where a container has the host's /proc, those are the host's,
    and /proc/self is the calling process. Raises OSError."""
    flags |= os.O_CLOEXEC
    descriptor = openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    if not shows_the_kernel(descriptor):
        return descriptor
    os.close(descriptor)
    try:
        return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != ELOOP:
            raise
        raise OSError(ELOOP, "a link leads there to what the kernel shows: name that itself") from None


class RootFiles:
    """The `Files` of a process's container, by openat2(2) with RESOLVE_IN_ROOT (Linux 5.6): every link, absolute or
    with `..`, stays inside.

    The constructor raises OSError as open_root() does.
    """

    _root = -1

    def __init__(self, pid: int) -> None:
        self._root = open_root(pid)

    def close(self) -> None:
        """Lets go of the root; nothing can be read after."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    __del__ = close

    def open(self, path: str, flags: int) -> int:
        """A descriptor of what is at that path inside. Raises OSError."""
        return open_within(self._root, path, flags)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        try:
            if not S_ISREG(self._mode(path)):
                return None
            descriptor = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return None
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                return None
            chunks: list[bytes] = []
            while limit > 0 and (chunk := os.read(descriptor, min(limit, 1 << 20))):
                chunks.append(chunk)
                limit -= len(chunk)
            return b"".join(chunks)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def null_device(self) -> int:
        """A descriptor of the container's own null device; where it has none, of one that nobody else has. Raises
        OSError."""
        try:
            found = self.open("/dev/null", os.O_PATH)
            try:
                facts = os.fstat(found)  # before it is opened: it may be anything
                if S_ISCHR(facts.st_mode) and facts.st_rdev == os.makedev(1, 3):
                    return os.open(f"/proc/self/fd/{found}", os.O_RDWR | os.O_CLOEXEC)
            finally:
                os.close(found)
        except OSError:
            pass
        from dockshell.linux.attaching import null_device

        return null_device()

    def names(self, path: str) -> list[str]:
        try:
            descriptor = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return []
        try:
            with os.scandir(descriptor) as entries:
                return sorted(entry.name for entry, _ in zip(entries, range(_MOST_NAMES), strict=False))
        finally:
            os.close(descriptor)

    def executable(self, path: str) -> bool:
        mode = self._mode(path)
        return S_ISREG(mode) and bool(S_IMODE(mode) & 0o111)

    def directory(self, path: str) -> bool:
        return S_ISDIR(self._mode(path))

    def exists(self, path: str) -> bool:
        return self._mode(path) != 0

    def _mode(self, path: str) -> int:
        """What it is, without opening it for real: to open a FIFO or a device may block or act. 0 for nothing."""
        try:
            descriptor = self.open(path, os.O_PATH)
        except OSError:
            return 0
        try:
            return os.fstat(descriptor).st_mode
        finally:
            os.close(descriptor)
