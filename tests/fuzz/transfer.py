"""What a client of the bridge sends to move files."""

from __future__ import annotations

import os
from collections.abc import Callable
from struct import unpack_from

from dockshell.bridge import scp as server_of_scp
from dockshell.bridge import sftp as server_of_sftp
from dockshell.errors import printable
from tests.fuzz.memory_tree import MemoryTree

__all__ = ["scp", "sftp"]


def _talk(serve: Callable[[int, int], int], sent: bytes) -> tuple[int, bytes]:
    """A server that is sent all of it, and then the end → its exit code and what it said."""
    source, sink = os.memfd_create("sent"), os.memfd_create("said")
    try:
        os.write(source, sent)
        os.lseek(source, 0, os.SEEK_SET)
        code = serve(source, sink)
        return code, os.pread(sink, 1 << 26, 0)
    finally:
        os.close(source)
        os.close(sink)


def sftp(data: bytes) -> None:
    """A byte, and packets: an exit code, and whole answers, of which there are no more than packets. An odd byte means
    that the packets have lengths of two bytes, which become what they should be."""
    sent = _framed(data[1:]) if data[:1] and data[0] & 1 else data[1:]
    code, said = _talk(lambda source, sink: server_of_sftp.serve(MemoryTree(), source, sink), sent)
    assert code in (0, 1)
    count = 0
    while said:
        (length,) = unpack_from(">I", said)
        assert 5 <= length <= 256 << 10 and len(said) >= 4 + length
        assert said[4] in (2, 101, 102, 103, 104, 105, 201)
        said = said[4 + length :]
        count += 1
    assert count <= len(sent) // 5


def _framed(data: bytes) -> bytes:
    packets = []
    while len(data) > 2:
        length = int.from_bytes(data[:2], "big")
        packet, data = data[2 : 2 + length], data[2 + length :]
        packets.append(len(packet).to_bytes(4, "big") + packet)
    return b"".join(packets)


def scp(data: bytes) -> None:
    """The line that starts the server, and what it is sent: no server where a shell is needed, or an exit code; and
    nothing that drives the client's terminal in its messages."""
    line, _, sent = data.partition(b"\n")
    words = server_of_scp.words_of(line)
    if words is None:
        return
    assert words[0] == b"scp" and not any(b"\0" in word for word in words)
    code, said = _talk(lambda source, sink: server_of_scp.serve(MemoryTree(), words, source, sink), sent)
    assert code in (0, 1)
    call = server_of_scp._call(words)
    if call and call.takes:  # else there are files in it
        messages = said.replace(b"\0", b"").decode("utf-8", "replace").split("\n")
        assert all(message[1:] == printable(message[1:]) for message in messages)
