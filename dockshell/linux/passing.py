"""Descriptors given to another process over a Unix socket: unix(7), SCM_RIGHTS."""

from __future__ import annotations

import os
import sys
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socketpair,
)
from errno import EMFILE

from dockshell.errors import Fault
from dockshell.linux.signals import gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Iterable

__all__ = ["LARGEST", "from_child", "receive", "send"]

LARGEST = 160 << 10  # bytes of a message; the kernel's default for a socket's buffer is 208 KiB: socket(7)
_MOST = 8
_SIZE = 4  # bytes of an int, which a descriptor is


def send(channel: socket, content: bytes, descriptors: Iterable[int] = ()) -> None:
    """One message, with descriptors of ours that stay open here. Raises OSError where nobody listens any more."""
    packed = b"".join(number.to_bytes(_SIZE, sys.byteorder) for number in descriptors)
    channel.sendmsg([content], [(SOL_SOCKET, SCM_RIGHTS, packed)] if packed else [])


def receive(channel: socket) -> tuple[bytes, list[int]]:
    """The next message and the descriptors that came along, which are ours now; nothing of either at its end. Raises
    OSError; EMFILE where not all of them could be opened here, and then the message is lost with them."""
    content, extra, flags, _ = channel.recvmsg(LARGEST, CMSG_SPACE(_MOST * _SIZE), MSG_CMSG_CLOEXEC)
    found = []
    for level, kind, data in extra:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            whole = len(data) - len(data) % _SIZE
            found += [int.from_bytes(data[at : at + _SIZE], sys.byteorder) for at in range(0, whole, _SIZE)]
    if flags & MSG_CTRUNC:
        for number in found:
            os.close(number)
        raise OSError(EMFILE, os.strerror(EMFILE))
    return content, found


def from_child(make: Callable[[], int]) -> int:
    """The descriptor that make() returns, called in a child of ours: that may join namespaces for it, and then must not
    import anything. Raises OSError where make() did, and where the child ended without it; Fault for another error."""
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            send(theirs, b"", [make()])
        except OSError as error:
            words = error.strerror or str(error)
            send(theirs, f"{error.errno or 0} {words}: {error.filename or ''}".encode("utf-8", "replace")[:4096])
        except BaseException as error:
            send(theirs, Fault.of(error).pack())
        finally:
            os._exit(0)
    theirs.close()
    try:
        told, descriptors = receive(ours)
    finally:
        ours.close()
        gone(pid)
    if fault := Fault.unpack(told):
        raise fault
    if not descriptors:
        number, _, words = told.decode("utf-8", "replace").partition(" ")
        raise OSError(int(number or 0), words or "the process that was to open it ended")
    return descriptors[0]
