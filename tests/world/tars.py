"""Pieces of tars that no honest program writes."""

from __future__ import annotations

import tarfile

__all__ = ["header", "record", "with_header"]


def header(kind: bytes, size: int, *, extended: bool = False) -> bytes:
    """A member's block. extended: a map of holes goes on in the next one (GNU's old format)."""
    member = tarfile.TarInfo("name")
    member.type, member.size = kind, size
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[482] = extended
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


def record(name: bytes, value: bytes) -> bytes:
    """One of pax(1), whose length counts itself."""
    rest = b" %s=%s\n" % (name, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def with_header(content: bytes, kind: bytes = tarfile.XHDTYPE, member: bytes = b"") -> bytes:
    """A header with that content, the member that it is for, and a tar's end."""
    member = member or header(tarfile.REGTYPE, 0) + bytes(1024)
    return header(kind, len(content)) + content + bytes(-len(content) % 512) + member
