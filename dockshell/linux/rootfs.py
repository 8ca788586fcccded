"""The files of a process's root, read from outside it. What lies there is hostile: links that lead out, devices, FIFOs,
endless files."""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISDIR, S_ISREG

from dockshell.linux.libc import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

__all__ = ["RootFiles"]

# Any of its hundreds of links could be an attempt to stall us; no honest directory that is read here holds as many.
_MOST_NAMES = 4096


class RootFiles:
    """The `Files` of a process, by openat2(2) with RESOLVE_IN_ROOT (Linux 5.6): every link, absolute or with `..`,
    stays inside.

    Needs the right to look at the process (ptrace(2), PTRACE_MODE_READ); the constructor raises OSError without it.
    """

    _root = -1

    def __init__(self, pid: int) -> None:
        self._root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Lets go of the root; nothing can be read after."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    __del__ = close

    def open(self, path: str, flags: int) -> int:
        """A descriptor of what is at that path inside. Raises OSError."""
        return openat2(self._root, path, flags | os.O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

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
