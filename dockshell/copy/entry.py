"""What is copied, one at a time: an `Entry`, which a source yields and a sink takes; and how it is to be copied."""

from __future__ import annotations

import os

from dockshell.errors import DockshellError
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from dockshell.copy.destination import Owner
    from dockshell.copy.report import Report
else:
    Protocol = object

__all__ = [
    "BLOCK",
    "Changed",
    "Content",
    "CopyError",
    "Entry",
    "How",
    "Side",
    "Sink",
    "Swallowed",
    "Unverified",
    "failure",
]


BLOCK = 1 << 18  # bytes: what is read at a time, so that it is compared while it is in the processor's cache


class CopyError(DockshellError):
    """Something was not copied. Each file that wasn't has been told of by then."""

    exit_code = 1


class Changed(OSError):
    """A file was written to while it was copied, so that what was read may be half of the one and half of the other."""


class Swallowed(DockshellError):
    """The engine took a tar, and inside there is nothing of it: something is mounted there that the archive doesn't
    reach."""


class Unverified(OSError):
    """What can be read from where a file was copied to is not what was written there."""


def failure(number: int, said: str = "") -> OSError:
    """That error, in its usual words or in these."""
    return OSError(number, said or os.strerror(number))


class Content(Protocol):
    """A regular file's."""

    def blocks(self) -> Iterator[tuple[int, bytes | bytearray | memoryview]]:
        """(offset, bytes) in rising order; what lies between is zeros and may be a hole. A block is only good until the
        next. Raises OSError, DockshellError: Changed among them, at the end."""

    def close(self) -> None: ...


class Entry:
    """path: where it goes, relative to the sink's directory, "/" between names; empty for that directory itself. mode:
    with the type, inode(7). uid and gid: the numbers inside the container. time: of its last change, in ns. link: what
    a symbolic link says. device: of a device file. twin: the path of an entry before, of which this is one more name.
    shared: a twin of it may follow. content: of a regular file that is no twin; size: its length."""

    __slots__ = ("content", "device", "gid", "link", "mode", "path", "shared", "size", "time", "twin", "uid", "xattrs")

    def __init__(self, path: bytes, mode: int, uid: int, gid: int, time: int) -> None:
        self.path = path
        self.mode = mode
        self.uid, self.gid = uid, gid
        self.time = time
        self.size = 0
        self.link = self.twin = b""
        self.device = 0
        self.shared = False
        self.xattrs: dict[str, bytes] = {}
        self.content: Content | None = None


@noun(frozen=True)
class How:
    """What is copied of an entry. follow: links that are met on the way are followed,
    within the container; everything: owners, device files, setuid bits and every extended attribute (-a)."""

    follow: bool = False
    everything: bool = False


class Sink(Protocol):
    """Takes entries: a directory before what is in it."""

    def put(self, entry: Entry) -> None:
        """Raises OSError where this one can't be put, DockshellError where no other can either."""

    def finish(self) -> None:
        """All has been put."""

    def close(self) -> None:
        """Lets go; without finish() before, takes away what is unfinished."""


class Side(Protocol):
    """Where files are, and can be put: here, or in a container. Paths are of bytes; each method raises OSError."""

    def look(self, path: bytes, *, follow: bool = True) -> os.stat_result | None:
        """What is there; None for nothing."""

    def readlink(self, path: bytes) -> bytes:
        """What the link there says."""

    def names(self, path: bytes) -> list[bytes]:
        """What is in that directory, sorted."""

    def entries(self, path: bytes, name: bytes, follow: bool, how: How, report: Report) -> Iterator[Entry]:
        """What is at that path, and with it what is in it. name: what it is to be called; follow: whether a link in
        that very place is. What can't be read in there is reported."""

    def sink(self, directory: bytes, owner: Owner, report: Report) -> Sink:
        """What puts entries into that directory."""

    def copy_within(self, directory: bytes) -> None:
        """It is told that what is put into that directory will come from itself."""

    def close(self) -> None:
        """Lets go of it. Raises nothing."""
