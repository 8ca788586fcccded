"""The bytes below SSH: two descriptors, pipes or one socket, as the transport that asyncssh speaks over.

Not asyncio's own: that wants a socket for both ways, and ProxyCommand gives two pipes. This one writes what one turn of
the loop brought forth in one go, and says when the other side takes no more, which asyncssh doesn't heed by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from dockshell.linux.descriptors import widened

__all__ = ["Wire"]

_CHUNK = 1 << 18
_MANY = 64  # buffers in one writev(2); the kernel takes 1024
_MUCH = 4 << 20  # bytes that wait to be written, from which on nothing more is to be brought forth
_TOO_MUCH = 64 << 20  # … and at which whoever doesn't read is given up


class Wire(asyncio.Transport):
    """source and sink: descriptors, which stay the caller's. jammed(True) is called when more than _MUCH waits to be
    written, jammed(False) when it is gone."""

    def __init__(self, source: int, sink: int, jammed: Callable[[bool], None], peer: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self._source, self._sink = source, sink
        self._jammed = jammed
        self._peer = peer
        self._waiting: list[bytes | memoryview] = []
        self._amount = 0
        self._soon = self._full = self._closing = self._over = self._much = False
        self._loop = asyncio.get_running_loop()
        self._protocol: Any = None

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int) -> tuple[Wire, Any]:
        """What asyncssh asks of a tunnel: a connection, by which it is then called."""
        for descriptor in (self._source, self._sink):
            os.set_blocking(descriptor, False)
            widened(descriptor)
        self._protocol = factory()
        self._protocol.connection_made(self)
        self._loop.add_reader(self._source, self._read)
        return self, self._protocol

    def _read(self) -> None:
        try:
            data = os.read(self._source, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._protocol.data_received(data)
        else:
            self._end()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._over or not data:
            return
        self._waiting.append(bytes(data))
        self._amount += len(data)
        if self._amount > _TOO_MUCH:
            self._end()
        elif not self._full and not self._soon:
            self._soon = True
            self._loop.call_soon(self._write)
        if self._amount > _MUCH and not self._much:
            self._much = True
            self._jammed(True)

    def _write(self) -> None:
        self._soon = False
        try:
            while self._waiting and not self._over:
                taken = os.writev(self._sink, self._waiting[:_MANY])
                self._amount -= taken
                gone = 0
                while gone < len(self._waiting) and taken >= len(self._waiting[gone]):
                    taken -= len(self._waiting[gone])
                    gone += 1
                del self._waiting[:gone]
                if taken:
                    self._waiting[0] = memoryview(self._waiting[0])[taken:]
        except BlockingIOError:
            if not self._full:
                self._full = True
                self._loop.add_writer(self._sink, self._write)
            return
        except OSError:
            self._end()
            return
        if self._full:
            self._full = False
            self._loop.remove_writer(self._sink)
        if self._much:
            self._much = False
            self._jammed(False)
        if self._closing:
            self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = self._closing = True
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._sink)
        self._waiting.clear()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def close(self) -> None:
        """Ends it once all has been written."""
        self._closing = True
        if not self._waiting:
            self._end()

    def abort(self) -> None:
        self._end()

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peer if name == "peername" and self._peer else default
