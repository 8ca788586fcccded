"""A file that can only be had, and put, as a whole: kept in a temporary file of ours while a client reads and writes in
it."""

from __future__ import annotations

import os
import tempfile
from errno import EBADF, EOPNOTSUPP
from stat import S_IFREG

from dockshell.bridge.tree import Changes, failure
from dockshell.model import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from dockshell.engines import Download
else:
    Protocol = object

__all__ = ["Origin", "SpooledFile", "pieces"]

_CHUNK = 1 << 20
_FOR_EVER = 1 << 62


class Origin(Protocol):
    """Where the file is. Raises OSError, DockshellError."""

    def fetch(self) -> Download:
        """Its content, from the beginning."""

    def put(self, descriptor: int, size: int, changes: Changes) -> None:
        """Gives it this content, and what else is to be changed. descriptor: of a file with so many bytes."""

    def change(self, changes: Changes) -> None:
        """Changes anything but the content."""

    def stat(self) -> os.stat_result: ...

    def file_id(self) -> object:
        """What `File.file_id` says of it."""


class SpooledFile:
    """The `File` of an origin. It fetches as much as is asked for, and puts all when it is closed, where anything was
    written.

    flags: as of open(2). empty: there is no content yet, or none that counts, and that is to be put too. The first
    `_known` bytes of the temporary file are the file's, and all of them once it is `_whole`."""

    def __init__(self, origin: Origin, flags: int, *, empty: bool) -> None:
        self._origin = origin
        kind = flags & os.O_ACCMODE
        self._reads, self._writes = kind != os.O_WRONLY, kind != os.O_RDONLY
        self._appends = bool(flags & os.O_APPEND)
        self._spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed with the file
        self._descriptor = self._spool.fileno()
        self._known = 0
        self._whole = empty
        self._written = empty
        self._changes = Changes()
        self._download: Download | None = None
        self._at = 0  # where the download is

    def read(self, into: memoryview, at: int) -> int:
        if not self._reads:
            raise failure(EBADF)
        self._reach(at + len(into))
        return os.preadv(self._descriptor, (into,), at)

    def write(self, data: memoryview, at: int) -> None:
        if not self._writes:
            raise failure(EBADF)
        if self._appends:
            self._reach(_FOR_EVER)
            at = self._known
        self._reach(at)
        done = 0
        while done < len(data):
            done += os.pwrite(self._descriptor, data[done:], at + done)
        self._known = max(self._known, at + done)
        self._written = True

    def stat(self) -> os.stat_result:
        facts = list(self._origin.stat())
        if self._written or self._whole:
            facts[6] = self._known if self._whole else max(self._known, facts[6])
        facts[0] = facts[0] if self._changes.mode is None else S_IFREG | self._changes.mode
        return os.stat_result(facts)

    def file_id(self) -> object:
        return self._origin.file_id()

    def change(self, changes: Changes) -> None:
        if changes.size is not None:
            if not self._writes:
                raise failure(EBADF)
            self._reach(changes.size)
            os.ftruncate(self._descriptor, changes.size)
            self._known, self._whole, self._written = changes.size, True, True
        kept = {name: value for name, value in changes.__dict__.items() if value is not None and name != "size"}
        self._changes = replace(self._changes, **kept)

    def rewrite(self) -> None:
        """It is to be put anew, whatever is written or not."""
        self._written = True

    def sync(self) -> None:
        """Nothing is there before close(); what that puts is in the engine's hands."""

    def space(self) -> os.statvfs_result:
        raise failure(EOPNOTSUPP)

    def close(self) -> None:
        try:
            if self._written:
                self._reach(_FOR_EVER)
                self._origin.put(self._descriptor, self._known, self._changes)
            elif self._changes != Changes():
                self._origin.change(self._changes)
        finally:
            self.abandon()

    def abandon(self) -> None:
        if self._download:
            self._download.close()
            self._download = None
        self._spool.close()

    def _reach(self, end: int) -> None:
        """Fetches so far that all before `end` is known; what was written meanwhile stays."""
        while not self._whole and self._known < end:
            self._download = self._download or self._origin.fetch()
            piece = memoryview(self._download.read(_CHUNK))
            if not piece:
                self._whole = True
                break
            new = piece[max(0, self._known - self._at) :]
            self._at += len(piece)
            while new:
                done = os.pwrite(self._descriptor, new, self._known)
                self._known, new = self._known + done, new[done:]


def pieces(descriptor: int, size: int) -> Iterator[bytes]:
    """The first so many bytes of a file; zeros where it has fewer."""
    at = 0
    while at < size:
        piece = os.pread(descriptor, min(_CHUNK, size - at), at) or bytes(min(_CHUNK, size - at))
        at += len(piece)
        yield piece
