"""What RFC 4254 has and paramiko lacks: the signal that ended a command, and sending one. All use of paramiko's
insides is in here.

paramiko 5.1 knows `exit-status` only (Channel._handle_request) and drops `exit-signal`, so that a command ended by a
signal would look like a broken connection; and it has no way to send a `signal` request. Both touch names that have
been the same since 2009.
"""

from __future__ import annotations

import signal
from functools import cache

from dockshell.ssh import library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from paramiko import Channel, Message, Transport

__all__ = ["SIGNALS", "ended_by", "send_signal", "transport_class"]

# RFC 4254, 6.10: the names that may stand in either request, without SIG.
SIGNALS = {
    name: int(signal.Signals[f"SIG{name}"])
    for name in ("ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2")
}
_NAMES = {number: name for name, number in SIGNALS.items()}
_CHANNEL_REQUEST = 98  # SSH_MSG_CHANNEL_REQUEST, RFC 4254, 9


@cache
def transport_class() -> type[Transport]:
    """paramiko's Transport, made to remember on a channel the signal that ended its command."""
    paramiko = library.load()

    def request(channel: Channel, message: Message) -> None:
        # Read from a copy, for the message is not rewound for paramiko's own handler.
        copy = paramiko.Message(message.get_remainder())
        if copy.get_string() == b"exit-signal":
            copy.get_boolean()
            channel.ended_by = copy.get_string().decode("ascii", "replace")  # type: ignore[attr-defined]
        table[_CHANNEL_REQUEST](channel, message)

    table = paramiko.Transport._channel_handler_table
    made: type[Transport] = type(
        "Transport", (paramiko.Transport,), {"_channel_handler_table": {**table, _CHANNEL_REQUEST: request}}
    )
    return made


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
