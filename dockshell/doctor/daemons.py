"""Engines that obey whoever reaches them: on TCP without TLS, or by a socket that everybody may write to. Who may talk
to an engine is root on its machine (docs.docker.com/engine/security/protect-access).

Nothing is searched for: the kernel's own tables tell what listens on this machine, and one plain request to ourselves
proves that an engine is there."""

from __future__ import annotations

import os
import shlex
import socket
from stat import S_IMODE
from urllib.parse import urlsplit

from dockshell.doctor.finding import Finding, as_root
from dockshell.errors import printable
from dockshell.linux.process import Process
from dockshell.ssh.listening import parse_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.doctor.engines import Met

__all__ = ["findings"]

_SUBJECT = "danger"
_USUAL = 2375  # Docker's own port for HTTP without TLS
_DAEMONS = ("dockerd", "podman")
_PATIENCE = 1.0  # seconds for this very machine to answer
_MOST = 20  # ports that are asked
_LOOPBACK = ("127.", "::1", "localhost")


def findings(met: list[Met]) -> Iterator[Finding]:
    """met: the engines that were asked."""
    for port, address in sorted(_open_here()):
        yield _listens(port, address)
    for each in met:
        yield from _in_clear(each)
        yield from _for_everybody(each)


def _listens(port: int, address: str) -> Finding:
    who = "everybody on this machine" if address.startswith(_LOOPBACK) else "everybody who reaches this machine"
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    what = (
        f"an engine listens on {place} without TLS: {who} can become root here through it; take tcp:// out of its "
        "--host and of hosts in /etc/docker/daemon.json, start it anew, and reach it from elsewhere by -H ssh://"
    )
    return Finding(
        _SUBJECT,
        "danger",
        what,
        as_root("systemctl edit --full docker.service") if os.path.isdir("/run/systemd/system") else "",
    )


def _open_here() -> set[tuple[int, str]]:
    """(port, address) of every engine that answers plain HTTP on this machine: those at which a daemon that we may look
    into listens, and the usual port."""
    rows = [row for table in ("tcp", "tcp6") for row in _rows(f"/proc/net/{table}")]
    own = _sockets_of_daemons()
    listening = {each for row in rows for each in _listening(row, own)}
    return {each for each in sorted(listening)[:_MOST] if _obeys(*each)}


def _rows(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().splitlines()[1:]
    except (OSError, ValueError):
        return []


def _listening(row: str, own: set[str]) -> list[tuple[int, str]]:
    """The row's socket, if it listens and is one of those, or at the usual port. Field 10 is its inode: proc_net(5)."""
    fields = row.split()
    try:
        return [each for each in parse_table(["", row]) if fields[9] in own or each[0] == _USUAL]
    except (ValueError, IndexError):
        return []


def _sockets_of_daemons() -> set[str]:
    """The inodes of all sockets that engines hold, of those in our own network; root sees them all."""
    found: set[str] = set()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            process = Process(int(name))
            if process.read("comm").strip() not in _DAEMONS or not _same_network(name):
                continue
            for descriptor in os.listdir(f"/proc/{name}/fd"):
                target = os.readlink(f"/proc/{name}/fd/{descriptor}")
                if target.startswith("socket:["):
                    found.add(target[8:-1])
        except OSError:
            continue
    return found


def _same_network(pid: str) -> bool:
    return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")


def _obeys(port: int, address: str) -> bool:
    """Does an engine answer there that asks for no certificate?"""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    try:
        with socket.create_connection((here, port), _PATIENCE) as connection:
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            answer = connection.recv(4096).lower()
    except OSError:
        return False
    return answer.startswith(b"http/1.") and b" 200 " in answer[:16] and b"\napi-version:" in answer


def _in_clear(met: Met) -> Iterator[Finding]:
    """An engine that is spoken to over a network without proof of who it is. (One on this machine is told of above.)"""
    address, tls = met.place.address, met.place.tls
    host = (urlsplit(address).hostname or "") if address.startswith("tcp:") else ""
    if not host or (tls is None and host.startswith(_LOOPBACK)):
        return
    said = f"{met.place.said} says {printable(address)}"
    if tls is None:
        what = (
            f"{said}, where nothing is encrypted and nobody has to prove who they are: whoever is on the way, or "
            f"reaches that port, can become root there; give it TLS, or go by ssh://{printable(host)}"
        )
        yield Finding(_SUBJECT, "danger", what)
    elif not tls.verify:
        yield Finding(_SUBJECT, "wrong", f"{said}, and whoever answers there is believed: have its certificate checked")


def _for_everybody(met: Met) -> Iterator[Finding]:
    path = os.path.realpath(met.place.address.removeprefix("unix://"))
    try:
        if not met.local or met.rootless or not S_IMODE(os.stat(path).st_mode) & 0o002 or not _led_to(path):
            return
    except OSError:
        return
    what = f"everybody on this machine may write to {printable(path)}, and can become root through it"
    yield Finding(_SUBJECT, "danger", what, as_root(f"chmod o-rw {shlex.quote(path)}"))


def _led_to(path: str) -> bool:
    """May everybody pass through every directory above it? Raises OSError."""
    above = os.path.dirname(path)
    return bool(S_IMODE(os.stat(above).st_mode) & 0o001) and (above == "/" or _led_to(above))
