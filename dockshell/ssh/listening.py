"""Where an sshd inside can be reached: the ports that its network namespace listens on, and the addresses that lead
there."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys

from dockshell.linux.sockstat import tcp_in_use
from dockshell.model import Port, noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from dockshell.engines import Files
    from dockshell.model import Container
else:
    Protocol = object

__all__ = [
    "Endpoint",
    "Way",
    "Within",
    "configured_port",
    "dial",
    "endpoints",
    "greeting",
    "inner",
    "listeners",
    "reachable",
    "shares_network",
]

_LISTEN = "0A"  # TCP_LISTEN in the kernel's include/net/tcp_states.h, as /proc/net/tcp prints it
_PORT = re.compile(rb"^[ \t]*port[ \t=]+\"?([0-9]{1,5})\"?[ \t]*(?:#.*)?$", re.IGNORECASE | re.MULTILINE)
# Runtimes that run a kernel of their own: the host's tables say nothing about what listens in there.
_OTHER_KERNELS = ("kata", "runsc", "gvisor")
_GREETING = 255  # bytes, with the line's end: RFC 4253, 4.2


class Way(Protocol):
    """A way to an sshd. str() of it is for people."""

    def connect(self, limit: float) -> socket.socket:
        """A connected socket; limit: seconds. Raises OSError."""


@noun(frozen=True)
class Endpoint:
    """An address and port to connect to."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def connect(self, limit: float) -> socket.socket:
        return _kept(socket.create_connection((self.address, self.port), limit))


@noun(frozen=True)
class Within:
    """The same from inside the container's network namespace. Takes root."""

    container: Container
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"{self.endpoint} inside"

    def connect(self, limit: float) -> socket.socket:
        from dockshell.linux.network import connect_within
        from dockshell.linux.process import Process

        process = Process(self.container.pid)
        namespace = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not process.belongs_to(self.container.id, self.container.started, self.container.owner):
                raise ProcessLookupError("the container's first process is gone")
            if shares_network(self.container):
                return self.endpoint.connect(limit)
            return _kept(connect_within(namespace, (self.endpoint.address, self.endpoint.port), limit))
        finally:
            os.close(namespace)
            process.close()


def _kept(connection: socket.socket) -> socket.socket:
    """The same, which sends at once and notices when its peer is gone."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that acknowledges nothing for so long is gone (tcp(7)): with keepalives going out, that ends in an error.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)
    return connection


def listeners(container: Container) -> dict[int, set[str]] | None:
    """Port → the addresses at which the container's network namespace listens for TCP; None where that can't be known
    from here."""
    if not container.local or not container.pid or any(word in container.runtime for word in _OTHER_KERNELS):
        return None
    if tcp_in_use(container.pid) == 0:
        return {}  # the kernel takes a hundred times as long to list none
    found: dict[int, set[str]] = {}
    read = False
    for table in ("tcp", "tcp6"):
        try:
            # The process's own view of /proc/net (proc(5)) is that of its network namespace, and can be read without
            # any privilege.
            with open(f"/proc/{container.pid}/net/{table}", encoding="ascii") as lines:
                for port, address in parse_table(lines):
                    found.setdefault(port, set()).add(address)
            read = True
        except (OSError, ValueError):
            continue
    return found if read else None


def parse_table(lines: Iterable[str]) -> list[tuple[int, str]]:
    """The lines of a /proc/net/tcp or tcp6 → (port, address) of each socket that listens. Raises ValueError where they
    aren't such."""
    found = []
    for line in list(lines)[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            found.append((int(port, 16), _address(address)))
    return found


def _address(text: str) -> str:
    """The kernel prints each 32-bit word of an address as a number of the machine's own byte order."""
    words = (bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8))
    packed = b"".join(word if sys.byteorder == "big" else word[::-1] for word in words)
    parsed = ipaddress.ip_address(packed)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def configured_port(files: Files) -> int:
    """What `Port` in the sshd's configuration says first (sshd_config(5)); 22 where it says nothing."""
    match = _PORT.search(files.read("/etc/ssh/sshd_config", 1 << 18) or b"")
    return int(match[1]) if match and 0 < int(match[1]) < 1 << 16 else 22


def inner(container: Container, port: int, listening: Iterable[str]) -> list[Way]:
    """The ways from inside its network namespace to a socket there that listens at these addresses."""
    reached = ("127.0.0.1" if each == "0.0.0.0" else "::1" if each == "::" else each for each in sorted(listening))
    return [Within(container, Endpoint(address, port)) for address in dict.fromkeys(reached)]


def shares_network(container: Container) -> bool:
    """Is its network our own, so that what listens there may be anybody's?"""
    try:
        return os.path.samefile("/proc/self/ns/net", f"/proc/{container.pid}/ns/net")
    except OSError:
        return False


def endpoints(container: Container, port: int) -> list[Endpoint]:
    """Every way to that port of the container: its own addresses, as far as they are this machine's neighbours, then
    what is published."""
    found = [Endpoint(address, port) for _, address in container.addresses] if container.local else []
    host = "127.0.0.1" if container.local else _host(container.engine.address)
    return found + [
        Endpoint(_outside(each, host), each.outside) for each in container.ports if each.inside == port and host
    ]


def _outside(port: Port, host: str) -> str:
    if port.address == "::" and host == "127.0.0.1":
        return "::1"
    return host if port.address in ("", "0.0.0.0", "::") else port.address


def _host(address: str) -> str:
    """The machine in an engine's address, `tcp://host:2376` or `ssh://user@host`; empty where it names none."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def reachable(ways: list[Endpoint], listening: set[str], own: set[str]) -> list[Endpoint]:
    """Those of the ways that end at a socket which listens at these addresses only. own: the container's addresses; a
    published port leads to one of them."""
    if listening & {"0.0.0.0", "::"}:
        return ways
    return [way for way in ways if listening & ({way.address} if way.address in own else own)]


def dial(ways: Iterable[Way], limit: float, *, greeted: bool = False) -> tuple[Way, socket.socket]:
    """A connection by the first of the ways that answers within the limit, in seconds. greeted: only one that an SSH
    server greets counts, for what forwards a published port accepts connections even where nothing listens behind it.
    Raises OSError, the last one's."""
    failure = OSError("there is no address to connect to")
    for way in ways:
        try:
            connection = way.connect(limit)
        except OSError as error:
            failure = error
            continue
        try:
            if greeted and connection.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL) != b"SSH-":
                raise OSError("what answers there is no sshd")
            return way, connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


def greeting(connection: socket.socket, limit: float) -> bytes:
    """The line with which the server greets (RFC 4253, 4.2), which stays to be read; limit: seconds. Empty where it
    doesn't come."""
    import time

    until = time.monotonic() + limit
    said, before = b"", connection.gettimeout()
    try:
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            said = connection.recv(_GREETING, socket.MSG_PEEK)
            if not said or b"\n" in said or len(said) == _GREETING:
                break
            time.sleep(0.001)
    except OSError:
        pass
    finally:
        connection.settimeout(before)
    return said.partition(b"\n")[0].rstrip(b"\r")
