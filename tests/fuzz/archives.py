"""Tars of others."""

from __future__ import annotations

import io

from dockshell.copy.entry import How
from dockshell.copy.report import Report
from dockshell.copy.tar import TarSource
from dockshell.voice import Voice

__all__ = ["tar"]


class _Silent(Report):
    """Says nothing."""

    def __init__(self) -> None:
        super().__init__(Voice())

    def say(self, line: str) -> None:
        assert line.isprintable()


def tar(data: bytes) -> None:
    """A byte of flags, and a tar: entries whose paths and content stay within it, or OSError. Flag 1: the first name of
    each path is that of what was asked for; flag 2: the headers get the checksums that they should have."""
    flags, data = data[0] if data else 0, data[1:]
    packed = io.BytesIO(_summed(data) if flags & 2 else data)
    source = TarSource(lambda most: packed.read(min(most, 700)), rebased=bool(flags & 1))
    content = 0
    try:
        for entry in source.entries(b"", b"copy", False, How(everything=True), _Silent()):
            assert not entry.path.startswith(b"/") and b".." not in entry.path.split(b"/")
            assert not entry.twin.startswith(b"/") and b".." not in entry.twin.split(b"/")
            assert entry.size >= 0
            if entry.content is not None:
                end = 0
                for at, block in entry.content.blocks():
                    assert at >= end
                    end = at + len(block)
                    content += len(block)
                assert end <= entry.size
    except OSError:
        pass
    assert content <= len(data)


def _summed(data: bytes) -> bytes:
    """With the right checksum in each block that says that it is a header: the fuzzer could hardly guess it."""
    found = bytearray(data)
    for at in range(0, len(found) - 511, 512):
        if found[at + 257 : at + 262] == b"ustar":
            found[at + 148 : at + 156] = b" " * 8
            found[at + 148 : at + 156] = b"%06o\0 " % sum(found[at : at + 512])
    return bytes(found)
