"""The bytes of connections, both ways. Each direction has its own end, and an end that came by force is passed on as
such. None reads on before what it has read is written, so that a reader who stalls costs a piece and no more."""

from __future__ import annotations

import socket
from fcntl import ioctl
from select import EPOLLERR, EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from struct import pack, unpack
from termios import TIOCOUTQ

from dockshell.engines.frames import Frames
from dockshell.errors import SessionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.engines import Stream
    from dockshell.forward.loop import Loop

__all__ = ["Far", "Traffic", "reset"]

_PIECE = 1 << 20  # bytes; less takes more turns, and more time of the processor
_LEAST = 1 << 14
_KEPT = 16 << 20  # bytes that all may keep together which could be read and not yet written
_FRAMED = 1 << 17  # bytes; these are copied as they are taken out of their frames
_TURNS = 8  # pieces, before others have their turn
_DRAINING = 2.0  # seconds for a peer to take what it was sent before it learns of the reset
_MOMENT = 0.02
_piece = memoryview(bytearray(_PIECE))


class Far:
    """The end inside. framed: it is an engine's exec, whose output comes in frames. ended: told, once, how many bytes
    came from there."""

    def __init__(
        self, stream: Stream, *, framed: bool = False, ended: Callable[[int], object] = lambda received: None
    ) -> None:
        self.stream = stream
        self.framed = framed
        self.ended = ended


class Traffic:
    """All connections that are open."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._open: set[_Carried] = set()

    def __len__(self) -> int:
        return len(self._open)

    def carry(self, near: socket.socket, far: Far) -> None:
        """From now on, until both ends are closed. near: the connection that came here."""
        self._open.add(_Carried(self._loop, near, far, self))

    def discard(self, carried: _Carried) -> None:
        """That one is over."""
        self._open.discard(carried)

    def piece(self) -> int:
        """How many bytes to read at once: the more connections, the fewer."""
        return max(_LEAST, min(_PIECE, _KEPT // (len(self._open) or 1)))

    def close(self) -> None:
        """Breaks all of them off."""
        while self._open:
            self._open.pop().close()


class _Carried:
    """One of them."""

    def __init__(self, loop: Loop, near: socket.socket, far: Far, traffic: Traffic) -> None:
        self._loop = loop
        self._near, self._far = near, far
        self._traffic = traffic
        self._closing = False
        self._out = _Direction(near, far.stream, None, traffic.piece)
        self._back = _Direction(far.stream, near, Frames() if far.framed else None, traffic.piece)
        events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
        loop.watch(near.fileno(), events, self._heard)
        loop.watch(far.stream.fileno(), events, self._heard)

    def close(self) -> None:
        """Breaks it off."""
        if not self._closing:
            self._closing = True
            self._loop.forget(self._near.fileno())
            self._loop.forget(self._far.stream.fileno())
            self._close()

    def _close(self) -> None:
        reset(self._near)
        self._far.stream.close()

    def _heard(self, events: int) -> None:
        if events & EPOLLERR:
            # Who waits for the other end to take something reads no error. It has the time that a reset would have.
            self._loop.after(_DRAINING, self._give_up)
        self._move()

    def _give_up(self) -> None:
        if not self._closing:
            self._out.broken = True
            self._end()

    def _move(self) -> None:
        if self._closing:
            return
        more = self._out.move()
        more = self._back.move() or more
        if self._out.lost or self._back.lost:
            # Whoever reset the connection hears no more; what it sent before that still goes where it was sent.
            (self._out if self._back.lost else self._back).over = True
        if self._out.over and self._back.over:
            self._end()
        elif more:
            self._loop.soon(self._move)

    def _end(self) -> None:
        self._closing = True
        self._loop.forget(self._near.fileno())
        self._loop.forget(self._far.stream.fileno())
        self._far.ended(self._back.moved)
        if self._out.broken or self._back.broken:
            self._drain(int(_DRAINING / _MOMENT))
        else:
            self._near.close()
            self._far.stream.close()
            self._traffic.discard(self)

    def _drain(self, times: int) -> None:
        """A reset throws away what its sender has yet to send, so that goes first."""
        if times and any(_unsent(each) for each in (self._near, self._far.stream)):
            self._loop.after(_MOMENT, lambda: self._drain(times - 1))
            return
        self._close()
        self._traffic.discard(self)


class _Direction:
    """over: nothing more is moved. broken: its end came by force: lost where it did at the source, else at the sink."""

    def __init__(self, source: Stream, sink: Stream, frames: Frames | None, piece: Callable[[], int]) -> None:
        self._source, self._sink = source, sink
        self._size = piece
        self._frames = frames
        self._left: bytes | memoryview = b""
        self._ended = False
        self.moved = 0
        self.over = self.broken = self.lost = False

    def move(self) -> bool:
        """As much as can be without waiting → whether there may be more."""
        if self.over or not self._write():
            return False
        turns = 0
        while turns < _TURNS and not self.over and self._read() and self._write():
            turns += 1
        return turns == _TURNS

    def _read(self) -> bool:
        """Reads a piece, for the next _write(). False where there is none yet."""
        if self._ended:
            self.over = True
            self.broken = self.lost
            if not self.lost:
                _end_of_file(self._sink)
            return False
        try:
            data = self._received()
        except BlockingIOError:
            return False
        except (OSError, SessionLost) as error:
            # Podman resets the connection of a command that ended before it read all of its input.
            engines = isinstance(error, ConnectionResetError) and self._frames and self._frames.whole
            self._ended, self.lost = True, not engines
            return True
        self._left = data
        return True

    def _received(self) -> bytes | memoryview:
        if isinstance(self._source, socket.socket) and not self._frames:
            size = self._source.recv_into(_piece, self._size())
            self._ended = not size
            return _piece[:size]
        data = self._source.recv(min(_FRAMED, self._size()))
        self._ended = not data
        return b"".join(each for _, each in self._frames.feed(data)) if self._frames else data

    def _write(self) -> bool:
        """Writes what was read. False where not all of it could be, yet or ever; then that is kept."""
        left = self._left
        try:
            while left:
                size = self._sink.send(left)
                self.moved += size
                left = left[size:]
        except BlockingIOError:
            self._left = bytes(left)  # the piece is the next one's to fill
            return False
        except OSError:
            self.over = self.broken = True
            return False
        self._left = b""
        return True


def _end_of_file(sink: Stream) -> None:
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # gone already, which the other direction learns


def _unsent(stream: Stream) -> int:
    """Bytes that the peer's machine has not taken yet: tcp(7), SIOCOUTQ."""
    try:
        size: int = unpack("i", ioctl(stream.fileno(), TIOCOUTQ, bytes(4)))[0]
    except OSError:
        return 0
    return size


def reset(connection: socket.socket) -> None:
    """Closes it so that its peer can't take that for a good end: socket(7), SO_LINGER of 0."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
    except OSError:
        pass
    connection.close()
