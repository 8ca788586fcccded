"""dockshell for programs: what the commands `exec` and `shell` do, with the same routes and the same contract.

    from dockshell import connect

    with connect("web") as web:
        print(web.run(["ls", "-l", "/"]).text)

Everything waits until it is done, in the thread that calls it; nothing is read of a person's config file, and nothing
is written to stdout or stderr. Errors are those of dockshell.errors, each a sentence with its remedy."""

from __future__ import annotations

import os
from select import POLLIN, POLLOUT, poll
from time import monotonic

from dockshell import entering
from dockshell.entering import Way
from dockshell.errors import CannotExecute, CommandNotFound, EngineError, Failed, TimedOut, printable
from dockshell.linux.guardian import reap
from dockshell.linux.signals import release
from dockshell.model import Command, Container, Target, noun, replace
from dockshell.resolve import Place, check_running, resolve_running
from dockshell.routes import Login
from dockshell.target import Project, parse
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from dockshell.session import Session

__all__ = ["Connection", "Result", "connect"]


@noun(frozen=True)
class Result:
    """How a command ended. code: its exit code, 128+n where signal n ended it, 127 where it wasn't found, 126 where it
    couldn't be executed, 137 where its container stopped; stdout, stderr: all that it wrote."""

    words: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """Did it end with 0?"""
        return self.code == 0

    @property
    def text(self) -> str:
        """stdout as text; what isn't UTF-8 of it is replaced by U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    def check(self) -> Result:
        """This result, if the command ended with 0. Raises Failed, with what it last wrote to stderr."""
        if not self.ok:
            last = self.stderr.decode("utf-8", "replace").rstrip().rpartition("\n")[2]
            raise Failed(f"{printable(self.words[0])} ended with {self.code}: {printable(last)[:200]}", self.code)
        return self


def connect(
    target: str = "@latest", *, via: str = "auto", host: str = "", context: str = "", project: str = ""
) -> Connection:
    """A connection to the running container that the target names (target.py has the grammar), of the engine at that
    host (`unix://`, `tcp://`, `ssh://`) or of that Docker context, or where the command looks for one. via: `auto`, or
    the routes to try, with commas between. project: the Compose project whose services come first, for a program's
    current directory says nothing of what it means.

    Raises NotFound, Ambiguous, NotRunning, EngineError, UsageError."""
    way = Way(Place(host, context, look=lambda: Project(project)), via, "exec", Login(voice=_Silent()), _Silent())
    return Connection(resolve_running(parse(target), way.place, way.voice), way)


class Connection:
    """A container that was found, in which commands are run, each by a session of its own. It holds nothing open
    between them. container: the facts about it, as they were when it was found."""

    def __init__(self, container: Container, way: Way) -> None:
        self.container = container
        self._way = way

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.container.name!r} ({self.container.short}) of {self.container.engine.name}>"

    def run(
        self,
        words: Sequence[str | bytes],
        input: bytes = b"",
        *,
        user: str = "",
        env: Mapping[str, str] | None = None,
        directory: str = "",
        timeout: float | None = None,
    ) -> Result:
        """Runs the command, with no shell between, gives it that input, and waits for its end.

        user, directory: as -u and -w have it; env: variables besides the container's; timeout: seconds, after which its
        whole Unix session is ended. A command that can't be started is a Result of 126 or 127, as in a shell. Raises
        TimedOut, NotRunning, NoRoute, UserError, SessionLost, EngineError; ValueError for no words.
        """
        argv = tuple(os.fsencode(word) for word in words)
        if not argv:
            raise ValueError("no command was given")
        command = Command(argv=argv, user=user, env=tuple((env or {}).items()), directory=directory, input=bool(input))
        drive = _Collecting(input, None if timeout is None else monotonic() + timeout)
        try:
            code = entering.run(self.container, command, self._way, drive=drive)[0]
        except (CommandNotFound, CannotExecute) as error:
            return Result(tuple(map(os.fsdecode, argv)), error.exit_code, b"", f"{error}\n".encode())
        except _Late:
            name = printable(os.fsdecode(argv[0]))
            raise TimedOut(
                f"{name} took longer than {timeout:g} s and was ended: give it more", *drive.outputs()
            ) from None
        except EngineError:
            check_running(self._anew())
            raise
        finally:
            release()  # also where the command could not be started
            reap()
        return Result(tuple(map(os.fsdecode, argv)), code, *drive.outputs())

    def _anew(self) -> Container:
        """The facts as they are now. Raises EngineError."""
        known = Target("name", self.container.id, engine=self.container.engine.name)
        return next(iter(self.container.engine.find(known)), replace(self.container, state="removed"))

    def close(self) -> None:
        """Ends the connection. There is nothing to free; it is there so that `with` may say where it is used."""


class _Silent(Voice):
    """What a command would say to a person, a library keeps to itself."""

    def say(self, line: str) -> None:
        pass


class _Late(Exception):
    """The time is over."""


class _Collecting:
    """Drives a session with bytes for its input, and keeps what it writes."""

    def __init__(self, input: bytes, until: float | None) -> None:
        self._input = input
        self._until = until
        self._outputs: dict[int, list[bytes]] = {1: [], 2: []}

    def outputs(self) -> tuple[bytes, bytes]:
        return b"".join(self._outputs[1]), b"".join(self._outputs[2])

    def __call__(self, session: Session, taken: bytes) -> int:
        """taken: nothing, for what is collected here is all there at the beginning of another try."""
        release()  # nothing is passed on to the command here: Ctrl-C is for the caller, and ends it
        rest = memoryview(self._input)
        while ready := session.ready:
            poller = poll()
            for descriptor in ready:
                poller.register(descriptor, POLLIN)
            accepting = session.input if rest else None
            if accepting is not None:
                poller.register(accepting, POLLOUT | (POLLIN if accepting in ready else 0))
            for descriptor, events in poller.poll(self._patience()):
                if descriptor == accepting and events & ~POLLIN:
                    rest = rest[session.send(bytes(rest[:_PIECE])) :]
                    if not rest:
                        session.end_input()
                if descriptor in ready and events & ~POLLOUT:
                    for stream, data in session.receive(descriptor):
                        self._outputs[stream].append(data)
        return session.wait()

    def _patience(self) -> float | None:
        """In milliseconds, for poll()."""
        if self._until is None:
            return None
        left = self._until - monotonic()
        if left <= 0:
            raise _Late
        return left * 1000 + 1


_PIECE = 1 << 18  # bytes, as many as a socket takes at once
