"""A guardian: a process of ours that outlives us, and then does what we no longer can.

It holds one end of a socket and we the other, which the kernel closes whatever ends us, KILL included. It is in a
session of its own, ignores what a terminal or a `pkill` sends to all of us, and holds nothing else of ours open."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair

from dockshell.errors import Fault
from dockshell.linux.descriptors import let_go
from dockshell.linux.signals import FORWARDED, gone, release, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol
else:
    Protocol = object

__all__ = ["Duty", "Guardian", "reap"]

_FAREWELL = b"\0"
_SHUT_WR = 1
_dismissed: list[int] = []  # processes that end by now, or have ended


class Duty(Protocol):
    """What a guardian does; both are called in its process."""

    def signal(self, number: int) -> bool:
        """Sends the signal to who is guarded. False where it can't."""

    def end(self) -> None:
        """We are gone."""


class Guardian:
    """keep: the descriptors that the duty needs. control is the socket to poll: it turns readable with what failed()
    has to tell."""

    def __init__(self, duty: Duty, keep: Iterable[int] = ()) -> None:
        self.control, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _stand_by(theirs, keep)
                _serve(duty, theirs)
            finally:
                os._exit(0)
        theirs.close()

    def signal(self, number: int) -> bool:
        """Has the duty send a signal. False where the guardian is gone."""
        try:
            self.control.send(bytes([number]))
        except OSError:
            return False
        return True

    def failed(self) -> int:
        """The signal that the duty couldn't send, once control is readable; 0 where the guardian is gone. Raises
        Fault."""
        told = self.control.recv(Fault.LARGEST)
        if fault := Fault.unpack(told):
            raise fault
        return int.from_bytes(told, "big")

    def dismiss(self) -> None:
        """There is nothing left to guard, and its process ends by itself. Who goes on living waits for that by
        close() or reap()."""
        try:
            self.control.send(_FAREWELL)
        except OSError:
            pass
        self.control.close()
        _dismissed.append(self._pid)

    def close(self) -> None:
        """Returns when the guardian is gone; without dismiss() before, that is after its last duty, as if we had
        died. Raises Fault where that went wrong."""
        told = b""
        try:
            self.control.shutdown(_SHUT_WR)
            while piece := self.control.recv(Fault.LARGEST):
                told = piece
        except OSError:
            pass  # closed before
        self.control.close()
        if self._pid in _dismissed:
            _dismissed.remove(self._pid)
        gone(self._pid)
        if fault := Fault.unpack(told):
            raise fault


def reap() -> None:
    """Waits for those that were dismissed, which end at once, lest they stay as zombies of a process that goes on."""
    while _dismissed:
        gone(_dismissed.pop())


def _stand_by(control: socket, keep: Iterable[int]) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (*FORWARDED, signal.SIGWINCH):
        signal.signal(number, signal.SIG_IGN)
    release()
    let_go({control.fileno(), *keep})


def _serve(duty: Duty, control: socket) -> None:
    while (told := control.recv(1)) != _FAREWELL:
        try:
            answer = b"" if _done(duty, told) else told
        except Exception as error:
            answer = Fault.of(error).pack()
        if answer:
            try:
                control.send(answer)
            except OSError:
                pass  # we died meanwhile, which is what is read next
        if not told:
            return


def _done(duty: Duty, told: bytes) -> bool:
    if told:
        return duty.signal(told[0])
    duty.end()
    return True
