"""Sockets in a container's network namespace, and Unix sockets among its files: for what an SSH client forwards.

TCP takes the network namespace alone: the process stays with the host's files and has nothing of the container's
loaded, for a C library that looks a name up would load the container's plugins for that as ours (CVE-2019-14271). So
names are looked up here: the container's own hosts file, then the servers in its resolv.conf, asked from in there,
which is how Docker's own answers for the names of services. Unix sockets are made by a process that is confined as a
command of that user would be, for it is their rights that count."""

from __future__ import annotations

import os
import socket

from dockshell.engines.json import encode
from dockshell.errors import DockshellError, printable
from dockshell.linux import passing
from dockshell.linux.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Channel

    from dockshell.model import Container

__all__ = [
    "Names",
    "carrier",
    "connect_path",
    "connected",
    "join",
    "listen_agent",
    "listen_path",
    "listening",
]

_PATIENCE = 10.0  # seconds for a connection; who asked may give up sooner
_BACKLOG = 128
_LARGEST = 1 << 20
_LOOPBACK = ("", "localhost")
_FIRST_FREE = "net/ipv4/ip_unprivileged_port_start"
_LONGEST_PATH = 107  # bytes: unix(7), sun_path

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
    if not process.belongs_to(container.id, container.started):
        raise DockshellError(f"{printable(container.name)} stopped just now: start it again")
    namespaces.join("net")
    namespaces.close()


class Names:
    """What the container's own files say of names, read before its namespace is joined."""

    def __init__(self, container: Container) -> None:
        files = container.engine.files(container)
        self._hosts = (files.read("/etc/hosts", _LARGEST) or b"").decode("utf-8", "replace")
        self._servers = _words_after("nameserver", files.read("/etc/resolv.conf", _LARGEST))
        self._domains = _words_after("search", files.read("/etc/resolv.conf", _LARGEST))

    def addresses(self, host: str) -> list[str]:
        """The IP addresses that the name has in there, in the order in which to try them; empty for none."""
        if host.lower() in _LOOPBACK:
            return ["127.0.0.1", "::1"]
        if _is_address(host):
            return [host]
        found = []
        for line in self._hosts.splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            if host.lower() in [name.lower() for name in names] and _is_address(address):
                found.append(address)
        return found or self._asked(host)

    def _asked(self, host: str) -> list[str]:
        """By DNS (RFC 1035), by its servers in turn."""
        import dns.exception
        import dns.message
        import dns.query

        for name in (host, *(f"{host}.{domain}" for domain in self._domains if "." not in host)):
            found: list[str] = []
            for server in filter(_is_address, self._servers[:3]):
                try:
                    for kind in ("A", "AAAA"):
                        query = dns.message.make_query(name, kind)
                        answer, _ = dns.query.udp_with_fallback(query, server, timeout=3)
                        found += [each.address for rows in answer.answer for each in rows if hasattr(each, "address")]
                    break
                except (dns.exception.DNSException, OSError, ValueError):
                    continue
            if found:
                return found
        return []


def connected(host: str, port: int, names: Names) -> socket.socket:
    """A connection to that port of that host, as the container sees both. Raises DockshellError, with one sentence."""
    why = "no such name in there"
    for address in names.addresses(host):
        try:
            return socket.create_connection((address, port), _PATIENCE)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
    raise DockshellError(f"{printable(host)} port {port}: {printable(why)}")


def listening(host: str, port: int, *, privileged: bool) -> socket.socket:
    """A socket that listens there, on the loopback where no host is given (GatewayPorts no, sshd_config(5)).
    privileged: whether whoever asked may have a port that the kernel keeps for root. Raises DockshellError."""
    with open(f"/proc/sys/{_FIRST_FREE}", encoding="ascii") as file:
        first = int(file.read())
    if 0 < port < first and not privileged:
        raise DockshellError(f"port {port} is for root: take one from {first} on, or log in as root")
    address = "127.0.0.1" if host.lower() in _LOOPBACK else "0.0.0.0" if host == "*" else host
    if not _is_address(address):
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
    try:
        made.settimeout(_PATIENCE)
        made.connect(path)
    except OSError as error:
        return _failed(control, path, error)
    passing.send(control, encode({"socket": True}), [made.fileno()])
    return 0


def listen_path(control: Channel, path: bytes) -> int:
    """Sends a socket that listens at that path inside, and removes it once whoever asked is gone."""
    made = socket.socket(socket.AF_UNIX)
    os.umask(0o177)  # for its user alone, as sshd has it: StreamLocalBindMask, sshd_config(5)
    try:
        made.bind(path)
    except OSError as error:
        return _failed(control, path, error)
    try:
        made.listen(_BACKLOG)
        _lent(control, made, path)
    finally:
        os.unlink(path)
    return 0


def listen_agent(control: Channel, path: bytes) -> int:
    """The same at a new place that nobody else may reach; path is not heeded."""
    failure = OSError("there is no directory for it")
    for base in (b"/tmp", b"/dev/shm", b"/run", b"."):
        directory = os.path.join(base, b"ssh-" + os.urandom(8).hex().encode())
        if len(directory) > _LONGEST_PATH - 6:
            continue
        try:
            os.mkdir(directory, 0o700)
        except OSError as error:
            failure = error
            continue
        try:
            return listen_path(control, directory + b"/agent")
        finally:
            os.rmdir(directory)
    return _failed(control, b"a socket for the agent", failure)


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


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
            return True
        except (OSError, ValueError):
            continue
    return False


def _words_after(keyword: str, content: bytes | None) -> list[str]:
    """What follows that word in the lines of resolv.conf(5)."""
    found: list[str] = []
    for line in (content or b"").decode("utf-8", "replace").splitlines():
        word, *rest = line.split() or [""]
        found += rest if word == keyword else []
    return found
