"""Unix sessions: who belongs to one, and ending it. credentials(7), setsid(2)."""

from __future__ import annotations

import os
from select import poll
from time import monotonic

from dockshell.linux.signals import signal

__all__ = ["ENDING", "deliver", "end", "end_orphans", "members"]

# Between HUP, TERM and KILL: the whole is to be over within two seconds.
_GRACE = 0.6
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def members(session: int) -> list[int]:
    """The live processes of a session, by our numbers: proc_pid_stat(5), fields 3 and 6. Its leader is one also before
    it has called setsid(2): who is to end it may be faster."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if session in (int(fields[3]), int(name)) and fields[0] not in (b"Z", b"X"):
                found.append(int(name))
    return found


def deliver(leader: int, number: int) -> None:
    """Sends the signal to the leader of a session and to its process group, as sshd's killpg(2) does; SIGPIPE, which
    only who writes has earned, to the leader alone. One that is to end them goes on where something inside has stopped
    them: SIGCONT follows it. As with end(), the number can't come to mean another's. Raises OSError."""
    _signal(leader, number)
    if number in ENDING:
        try:
            _signal(leader, signal.SIGCONT)
        except ProcessLookupError:
            pass  # the first has ended it, and its parent has waited for it


def _signal(leader: int, number: int) -> None:
    try:
        if number == signal.SIGPIPE:
            raise ProcessLookupError
        os.killpg(leader, number)
    except ProcessLookupError:  # it leads no group
        os.kill(leader, number)


def end(session: int) -> None:
    """HUP, TERM and KILL to every process of the session, each only to those still there. The caller sees to it that
    the leader's number can't come to mean another's in the meantime: as its parent, who hasn't waited for it, or by a
    pidfd."""
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
        there = members(session)
        for member in there:
            _send(member, number)
            _send(member, signal.SIGCONT)
        give_up = monotonic() + _GRACE
        while there and monotonic() < give_up:
            poll().poll(20)
            there = members(session)
        if not there:
            return


def end_orphans(session: int, leader: int) -> None:
    """end(), for who isn't the parent. leader: the pidfd of the session's leader, by which its number is known to be
    another's now where it isn't its own: pidfd_open(2)."""
    if _is(session, leader) or not os.path.exists(f"/proc/{session}"):
        end(session)


def _is(pid: int, pidfd: int) -> bool:
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return f"\nPid:\t{pid}\n" in file.read()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
