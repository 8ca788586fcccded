"""The exec route: the engine's own exec, by its API. Works wherever the engine does, and needs no rights but its
socket's."""

from __future__ import annotations

import os

from dockshell.environment import configured, prepare
from dockshell.errors import (
    CannotExecute,
    CommandNotFound,
    DockshellError,
    EngineError,
    MissingInterpreter,
    ShellNotStarted,
    UsageError,
    printable,
)
from dockshell.linux.guardian import Guardian
from dockshell.linux.process import Process
from dockshell.routes.ward import Ward
from dockshell.session import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from dockshell.engines import Api, Files
    from dockshell.environment import Extra, Start
    from dockshell.model import Command, Container
    from dockshell.routes import Login
    from dockshell.session import Session

    class Brought(Protocol):
        """What a sidecar brings. files: the container's, and what it brings among them; shell: the words that begin a
        script by its shell; held: the descriptors that keep it there."""

        files: Files
        extra: Extra
        shell: tuple[str, ...]
        held: tuple[int, ...]

        def close(self) -> None: ...


__all__ = ["ExecRoute", "route", "start"]

# The engine can't be told to have no detach keys, and holds the first of them back until the next key. Ctrl-^ is the
# one least missed; the rest nobody types by accident.
_DETACH_KEYS = ",".join(["ctrl-^"] * 16)
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
        return start(container, command)


def start(container: Container, command: Command, brought: Brought | None = None) -> Session:
    """Starts the command by the engine's exec; brought: a toolbox that stands beside the container, closed with the
    session that this returns. Raises DockshellError."""
    api = container.engine.api
    if api is None:
        raise EngineError("there is no engine to ask")
    files = brought.files if brought else container.engine.files(container)
    extra = brought.extra if brought else None
    how = prepare(container, command, files, _initial(container, command), names_only=True, extra=extra)
    attempt = Attempt(api, container, command, how, files, brought.shell if brought else ("/bin/sh",))
    mark = "" if container.local else _mark()
    body = _body(attempt)
    body["Env"] += [mark] if mark else []
    guardian = None
    try:
        exec_id = api.exec_create(container.id, body)
        if command.detach:
            api.exec_detached(exec_id)
            return Ended()
        ward = Ward(api, container, exec_id, body["User"], mark, attempt.shell)
        guardian = Guardian(ward, brought.held if brought else ())
        stream = api.exec_start(exec_id, terminal=command.terminal is not None)
    except EngineError as error:
        if guardian and error.status:  # without an answer it may have begun all the same: then it goes when we do
            guardian.dismiss()
            guardian.close()
        raise attempt.why(error) from error
    # Not before: the engine takes its time to start the command.
    from dockshell.routes.exec_session import ExecSession

    session = ExecSession(attempt, exec_id, stream, guardian)
    session.companion = brought
    if command.terminal:
        session.settle(command.terminal)
    return session


def _mark() -> str:
    """Where the engine is elsewhere its numbers of processes say nothing, so there the command carries a mark."""
    from dockshell.inside import MARK

    return f"{MARK}={os.urandom(12).hex()}"


def _initial(container: Container, command: Command) -> list[str] | None:
    if command.environment_from != "init":
        return None
    try:
        process = Process(container.pid)
        if container.local and process.belongs_to(container.id, container.started, container.owner):
            return process.read("environ").split("\0")
    except OSError:
        pass
    raise UsageError(
        "--env-from init has to read the container's first process, which takes root on its machine: use sudo"
    )


def _body(attempt: Attempt) -> dict[str, Any]:
    """The request's JSON: https://docs.docker.com/engine/api/v1.41/#operation/ContainerExec"""
    command, start = attempt.command, attempt.start
    known = configured(attempt.container)
    known.pop("HOSTNAME", None)  # Podman gives it to the first process alone
    body: dict[str, Any] = {
        "AttachStdin": command.input,
        "AttachStdout": not command.detach,
        "AttachStderr": not command.detach,
        "Tty": command.terminal is not None,
        "DetachKeys": _DETACH_KEYS,
        "Privileged": command.privileged,
        "User": command.user,
        "WorkingDir": _directory(command, start, attempt.files),
        "Cmd": _words(_login(start.shell) if command.login else start.argv, attempt.shell),
        "Env": [f"{name}={value}" for name, value in start.environment if known.get(name) != value],
    }
    if command.terminal:
        body["ConsoleSize"] = [command.terminal.rows, command.terminal.columns]  # taken note of from API 1.42 on
    return body


def _directory(command: Command, start: Start, files: Files) -> str:
    if command.login or (not command.directory and (command.line or command.by_login)):
        return next((each for each in start.directories if files.directory(each)), "/")
    return command.directory


def _login(shell: str) -> tuple[bytes, ...]:
    path = shell.encode("utf-8", "surrogateescape")
    if os.path.basename(path) in (b"sh", b"dash"):
        return (path, b"-c", _LOGIN_SH.encode(), path)
    return (path, b"-l")


def _words(argv: tuple[bytes, ...], shell: tuple[str, ...]) -> list[str]:
    """argv for JSON, which holds text. Words that are none are spelled in octal and put together again by the
    shell."""
    try:
        return [word.decode("utf-8") for word in argv]
    except UnicodeDecodeError:
        # A command substitution drops newlines at its end, so that each word is given a letter to end with.
        spelled = "".join(f'w=$(printf \'{_octal(word)}x\'); set -- "$@" "${{w%x}}"; ' for word in argv)
        return [*shell, "-c", "LC_ALL=C; " + spelled + 'unset w LC_ALL; exec "$@"', "sh"]


def _octal(word: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in word)


class Attempt:
    """One try to start a command through the API, and the reason should it fail."""

    def __init__(
        self, api: Api, container: Container, command: Command, start: Start, files: Files, shell: tuple[str, ...]
    ) -> None:
        """shell: the words that begin a script inside."""
        self.api = api
        self.container = container
        self.command = command
        self.start = start
        self.files = files
        self.shell = shell

    def why(self, told: EngineError) -> DockshellError:
        """The engine says 126 for all that goes wrong, and puts the reason among the output. So it is found out by
        looking."""
        name = printable(self.container.name)
        directory = self.command.directory or self.start.directories[0]
        if not self.command.login and not self.files.directory(directory):
            return CannotExecute(
                f"{printable(directory)} can't be the directory to start in, in {name}: "
                "No such file or directory; name another with -w"
            )
        if 400 <= told.status < 500 and self._found():
            return told
        missing = self.missing()
        if self.start.by_shell:
            return ShellNotStarted(missing or f"{printable(self.start.by_shell)}: {told}", self.start.by_shell)
        if missing:
            return MissingInterpreter(f"in {name}, {missing}")
        word = printable(self.start.argv[0].decode("utf-8", "replace"))
        if not self._found():
            return CommandNotFound(
                f"{word} is not there in {name}: look with `dockshell exec {name} ls`, or give its full path"
            )
        return CannotExecute(f"{word} can't be executed in {name}: {told}")

    def refused(self, said: bytes) -> bool:
        """Is that how runc says that it could not execute the program, which it found?"""
        return said.startswith(b"exec /") and any(
            said.startswith(f"exec {path}: ".encode("utf-8", "surrogateescape")) for path in self.start.paths()
        )

    def startable(self) -> bool:
        """Is there a program and a directory for it, as far as can be seen?"""
        there = any(self.files.executable(path) for path in self.start.paths())
        return there and any(map(self.files.directory, self.start.directories)) and not self.missing()

    def reachable(self) -> bool:
        """Can the command be signalled once it runs, as far as can be seen (routes/ward.py)?"""
        return (self.container.local and os.geteuid() == 0) or self.files.executable(self.shell[0])

    def _found(self) -> bool:
        return any(self.files.exists(path) for path in self.start.paths())

    def missing(self) -> str:
        """What the program lacks to be executed, as far as can be seen; else empty."""
        from dockshell.executable import what_is_missing

        return what_is_missing(self.files, self.start.paths(), self.start.directories[0])
