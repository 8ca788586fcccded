"""What the packets of SFTP version 3 are made of (draft-ietf-secsh-filexfer-02): numbers, strings, attributes, names.
Pure; what is read is hostile."""

from __future__ import annotations

import errno
import time
from stat import filemode
from struct import Struct
from struct import error as StructError

from dockshell.bridge.tree import Changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

__all__ = ["LONGEST_OWNER", "Malformed", "Reader", "attributes", "line_of", "number", "status_of", "string"]

# SSH_FX_…, section 7.
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8

_STATUS = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP), NO_SUCH_FILE),
    **dict.fromkeys((errno.EPERM, errno.EACCES, errno.EFAULT), PERMISSION_DENIED),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EINVAL), BAD_MESSAGE),
    errno.ENOSYS: UNSUPPORTED,
}

# SSH_FILEXFER_ATTR_…, section 5.
_SIZE, _OWNER, _MODE, _TIMES, _MORE = 1, 2, 4, 8, 0x80000000

_NUMBER, _LONG, _TWO = Struct(">I"), Struct(">Q"), Struct(">II")
_ATTRIBUTES = Struct(">IQIIIII")
LONGEST_OWNER = 64  # bytes of a user's or group's name that are told; passwd may hold any

_MOST_SECONDS = (1 << 32) - 1
_HALF_A_YEAR = 182 * 86400
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


class Malformed(Exception):
    """The packet isn't what its type asks for."""


class Reader:
    """Takes a packet's content apart, from its beginning on. Every method raises Malformed where there isn't enough."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def number(self) -> int:
        """Four bytes."""
        return self._unpacked(_NUMBER)[0]

    def long(self) -> int:
        """Eight bytes."""
        return self._unpacked(_LONG)[0]

    def string(self) -> bytes:
        """A length, and so many bytes."""
        length = self.number()
        found = self._content[self._at : self._at + length]
        if len(found) != length:
            raise Malformed("a string is longer than its packet")
        self._at += length
        return found

    def changes(self) -> Changes:
        """Attributes that a client wants something to have, section 5."""
        flags = self.number()
        size = self.long() if flags & _SIZE else None
        owner = self._unpacked(_TWO) if flags & _OWNER else None
        mode = self.number() & 0o7777 if flags & _MODE else None
        times = self._unpacked(_TWO) if flags & _TIMES else None
        if flags & _MORE:
            for _ in range(self.number()):
                self.string()
                self.string()
        return Changes(
            size=size,
            owner=(owner[0], owner[1]) if owner else None,
            mode=mode,
            times=(times[0], times[1]) if times else None,
        )

    @property
    def left(self) -> bool:
        """Is there more?"""
        return self._at < len(self._content)

    def _unpacked(self, what: Struct) -> tuple[int, ...]:
        try:
            found = what.unpack_from(self._content, self._at)
        except StructError:
            raise Malformed("the packet is too short") from None
        self._at += what.size
        return found


def number(value: int) -> bytes:
    return _NUMBER.pack(value)


def string(content: bytes) -> bytes:
    return _NUMBER.pack(len(content)) + content


def attributes(facts: os.stat_result) -> bytes:
    """What is known of a file, section 5. Times before 1970 and after 2106 can't be told: it is the nearest."""
    accessed, changed = (min(max(int(moment), 0), _MOST_SECONDS) for moment in (facts.st_atime, facts.st_mtime))
    return _ATTRIBUTES.pack(
        _SIZE | _OWNER | _MODE | _TIMES, facts.st_size, facts.st_uid, facts.st_gid, facts.st_mode, accessed, changed
    )


def line_of(name: bytes, facts: os.stat_result, owners: tuple[bytes, bytes], now: float) -> bytes:
    """The file as `ls -l` shows it, section 7. owners: the names of its user and group, numbers where they are empty.

    In UTC: the time zone's file is the container's, and nothing for the C library to parse here."""
    user, group = owners
    moment = time.gmtime(min(max(facts.st_mtime, 0), _MOST_SECONDS))
    recent = now - _HALF_A_YEAR < facts.st_mtime < now + 86400
    clock = b"%02d:%02d" % (moment.tm_hour, moment.tm_min) if recent else b"%5d" % moment.tm_year
    return b"%s %3d %-8s %-8s %8d %s %2d %s %s" % (
        filemode(facts.st_mode).encode("ascii"),
        facts.st_nlink,
        user[:LONGEST_OWNER] or b"%d" % facts.st_uid,
        group[:LONGEST_OWNER] or b"%d" % facts.st_gid,
        facts.st_size,
        _MONTHS[moment.tm_mon - 1],
        moment.tm_mday,
        clock,
        name,
    )


def status_of(error: BaseException) -> int:
    """The SSH_FX_… code that says most of what the error says."""
    known = _STATUS.get(error.errno or 0) if isinstance(error, OSError) else None
    return FAILURE if known is None else known
