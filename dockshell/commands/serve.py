"""`dockshell serve`: an SSH server for people without an account on this machine."""

from __future__ import annotations

import ipaddress
import os
import socket

from dockshell.bridge.steward import Setting, Steward
from dockshell.commands.looking import anywhere, voice
from dockshell.commands.proxy import via
from dockshell.errors import UsageError, printable
from dockshell.linux.memory import total
from dockshell.ssh import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]

_USUAL = "127.0.0.1:2222"
_LEAST = 20  # connections that there may be in any case, and sessions
_EACH = 10  # … and of one key
_CONNECTION, _SESSION = 12 << 20, 7 << 20  # bytes, each a little more than one takes


def run(arguments: Arguments) -> int:
    """Serves until it is told to stop → 0. Raises UsageError, DockshellError."""
    host, port = _place(arguments.text("listen") or _USUAL)
    addresses = _addresses(host, port)
    keys = arguments.text("authorized_keys")
    if not keys and not all(ipaddress.ip_address(address[0]).is_loopback for _, address in addresses):
        raise UsageError(
            f"{printable(host)} can be reached from elsewhere: say who may come in with --authorized-keys FILE"
        )
    keys = os.path.abspath(keys or own.ssh_file("authorized_keys"))
    told = voice(arguments)
    memory = total() // 3  # for connections, and as much for sessions
    most = _number(arguments, "most", max(_LEAST, min(200, memory // _CONNECTION)))
    sessions = _number(arguments, "sessions", max(_LEAST, min(500, memory // _SESSION)))
    journal_to = _log(arguments.text("log"))
    setting = Setting(
        anywhere(arguments), via(arguments), told, bool(arguments.on("debug")), sessions=sessions, memory=memory
    )
    steward = Steward.start(setting)
    from dockshell.bridge import authorized, hostkey, library

    for line in authorized.complaints(keys):
        told.say(line)
    library.load()
    from dockshell.bridge.admission import Admission
    from dockshell.bridge.journal import Journal
    from dockshell.bridge.reception import Limits, Reception
    from dockshell.ssh.keys import fingerprint

    journal = Journal(journal_to)
    admission = Admission.start(keys, hostkey.private, steward, journal, max(_EACH, most // 2))
    listeners = [_listening(family, address) for family, address in addresses]
    reception = Reception(listeners, admission, journal).limited(Limits(most, memory))
    reception.check()
    for each in listeners:
        bound, number = each.getsockname()[:2]
        journal.tell("listening", address=bound, port=number, host_key=fingerprint(admission.public), keys=keys)
    reception.run()
    return 0


def _number(arguments: Arguments, name: str, usual: int) -> int:
    said = arguments.text(name) or str(usual)
    if not (said.isascii() and said.isdigit() and 0 < int(said) <= 10_000):
        raise UsageError(f"--{name} takes a number from 1 to 10000")
    return int(said)


def _place(words: str) -> tuple[str, int]:
    """HOST:PORT, [HOST]:PORT or PORT. Raises UsageError."""
    host, colon, port = words.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    if not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise UsageError(f"--listen takes ADDRESS:PORT, as in {_USUAL}; not {printable(words)!r}")
    return host, int(port)


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(f"--listen: {printable(host)} is no address of this machine") from None
    return [(family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found]


def _listening(family: int, address: tuple[str, int]) -> socket.socket:
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(128)
        made.setblocking(False)  # who is gone again before we accept(2) is not to be waited for
    except OSError as error:
        made.close()
        raise UsageError(
            f"{printable(address[0])} port {address[1]} can't be listened on ({error.strerror}): "
            "name another with --listen"
        ) from None
    return made


def _log(path: str) -> int:
    """Where the journal's lines go: appended to the file, else stderr."""
    if not path:
        return 2
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"--log {printable(path)} can't be written: {error.strerror}") from None
