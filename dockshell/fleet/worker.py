"""A process of ours that enters one container after another, as `dockshell exec` would: the command's output in two
pipes, and what became of it in a socket.

A process and not one more session in the parent's loop: finding a way in and taking it waits for the kernel and the
engine, so several do that at once, on all cores. It is forked, so that what it takes is imported already, and does not
end with its first container, for a fork costs a fifth of what there is to do in one. When the parent dies, by whatever
signal, the kernel kills it, and with it goes its command, as with any dockshell."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair

from dockshell.engines.docker import DockerEngine
from dockshell.engines.json import decode, encode
from dockshell.entering import run, suited
from dockshell.errors import DockshellError, Fault, NotFound, SessionLost, printable
from dockshell.linux.guardian import reap
from dockshell.linux.helper import settle
from dockshell.linux.passing import LARGEST, receive, send
from dockshell.linux.signals import signal
from dockshell.model import Target, noun, replace
from dockshell.resolve import check_running
from dockshell.session import Undeliverable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dockshell.engines import Engine
    from dockshell.entering import Way
    from dockshell.model import Command, Container
    from dockshell.session import Session

__all__ = ["Result", "Task", "Worker", "get_ready"]

_CHUNK = 1 << 16
_HELD = 1 << 20  # bytes that a pipe may hold: linux/descriptors.py
_LONGEST = 8 << 10  # characters of an error
_BEGUN = b"begun"
_LAST = "last"  # with a result: that the worker can do no more


@noun(frozen=True)
class Task:
    """What is to be done: the same command in each of the containers, which are known by their places. together: its
    stdout and stderr come as one, stdout, in the order in which they were written."""

    containers: Sequence[Container]
    command: Command
    way: Way
    together: bool = False


@noun(frozen=True)
class Result:
    """What became of it in one. code: the exit code; signal: the number of the one that ended the command, 0 where none
    did or nobody can tell; route: the way in that was taken, empty for none; error: why it never began, or broke off,
    as a sentence, empty where it ran."""

    code: int
    signal: int = 0
    route: str = ""
    error: str = ""


def get_ready() -> None:
    """Imports what workers are most likely to take, once and for all of them."""
    names = (
        ("nsenter", "nsenter_facts", "nsenter_session") if os.geteuid() == 0 else ("nsenter", "exec", "exec_session")
    )
    for name in names:
        __import__(f"dockshell.routes.{name}")


class Worker:
    """Seen from the parent, who holds back FORWARDED while it makes one and lets it begin. control: the descriptor that
    can be read once there is something to hear(); outputs: the command's, with what they are (1 or 2); runs: whether
    the command is known to have begun."""

    def __init__(self, task: Task, others: Iterable[Worker]) -> None:
        """others: those that live, which are none of the new one's business."""
        self.outputs: dict[int, int] = {}
        self.runs = False
        self._told = 0  # the signal that it was given up for
        self._together = task.together
        self._control, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        self.control = self._control.fileno()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                for each in (self, *others):
                    each._let_go()
                settle(parent)
                _Inside(task, theirs).work()
            except Exception as error:
                theirs.send(encode({**Result(125, error=str(Fault.of(error))).__dict__, _LAST: True}))
            finally:
                os._exit(0)
        theirs.close()

    def begin(self, number: int) -> None:
        """Has it enter the container in that place."""
        self.runs = False
        theirs = []
        for stream in (1,) if self._together else (1, 2):
            ours, their = os.pipe()
            os.set_blocking(ours, False)
            self.outputs[ours] = stream
            theirs.append(their)
        try:
            send(self._control, b"%d" % number, (theirs * 2)[:2])
        except OSError:
            pass  # somebody killed it, which is what hear() tells
        for their in theirs:
            os.close(their)

    def read(self, descriptor: int) -> bytes:
        """What has come there; nothing at its end, after which it is closed and no more among the outputs."""
        data = _read(descriptor)
        if data == b"":
            self._drop(descriptor)
        return data or b""

    def hear(self) -> Result | None:
        """What it has to tell, once control can be read: how it ended, or None where the command has only begun."""
        try:
            told = self._control.recv(LARGEST)
        except ConnectionResetError:  # it was killed with a signal unread, and that is told once: unix(7)
            told = self._control.recv(LARGEST)
        if told == _BEGUN:
            self.runs = True
            return None
        if told:
            facts = decode(told)
            if facts.pop(_LAST, False):  # it ends by itself, and takes no other container
                os.waitpid(self._pid, 0)
                self._pid = 0
            return Result(**facts)
        # Killed: what watches over its command ends that.
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._pid = 0
        number = self._told or max(0, -status)
        why = "given up on the way in" if self._told else "dockshell's own process for it was killed"
        return Result(128 + number, number, error=why)

    @property
    def alive(self) -> bool:
        """Can it do more, as far as hear() has told?"""
        return self._pid > 0

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """What was written before the command's end and isn't read yet; then the outputs are closed. What others write
        who hold its pipes (a daemon that it started) is no longer ours to wait for, and there can't be more in a pipe
        than it holds."""
        for descriptor, stream in list(self.outputs.items()):
            left = _HELD
            while left > 0 and (data := _read(descriptor)):
                left -= len(data)
                yield stream, data
            self._drop(descriptor)

    def signal(self, number: int) -> None:
        """Has the command get a signal, as soon as it runs."""
        try:
            send(self._control, b"%d" % number)
        except OSError:
            pass  # somebody killed the process, which is what hear() tells

    def give_up(self, number: int) -> None:
        """Ends it for that signal's sake where it is still on the way in."""
        if not self.runs and self._pid:
            self._told = number
            os.kill(self._pid, signal.SIGKILL)

    def dismiss(self) -> None:
        """There is nothing more to do, and it ends by itself."""
        self._control.close()

    def kill(self) -> None:
        """Ends it, and with it what it runs, as our own death would."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._let_go()

    def _let_go(self) -> None:
        self._control.close()
        while self.outputs:
            os.close(self.outputs.popitem()[0])

    def _drop(self, descriptor: int) -> None:
        del self.outputs[descriptor]
        os.close(descriptor)


def _read(descriptor: int) -> bytes | None:
    """What can be read without waiting: nothing at its end, None where there is only nothing yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


class _Inside:
    """The worker's own side."""

    def __init__(self, task: Task, control: socket) -> None:
        self._task = task
        self._control = control
        self._engines: dict[str, Engine] = {}

    def work(self) -> None:
        """Enters the containers that it is told to, until the parent has no more of them."""
        while True:
            told, outputs = receive(self._control)
            if not told:
                return
            if not outputs:
                continue  # a signal, for a command that has ended meanwhile
            for number, descriptor in enumerate(outputs, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            result = self._enter(self._task.containers[int(told)])
            self._control.send(encode({**result.__dict__, "error": result.error[:_LONGEST]}))
            reap()

    def _enter(self, container: Container) -> Result:
        taken = [""]
        way = replace(self._task.way, took=taken.append)
        try:
            found = self._anew(container)
            check_running(found)
            code, number = run(found, *suited(found, self._task.command, way), self._signals)
            return Result(code, number, taken[-1])
        except DockshellError as error:
            return Result(error.exit_code, 0, taken[-1], str(error))
        except Exception as error:
            told = f"something went wrong that should not have ({type(error).__name__}: {printable(str(error))})"
            return Result(125, 0, taken[-1], f"{told}: try this one alone, with --debug")

    def _signals(self, session: Session) -> Mapping[int, Callable[[], None]]:
        """What is to be listened to while the session runs."""

        def pass_on() -> None:
            told, _ = receive(self._control)
            if not told:
                raise SessionLost("dockshell itself is gone")
            if not session.signal(int(told)):
                raise Undeliverable(int(told), "this way in passes no such signal on")

        self._control.send(_BEGUN)
        return {self._control.fileno(): pass_on}

    def _anew(self, container: Container) -> Container:
        """The container with all its facts, as they are now, by a connection of our own. Raises NotFound,
        EngineError."""
        if container.engine.api is None:
            return container
        address = container.engine.address
        if address not in self._engines:
            self._engines[address] = DockerEngine(container.engine.api.anew())
        found = self._engines[address].find(Target("name", container.id))
        if not found:
            raise NotFound(f"{printable(container.name)} is gone: somebody removed it just now")
        return found[0]
