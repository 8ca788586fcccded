"""A descriptor that is read ahead of somebody, and left where that one has read to: what a command inside doesn't read
stays for whoever reads next.

Of a file the offset is moved. Of a pipe or a socket nothing is taken but what was read at the other end: until then it
is only copied, by tee(2) and MSG_PEEK."""

from __future__ import annotations

import os
import sys
from _thread import get_native_id
from fcntl import F_GETFL, F_SETFL, fcntl, ioctl
from stat import S_ISFIFO, S_ISREG, S_ISSOCK
from struct import pack
from termios import FIONREAD

from dockshell.linux.descriptors import widened
from dockshell.linux.libc import call
from dockshell.linux.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol
else:
    Protocol = object

__all__ = ["Lookahead", "lookahead"]

_CHUNK = 1 << 18
# Half of what a wide pipe holds: so much the command may have yet to read, and as much is got ready meanwhile.
_WINDOW = 1 << 19
_ROUNDS = 16  # before somebody else has a turn
_F_SETOWN_EX, _F_OWNER_TID = 15, 0  # fcntl(2): this thread, which holds the signal
_SIGNALS = 128  # bytes of a sigset_t
_NONBLOCK = 2  # SPLICE_F_NONBLOCK: splice(2)
_PAUSE = 20  # milliseconds between two looks where no signal comes
_LONG_PAUSE = 250  # and where one does: a splice(2) of the command's raises none
_SHORT_PAUSE = 2  # once such a one was seen
_MUCH = 1 << 16  # what a pipe holds as it is made


class _Source(Protocol):
    """What is read ahead. further: can it be copied from behind what was copied already?"""

    further: bool

    def copy(self, skip: int) -> bytes:
        """What comes after so many bytes; nothing at its end. Takes nothing. Raises BlockingIOError for nothing now,
        OSError."""

    def take(self, count: int) -> None:
        """Takes so many bytes off its front."""

    def close(self) -> None: ...


def lookahead(descriptor: int, unread: Callable[[], int | None], pipe: int, directly: bool = False) -> Lookahead | None:
    """For what the descriptor is; None where it can only be read, as a terminal, or where unread() can't tell.

    unread: how many of the bytes that were written to the command's own pipe are still in there; pipe: our end of it.
    directly: whether another pipe may be copied to that one, by carry(), without a look at it.
    """
    mode = os.fstat(descriptor).st_mode
    kind = _File if S_ISREG(mode) else _Pipe if S_ISFIFO(mode) else _Socket if S_ISSOCK(mode) else None
    if kind is None or unread() is None:
        return None
    try:
        source = kind(descriptor)
        return Lookahead(descriptor, source, unread, pipe, source if directly and isinstance(source, _Pipe) else None)
    except OSError:
        return None  # open for writing only, a socket of packets


class Lookahead:
    """Copies what is to be sent to the command, and takes what that has read. carries: by carry(); else copy() gives
    what is to be sent, and sent() is told."""

    def __init__(
        self, descriptor: int, source: _Source, unread: Callable[[], int | None], pipe: int, carrier: _Pipe | None
    ) -> None:
        self.carries = carrier is not None
        self._carrier = carrier
        self._pipe = pipe
        self._wide = False
        self._pause = _LONG_PAUSE
        self._stdin = descriptor
        self._source = source
        self._unread = unread
        self._ahead = 0  # bytes that were sent and not taken
        self._reads: _Reads | None = None
        self._watched = source.further  # or it needn't be

    @property
    def descriptor(self) -> tuple[int, int | None]:
        """What to poll for reading before copy() or carry() is called again, -1 for nothing; and for how many
        milliseconds at the most, None for any number."""
        if self._ahead and not self._watched:
            self._watch()
        if not self._ahead or self._source.further:
            return self._stdin, None
        # With something unread in the command's pipe, ours stays readable, which says nothing.
        return (self._reads.descriptor, self._pause) if self._reads else (-1, _PAUSE)

    def _watch(self) -> None:
        self._watched = True
        try:
            self._reads = _Reads(self._pipe)
        except OSError:
            pass
        self.settle()  # what was read before is told by nobody

    def copy(self) -> bytes | None:
        """What is to be sent next; nothing at the end, None where there is nothing now."""
        self._look()
        if self._ahead and not self._source.further:
            return None
        try:
            return self._source.copy(self._ahead)
        except BlockingIOError:
            return None

    def carry(self) -> int | None:
        """Copies from pipe to pipe → how many bytes; 0 at the end, None where there is nothing now."""
        told, ahead, moved = self._told(), self._ahead, None
        for _ in range(_ROUNDS):
            count = self._carried()
            if count == 0:
                return 0
            if count:
                moved = (moved or 0) + count
            elif not self._may_pass_on():
                break
        if not told and not moved and self._ahead < ahead:
            self._pause = _SHORT_PAUSE
        return moved

    def _carried(self) -> int | None:
        """The same, as far as there is room in the command's pipe now."""
        carrier = self._carrier
        assert carrier
        ahead = min(self._ahead, self._unread() or 0)
        read, self._ahead = self._ahead - ahead, ahead
        count = 0
        try:
            try:
                # First what is there for it already, lest the command wait while the rest is done.
                if self._may_pass_on():
                    count = carrier.pass_on(self._pipe)
            finally:
                carrier.take(read)
            if not ahead and not count and not (count := carrier.copy_to(self._pipe)):
                return 0
        except BlockingIOError:
            return None
        except OSError:
            return 0  # the command reads no more
        self._ahead += count
        if count >= _MUCH and not self._wide:
            widened(self._stdin)
            widened(self._pipe)
            self._wide = True
        if self._wide and not carrier.staged:
            carrier.stage(self._ahead)
        return count or None

    def _may_pass_on(self) -> bool:
        """Is something ready, and room for it? Once half is read, lest the two take turns too often."""
        return self._carrier is not None and self._carrier.staged > 0 and self._ahead <= _WINDOW // 2

    def _told(self) -> bool:
        """Was the command heard to read since the last call?"""
        return self._reads is not None and self._reads.were()

    def _look(self) -> None:
        """Takes what has been read."""
        told, ahead = self._told(), self._ahead
        self.settle()
        if not told and self._ahead < ahead:
            self._pause = _SHORT_PAUSE

    def sent(self, count: int) -> None:
        """So much of it was sent."""
        self._ahead += count

    def settle(self) -> None:
        """Takes what the command has read by now."""
        unread = self._unread()
        # What was sent before, from elsewhere, comes first in there.
        left = min(self._ahead, unread or 0)
        if left < self._ahead:
            self._source.take(self._ahead - left)
            self._ahead = left

    def close(self) -> None:
        self.settle()
        self._source.close()
        if self._reads:
            self._reads.close()
            self._reads = None


class _Reads:
    """Tells that somebody has read from a pipe, by its other end: each read raises SIGIO (fcntl(2), O_ASYNC), which is
    held and found by signalfd(2). (To close an inotify descriptor would take the kernel 10 to 20 ms:
    synchronize_srcu().) Raises OSError."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._held = signal.SIGIO in signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
        self.descriptor = -1
        try:
            mask = (1 << signal.SIGIO - 1).to_bytes(_SIGNALS, sys.byteorder)
            self.descriptor = call("signalfd", -1, mask, os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl(pipe, _F_SETOWN_EX, pack("ii", _F_OWNER_TID, get_native_id()))
            fcntl(pipe, F_SETFL, fcntl(pipe, F_GETFL) | os.O_ASYNC)
        except OSError:
            self.close()
            raise

    def were(self) -> bool:
        """Was there a read since the last call?"""
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        try:
            fcntl(self._pipe, F_SETFL, fcntl(self._pipe, F_GETFL) & ~os.O_ASYNC)
        except OSError:
            pass  # it is closed by now
        if self.descriptor >= 0:
            self.were()  # one that still waits would end us
            os.close(self.descriptor)
            self.descriptor = -1
        if not self._held:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGIO])


class _File:
    further = True

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.pread(descriptor, 0, self._at)

    def copy(self, skip: int) -> bytes:
        return os.pread(self._descriptor, _CHUNK, self._at + skip)

    def take(self, count: int) -> None:
        # The offset is shared with everybody who has inherited the descriptor: who has moved it meanwhile, means it.
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) == self._at:
            os.lseek(self._descriptor, self._at + count, os.SEEK_SET)
        self._at += count

    def close(self) -> None:
        pass


class _Pipe:
    further = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._copies, self._copy = os.pipe()
        widened(self._copy)
        self._nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self.staged = 0  # bytes in the pipe in between, of carry()

    def copy(self, skip: int) -> bytes:
        if not (count := call("tee", self._descriptor, self._copy, _CHUNK, _NONBLOCK)):
            return b""
        return os.read(self._copies, count)

    def copy_to(self, pipe: int) -> int:
        """Copies the front to another pipe → how many bytes; 0 at the end. Raises BlockingIOError for nothing now."""
        return call("tee", self._descriptor, pipe, _WINDOW, _NONBLOCK)

    def stage(self, skip: int) -> None:
        """Gets ready what comes after so many bytes, as far as it is there. tee(2) begins at the front, so that a pipe
        in between takes that too."""
        try:
            if int.from_bytes(ioctl(self._descriptor, FIONREAD, bytes(4)), sys.byteorder) <= skip:
                return
            copied = call("tee", self._descriptor, self._copy, skip + _WINDOW, _NONBLOCK)
        except OSError:
            return  # somebody else has read it
        self._drop(self._copies, min(skip, copied))
        self.staged = max(copied - skip, 0)

    def pass_on(self, pipe: int) -> int:
        """What was got ready goes into another pipe → how much of it."""
        try:
            count = os.splice(self._copies, pipe, self.staged, flags=_NONBLOCK)
        except BlockingIOError:
            return 0
        self.staged -= count
        return count

    def take(self, count: int) -> None:
        self._drop(self._descriptor, count)

    def _drop(self, descriptor: int, count: int) -> None:
        while count > 0:
            try:
                count -= os.splice(descriptor, self._nothing, count, flags=_NONBLOCK) or count
            except BlockingIOError:
                return  # somebody else has read it

    def close(self) -> None:
        for descriptor in (self._copies, self._copy, self._nothing):
            os.close(descriptor)


class _Socket:
    further = False

    def __init__(self, descriptor: int) -> None:
        from _socket import MSG_DONTWAIT, MSG_PEEK, SO_TYPE, SOCK_STREAM, SOL_SOCKET, socket

        self._socket = socket(fileno=os.dup(descriptor))
        self._peek, self._take = MSG_PEEK | MSG_DONTWAIT, MSG_DONTWAIT
        if self._socket.getsockopt(SOL_SOCKET, SO_TYPE) != SOCK_STREAM:
            self._socket.close()
            raise OSError("it carries packets")

    def copy(self, skip: int) -> bytes:
        return self._socket.recv(_CHUNK, self._peek)

    def take(self, count: int) -> None:
        while count > 0:
            try:
                count -= len(self._socket.recv(min(count, _CHUNK), self._take)) or count
            except BlockingIOError:
                return  # somebody else has read it

    def close(self) -> None:
        self._socket.close()
