"""Leaving a session: the command goes on, and so does whoever reads what it writes, but not here."""

from __future__ import annotations

import os

from dockshell.relay import relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.session import Session

__all__ = ["leave"]


def leave(session: Session, rest: bytes) -> None:
    """Leaves the session to a process of its own, away from the caller's terminal, until the command ends: its pty
    would hang up if nobody held it, and it would stand still if nobody read it. rest: input that it is still to get.
    For us the session is over; it must not be closed, which would end the command. No thread may be part of it, for a
    fork takes none along."""
    ours, theirs = os.pipe()
    if os.fork():
        # A terminal hangs up on all that belong to it when its session's leader ends, which we may be.
        os.close(theirs)
        os.read(ours, 1)
        os.close(ours)
        return
    try:
        os.setsid()
        os.close(ours)
        os.close(theirs)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.chdir("/")
        relay(session, terminal=False, input=False, first=rest)
        session.close()
    finally:
        os._exit(0)
