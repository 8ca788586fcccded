"""Where connections come in: a port or a Unix socket of this machine."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat

from dockshell.errors import DockshellError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.ssh.forwards import Spot

__all__ = ["Listener"]

_BACKLOG = 4096  # the kernel takes as many as net.core.somaxconn says: listen(2)
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_OWNER_ONLY = 0o177  # the umask for a Unix socket, as ssh has it: ssh_config(5), StreamLocalBindMask


class Listener:
    """Listens there until close(). Raises DockshellError where that can't be."""

    def __init__(self, spot: Spot) -> None:
        self._file = (0, 0)
        self._path = spot.path
        try:
            self.socket = self._unix(spot.path) if spot.path else _tcp(spot)
        except (OSError, UnicodeError) as error:
            raise DockshellError(_reason(spot, error)) from None
        self.socket.setblocking(False)

    @property
    def port(self) -> int:
        """The port, 0 where there is none."""
        return 0 if self._path else int(self.socket.getsockname()[1])

    @property
    def address(self) -> str:
        """The IP address, empty where there is none."""
        return "" if self._path else str(self.socket.getsockname()[0])

    @property
    def wide(self) -> bool:
        """May others than this machine's people get here?"""
        return not self._path and not ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        if self._path:
            return printable(self._path)
        return _spelled(self.address, self.port)

    @property
    def url(self) -> str:
        """Where a browser of this machine finds it."""
        return f"http://{_spelled(_HERE.get(self.address, self.address), self.port)}/"

    def close(self) -> None:
        """Listens no more; a Unix socket's file goes, if it is still the one that was made."""
        self.socket.close()
        if self._path and _which(self._path) == self._file:
            try:
                os.unlink(self._path)
            except OSError:
                pass  # the directory has become another's

    def _unix(self, path: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        before = os.umask(_OWNER_ONLY)
        try:
            try:
                made.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not _deserted(path):
                    raise
                os.unlink(path)
                made.bind(path)
            self._file = _which(path)
            made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
        finally:
            os.umask(before)
        return made


def _tcp(spot: Spot) -> socket.socket:
    found = socket.getaddrinfo(spot.host, spot.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _spelled(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _deserted(path: str) -> bool:
    """Is it a Unix socket on which nobody listens, as one who was killed leaves it behind?"""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        return caller.connect_ex(path) == errno.ECONNREFUSED


def _which(path: str) -> tuple[int, int]:
    try:
        facts = os.lstat(path)
    except OSError:
        return (-1, -1)
    return facts.st_dev, facts.st_ino


def _reason(spot: Spot, error: OSError | UnicodeError) -> str:
    place = printable(str(spot))
    number = getattr(error, "errno", 0)
    if spot.path:
        remedy = {
            errno.EADDRINUSE: "it is there already, and in use: name another path, or see what it is",
            errno.EACCES: "you may not write to that directory: name a path elsewhere",
            errno.ENOENT: "there is no such directory: make it first",
        }
        return f"nothing can listen at {place}: {remedy.get(number, _words(error) + '; name another path')}"
    remedy = {
        errno.EADDRINUSE: "somebody listens there already: name another port, or none (`:PORT`) for any that is free",
        errno.EACCES: "a port that low takes root: name one from 1024 on, or none (`:PORT`) for any that is free",
        errno.EADDRNOTAVAIL: "this machine has no such address: name one of its own, or none for 127.0.0.1",
    }
    return f"nothing can listen at {place}: {remedy.get(number, _words(error) + '; name another')}"


def _words(error: OSError | UnicodeError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
