"""Connections from inside another process's network namespace: network_namespaces(7)."""

from __future__ import annotations

import socket
import threading

from dockshell.linux.libc import setns
from dockshell.linux.namespaces import KINDS

__all__ = ["connect_within"]


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
