"""The exec route: the engine's own exec, by its API. Works wherever the engine does, and needs no rights but its
socket's."""

from __future__ import annotations

import os
from time import monotonic, sleep

from dockshell.environment import configured, prepare
from dockshell.errors import CannotExecute, CommandNotFound, EngineError, SessionLost, UsageError, printable
from dockshell.linux import sessions
from dockshell.linux.process import Process
from dockshell.linux.terminals import END_OF_INPUT
from dockshell.routes.frames import Frames
from dockshell.session import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from dockshell.engines import Api, Files, Stream
    from dockshell.environment import Start
    from dockshell.model import Command, Container, Size
    from dockshell.routes import Login
    from dockshell.session import Session

__all__ = ["ExecRoute", "ExecSession", "route"]

# The engine can't be told to have no detach keys, and holds the first of them back until the next key. Ctrl-^ is the
# one least missed; the rest nobody types by accident.
_DETACH_KEYS = ",".join(["ctrl-^"] * 16)
_NEVER_BEGAN = (125, 126, 127)  # the codes that engines note of a command that could not be started
_SHUT_WR = 1
_MOMENT = 1.0  # seconds for the engine to note what it has just done
_CHUNK = 1 << 16
# Old dash knows no -l, and the exec API can't put a dash in front of argv[0]: so there a plain sh reads the login files
# by itself, and what they don't export is lost. (-n reads the options and executes nothing.)
_LOGIN_SH = (
    'if "$0" -l -n </dev/null 2>/dev/null; then exec "$0" -l; fi; '
    '[ -r /etc/profile ] && . /etc/profile; [ -r "$HOME/.profile" ] && . "$HOME/.profile"; exec "$0"'
)


def route(login: Login) -> ExecRoute:
    return ExecRoute()


class ExecRoute:
    """The `Route`."""

    def refuses(self, container: Container, command: Command, *, asked: bool) -> str | None:
        if container.engine.api is None:
            return "there is no engine to ask: only nsenter enters processes that none manages"
        return None

    def open(self, container: Container, command: Command) -> Session:
        api = container.engine.api
        if api is None:
            raise EngineError("there is no engine to ask")
        files = container.engine.files(container)
        start = prepare(container, command, files, _initial(container, command))
        attempt = Attempt(api, container, command, start, files)
        try:
            exec_id = api.exec_create(container.id, _body(container, command, start, files))
            if command.detach:
                api.exec_detached(exec_id)
                return Ended()
            stream = api.exec_start(exec_id, terminal=command.terminal is not None)
        except EngineError as error:
            raise attempt.why(error) from error
        session = ExecSession(attempt, exec_id, stream)
        if command.terminal:
            session.settle(command.terminal)
        return session


def _initial(container: Container, command: Command) -> list[str] | None:
    if command.environment_from != "init":
        return None
    try:
        process = Process(container.pid)
        if container.local and process.belongs_to(container.id, container.started):
            return process.read("environ").split("\0")
    except OSError:
        pass
    raise UsageError(
        "--env-from init has to read the container's first process, which takes root on its machine: use sudo"
    )


def _body(container: Container, command: Command, start: Start, files: Files) -> dict[str, Any]:
    """The request's JSON: https://docs.docker.com/engine/api/v1.41/#operation/ContainerExec"""
    known = configured(container)
    known.pop("HOSTNAME", None)  # Podman gives it to the first process alone
    body: dict[str, Any] = {
        "AttachStdin": command.input,
        "AttachStdout": not command.detach,
        "AttachStderr": not command.detach,
        "Tty": command.terminal is not None,
        "DetachKeys": _DETACH_KEYS,
        "Privileged": command.privileged,
        "User": command.user,
        "WorkingDir": _directory(command, start, files),
        "Cmd": _words(_login(start.shell) if command.login else start.argv),
        "Env": [f"{name}={value}" for name, value in start.environment if known.get(name) != value],
    }
    if command.terminal:
        body["ConsoleSize"] = [command.terminal.rows, command.terminal.columns]  # taken note of from API 1.42 on
    return body


def _directory(command: Command, start: Start, files: Files) -> str:
    if command.login:
        return next((each for each in start.directories if files.directory(each)), "/")
    return command.directory


def _login(shell: str) -> tuple[bytes, ...]:
    path = shell.encode("utf-8", "surrogateescape")
    if os.path.basename(path) in (b"sh", b"dash"):
        return (path, b"-c", _LOGIN_SH.encode(), path)
    return (path, b"-l")


def _words(argv: tuple[bytes, ...]) -> list[str]:
    """argv for JSON, which holds text. Words that are none are spelled in octal and put together again by the
    container's sh."""
    try:
        return [word.decode("utf-8") for word in argv]
    except UnicodeDecodeError:
        # A command substitution drops newlines at its end, so that each word is given a letter to end with.
        spelled = "".join(f'w=$(printf \'{_octal(word)}x\'); set -- "$@" "${{w%x}}"; ' for word in argv)
        return ["/bin/sh", "-c", "LC_ALL=C; " + spelled + 'unset w LC_ALL; exec "$@"', "sh"]


def _octal(word: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in word)


class Attempt:
    """One try to start a command through the API, and the reason should it fail."""

    def __init__(self, api: Api, container: Container, command: Command, start: Start, files: Files) -> None:
        self.api = api
        self.container = container
        self._command = command
        self._start = start
        self._files = files

    def why(self, told: EngineError) -> CannotExecute | CommandNotFound | EngineError:
        """The engine says 126 for all that goes wrong, and puts the reason among the output. So it is found out by
        looking."""
        name = printable(self.container.name)
        directory = self._command.directory or self._start.directories[0]
        if not self._command.login and not self._files.directory(directory):
            return CannotExecute(
                f"{printable(directory)} can't be the directory to start in, in {name}: "
                "No such file or directory; name another with -w"
            )
        word = (self._start.argv or (b"",))[0].decode("utf-8", "replace")
        if not self._command.login and not self._found(word, directory):
            return CommandNotFound(
                f"{printable(word)} is not there in {name}: look with `dockshell exec {name} ls`, or give its full path"
            )
        if 400 <= told.status < 500:
            return told
        return CannotExecute(f"{printable(word)} can't be executed in {name}: {told}")

    def startable(self) -> bool:
        """Is there a program and a directory for it, as far as can be seen?"""
        directory = self._command.directory or self._start.directories[0]
        word = (self._start.argv or (os.fsencode(self._start.shell),))[0].decode("utf-8", "replace")
        there = any(self._files.executable(path) for path in self._paths(word, directory))
        return there and self._files.directory(directory)

    def _found(self, word: str, directory: str) -> bool:
        return any(self._files.exists(path) for path in self._paths(word, directory))

    def _paths(self, word: str, directory: str) -> list[str]:
        """Where a program of that name is looked for."""
        if "/" in word:
            return [os.path.join(directory, word)]
        search = dict(self._start.environment).get("PATH", "")
        return [os.path.join(directory, folder or ".", word) for folder in search.split(":")]


class ExecSession:
    """The `Session` of one exec."""

    def __init__(self, attempt: Attempt, exec_id: str, stream: Stream) -> None:
        self._attempt = attempt
        self._api = attempt.api
        self._id = exec_id
        self._stream = stream
        self._frames = None if attempt._command.terminal else Frames()
        self._begun = False  # is it known to have started?
        self._failure: bytes | None = None  # what the engine says instead of output, where it didn't
        self._ended = False
        self._last: dict[str, Any] = {}
        self._accepting = attempt._command.input

    def settle(self, size: Size) -> None:
        """Gives the new terminal its size before any input gets there. The engine refuses for as long as the command
        hasn't quite started."""
        for _ in range(200):
            try:
                self._api.exec_resize(self._id, size)
                return
            except EngineError:
                if not self._api.exec_inspect(self._id).get("Running"):
                    return
                os.sched_yield()

    @property
    def ready(self) -> Sequence[int]:
        return () if self._ended else (self._stream.fileno(),)

    def receive(self, descriptor: int) -> list[tuple[int, bytes]]:
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

    def _look(self, data: bytes) -> None:
        """Is the first output the command's? Where an exec can't start, Docker sends its own words as if they were."""
        facts = self._facts()
        self._begun = True
        if not facts.get("Running") and not facts.get("Pid") and facts.get("ExitCode") in _NEVER_BEGAN:
            self._failure = b""

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
            if self._api.server() != "podman" or not self._attempt.startable():
                text = b"".join(data for _, data in held).decode("utf-8", "replace").strip()
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
        if not self._ended and not self._frames:
            try:
                self._api.exec_resize(self._id, size)
            except EngineError:
                pass  # a command that has just ended has no terminal

    def signal(self, number: int) -> bool:
        """By the host's number of the command, where the engine's processes are ours to signal."""
        if self._ended:
            return True
        leader = self._leader()
        if leader is None:
            return False
        try:
            os.kill(leader.pid, number)
        except OSError:
            return False
        finally:
            leader.close()
        return True

    def _leader(self) -> Process | None:
        container = self._attempt.container
        if not container.local or self._ended:
            return None
        # The engine notes the number a moment after the command began, which may have written something by then.
        facts = self._facts()
        give_up = monotonic() + _MOMENT
        while facts.get("Running") and not facts.get("Pid") and monotonic() < give_up:
            sleep(0.002)
            facts = self._facts()
        pid = facts.get("Pid")
        if not pid:
            return None
        try:
            process = Process(pid)
            if process.belongs_to(container.id, 0):
                return process
        except OSError:
            pass
        return None

    def wait(self) -> int:
        # The engine ends the output a moment before it notes the exit code.
        give_up = monotonic() + _MOMENT
        while True:
            facts = self._facts()
            code = facts.get("ExitCode")
            if not facts.get("Running") and isinstance(code, int):
                return code & 0xFF if code >= 0 else 137
            if monotonic() > give_up:
                break
            sleep(0.001)
        raise SessionLost("the engine tells no exit code of the command: is the container still running?")

    def close(self) -> None:
        leader = None if self._ended else self._leader()
        self._stream.close()
        if leader is not None:
            sessions.end(leader.pid)  # runc has made it a session's leader
            leader.close()
