"""Everything that dockshell says instead of a result, with the exit code that goes with it.

    DockshellError                 125  dockshell never got in
    ├── UsageError                   2  the words don't fit together
    ├── EngineError                125  no engine answers, or it answered with a failure
    ├── NotFound                   125  no container fits; names what came nearest
    ├── Ambiguous                  125  more than one container fits; names them
    ├── NotRunning                 125  it fits, but is stopped, paused, …
    ├── NoRoute                    125  every way in refused; holds each one's reason
    ├── UserError                  125  no such user or group inside
    ├── NoShell                    125  no login shell inside
    ├── HostKeyError               125  the sshd that answered isn't the container's
    ├── LoginError                 125  the sshd took none of our keys
    ├── SessionLost                125  the connection broke under a running session
    ├── TimedOut                   124  the command took longer than it was given
    ├── CannotExecute              126  found inside, but it can't be executed
    ├── CommandNotFound            127  not found inside
    │   ├── MissingInterpreter     127  found, but what it takes to be executed isn't
    │   └── ShellNotStarted        127  the login shell can't be started; another may
    ├── Refused                      1  what was asked for did not come about inside
    ├── Fault                      125  a mistake of ours, in a process that we forked
    └── Failed                       *  the command's own exit code, where the library was asked for success

Messages are one sentence and end with what to do. Text from a container passes through `printable()` first.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything but printable characters spelled as an escape, so that no container can drive a terminal
    with it."""
    if text.isprintable():
        return text
    # By ascii(), not by the codec unicode_escape: that would be imported, among a container's files maybe.
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class DockshellError(Exception):
    """The root. str() of it is the sentence for people."""

    exit_code = 125


class UsageError(DockshellError):
    exit_code = 2


class EngineError(DockshellError):
    """The engine failed. status is the HTTP status that it answered with, 0 where there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotFound(DockshellError):
    pass


class Ambiguous(DockshellError):
    pass


class NotRunning(DockshellError):
    pass


class NoRoute(DockshellError):
    """refusals: (route, reason) for each that was tried, in order."""

    def __init__(self, name: str, refusals: list[tuple[str, str]]) -> None:
        super().__init__(
            f"no way into {printable(name)}: " + "; ".join(f"{route}: {reason}" for route, reason in refusals)
        )
        self.refusals = refusals


class UserError(DockshellError):
    pass


class NoShell(DockshellError):
    pass


class HostKeyError(DockshellError):
    pass


class LoginError(DockshellError):
    pass


class SessionLost(DockshellError):
    pass


class TimedOut(DockshellError):
    """stdout, stderr: what the command had written by then, where that was collected. The exit code is timeout(1)'s."""

    exit_code = 124

    def __init__(self, message: str, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(message)
        self.stdout = stdout
        self.stderr = stderr


class CannotExecute(DockshellError):
    exit_code = 126


class CommandNotFound(DockshellError):
    """taken: what was read of our input for it until that was known, as far as it is still whole; else None."""

    exit_code = 127
    taken: bytes | None = b""


class MissingInterpreter(CommandNotFound):
    """It is there, but not the interpreter that a script names or the loader that a program names (execve(2))."""


class ShellNotStarted(CommandNotFound):
    """shell: its path."""

    def __init__(self, message: str, shell: str) -> None:
        super().__init__(message)
        self.shell = shell


class Refused(DockshellError):
    exit_code = 1


class Fault(DockshellError):
    """A mistake of dockshell's own in a process that it forked, told to the one that forked it. kind: the exception's
    type; trace: where it happened, a line each, which a traceback (`--debug`) shows as well."""

    LARGEST = 4096  # bytes as pack() makes them, which go through a pipe in one piece: pipe(7), PIPE_BUF
    _MARK = b"fault"

    def __init__(self, kind: str, text: str, trace: str) -> None:
        super().__init__(
            f"something went wrong that should not have ({kind}: {text}): "
            "run it again with --debug and report what it says"
        )
        self.kind, self.text, self.trace = kind, text, trace
        if trace:
            self.add_note(f"In a process that was forked:\n{trace}")

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """The same as one of these. Imports nothing, and opens no file: in a container's mount namespace they would be
        its."""
        if isinstance(error, cls):
            return error
        lines = []
        at = error.__traceback__
        while at:
            code = at.tb_frame.f_code
            lines.append(f"  {code.co_filename}, line {at.tb_lineno}, in {code.co_name}")
            at = at.tb_next
        return cls(type(error).__name__, printable(str(error))[:500], "\n".join(lines[-12:]))

    def pack(self) -> bytes:
        """As bytes, for the pipe or socket that tells it."""
        return b"\n".join(
            (self._MARK, *(each.encode("utf-8", "replace") for each in (self.kind, self.text, self.trace)))
        )[: self.LARGEST]

    @classmethod
    def unpack(cls, told: bytes) -> Fault | None:
        """The opposite of pack(); None for what is something else."""
        mark, _, rest = told.partition(b"\n")
        if mark != cls._MARK:
            return None
        kind, text, *trace = (*map(printable, rest.decode("utf-8", "replace").split("\n")), "")
        return cls(kind, text, "\n".join(trace).rstrip())


class Failed(DockshellError):
    """Raised by Result.check() alone. exit_code is the command's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
