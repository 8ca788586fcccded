"""A tar that somebody hostile may have made, read forward and within bounds: copy's, an engine's, that of a tar inside.

Before a member there may be headers of any length: pax(1)'s records, names and maps of holes as GNU has them, tar(5).
Python's tarfile reads each into memory, searches those of pax(1) by a regular expression that takes quadratic time in
many digits (CVE-2024-6232), calls itself for one behind another, and copies global ones for each member. So longer ones
are refused here than Go's archive/tar takes, which is what engines read and write tars by; and so are others that no
tar has. The rest is tarfile's."""

from __future__ import annotations

import tarfile
from re import compile as pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Any

__all__ = ["NONSENSE", "Stream", "UntrustedTar"]

# What reading one raises that makes no sense: tarfile has no error of its own for odd numbers in records of pax(1), an
# early end, or a map of holes that is cut.
NONSENSE = (tarfile.TarError, ValueError, OverflowError, EOFError, IndexError)

_CHUNK = 1 << 18
_LONGEST = 1 << 20  # bytes of a header: maxSpecialFileSize of Go's archive/tar
_LONGEST_GLOBAL = 1 << 16
_MOST_BYTES = 1 << 21  # of all that is read before a member's content, its map of holes included
_MOST_HEADERS = 16  # before one member
_MOST_GLOBAL = 1000  # records that count for all members
_MOST_DIGITS = 256  # in a row, which is as long as a name may be
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_SPECIAL = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_RECORD = pattern(rb"([1-9][0-9]{0,6}) [^=\n]+=")
_ANY_DIGIT = bytes.maketrans(b"0123456789", b"0" * 10)


class UntrustedTar:
    """read: gives the next bytes of the tar, at most so many; none at its end. Reading raises one of NONSENSE where it
    is no tar, and what read() raises."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.stream = Stream(read)

        class Member(tarfile.TarInfo):
            """Looked at before tarfile acts on it."""

            @classmethod
            def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Member:
                member = super().frombuf(buf, encoding, errors)
                self._check(member)
                return member

        self._kind = Member
        self._headers = 0
        self._tar: Any = None

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Each member; the content of one can be had until the next is asked for."""
        while member := self._next():
            if member.size < 0:
                raise tarfile.ReadError("a member has a negative size")
            if len(self._tar.pax_headers) > _MOST_GLOBAL:
                raise tarfile.ReadError("it has too many global records")
            yield member

    def content(self, member: tarfile.TarInfo) -> IO[bytes]:
        """What a regular file has in it. A sparse one, which no engine sends, is refused: its zeros may have no end."""
        if member.sparse is not None:
            raise tarfile.ReadError("a file in it is sparse")
        found: IO[bytes] = self._tar.extractfile(member)
        return found

    def _next(self) -> tarfile.TarInfo | None:
        self._headers = 0
        self.stream.bound(_MOST_BYTES)
        try:
            if self._tar is None:  # which reads the first
                fileobj: Any = self.stream
                self._tar = tarfile.TarFile(fileobj=fileobj, mode="r", tarinfo=self._kind, errors="surrogateescape")
            member: tarfile.TarInfo | None = self._tar.next()
            self._tar.members = []  # it would keep them all
        finally:
            self.stream.bound(None)
        return member

    def _check(self, member: tarfile.TarInfo) -> None:
        """Raises ReadError for a header that is too much to be read."""
        if member.size < 0:
            raise tarfile.ReadError("a header has a negative size")
        if member.type not in _SPECIAL:
            return
        self._headers += 1
        longest = _LONGEST_GLOBAL if member.type == tarfile.XGLTYPE else _LONGEST
        if member.size > longest or self._headers > _MOST_HEADERS:
            raise tarfile.ReadError(f"a header in it has {member.size} bytes, or there are too many of them")
        if member.type in _PAX:
            _check_records(self.stream.peek(member.size))


def _check_records(content: bytes) -> None:
    """Raises ReadError for what is not just records of pax(1), and for more digits in a row than tarfile can take."""
    at = 0
    while at < len(content):
        record = _RECORD.match(content, at)
        end = at + int(record[1]) if record else 0
        if not record or end < record.end() or content[end - 1 : end] != b"\n":
            raise tarfile.ReadError("a header in it is broken")
        at = end
    if b"0" * (_MOST_DIGITS + 1) in content.translate(_ANY_DIGIT):
        raise tarfile.ReadError("a header in it has too long a number")


class Stream:
    """A tar's bytes as the file that tarfile wants: it only ever seeks forward. ended: it did before a tar's end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._rest = b""
        self._begin = 0  # of what is left of the rest
        self._at = 0
        self._left: int | None = None
        self.ended = False

    def bound(self, left: int | None) -> None:
        """From now on read() gives at most so many bytes, and then raises ReadError; None for no such bound."""
        self._left = left

    def tell(self) -> int:
        return self._at

    def seek(self, to: int) -> None:
        while self._at < to and self.some(min(to - self._at, _CHUNK)):
            pass

    def some(self, most: int) -> bytes:
        """At least one byte, at most so many; none at the end."""
        if self._begin == len(self._rest):
            self._rest, self._begin = self._read(_CHUNK), 0
            self.ended = not self._rest
        if self._begin == 0 and most >= len(self._rest):
            found = self._rest
        else:
            found = self._rest[self._begin : self._begin + most]
        self._begin += len(found)
        self._at += len(found)
        return found

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end."""
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise tarfile.ReadError("what is before a member's content has no end")
        found = self.some(size)
        if len(found) == size or not found:
            return found
        pieces = [found]
        size -= len(found)
        while size and (more := self.some(size)):
            pieces.append(more)
            size -= len(more)
        return b"".join(pieces)

    def peek(self, size: int) -> bytes:
        """The same bytes that read() gives next."""
        pieces = [self._rest[self._begin :]]
        have = len(pieces[0])
        while have < size and (more := self._read(_CHUNK)):
            pieces.append(more)
            have += len(more)
        self._rest, self._begin = b"".join(pieces), 0
        return self._rest[:size]

    def drain(self) -> None:
        """Reads on to the end: who writes the stream is to have all of it taken."""
        while self.some(_CHUNK):
            pass
