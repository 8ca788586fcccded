"""An engine's address → a connected socket, whatever lies between: TCP, TLS, an ssh, or nothing.

What comes out is one kind of thing: a plain socket that can be polled, doesn't block where told so, and whose
shutdown(SHUT_WR) becomes the end of file at the other end. For TLS and ssh it is one end of a socketpair(2), with a
thread or the ssh program at the other.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from dockshell.errors import EngineError, printable

if TYPE_CHECKING:
    from dockshell.engines.where import Tls

__all__ = ["Connection", "Transport", "dial", "host_and_port"]

_KEEPALIVE = 30  # seconds of silence before a peer is asked whether it is still there, as Docker's client does


class Transport(Protocol):
    """What carries the bytes between a socketpair and the engine."""

    def why(self) -> str:
        """Why it ended, in its own words, printable; empty where it knows of no failure."""
        ...

    def end(self) -> None:
        """Ends it. May be called again."""
        ...


class Connection(socket.socket):
    """A connected socket, and what carries its bytes on. Closing it ends that too."""

    def __init__(self, connected: socket.socket, transport: Transport | None = None) -> None:
        timeout = connected.gettimeout()
        super().__init__(connected.family, connected.type, connected.proto, connected.detach())
        self.settimeout(timeout)
        self._transport = transport

    def close(self) -> None:
        super().close()
        # While a file made from this socket is open, so is the socket: it is closed once more with that file.
        if self.fileno() < 0 and self._transport is not None:
            self._transport.end()

    def why(self) -> str:
        """Why the connection ended, where what carries it can tell; else empty."""
        return self._transport.why() if self._transport is not None else ""


def dial(address: str, tls: Tls | None, timeout: float, podman: str | None = None) -> Connection:
    """A connection to the engine at that address; the timeout stays set on it. podman: see Address in where.py. Raises
    EngineError."""
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        return Connection(_unix(rest, timeout))
    if scheme == "ssh":
        from dockshell.engines import tunnel

        return tunnel.connect(address, timeout, podman)
    host, port = host_and_port(address, 2376 if tls else 2375)
    connected = _tcp(address, host, port, timeout)
    if tls is None:
        return Connection(connected)
    from dockshell.engines import tls as layer

    try:
        return layer.connect(connected, address, host, tls)
    except BaseException:
        connected.close()
        raise


def _unix(path: str, timeout: float) -> socket.socket:
    from dockshell.engines.local import unreachable

    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout)
        connected.connect(path)
    except OSError as error:
        connected.close()
        raise EngineError(unreachable(path, error)) from error
    return connected


def host_and_port(address: str, default: int) -> tuple[str, int]:
    """tcp://HOST[:PORT] → its parts. Raises EngineError where the address isn't of that form."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or default
    except ValueError:
        host, port = None, 0
    if not host:
        raise EngineError(f"{printable(address)} is no engine's address: tcp://HOST:PORT is one")
    return host, port


def _tcp(address: str, host: str, port: int, timeout: float) -> socket.socket:
    try:
        connected = socket.create_connection((host, port), timeout)
    except (OSError, UnicodeError) as error:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else _words(error)
        raise EngineError(
            f"no engine answers at {printable(address)} ({reason}): start it, or name another with -H"
        ) from error
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE)
    return connected


def _words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
