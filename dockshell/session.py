"""What every route returns: a running command, as something to wait on, read from, write to and signal."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from dockshell.model import Size
else:
    Protocol = object

__all__ = ["Carrier", "Ended", "Late", "Left", "Session", "Timed", "Undeliverable"]


class Undeliverable(Exception):
    """A signal can't be passed on, so it is we who end by it, as any program would. str() of it says why."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


class Late(Exception):
    """The command has run for as long as it was given."""


class Left(Exception):
    """The detach key was typed. rest: what was typed before it and isn't with the command yet."""

    def __init__(self, rest: bytes) -> None:
        super().__init__("the detach key was typed")
        self.rest = rest


class Session(Protocol):
    """A running command, driven by one thread that polls its descriptors (relay.py). Nothing here waits but wait() and
    close().

    The loop that drives it: while `ready` isn't empty, poll those descriptors for reading; hand each that fires to
    receive(). While there is input, poll `input` for writing and call send(). When `ready` is empty, everything that
    the command wrote has been received: wait() gives the exit code. close() is always called, once, in the end."""

    @property
    def ready(self) -> Sequence[int]:
        """Descriptors to poll for reading; empty once nothing more will come."""

    def receive(self, descriptor: int) -> Iterable[tuple[int, bytes]]:
        """What arrived there, as (1 or 2 for stdout or stderr, bytes); may be nothing. Never blocks.

        Raises SessionLost where the connection broke, CommandNotFound or CannotExecute where the command turned out not
        to start, Undeliverable where a signal that was sent came back."""

    @property
    def input(self) -> int | None:
        """The descriptor that polls writable when send() would take something; None where input can no longer reach the
        command."""

    def send(self, data: bytes) -> int:
        """Gives input to the command. Returns how many bytes were taken, 0 when none could be just now. Never blocks.

        A command that no longer reads is no error: `input` turns None.
        """

    def unread(self) -> int | None:
        """How many of the bytes that send() took the command hasn't read, also after its end; None where nobody can
        tell."""

    def end_input(self) -> None:
        """End of input: after all that send() took, the command reads end of file. With a terminal: Ctrl-D."""

    def resize(self, size: Size) -> None:
        """The caller's terminal has this size now."""

    def signal(self, number: int) -> bool:
        """Sends a signal to the command. False where this route can't; True also for a command that has just ended."""

    def unkept(self) -> str:
        """What of the contract can't be kept here, as a sentence; empty where all of it is."""

    def wait(self) -> int:
        """The exit code: the command's own, or 128 + the signal that ended it. Only once `ready` is empty."""

    def ended_by(self) -> int:
        """The number of the signal that ended the command, once wait() has returned; 0 where it ended by itself, or
        nobody can tell."""

    def close(self) -> None:
        """Ends the session and frees what it holds. A command that still runs gets HUP, TERM and KILL where the route
        can."""


class Carrier(Protocol):
    """What a Session may be besides, whose command has pipes of its own: what goes through them need not go through
    this process's memory.

    carries: is `input` a pipe that may be written to directly, as by tee(2)?"""

    carries: bool

    def carry(self, descriptor: int) -> bool:
        """Moves what arrived at one of `ready` to this process's own stdout or stderr, and waits until that takes some
        of it. False where receive() is to be asked."""


class Timed(Protocol):
    """What a Session may be besides, which has something to do later though nothing arrives.

    due: when, by the monotonic clock in seconds; None for never."""

    @property
    def due(self) -> float | None: ...

    def tick(self) -> None:
        """It is time."""


class Ended:
    """The `Session` of a command that was left to itself (-d): over for us as soon as it began."""

    ready: Sequence[int] = ()
    input: int | None = None

    def receive(self, descriptor: int) -> list[tuple[int, bytes]]:
        return []

    def send(self, data: bytes) -> int:
        return 0

    def unread(self) -> int | None:
        return None

    def end_input(self) -> None:
        pass

    def resize(self, size: Size) -> None:
        pass

    def signal(self, number: int) -> bool:
        return False

    def unkept(self) -> str:
        return ""

    def wait(self) -> int:
        return 0

    def ended_by(self) -> int:
        return 0

    def close(self) -> None:
        pass
