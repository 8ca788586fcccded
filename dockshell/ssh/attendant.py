"""Signals for a command behind an SSH channel, and its end when the connection goes.

OpenSSH's sshd turns the protocol's own `signal` request down for root, who is who we mostly are (9.2: session.c,
session_signal_req: it sends signals only where privileges are separated, and for a root login they aren't), and ends
nothing but its own part when a client dies. So an attendant runs in a second channel of the same connection: a shell
of the container's own, a sibling of the command, since both are children of the process that serves the connection.
What it reads are signals to pass on, and the end of its input, which comes whatever ended us, means that the command is
to go. The request is for where that can't be had: no second channel, no /proc, no /bin/sh."""

from __future__ import annotations

from dockshell import inside
from dockshell.ssh.words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from paramiko import Channel, Transport

__all__ = ["Attendant"]

_LARGEST = 1 << 10  # bytes: what answers is the container's
_LIMIT = 2.0  # seconds for the second channel, and for what comes by it


class Attendant:
    """Of the command that the connection is for, which is yet to start: then there is no moment in which we could die
    unattended. Where the connection breaks, paramiko's SSHException, OSError or EOFError is raised."""

    def __init__(self, transport: Transport) -> None:
        """Raises ChannelException where the sshd allows but one session (MaxSessions of sshd_config(5))."""
        self._channel: Channel = transport.open_session(timeout=_LIMIT)
        self._channel.settimeout(_LIMIT)
        self._channel.exec_command(b"exec /bin/sh -c " + quote(inside.ATTEND.encode()))
        self._told = b""

    def send(self, number: int) -> bool:
        """Sends a signal to the command. False where it can't. Waits for the other side, so this is not for the thread
        that serves the session."""
        while b"\n" not in self._told:
            piece = self._channel.recv(64)
            if not piece or len(self._told) > _LARGEST:
                return False
            self._told += piece
        self._channel.sendall(b"%d\n" % number)
        return True

    def dismiss(self) -> None:
        """The command has ended by itself."""
        try:
            self._channel.sendall(b"0\n")
        except (OSError, EOFError):
            pass  # the connection has ended, and with it the attendant
