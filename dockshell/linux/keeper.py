"""The keeper: a process between dockshell and the command that outlives either, so that nothing is left behind
whichever dies.

    dockshell ──control──▶ keeper ──starter──▶ the command
    (relay)   ◀──status──  (host's namespaces,  (everything of the container's, and a child of the keeper's)
                            a session of its own)

It stays in the host's namespaces and cgroup, out of the container's reach. The control socket carries signal numbers
one way and the exit code the other; its end means that dockshell died, by whatever signal, and then the command's whole
session goes: HUP, TERM, KILL."""

from __future__ import annotations

import errno
import os
import sys
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from select import EPOLLIN, POLLIN, epoll, poll
from time import monotonic

from dockshell.errors import Fault
from dockshell.linux import cgroup, limits, sessions
from dockshell.linux.credentials import not_dumpable
from dockshell.linux.descriptors import let_go
from dockshell.linux.entrance import Entrance, Failure, Starting, start
from dockshell.linux.signals import FORWARDED, gone, release, signal
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["Kept", "KeptHere", "Placement", "keep", "minded"]

_LOOK = 100  # milliseconds between two looks for signals
_HELD_UP = 1.0  # seconds that a signal waits for the command to start
_PATIENCE = 60.0  # seconds for it to start; a busy machine takes a few
_LONGEST_REPORT = 1 << 20  # bytes
_parent: Callable[[int, int], None] | None = None


def minded(tell: Callable[[int, int], None]) -> None:
    """Has keep() make no other process from here on, but where it must: the calling one is there for one command alone,
    and whoever is told ends that command's session should we be killed. tell: is given the command's number and pidfd
    as it starts, 0 and -1 once it needs nobody any more."""
    global _parent  # it is the process that is so
    _parent = tell


@noun(frozen=True)
class Placement:
    """What is done to the command from outside: the cgroups to put it into, its oom_score_adj. joins_user:
    the keeper itself must enter the user namespace first, to have rights in the others (it belongs to a person without
    root). lasting: the command is to live on alone."""

    cgroups: cgroup.Places
    oom_score: int
    joins_user: bool
    lasting: bool


class Kept:
    """A started keeper, seen from dockshell. control is the socket to poll: it turns readable with the command's
    end."""

    def __init__(self, pid: int, control: socket) -> None:
        self._pid = pid
        self.control = control

    def signal(self, number: int) -> bool:
        """Sends a signal to the command and its process group. False once that has ended."""
        try:
            self.control.send(bytes([number]))
        except OSError:
            return False
        return True

    def status(self) -> int:
        """The exit code of the command, or minus the signal that ended it: KILL where the keeper itself was killed,
        which takes the command along. Raises Fault."""
        told = self.control.recv(Fault.LARGEST)
        self.close()
        if fault := Fault.unpack(told):
            raise fault
        return int(told) if told else -signal.SIGKILL

    def close(self) -> None:
        """Lets go: a command that still runs is ended first. Returns when keeper and command are gone."""
        if self._pid:
            self.control.close()
            gone(self._pid)
            self._pid = 0


class KeptHere:
    """A command that the calling process itself is the keeper of (minded()), which is there for nothing else: Kept's
    twin. control turns readable as well a while after a signal, for a look at who is frozen."""

    def __init__(self, child: int, trouble: int) -> None:
        self._child, self._trouble = child, trouble
        self._pidfd = os.pidfd_open(child)
        self._look = os.eventfd(0)
        self._ending = 0
        self.control = epoll()
        self.control.register(self._pidfd, EPOLLIN)
        self.control.register(self._look, EPOLLIN)

    def signal(self, number: int) -> bool:
        """As Kept has it."""
        if not self._child:
            return False
        sessions.deliver(self._child, number)
        if number in sessions.ENDING:
            self._ending = number
            signal.signal(signal.SIGALRM, lambda *_: os.eventfd_write(self._look, 1))
            signal.setitimer(signal.ITIMER_REAL, _HELD_UP)
        return True

    def status(self) -> int | None:
        """As Kept has it; None where the command goes on."""
        if any(descriptor == self._pidfd for descriptor, _ in self.control.poll(0)):
            code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
            self._child = 0
        elif _frozen(self._child):
            code = -self._ending
        else:
            os.eventfd_read(self._look)
            return None
        told = _told(code, self._trouble)
        self.close()
        if fault := Fault.unpack(told):
            raise fault
        return int(told)

    def close(self) -> None:
        """As Kept has it."""
        if self.control.closed:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._child:
            sessions.end(self._child)
            os.waitpid(self._child, os.WNOHANG)
            self._child = 0
        if _parent:
            _parent(0, -1)
        self.control.close()
        for descriptor in {self._pidfd, self._look, self._trouble} - {-1}:
            os.close(descriptor)


def keep(entrance: Entrance, placement: Placement) -> tuple[Kept | KeptHere | None, Failure | None]:
    """Starts the command under a keeper → the keeper once execve succeeded (None where the command lives on alone), or
    the failure: EINTR where a signal came in the meantime that is held (signals.py) and the command did not start
    within a second, ETIMEDOUT where it did not within a minute. Raises Fault."""
    if _parent and not placement.joins_user and not placement.lasting:
        return _keep_here(entrance, placement)
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    report_read, report_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            os.close(report_read)
            _keeper(entrance, placement, theirs, report_write)
        finally:
            os._exit(125)
    theirs.close()
    os.close(report_write)
    kept = Kept(pid, ours)
    failure = _failure(report_read, kept)
    if placement.lasting and not failure:
        kept.close()
    return (None if failure or placement.lasting else kept), failure


def _keep_here(entrance: Entrance, placement: Placement) -> tuple[KeptHere | None, Failure | None]:
    """keep(), by the calling process."""
    report_read, report_write = os.pipe()
    kept = None
    try:
        not_dumpable()
        child, trouble = _begin(entrance, placement, report_write)
        kept = KeptHere(child, trouble) if child else None
    except Exception as error:
        os.write(report_write, _packed(error))
    finally:
        os.close(report_write)
    failure = _failure(report_read, kept)
    return (None if failure else kept), failure


def _failure(report: int, kept: Kept | KeptHere | None) -> Failure | None:
    """What the report says at its end, and then there is nothing to keep; None where the command has begun. Raises
    Fault."""
    told, failure = _report(report)
    if (told or failure) and kept:
        kept.close()
    if fault := Fault.unpack(told):
        raise fault
    return failure or (Failure.unpack(told) if told else None)


def _report(report: int) -> tuple[bytes, Failure | None]:
    """Waits for the end of a pipe → what was written to it, or why nobody waits any longer: what stops or freezes those
    who enter a container must not hold up who sent them. Closes it."""
    told = b""
    poller = poll()
    poller.register(report, POLLIN)
    since, signalled = monotonic(), 0.0
    try:
        while True:
            if poller.poll(_LOOK):
                piece = os.read(report, 1 << 16)
                told += piece
                if not piece or len(told) > _LONGEST_REPORT:
                    return told, None
                continue
            now = monotonic()
            if signal.sigpending() & set(FORWARDED):
                signalled = signalled or now
                if now - signalled > _HELD_UP:
                    return b"", Failure("join", errno.EINTR, "")
            if now - since > _PATIENCE:
                return b"", Failure("join", errno.ETIMEDOUT, "")
    finally:
        os.close(report)


def _keeper(entrance: Entrance, placement: Placement, control: socket, report: int) -> NoReturn:
    child, trouble = 0, -1
    try:
        os.setsid()
        # Where a supervisor has it ignored, or a program that has imported us catches it, no child can be waited for.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        release()
        not_dumpable()
        if placement.joins_user:
            entrance.namespaces.join("user")
        child, trouble = _begin(entrance, placement, report, control)
    except Exception as error:
        os.write(report, _packed(error))
    if not child:
        os._exit(125)
    let_go({control.fileno(), trouble} - {-1})
    if placement.lasting:
        os._exit(0)
    try:
        told = _told(_watch(child, control), trouble)
    except Exception as error:
        told = Fault.of(error).pack()
        sessions.end(child)
    try:
        control.send(told)
    except OSError:
        pass  # dockshell died in the meantime, nobody asks for the code
    os._exit(0)


def _begin(entrance: Entrance, placement: Placement, report: int, control: socket | None = None) -> tuple[int, int]:
    """Starts the process, as a child of the calling one → its number, 0 where it failed and has reported why; and where
    what acts tells a Fault, for it has no execve that tells how it went. Raises OSError, ValueError."""
    trouble, theirs = os.pipe() if entrance.act else (-1, -1)
    gate_read, gate_write = os.pipe()
    born_read, born_write = os.pipe()
    doors = cgroup.Doors(placement.cgroups)
    starter = start(entrance, Starting(gate_read, report, born_write, theirs, doors))
    for descriptor in {gate_read, born_write, theirs, *doors.descriptors} - {-1}:
        os.close(descriptor)
    child = _born(born_read, control, starter)
    os.close(born_read)
    try:
        if child:
            _let_through(child, placement, gate_write)
    except BaseException:
        os.kill(child, signal.SIGKILL)  # else it would wait there for as long as the calling process lives
        os.waitpid(child, os.WNOHANG)
        raise
    finally:
        os.close(gate_write)
    return child, trouble


def _let_through(child: int, placement: Placement, gate: int) -> None:
    if _parent:
        pidfd = os.pidfd_open(child)
        _parent(child, pidfd)
        os.close(pidfd)
    limits.set_oom_score(child, placement.oom_score)
    try:
        os.write(gate, b"x")
    except BrokenPipeError:
        pass  # it failed before, and has reported why


def _packed(error: Exception) -> bytes:
    """What is reported of it."""
    if isinstance(error, OSError):
        return Failure("join", error.errno or 0, str(error)).pack()[:4096]
    if isinstance(error, ValueError):  # a zero in an argument, a variable or a path
        return Failure("execute", errno.EINVAL, "").pack()
    return Fault.of(error).pack()


def _told(code: int, trouble: int) -> bytes:
    """What is told of the end: the code, or the Fault of what acted."""
    told = b""
    if trouble >= 0:
        os.set_blocking(trouble, False)  # somebody whom it has left behind may hold the other end
        try:
            told = os.read(trouble, Fault.LARGEST)
        except BlockingIOError:
            pass
    return told or b"%d" % code


def _born(born: int, control: socket | None, starter: int) -> int:
    """The number of the starter's child, once the starter has ended; 0 where there is none, and why has been reported.
    Raises OSError where it was killed. Kills it where dockshell dies in the meantime."""
    poller = poll()
    poller.register(born, POLLIN)
    if control:
        poller.register(control, POLLIN)
    told = b""
    while [descriptor for descriptor, _ in poller.poll() if descriptor == born]:
        piece = os.read(born, 8)
        told += piece
        if not piece or len(told) == 8:
            break
    else:
        os.kill(starter, signal.SIGKILL)
    status = os.waitpid(starter, 0)[1]
    if not told and os.WIFSIGNALED(status):
        raise OSError(errno.EINTR, f"the process that enters was ended by signal {os.WTERMSIG(status)}")
    return int.from_bytes(told, sys.byteorder)


def _watch(child: int, control: socket) -> int:
    """Waits for the command's end, passing signals on → its exit code, or minus the signal that ended it: also one that
    is yet to, for a command that is frozen hears it only when it goes on."""
    pidfd = os.pidfd_open(child)
    poller = poll()
    poller.register(pidfd, POLLIN)
    poller.register(control, POLLIN)
    ending = 0
    while True:
        ready = [descriptor for descriptor, _ in poller.poll(_HELD_UP * 1000 if ending else None)]
        if ending and not ready:
            if _frozen(child):
                sessions.end(child)
                return -ending
            ending = 0
        if control.fileno() in ready:
            told = control.recv(16)
            if not told:
                sessions.end(child)
                os.waitpid(child, os.WNOHANG)  # else it falls to the container's first process, who may never wait
                return -signal.SIGKILL
            if pidfd not in ready:  # what it leaves behind as it ends by itself lives on
                for number in told:
                    sessions.deliver(child, number)
                    ending = number if number in sessions.ENDING else ending
        if pidfd in ready:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _frozen(pid: int) -> bool:
    from dockshell.linux.cgroup_limits import freezer  # seldom asked for, and nothing of a container's is imported here

    return freezer(pid) != ("", "")
