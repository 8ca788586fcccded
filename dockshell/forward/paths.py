"""Connections to Unix sockets among a container's files, by a process of ours that has entered it."""

from __future__ import annotations

import errno
import os
import socket
from select import POLLIN, poll
from time import monotonic

from dockshell.engines.json import encode
from dockshell.linux import passing, safe_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Channel

__all__ = ["serve"]

_PATIENCE = 10.0  # seconds for a connection
_AGAIN = 0.01
_LARGEST = 1 << 12


# These run inside, between setns and the end of their process: no import, nothing but system calls.


def _reach(path: bytes) -> socket.socket:
    """A socket connected to that path, which doesn't block. Raises OSError; BlockingIOError where its server has more
    waiting than it will take (connect(2): EAGAIN), for who likes to try again."""
    directory, name = safe_paths.parent(path, follow=True)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.setblocking(False)
        safe_paths.beside(directory, lambda: made.connect(name))
    except BaseException:
        made.close()
        raise
    finally:
        os.close(directory)
    return made


def serve(control: Channel) -> int:
    """Until its end: a number and a path come by control, and go back with a connected socket or with why there is
    none."""
    waiting: list[tuple[bytes, bytes, float]] = []
    waiter = poll()
    waiter.register(control, POLLIN)
    while True:
        if waiter.poll(int(_AGAIN * 1000) if waiting else None):
            told = control.recv(_LARGEST)
            if not told:
                return 0
            number, _, path = told.partition(b" ")
            waiting.append((number, path, monotonic() + _PATIENCE))
        waiting = [each for each in waiting if not _answered(control, *each)]


def _answered(control: Channel, number: bytes, path: bytes, until: float) -> bool:
    try:
        made = _reach(path)
    except BlockingIOError:
        if monotonic() < until:
            return False
        passing.send(control, encode({"number": int(number), "errno": errno.ETIMEDOUT}))
        return True
    except OSError as error:
        passing.send(control, encode({"number": int(number), "errno": error.errno or errno.EINVAL}))
        return True
    passing.send(control, encode({"number": int(number), "errno": 0}), [made.fileno()])
    made.close()
    return True
