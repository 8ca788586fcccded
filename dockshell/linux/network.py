"""Connections from inside another process's network namespace: network_namespaces(7)."""

from __future__ import annotations

import os
import socket
import threading

from dockshell.linux.libc import setns
from dockshell.linux.namespaces import KINDS

__all__ = ["connect_within", "shared"]


def connect_within(namespace: int, address: tuple[str, int], limit: float) -> socket.socket:
    """A TCP connection to that address, made in the network namespace that the descriptor refers to; limit: seconds.

    A thread of its own joins that namespace, which is a thread's and not a process's (setns(2)), and ends with having
    connected; a socket stays in the namespace in which it was made. Takes CAP_SYS_ADMIN here and in the user namespace
    to which that network belongs. Raises OSError.
    """
    made: list[socket.socket | OSError] = []

    def visit() -> None:
        try:
            setns(namespace, KINDS["net"])
            made.append(socket.create_connection(address, limit))
        except OSError as error:
            made.append(error)

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    visitor.join()
    result = made[0]
    if isinstance(result, OSError):
        raise result
    return result


def shared(namespace: int) -> bool:
    """Is that network namespace our own?"""
    ours, theirs = os.stat("/proc/self/ns/net"), os.fstat(namespace)
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
