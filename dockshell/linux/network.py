"""Connections from inside another process's network namespace: network_namespaces(7)."""

from __future__ import annotations

import socket
import threading
from queue import SimpleQueue

from dockshell.linux.libc import setns
from dockshell.linux.namespaces import KINDS

__all__ = ["Network", "connect_within"]


class Network:
    """The network namespace that the descriptor refers to, as a place to make sockets in.

    A thread of its own joins it, which is a thread's and not a process's (setns(2)); a socket stays in the namespace
    in which it was made, whichever thread uses it. Takes CAP_SYS_ADMIN here and in the user namespace to which that
    network belongs. Raises OSError.
    """

    def __init__(self, namespace: int) -> None:
        self._asked: SimpleQueue[int | None] = SimpleQueue()
        self._made: SimpleQueue[socket.socket | OSError | None] = SimpleQueue()
        self._visitor = threading.Thread(target=self._visit, args=(namespace,), daemon=True)
        self._visitor.start()
        if isinstance(joined := self._made.get(), OSError):
            self._visitor.join()
            raise joined

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def socket(self, family: int) -> socket.socket:
        """A new one for TCP, of AF_INET or AF_INET6. Raises OSError."""
        self._asked.put(family)
        made = self._made.get()
        if not isinstance(made, socket.socket):
            raise made or OSError("the thread in that network is gone")
        return made

    def close(self) -> None:
        """The thread ends; what it made stays."""
        self._asked.put(None)
        self._visitor.join()

    def _visit(self, namespace: int) -> None:
        try:
            setns(namespace, KINDS["net"])
        except OSError as error:
            self._made.put(error)
            return
        self._made.put(None)
        while (family := self._asked.get()) is not None:
            try:
                self._made.put(socket.socket(family, socket.SOCK_STREAM))
            except OSError as error:
                self._made.put(error)


def connect_within(namespace: int, address: tuple[str, int], limit: float) -> socket.socket:
    """A TCP connection to that IP address, made in the network namespace that the descriptor refers to; limit: seconds.
    Raises OSError."""
    with Network(namespace) as network:
        made = network.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    try:
        made.settimeout(limit)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made
