"""The container's own /bin/sh, run by the engine as the session's user and asked one thing after the other: what has to
be done in there costs a millisecond then, not an exec each time.

Its script comes by its stdin, as bytes: an exec's own words go through JSON, which loses what is no UTF-8. What answers
is the container's, so an answer is bounded in length and time, and nothing depends on its being true but what the user
in there sees."""

from __future__ import annotations

import os
from select import POLLIN, POLLOUT, poll
from time import monotonic

from dockshell.engines.frames import Frames
from dockshell.errors import DockshellError, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dockshell.engines import Api

__all__ = ["Exec", "InnerShell", "quoted"]

_CHUNK = 1 << 18
_SHUT_WR = 1
_PATIENCE = 30.0  # seconds
_LARGEST = 16 << 20


def quoted(word: bytes) -> bytes:
    """As a shell reads it: the very bytes, with no meaning left in them. A zero byte can be in no word."""
    return b"'" + word.replace(b"'", b"'\\''") + b"'"


class Exec:
    """/bin/sh inside, for a script, and then its input and output. A `Download` of what the script says."""

    def __init__(self, api: Api, container: str, user: str) -> None:
        body = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "User": user,
            "Env": ["LC_ALL=C"],
            "Cmd": ["/bin/sh"],
        }
        self._api = api
        self._id = api.exec_create(container, body)
        self._stream = api.exec_start(self._id, terminal=False)
        self._frames = Frames()
        self._said: list[bytes] = []
        self.complaint = b""

    def send(self, data: bytes) -> None:
        """Writes all of it, and takes in meanwhile what the other side says. Raises EngineError."""
        left = memoryview(data)
        waiter = poll()
        waiter.register(self._stream.fileno(), POLLIN | POLLOUT)
        while left:
            events = waiter.poll(int(_PATIENCE * 1000))
            if not events:
                raise _broken("it takes nothing more")
            try:
                if events[0][1] & ~POLLOUT and not self._take():
                    raise _broken("it ended")
                if events[0][1] & POLLOUT:
                    left = left[self._stream.send(bytes(left[:_CHUNK])) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise _broken(error.strerror or "the connection broke") from error

    def send_all(self, pieces: Iterable[bytes]) -> None:
        """The same of many, and then the end. Raises EngineError."""
        for piece in pieces:
            self.send(piece)
        self.end()

    def end(self) -> None:
        """Nothing more is to be sent."""
        try:
            self._stream.shutdown(_SHUT_WR)
        except OSError as error:
            raise _broken(error.strerror or "the connection broke") from error

    def read(self, size: int, /) -> bytes:
        """Some of what it says; nothing at its end. Raises EngineError."""
        waiter = poll()
        waiter.register(self._stream.fileno(), POLLIN)
        while not self._said:
            if not waiter.poll(int(_PATIENCE * 1000)):
                raise _broken(f"nothing came for {_PATIENCE:.0f} seconds")
            try:
                if not self._take():
                    return b""
            except BlockingIOError:
                continue
            except OSError as error:
                raise _broken(error.strerror or "the connection broke") from error
        piece = self._said[0][:size]
        self._said[0] = self._said[0][size:]
        if not self._said[0]:
            del self._said[0]
        return piece

    def code(self) -> int:
        """The exit code, once it has ended. Raises EngineError."""
        give_up = monotonic() + _PATIENCE
        while not isinstance(code := self._api.exec_inspect(self._id).get("ExitCode"), int):
            # The engine ends the output a moment before it notes the code.
            if monotonic() > give_up:
                raise _broken("it doesn't end")
            poll().poll(5)
        return code

    def close(self) -> None:
        """Lets go: what still runs gets the end of its input, and a broken pipe."""
        self._stream.close()

    def _take(self) -> bool:
        """Takes in what there is; False at the end. Raises OSError."""
        received = self._stream.recv(_CHUNK)
        for kind, data in self._frames.feed(received):
            if kind == 2:
                self.complaint = (self.complaint + data)[-1024:]
            else:
                self._said.append(data)
        return bool(received)


class InnerShell:
    """One that goes on. user: as an exec has it."""

    def __init__(self, api: Api, container: str, user: str) -> None:
        self._api = api
        self._container = container
        self._user = user
        self._shell: Exec | None = None

    def another(self) -> Exec:
        """One for a single script, whose input or output is a file's content."""
        return Exec(self._api, self._container, self._user)

    def ask(self, script: bytes) -> tuple[int, bytes]:
        """Runs a script, in a subshell with nothing to read → its exit code and what it wrote to stdout. Raises
        EngineError."""
        if self._shell is None:
            self._shell = self.another()
        mark = os.urandom(12).hex().encode()
        try:
            self._shell.send(b"(\n%s\n) </dev/null\necho %s$?\n" % (script, mark))
            said = b""
            give_up = monotonic() + _PATIENCE
            while (end := said.rfind(mark)) < 0 or not said.endswith(b"\n"):
                piece = self._shell.read(_CHUNK)
                said += piece
                if not piece:
                    raise _broken("it ended")
                if len(said) > _LARGEST or monotonic() > give_up:
                    raise _broken("it says more than anybody can read")
        except DockshellError:
            self.close()
            raise
        code = said[end + len(mark) : -1]
        return (int(code) if code.isdigit() and len(code) < 4 else 255), said[:end]

    def close(self) -> None:
        """Ends it. The next question has a new one."""
        if self._shell:
            self._shell.close()
            self._shell = None


def _broken(why: str) -> EngineError:
    return EngineError(f"the container's shell doesn't answer ({why}): see that it still runs")
