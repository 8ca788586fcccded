"""The bytes of one forwarded connection: a socket of ours and a channel, both ways, with each direction's own end."""

from __future__ import annotations

import socket
import threading

from dockshell.ssh import library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from paramiko import Channel

__all__ = ["Carrier"]

_CHUNK = 1 << 16


class Carrier:
    """Carries in two threads. Neither reads on before what it has read is written, so memory is bounded by the
    channel's window whoever is slow. done: called once, in one of them, when both ends are closed."""

    def __init__(self, ours: socket.socket, channel: Channel, done: Callable[[Carrier], None]) -> None:
        self._ours = ours
        self._channel = channel
        self._done = done
        self._lock = threading.Lock()
        self._directions = 2
        ours.settimeout(None)
        channel.settimeout(None)
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._out, self._back)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Breaks the connection off. The threads end by that; join() waits for them."""
        try:
            self._ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._channel.close()

    def join(self, limit: float) -> None:
        """Waits for both directions to end; limit: seconds for each."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(limit)

    def _out(self) -> None:
        try:
            while data := self._ours.recv(_CHUNK):
                self._channel.sendall(data)
            self._channel.shutdown_write()
        except (OSError, EOFError, library.load().SSHException):
            self.close()
        self._ended()

    def _back(self) -> None:
        try:
            while data := self._channel.recv(_CHUNK):
                self._ours.sendall(data)
            self._ours.shutdown(socket.SHUT_WR)
        except (OSError, EOFError, library.load().SSHException):
            self.close()
        self._ended()

    def _ended(self) -> None:
        with self._lock:
            self._directions -= 1
            last = not self._directions
        if last:
            self._channel.close()
            self._ours.close()
            self._done(self)
