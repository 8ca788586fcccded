"""A TCP connection that is being made while others go on."""

from __future__ import annotations

import errno
import os
import socket
from select import EPOLLOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dockshell.forward.loop import Loop, Timer

    Address = tuple[str, int]

__all__ = ["Dialling"]

_PATIENCE = 10.0  # seconds for each address


class Dialling:
    """make: a new socket of that family, wherever it is to be made. then: called once, with the connection or with why
    there is none; not in the constructor."""

    def __init__(
        self,
        loop: Loop,
        addresses: Sequence[Address],
        make: Callable[[int], socket.socket],
        then: Callable[[socket.socket | OSError], None],
    ) -> None:
        self._loop = loop
        self._left = list(addresses)
        self._make = make
        self._then = then
        self._socket: socket.socket | None = None
        self._timer: Timer | None = None
        loop.soon(lambda: self._next(OSError(errno.ENETUNREACH, "it has no address")))

    def _next(self, failure: OSError) -> None:
        """failure: that of the address before."""
        if not self._left:
            self._then(failure)
            return
        address = self._left.pop(0)
        try:
            self._socket = self._make(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = self._socket.connect_ex(address)
        except OSError as error:
            self._failed(error)
            return
        if number == errno.EINPROGRESS:
            self._timer = self._loop.after(_PATIENCE, lambda: self._over(errno.ETIMEDOUT))
            self._loop.watch(self._socket.fileno(), EPOLLOUT, lambda events: self._over())
        else:
            self._settled(number)

    def _over(self, number: int = 0) -> None:
        """The kernel knows how it came out; or the time is over."""
        assert self._socket and self._timer
        self._timer.cancel()
        self._loop.forget(self._socket.fileno())
        self._settled(number or self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _settled(self, number: int) -> None:
        if number:
            self._failed(OSError(number, os.strerror(number)))
        elif self._socket:
            made, self._socket = self._socket, None
            self._then(made)

    def _failed(self, error: OSError) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None
        self._next(error)
