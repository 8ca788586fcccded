"""A recording of a session, as `asciinema play` takes it: https://docs.asciinema.org/manual/asciicast/v2/

A line of JSON with the terminal's size, and one for each piece of output, each change of size and, where that was
asked for, each piece of input, with the seconds since the beginning. The command's words aren't in it, nor is its
environment: there may be secrets in either, as there may be in what is typed and shown."""

from __future__ import annotations

import codecs
import json
import os
import time

from dockshell.errors import UsageError, printable
from dockshell.model import Size, noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.model import Command, Container
    from dockshell.session import Session
    from dockshell.voice import Voice

__all__ = ["Recording", "Tape"]

_USUAL = Size(80, 24)  # of a terminal, where there is none
_OUT, _IN, _SIZE = "o", "i", "r"


@noun(frozen=True)
class Recording:
    """What is wished for. path: of the file, which must not be there; input: what is typed, too; made: its directory is
    made if need be."""

    path: str
    input: bool = False
    made: bool = False


class Tape:
    """The file, which only its owner can read and which begins now. A disk that is full, or another failure, ends the
    recording with a line that says so, and not the session."""

    def __init__(self, recording: Recording, container: Container, command: Command, voice: Voice) -> None:
        """Raises UsageError where there can be no such file."""
        self.input = recording.input
        self._path = printable(recording.path)
        self._voice = voice
        # Without a terminal lines end as in a file, and who plays them would see stairs.
        self._bare = command.terminal is None
        self._decoders = {kind: codecs.getincrementaldecoder("utf-8")("replace") for kind in (_OUT, _IN)}
        self._file = self._made(recording)
        self._length = 0  # of what is whole, in bytes
        size = command.terminal or _USUAL
        head = {"version": 2, "width": size.columns, "height": size.rows, "timestamp": int(time.time())}
        kind = dict(command.env).get("TERM", "")
        self._write({**head, "title": container.name, **({"env": {"TERM": kind}} if kind else {})})
        self._began = time.monotonic()

    def of(self, session: Session) -> Session:
        """The same session, recorded: one after another."""
        return _Recorded(session, self)

    def output(self, data: bytes) -> None:
        """The command wrote this."""
        text = self._decoders[_OUT].decode(data)
        self._note(_OUT, text.replace("\n", "\r\n") if self._bare else text)

    def typed(self, data: bytes) -> None:
        """The command was given this."""
        if self.input:
            self._note(_IN, self._decoders[_IN].decode(data))

    def resized(self, size: Size) -> None:
        """The terminal has this size now."""
        self._note(_SIZE, f"{size.columns}x{size.rows}")

    def close(self) -> None:
        """That was all."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _made(self, recording: Recording) -> int:
        try:
            if recording.made:
                os.makedirs(os.path.dirname(recording.path), 0o700, exist_ok=True)
            return os.open(recording.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise UsageError(f"{self._path} is there already: remove it, or record to another file") from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{self._path} can't be recorded to: {why}") from None

    def _note(self, kind: str, text: str) -> None:
        if text:
            self._write([round(time.monotonic() - self._began, 6), kind, text])

    def _write(self, line: object) -> None:
        if self._file < 0:
            return
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            rest = data
            while rest:
                rest = rest[os.write(self._file, rest) :]
            self._length += len(data)
        except OSError as error:
            os.ftruncate(self._file, self._length)  # half a line would spoil the whole
            self.close()
            # At a terminal in raw mode, a line has to say itself that the next begins on the left.
            self._voice.say(f"the recording ends here: {self._path}: {error.strerror}\r")


class _Recorded:
    """A `Session` that passes everything on to another, and takes note."""

    def __init__(self, session: Session, tape: Tape) -> None:
        self._session = session
        self._tape = tape
        self.unread = session.unread
        self.end_input = session.end_input
        self.signal = session.signal
        self.unkept = session.unkept
        self.wait = session.wait
        self.ended_by = session.ended_by
        self._size: Size | None = None

    @property
    def ready(self) -> Sequence[int]:
        return self._session.ready

    @property
    def input(self) -> int | None:
        return self._session.input

    def receive(self, descriptor: int) -> Sequence[tuple[int, bytes]]:
        received = list(self._session.receive(descriptor))
        for _, data in received:
            self._tape.output(data)
        return received

    def send(self, data: bytes) -> int:
        count = self._session.send(data)
        self._tape.typed(data[:count])
        return count

    def resize(self, size: Size) -> None:
        self._session.resize(size)
        if size != self._size:
            self._tape.resized(size)
            self._size = size

    @property
    def due(self) -> float | None:
        due: float | None = getattr(self._session, "due", None)
        return due

    def tick(self) -> None:
        self._session.tick()  # type: ignore[attr-defined]

    def close(self) -> None:
        self._session.close()
