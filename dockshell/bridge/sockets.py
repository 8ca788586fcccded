"""Sockets in a container's network namespace, and Unix sockets among its files: for what an SSH client forwards.

TCP takes the network namespace alone: the process stays with the host's files and has nothing of the container's
loaded; names are looked up as names.py does it. Unix sockets are made by a process that is confined as a
command of that user would be, for it is their rights that count."""

from __future__ import annotations

import os
import socket
import time

from dockshell.bridge.names import LOOPBACK, is_address
from dockshell.engines.json import encode
from dockshell.errors import DockshellError, printable
from dockshell.linux import passing, safe_paths
from dockshell.linux.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Channel

    from dockshell.bridge.names import Names
    from dockshell.model import Container

__all__ = [
    "carrier",
    "connect_path",
    "connected",
    "join",
    "listen_agent",
    "listen_path",
    "listening",
]

_PATIENCE = 10.0  # seconds for a connection; who asked may give up sooner
_LONGEST = 25.0  # seconds for a name and for all its addresses; less than whoever asked waits (forwarding.py)
_BACKLOG = 128
_FIRST_FREE = "net/ipv4/ip_unprivileged_port_start"

# What carries a connection where we can't join the namespace: the first of these that is there. Each takes $1 and $2.
_CARRIER = """
if command -v socat >/dev/null 2>&1; then exec socat - "TCP:$1:$2"
elif command -v nc >/dev/null 2>&1; then exec nc "$1" "$2"
elif command -v ncat >/dev/null 2>&1; then exec ncat "$1" "$2"
elif command -v bash >/dev/null 2>&1; then
    exec bash -c 'exec 3<>"/dev/tcp/$1/$2" && { cat <&3 & p=$!; cat >&3; wait $p; }' bash "$1" "$2"
fi
exit 127
"""


def join(container: Container) -> None:
    """Joins its network namespace, for good: for a process that does nothing else. Raises DockshellError, OSError."""
    from dockshell.linux.namespaces import Namespaces

    process = Process(container.pid)
    namespaces = Namespaces(container.pid)
    if not process.belongs_to(container.id, container.started, container.owner):
        raise DockshellError(f"{printable(container.name)} stopped just now: start it again")
    namespaces.join("net")
    namespaces.close()


def connected(host: str, port: int, names: Names) -> socket.socket:
    """A connection to that port of that host, as the container sees both. Raises DockshellError, with one sentence."""
    until = time.monotonic() + _LONGEST
    why = "no such name in there"
    try:
        for address in names.addresses(host, until):
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((address, port), min(_PATIENCE, left))
            except (OSError, OverflowError) as error:
                why = getattr(error, "strerror", None) or str(error)
    except DockshellError as error:
        why = str(error)
    raise DockshellError(f"{printable(host)} port {port}: {printable(why)}")


def listening(host: str, port: int, *, privileged: bool) -> socket.socket:
    """A socket that listens there, on the loopback where no host is given (GatewayPorts no, sshd_config(5)).
    privileged: whether whoever asked may have a port that the kernel doesn't give to anybody. Raises DockshellError."""
    with open(f"/proc/sys/{_FIRST_FREE}", encoding="ascii") as file:
        first = int(file.read())
    if 0 < port < first and not privileged:
        raise DockshellError(
            f"port {port} takes the capability NET_BIND_SERVICE, which this user lacks: take one from {first} on"
        )
    address = "127.0.0.1" if host.lower() in LOOPBACK else "0.0.0.0" if host == "*" else host
    if not is_address(address):
        raise DockshellError(f"{printable(host)} is no address to listen on: give a number, or none for the loopback")
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        made.close()
        raise DockshellError(f"{address} port {port} inside: {getattr(error, 'strerror', error)}") from None
    return made


def carrier(host: str, port: int) -> tuple[bytes, ...]:
    """The argv of a program inside that carries a connection there between its stdin and stdout."""
    return (b"/bin/sh", b"-c", _CARRIER.encode(), b"sh", host.encode("utf-8", "surrogateescape"), b"%d" % port)


# These run inside, between setns and the end of their process: no import, nothing but system calls.


def connect_path(control: Channel, path: bytes) -> int:
    """Sends a socket connected to that path inside, or why there is none."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(_PATIENCE)
    try:
        directory, name = safe_paths.parent(path, follow=True)
        safe_paths.beside(directory, lambda: made.connect(name))
    except OSError as error:
        return _failed(control, path, error)
    passing.send(control, encode({"socket": True}), [made.fileno()])
    return 0


def listen_path(control: Channel, path: bytes) -> int:
    """Sends a socket that listens at that path inside, and removes it once whoever asked is gone."""
    try:
        directory, name = safe_paths.parent(path)
    except OSError as error:
        return _failed(control, path, error)
    return _listen(control, directory, name, path)


def listen_agent(control: Channel, path: bytes) -> int:
    """The same at a new place that nobody else may reach; path is not heeded."""
    failure = OSError("there is no directory for it")
    for base in (b"/tmp", b"/dev/shm", b"/run", b"."):
        name = b"ssh-" + os.urandom(8).hex().encode()
        try:
            above = safe_paths.opened(base, os.O_PATH | os.O_DIRECTORY)
            os.mkdir(name, 0o700, dir_fd=above)
            directory = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        except OSError as error:
            failure = error
            continue
        try:
            return _listen(control, directory, b"agent", os.path.join(base, name, b"agent"))
        finally:
            os.rmdir(name, dir_fd=above)
    return _failed(control, b"a socket for the agent", failure)


def _listen(control: Channel, directory: int, name: bytes, path: bytes) -> int:
    made = socket.socket(socket.AF_UNIX)
    os.umask(0o177)  # for its user alone, as sshd has it: StreamLocalBindMask, sshd_config(5)
    try:
        safe_paths.beside(directory, lambda: made.bind(name))
    except OSError as error:
        return _failed(control, path, error)
    try:
        made.listen(_BACKLOG)
        _lent(control, made, path)
    finally:
        os.unlink(name, dir_fd=directory)
    return 0


def _lent(control: Channel, made: socket.socket, path: bytes) -> None:
    passing.send(control, encode({"socket": True, "path": path.decode("latin-1")}), [made.fileno()])
    made.close()
    control.setblocking(True)
    while control.recv(1 << 10):
        pass


def _failed(control: Channel, path: bytes, error: OSError) -> int:
    text = f"{printable(path.decode('utf-8', 'replace'))}: {error.strerror or error}"
    control.send(encode({"error": text, "code": 125}))
    return 1
