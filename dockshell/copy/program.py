"""A program inside a container, by the engine's exec: fed and read by turns, to its end."""

from __future__ import annotations

from select import POLLIN, POLLOUT, poll
from time import monotonic

from dockshell.engines.frames import Frames
from dockshell.errors import EngineError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.engines import Api

__all__ = ["Program"]

_CHUNK = 1 << 18
_MOST_SAID = 1 << 12  # bytes of stderr that are kept: what answers is the container's
_MOST_HELD = 256 << 20  # bytes of output that wait to be read
_MOMENT = 5.0  # seconds for the engine to note the code after the end of the output
_SHUT_WR = 1


class Program:
    """Starts argv as that user. Each method raises EngineError where the connection breaks."""

    def __init__(self, api: Api, container: str, argv: Sequence[str], user: str) -> None:
        body = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "User": user, "Cmd": list(argv)}
        self._api = api
        self._id = api.exec_create(container, body)
        self._stream = api.exec_start(self._id, terminal=False)
        self._frames = Frames()
        self._out: list[bytes] = []
        self._held = 0
        self._said = b""
        self._ended = False

    def write(self, data: bytes) -> None:
        """Has it read all of that; what it says meanwhile is kept."""
        rest = memoryview(data)
        while rest and not self._ended:
            if self._wait(POLLIN | POLLOUT) & POLLOUT:
                try:
                    rest = rest[self._stream.send(rest) :]
                except BlockingIOError:
                    pass
                except OSError:
                    self._ended = True  # it reads no more; its code says why
        if rest:
            raise EngineError(f"the program inside ended early: {self.said() or 'it said nothing'}")

    def end_input(self) -> None:
        """The end of its input."""
        try:
            self._stream.shutdown(_SHUT_WR)
        except OSError:
            pass

    def read(self, size: int) -> bytes:
        """The next bytes of its output; none at its end."""
        while not self._out and not self._ended:
            self._wait(POLLIN)
        if not self._out:
            return b""
        piece = self._out[0][:size]
        rest = self._out[0][size:]
        if rest:
            self._out[0] = rest
        else:
            self._out.pop(0)
        self._held -= len(piece)
        return piece

    def until(self, ending: bytes) -> bytes:
        """Its output up to that; or all of it, where it ends without."""
        found = bytearray()
        while not found.endswith(ending) and (piece := self.read(_CHUNK)):
            found += piece
            if len(found) > _MOST_HELD:
                raise EngineError("a program inside says without end what should be a list: copy with --via nsenter")
        return bytes(found)

    def code(self) -> int:
        """Its exit code, once it has ended; what it still says is dropped."""
        while not self._ended:
            self._wait(POLLIN)
            self._out.clear()
            self._held = 0
        give_up = monotonic() + _MOMENT
        while True:
            code = self._api.exec_inspect(self._id).get("ExitCode")
            if isinstance(code, int) or monotonic() > give_up:
                return code if isinstance(code, int) else 255
            poll().poll(5)

    def said(self) -> str:
        """The first of what it said on stderr."""
        return printable(self._said.decode("utf-8", "replace").strip()[:300])

    def close(self) -> None:
        self._stream.close()

    def _wait(self, events: int) -> int:
        """Takes what there is to read → the events that came."""
        waiter = poll()
        # Where it gives more than is read, it has to wait as well.
        waiter.register(self._stream.fileno(), events if self._held < _MOST_HELD else events & ~POLLIN)
        found = waiter.poll()[0][1]
        if found & ~POLLOUT:
            try:
                piece = self._stream.recv(_CHUNK)
            except BlockingIOError:
                return found
            except OSError as error:
                raise EngineError(f"the connection to the engine broke ({error.strerror}): does it run?") from None
            self._ended = not piece
            for kind, data in self._frames.feed(piece):
                if kind == 1:
                    self._out.append(data)
                    self._held += len(data)
                elif len(self._said) < _MOST_SAID:
                    self._said += data
        return found
