"""What RFC 4254 and OpenSSH's PROTOCOL have and paramiko lacks: the signal that ended a command, sending one, and
Unix sockets at the other end. All use of paramiko's insides is in here.

paramiko 5.1 knows `exit-status` only (Channel._handle_request) and drops `exit-signal`, so that a command ended by a
signal would look like a broken connection; and it has no way to send a `signal` request. Both touch names that have
been the same since 2009. Of Unix sockets it knows nothing: the request to open one is made by its own method, and
gets what it lacks as it is sent; the arrival of one is shown to it as a TCP connection's, with the path as the address.
"""

from __future__ import annotations

import signal
import threading
from functools import cache

from dockshell.ssh import library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from paramiko import Channel, Message, Transport

    Arrival = Callable[[Channel, tuple[str, int], tuple[str, int]], None]

__all__ = ["SIGNALS", "ended_by", "listen_unix", "open_unix", "send_signal", "transport_class"]

# RFC 4254, 6.10: the names that may stand in either request, without SIG.
SIGNALS = {
    name: int(signal.Signals[f"SIG{name}"])
    for name in ("ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2")
}
_NAMES = {number: name for name, number in SIGNALS.items()}
_CHANNEL_OPEN = 90  # SSH_MSG_CHANNEL_OPEN, RFC 4254, 9
_CHANNEL_REQUEST = 98
# OpenSSH's PROTOCOL, 2.4.
_OPEN_UNIX, _LISTEN_UNIX = "direct-streamlocal@openssh.com", "streamlocal-forward@openssh.com"
_FROM_UNIX = "forwarded-streamlocal@openssh.com"
_opening = threading.local()  # .path: of the Unix socket that this thread is about to have opened


@cache
def transport_class() -> type[Transport]:
    """paramiko's Transport, made to remember on a channel the signal that ended its command, and to know Unix
    sockets."""
    paramiko = library.load()

    def request(channel: Channel, message: Message) -> None:
        # Read from a copy, for the message is not rewound for paramiko's own handler.
        copy = paramiko.Message(message.get_remainder())
        if copy.get_string() == b"exit-signal":
            copy.get_boolean()
            channel.ended_by = copy.get_string().decode("ascii", "replace")  # type: ignore[attr-defined]
        table[_CHANNEL_REQUEST](channel, message)

    def opened(transport: Transport, message: Message) -> None:
        copy = paramiko.Message(message.get_remainder())
        if copy.get_string() == _FROM_UNIX.encode():
            message = paramiko.Message()
            message.add_string("forwarded-tcpip")
            for _ in range(3):  # the channel's number over there, its window, its largest packet
                message.add_int(copy.get_int())
            message.add_string(copy.get_string())
            message.add_int(0)
            message.add_string("")
            message.add_int(0)
            message.rewind()
        paramiko.Transport._parse_channel_open(transport, message)

    def send(transport: Transport, message: Message) -> None:
        path = getattr(_opening, "path", None)
        if path is not None and message.asbytes()[:1] == bytes((_CHANNEL_OPEN,)):
            message.add_string(path)
            message.add_string("")
            message.add_int(0)
        paramiko.Transport._send_user_message(transport, message)

    table = paramiko.Transport._channel_handler_table
    made: type[Transport] = type(
        "Transport",
        (paramiko.Transport,),
        {
            "_channel_handler_table": {**table, _CHANNEL_REQUEST: request},
            "_parse_channel_open": opened,
            "_send_user_message": send,
        },
    )
    return made


def open_unix(transport: Transport, path: str) -> Channel:
    """A channel to the Unix socket at that path at the other end. Raises SSHException, OSError, EOFError."""
    from dockshell.ssh.connect import PATIENCE

    _opening.path = path
    try:
        return transport.open_channel(_OPEN_UNIX, timeout=PATIENCE)
    finally:
        del _opening.path


def listen_unix(transport: Transport, path: str, arrival: Arrival) -> None:
    """Has the other end listen at that path. arrival: what paramiko is to call with each connection, as for
    request_port_forward(), the path in the place of the server's address, and 0 for its port. Raises SSHException."""
    if transport.global_request(_LISTEN_UNIX, (path,), wait=True) is None:
        raise library.load().SSHException("refused")
    transport._tcp_handler = arrival  # type: ignore[attr-defined]


def ended_by(channel: Channel) -> int | None:
    """The number of the signal that ended the channel's command: 0 for one that the RFC has no name for, None for no
    signal."""
    name: str | None = getattr(channel, "ended_by", None)
    return None if name is None else SIGNALS.get(name, 0)


def send_signal(channel: Channel, number: int) -> None:
    """Asks the server to send the signal to the command. It never answers (RFC 4254, 6.9)."""
    message = library.load().Message()
    message.add_byte(bytes((_CHANNEL_REQUEST,)))
    message.add_int(channel.remote_chanid)
    message.add_string("signal")
    message.add_boolean(False)
    message.add_string(_NAMES[number])
    channel.get_transport()._send_user_message(message)  # type: ignore[attr-defined]
