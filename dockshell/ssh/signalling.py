"""Signals for a command behind an SSH channel.

OpenSSH's sshd turns the protocol's own `signal` request down for root, who is who we mostly are (9.2: session.c,
session_signal_req: it sends signals only where privileges are separated, and for a root login they aren't). So they
come from a second channel of the same connection: its shell is a sibling of the command, since both are children of the
process that serves the connection. The request is for where that can't be had: no second channel, no /proc, no shell.
"""

from __future__ import annotations

from dockshell.ssh import requests
from dockshell.ssh.words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from paramiko import Channel

__all__ = ["end", "send"]

_LIMIT = 2.0  # seconds for the second channel
# proc_pid_stat(5): PID (COMM) STATE PPID PGRP SESSION …; the name may hold anything, so the fields begin after its
# last parenthesis. `t` becomes the command: our sibling. all SIGNAL: to its whole session.
_FIND = """
each() {
    for f in /proc/[0-9]*/stat; do
        read -r l <"$f" || continue
        p=${f#/proc/}; p=${p%/stat}
        "$@" ${l##*) }
    done 2>/dev/null
}
sibling() { [ "$3" = "$PPID" ] && [ "$p" != $$ ] && t=$p; }
hit() { [ "$5" = "$t" ] && kill "-$1" "$p"; }
all() { each hit "$1"; }
t=; [ "$PPID" -gt 1 ] && each sibling -
[ "$t" ] || exit 1
"""
# What is said on stdout tells us that it has found its target and no longer depends on the connection.
_END = _FIND + "all HUP; all TERM; echo; sleep 1; all KILL"


def send(channel: Channel, number: int) -> None:
    """Sends one of requests.SIGNALS to the command's process group. Waits for the other side, so this is not for the
    thread that serves the session. Raises paramiko's SSHException where the connection is gone."""
    from dockshell.ssh import library

    try:
        second = _inside(channel, f"{_FIND}kill -{number} -$t")
        second.status_event.wait(_LIMIT)
        sent = second.exit_status == 0
    except (OSError, EOFError, library.load().SSHException):
        sent = False
    if not sent:
        requests.send_signal(channel, number)


def end(channel: Channel) -> None:
    """HUP, TERM and, a second later, KILL to everything in the command's Unix session; returns when the last is on its
    way without us."""
    from dockshell.ssh import library

    try:
        _inside(channel, _END).recv(1)
    except (OSError, EOFError, library.load().SSHException):
        return  # then what goes with the connection has to do


def _inside(channel: Channel, script: str) -> Channel:
    """Runs the script by the container's own /bin/sh in a second channel."""
    second: Channel = channel.get_transport().open_session(timeout=_LIMIT)
    second.settimeout(_LIMIT)
    second.exec_command(b"exec /bin/sh -c " + quote(script.encode()))
    return second
