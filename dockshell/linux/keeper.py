"""The keeper: a process between dockshell and the command that outlives either, so that nothing is left behind
whichever dies.

    dockshell ──control──▶ keeper ──fork──▶ the command
    (relay)   ◀──status──  (host's namespaces,   (everything of the container's)
                            a session of its own)

It stays in the host's mount namespace and cgroup, out of the container's reach, and joins only the pid namespace, which
takes hold of its child alone. The control socket carries signal numbers one way and the exit code the other; its end
means that dockshell died, by whatever signal, and then the command's whole session goes: HUP, TERM, KILL."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from select import POLLIN, poll

from dockshell.errors import Fault
from dockshell.linux import cgroup, limits, sessions
from dockshell.linux.credentials import not_dumpable
from dockshell.linux.descriptors import let_go
from dockshell.linux.entrance import Entrance, Failure, enter
from dockshell.linux.signals import gone, release, signal
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["Kept", "Placement", "keep"]


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


def keep(entrance: Entrance, placement: Placement) -> tuple[Kept | None, Failure | None]:
    """Starts the command under a keeper → the keeper once execve succeeded (None where the command lives on alone), or
    the failure. Raises Fault."""
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
    told = b""
    while piece := os.read(report_read, 4096):
        told += piece
    os.close(report_read)
    kept = Kept(pid, ours)
    if told:
        kept.close()
        if fault := Fault.unpack(told):
            raise fault
        return None, Failure.unpack(told)
    if placement.lasting:
        kept.close()
        return None, None
    return kept, None


def _keeper(entrance: Entrance, placement: Placement, control: socket, report: int) -> NoReturn:
    child = 0
    trouble, theirs = os.pipe() if entrance.act else (-1, -1)  # what acts has no execve that tells how it went
    try:
        os.setsid()
        # Where a supervisor has it ignored, or a program that has imported us catches it, no child can be waited for.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        release()
        not_dumpable()
        if placement.joins_user:
            entrance.namespaces.join("user")
        entrance.namespaces.join("pid")
        gate_read, gate_write = os.pipe()
        legacy = cgroup.open_legacy(placement.cgroups)
        child = cgroup.fork_into(placement.cgroups)
        if child == 0:
            os.close(gate_write)
            enter(entrance, legacy, gate_read, report, theirs)
        limits.set_oom_score(child, placement.oom_score)
        os.write(gate_write, b"x")
    except OSError as error:
        os.write(report, Failure("join", error.errno or 0, str(error)).pack()[:4096])
        os._exit(125)
    except Exception as error:
        os.write(report, Fault.of(error).pack())
        os._exit(125)
    let_go({control.fileno(), trouble} - {-1})
    if placement.lasting:
        os._exit(0)
    try:
        told = b"%d" % _watch(child, control)
        if entrance.act:
            os.set_blocking(trouble, False)  # somebody whom it has left behind may hold the other end
            try:
                told = os.read(trouble, Fault.LARGEST) or told
            except BlockingIOError:
                pass
    except Exception as error:
        told = Fault.of(error).pack()
        sessions.end(child)
    try:
        control.send(told)
    except OSError:
        pass  # dockshell died in the meantime, nobody asks for the code
    os._exit(0)


def _watch(child: int, control: socket) -> int:
    """Waits for the command's end, passing signals on → its exit code, or minus the signal that ended it."""
    pidfd = os.pidfd_open(child)
    poller = poll()
    poller.register(pidfd, POLLIN)
    poller.register(control, POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poller.poll()]
        if control.fileno() in ready:
            told = control.recv(16)
            if not told:
                sessions.end(child)
                os.waitpid(child, os.WNOHANG)  # else it falls to the container's first process, who may never wait
                return -signal.SIGKILL
            if pidfd not in ready:  # what it leaves behind as it ends by itself lives on
                for number in told:
                    sessions.deliver(child, number)
        if pidfd in ready:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
