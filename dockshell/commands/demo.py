"""`dockshell demo`: the main job, shown in a container made for it, or in the embedded sandbox where no engine is.

What is shown is what a person would type: each command is printed and then run as a process of its own, like any other.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from dockshell.commands.looking import place
from dockshell.commands.ssh_config import program
from dockshell.errors import DockshellError, EngineError
from dockshell.target import LATEST

if TYPE_CHECKING:
    from dockshell.engines import Engine
    from dockshell.options import Arguments

__all__ = ["run", "somewhere"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PATIENCE = 3.0  # seconds for a session to end by itself after its container has


def run(arguments: Arguments) -> int:
    """Shows the main job: at a terminal up to a login shell, else by a few commands → 0. Leaves nothing behind,
    whatever ends it.

    Raises DockshellError where a container can't be made, or what is shown didn't come out as it should.
    """
    tour = _Tour(arguments)
    try:
        with _ended_by_signals(), contextlib.ExitStack() as stack:
            stack.callback(tour.end)  # called last: the container's end is what ends a session
            tour.target = stack.enter_context(somewhere(arguments))
            if os.isatty(0) and os.isatty(1):
                tour.at_a_terminal()
            else:
                tour.in_a_pipe()
    except _Signalled as signalled:
        return 128 + signalled.number
    return 0


@contextlib.contextmanager
def somewhere(arguments: Arguments) -> Iterator[str]:
    """A container to show things in → the TARGET that names it."""
    named = bool(arguments.text("host") or arguments.text("context"))
    engine, reason = _engine(arguments, named)
    with contextlib.ExitStack() as stack:
        target = ""
        if engine is not None:
            from dockshell.demo.container import container

            _say(f"This is in a container of {engine.name} at {engine.address}, on a small image made for it.")
            try:
                target = stack.enter_context(container(engine))
            except EngineError as error:
                if named:
                    raise
                reason = str(error)
        yield target or stack.enter_context(_embedded(reason))


@contextlib.contextmanager
def _embedded(reason: str) -> Iterator[str]:
    """The embedded sandbox → the TARGET that names it. reason: why it has to do."""
    from dockshell.demo.sandbox import sandbox

    _say(f"{reason[:1].upper()}{reason[1:]}.")
    _say("So this is in a sandbox: a process in namespaces of its own, on a small root of this machine's programs.")
    with sandbox() as pid:
        yield _target_of(pid)


def _engine(arguments: Arguments, named: bool) -> tuple[Engine | None, str]:
    """The first engine that answers; or None, and why none does. named: with -H or --context. Raises EngineError where
    such a one doesn't answer, for whoever names one wants that one."""
    reasons = []
    try:
        for engine in place(arguments).engines(LATEST):
            reason = engine.refuses()
            if reason is None:
                return engine, ""
            reasons.append(reason)
    except EngineError as error:
        reasons.append(str(error))
    if named:
        raise EngineError("; ".join(reasons))
    return None, "; ".join(reasons)


def _target_of(pid: int) -> str:
    """The sandbox by its name, unless there is another of that name."""
    from dockshell.demo.sandbox import NAME
    from dockshell.engines.kernel import KernelEngine
    from dockshell.target import parse

    named = f"kernel://{NAME}"
    found = KernelEngine().find(parse(named))
    return named if [each.pid for each in found] == [pid] else f"kernel://pid:{pid}"


class _Tour:
    """What is shown, command by command."""

    def __init__(self, arguments: Arguments) -> None:
        self.target = ""
        self._place = [
            word for name in ("host", "context") if (value := arguments.text(name)) for word in (f"--{name}", value)
        ]
        self._verbose = ["-v"] if arguments.on("verbose") else []
        self._session: subprocess.Popen[bytes] | None = None

    def at_a_terminal(self) -> None:
        """One command, then the login shell."""
        self._show(["-v", "exec", self.target, "id"])
        _say("And now a login shell; `exit` or Ctrl-D leaves it, and the demonstration.")
        self._run(["-v", self.target])

    def in_a_pipe(self) -> None:
        """A few commands: who and where one is, what is seen there, input, an exit code."""
        self._show(["-v", "exec", self.target, "id"])
        self._show([*self._verbose, "exec", self.target, "hostname"])
        # A small Debian has no ps, nor has then a container made of its programs.
        processes = ["ps"] if self._has("ps") else ["cat", "/proc/1/comm"]
        self._show([*self._verbose, "exec", self.target, *processes])
        self._show([*self._verbose, "exec", self.target, "tr", "a-z", "A-Z"], input="hello from outside")
        self._show([*self._verbose, "exec", self.target, "sh", "-c", "exit 7"], expected=7)

    def _has(self, name: str) -> bool:
        """Is that program inside?"""
        words = [*self._place, "exec", self.target, "sh", "-c", 'command -v "$1"', "sh", name]
        done = subprocess.run([*program(), *words], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.returncode == 0

    def end(self) -> None:
        """Waits for a session that was broken off; kills it if it doesn't end."""
        if self._session is None:
            return
        try:
            self._session.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._session.kill()
            self._session.wait()

    def _show(self, words: list[str], *, input: str = "", expected: int = 0) -> None:
        """Raises DockshellError where the exit code isn't the expected one."""
        code = self._run(
            words, before=f"echo {input} | " if input else "", after="; echo $?" if expected else "", input=input
        )
        if code != expected:
            raise DockshellError(
                f"`{shlex.join(['dockshell', *words])}` ended with {code}, not {expected}: run it alone to see why"
            )
        if expected:
            _say(str(code))

    def _run(self, words: list[str], *, before: str = "", after: str = "", input: str = "") -> int:
        """Prints the command as one would type it, and runs it: with our own input, or with that text."""
        words = [*self._place, *words]
        _say(f"$ {before}{shlex.join(['dockshell', *words])}{after}")
        stdin = subprocess.PIPE if input else None if os.isatty(0) else subprocess.DEVNULL
        self._session = session = subprocess.Popen([*program(), *words], stdin=stdin)
        if session.stdin:
            with contextlib.suppress(BrokenPipeError), session.stdin as pipe:
                pipe.write(f"{input}\n".encode())
        code = session.wait()
        self._session = None
        return code if code >= 0 else 128 - code


class _Signalled(BaseException):
    """A signal ends the demonstration; the way out removes what was made."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signals that would end us at once raise _Signalled in here, the first of them; the others are ignored then, for
    the way out."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise _Signalled(number)

    former = {
        number: signal.signal(number, end) for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    """On stdout, at once: what the commands themselves print comes between."""
    print(line, flush=True)
