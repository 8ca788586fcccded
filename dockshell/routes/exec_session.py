"""A command that the engine runs, as a Session over the connection that its exec took over."""

from __future__ import annotations

import os
from time import monotonic, sleep

from dockshell.engines.frames import Frames
from dockshell.errors import EngineError, SessionLost, printable
from dockshell.linux.terminals import END_OF_INPUT
from dockshell.session import Undeliverable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from dockshell.engines import Stream
    from dockshell.linux.guardian import Guardian
    from dockshell.model import Size
    from dockshell.routes.exec import Attempt, Brought

__all__ = ["ExecSession"]

_NEVER_BEGAN = (125, 126, 127)  # the codes that engines note of a command that could not be started
_SHUT_WR = 1
_MOMENT = 1.0  # seconds for the engine to note what it has just done
_CHUNK = 1 << 18
_HEADER = 8  # bytes of a frame's: frames.py
# Seconds after which Podman is told a size once more: of several that conmon 2.1.6 finds in its pipe it takes the first
# that often, and the last is lost. The terminal signals no size that it has already.
_AGAIN = (0.2, 1.0, 4.0)
_UNREACHABLE = "the command's process isn't ours to signal, and there is no /bin/sh inside that could"


class ExecSession:
    """The `Session` of one exec."""

    def __init__(self, attempt: Attempt, exec_id: str, stream: Stream, guardian: Guardian) -> None:
        self._attempt = attempt
        self._guardian = guardian
        self._ready: tuple[int, ...] = (stream.fileno(), guardian.control.fileno())
        self._api = attempt.api
        self._id = exec_id
        self._stream = stream
        self._frames = None if attempt.command.terminal else Frames()
        self._begun = False  # is it known to have started?
        self._failure: bytes | None = None  # what the engine says instead of output, where it didn't
        self._by_runtime = False  # or the runtime, in the program's place
        self._ended = False
        self._over = False  # is the command known to have ended?
        self._last: dict[str, Any] = {}
        self._accepting = attempt.command.input
        self._size: Size | None = None  # what the engine was last told
        self._again: list[float] = []  # when it is told once more
        self.companion: Brought | None = None  # goes with the session

    def settle(self, size: Size) -> None:
        """Gives the new terminal its size before any input gets there. The engine refuses for as long as the command
        hasn't quite started."""
        for _ in range(200):
            try:
                self._api.exec_resize(self._id, size)
                self._size = size
                return
            except EngineError:
                if not self._api.exec_inspect(self._id).get("Running"):
                    return
                os.sched_yield()

    @property
    def ready(self) -> Sequence[int]:
        return () if self._ended else self._ready

    def receive(self, descriptor: int) -> list[tuple[int, bytes]]:
        if descriptor != self._stream.fileno():
            return self._undelivered()
        try:
            data = self._stream.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            # Podman resets the connection where the command ended before it read all of its input.
            if not isinstance(error, ConnectionResetError) or self._facts().get("Running"):
                raise SessionLost(
                    f"the connection to the engine broke ({error.strerror}): is it still running?"
                ) from error
            data = b""
        if not data:
            return self._finish()
        if not self._begun:
            self._look(data)
        if self._failure is not None:
            self._failure += data
            return []
        return self._frames.feed(data) if self._frames else [(1, data)]

    def _undelivered(self) -> list[tuple[int, bytes]]:
        number = self._guardian.failed()
        if number:
            raise Undeliverable(number, _UNREACHABLE)
        self._ready = self._ready[:1]  # somebody ended the guardian
        return []

    def _look(self, data: bytes) -> None:
        """Is the first output the command's? Where an exec can't start, Docker sends its own words as if they were."""
        facts = self._facts()
        self._begun = True
        if not facts.get("Running") and not facts.get("Pid") and facts.get("ExitCode") in _NEVER_BEGAN:
            self._failure = b""
            return
        said = data[_HEADER:] if self._frames else data
        # The runtime may have become the process already when its execve(2) failed: then it says so, and ends with 1.
        # Podman's own words may be all that comes of it, where there is input that nobody reads.
        refused = self._attempt.refused(said)
        if refused or (said.startswith(b"Error: ") and self._api.server() == "podman"):
            give_up = monotonic() + _MOMENT
            while facts.get("Running") and monotonic() < give_up:
                sleep(0.001)
                facts = self._facts()
            ended = facts.get("ExitCode") == 1 and not facts.get("Running")
            self._by_runtime = ended and (refused or bool(self._attempt.missing()))
            self._failure = b"" if self._by_runtime else None

    def _finish(self) -> list[tuple[int, bytes]]:
        """The end of output → what was held back of it, where it turns out to be the command's after all."""
        self._ended = True
        if not self._begun and self._api.server() != "podman":  # Podman always has something to say
            facts = self._facts()
            if not facts.get("Pid") and facts.get("ExitCode") in _NEVER_BEGAN:
                self._failure = b""
        held = []
        if self._failure is not None:
            held = self._frames.feed(self._failure) if self._frames else [(1, self._failure)]
            # Podman tells no number of a command that has ended, so with a code of its own it looks the same.
            if self._by_runtime or self._api.server() != "podman" or not self._attempt.startable():
                text = b"".join(data for _, data in held).decode("utf-8", "replace").strip()
                self._dismiss()
                raise self._attempt.why(EngineError(printable(text) or "the engine did not say why"))
        if self._frames and not self._frames.whole:
            raise SessionLost("the connection to the engine broke in the middle of output: is it still running?")
        return held

    def _facts(self) -> dict[str, Any]:
        """What the engine says of it now; of one that has ended it says the same for ever."""
        facts = self._last or self._api.exec_inspect(self._id)
        if self._ended and not facts.get("Running") and facts.get("ExitCode") is not None:
            self._last = facts
        return facts

    @property
    def input(self) -> int | None:
        return self._stream.fileno() if self._accepting and not self._ended else None

    def send(self, data: bytes) -> int:
        try:
            return self._stream.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._accepting = False
            return len(data)

    def unread(self) -> int | None:
        return None

    def end_input(self) -> None:
        if not self._frames:
            self.send(END_OF_INPUT)
        elif self._accepting:
            self._accepting = False
            try:
                self._stream.shutdown(_SHUT_WR)
            except OSError:
                pass  # the command has ended, and the connection with it

    def resize(self, size: Size) -> None:
        if self._frames or size == self._size:
            return
        self._size = size
        self._send_size()
        if self._api.server() == "podman":
            self._again = [monotonic() + delay for delay in _AGAIN]

    def _send_size(self) -> None:
        if self._size and not self._ended:
            try:
                self._api.exec_resize(self._id, self._size)
            except EngineError:
                pass  # a command that has just ended has no terminal

    @property
    def due(self) -> float | None:
        return self._again[0] if self._again else None

    def tick(self) -> None:
        del self._again[:1]
        self._send_size()

    def signal(self, number: int) -> bool:
        return self._ended or self._guardian.signal(number)

    def unkept(self) -> str:
        return (
            ""
            if self._attempt.reachable()
            else f"exec: {_UNREACHABLE}: it gets no signals, and outlives a KILL of ours"
        )

    def _dismiss(self) -> None:
        self._over = True
        self._guardian.dismiss()

    def wait(self) -> int:
        # The engine ends the output a moment before it notes the exit code.
        give_up = monotonic() + _MOMENT
        while True:
            facts = self._facts()
            code = facts.get("ExitCode")
            if not facts.get("Running") and isinstance(code, int):
                self._dismiss()
                return code & 0xFF if code >= 0 else 137
            if monotonic() > give_up:
                break
            sleep(0.001)
        raise SessionLost("the engine tells no exit code of the command: is the container still running?")

    def ended_by(self) -> int:
        return 0  # an engine tells but a code

    def close(self) -> None:
        self._stream.close()
        if not self._over:  # else it ends by itself, sooner than we
            self._guardian.close()
        if self.companion:
            self.companion.close()
