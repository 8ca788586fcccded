"""A command that the nsenter route started: how, and its ends that are ours."""

from __future__ import annotations

import errno
import os
import stat
import sys
from select import POLLOUT, poll

from dockshell.environment import prepare
from dockshell.errors import (
    CannotExecute,
    CommandNotFound,
    DockshellError,
    MissingInterpreter,
    SessionLost,
    ShellNotStarted,
    printable,
)
from dockshell.linux import terminals
from dockshell.linux.credentials import Capabilities
from dockshell.linux.descriptors import widened
from dockshell.linux.entrance import Entrance, Failure
from dockshell.linux.keeper import Placement, keep
from dockshell.linux.namespaces import user_of
from dockshell.linux.rootfs import RootFiles
from dockshell.linux.signals import hold, release, signal
from dockshell.model import replace
from dockshell.session import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from dockshell.environment import Extra, Start
    from dockshell.linux.calls import Calls
    from dockshell.linux.keeper import Kept, KeptHere
    from dockshell.model import Command, Container, Size
    from dockshell.routes.nsenter_facts import Facts
    from dockshell.session import Session

    # Who it is and what is there → what to do in the command's place, whose result is the exit code.
    Act = Callable[[Start, RootFiles], Callable[[], int]]

    class Brought(Protocol):
        """A toolbox that goes in with the command. attach() adds the calls for that: see linux/entrance.py."""

        extra: Extra

        def attach(self, calls: Calls) -> list[int]: ...


__all__ = ["NsenterSession", "start"]

# What execve(2) says of a file, and not of the process that would become it.
_NOT_EXECUTABLE = (
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELIBBAD, errno.EINVAL, errno.ELOOP,
)  # fmt: skip
_FIONREAD = 0x541B  # pipe(7)
_MOST_CARRIED = 1 << 20  # bytes, at once
_MUCH = 1 << 16  # what a pipe holds as it is made: with as much at once, there is more to come


def start(
    facts: Facts,
    container: Container,
    command: Command,
    act: Act | None = None,
    held: tuple[int, ...] = (),
    brought: Brought | None = None,
) -> Session:
    """Starts the command in there; or has the process that would have become it act instead, in the user's home, with
    these descriptors besides its stdin, stdout and stderr: linux/own_label.py says what may come of that. Raises
    DockshellError."""
    initial = facts.process.read("environ").split("\0") if command.environment_from == "init" else None
    how = prepare(container, command, facts.files, initial, extra=brought.extra if brought else None)
    if act:
        how = replace(how, directories=(how.identity.home, "/"))
    ends = _Ends(facts.files, command, ours=act is not None)
    try:
        if ends.pty and "user" in facts.namespaces and not facts.joins_user:
            # It is ours now. Who has no number in a user namespace can't be relieved of anything by those in there.
            os.fchown(ends.theirs[0], user_of(facts.process.read("uid_map")), -1)
        entrance = _entrance(facts, how, command, container.umask, ends)
        if act:
            entrance = replace(entrance, act=act(how, facts.files), held=held)
        if brought:
            entrance = replace(entrance, attach=brought.attach)
        placement = Placement(facts.cgroups, facts.oom_score, facts.joins_user, command.detach)
        # With stdout of our own the command can be heard before the relay listens: it must not miss a signal then.
        hold()
        kept, failure = keep(entrance, placement)
    except BaseException:
        release()
        ends.close()
        raise
    finally:
        ends.close_theirs()
        facts.namespaces.close()
    if failure is not None:
        release()
        ends.close()
        raise _error(failure, container, how, facts.files)
    return NsenterSession(kept, ends, command.share and not ends.pty) if kept else Ended()


def _entrance(facts: Facts, start: Start, command: Command, umask: int, ends: _Ends) -> Entrance:
    capabilities = facts.capabilities
    if command.privileged:
        everything = (2 << facts.last_capability) - 1
        if "user" not in facts.namespaces:
            everything &= facts.own  # where root itself lacks one there is no giving it
        capabilities = Capabilities(everything, capabilities.inheritable, capabilities.ambient)
    elif command.capabilities:
        # Root has at execve what is in the bounding set; anybody else, what is ambient: capabilities(7).
        own = command.capabilities if start.identity.uid else 0
        capabilities = Capabilities(
            capabilities.bounding | command.capabilities, capabilities.inheritable | own, capabilities.ambient | own
        )
    shell = start.shell
    return Entrance(
        namespaces=facts.namespaces,
        stdio=ends.theirs,
        pty=ends.pty,
        uid=start.identity.uid,
        gid=start.identity.gid,
        groups=start.identity.groups if facts.sets_groups else None,
        capabilities=capabilities,
        last_capability=facts.last_capability,
        no_new_privileges=facts.no_new_privileges,
        filter=facts.filter,
        label=facts.label,
        limits=facts.limits,
        umask=umask,
        program=shell,
        # A dash in front of its name tells a shell that it is a login shell: login(1).
        argv=(b"-" + os.path.basename(shell).encode(),) if shell else start.argv,
        environment={
            name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for name, value in start.environment
        },
        directories=start.directories,
        guarded=not command.detach,
        preserved=command.preserved,
    )


def _error(failure: Failure, container: Container, start: Start, files: RootFiles) -> DockshellError:
    name, reason = printable(container.name), os.strerror(failure.number)
    missing = ""
    if failure.step == "execute" and failure.number == errno.ENOENT:
        from dockshell.executable import what_is_missing

        missing = what_is_missing(files, start.paths(), start.directories[0])
    if failure.step == "execute" and start.by_shell and failure.number in _NOT_EXECUTABLE:
        return ShellNotStarted(missing or f"{printable(start.by_shell)}: {reason}", start.by_shell)
    if missing:
        return MissingInterpreter(f"in {name}, {missing}")
    subject = printable(start.argv[0].decode("utf-8", "replace") if start.argv else start.shell)
    if failure.step == "execute" and failure.number in (errno.ENOENT, errno.ENOTDIR):
        return CommandNotFound(
            f"{subject} is not there in {name}: look with `dockshell exec {name} ls`, or give its full path"
        )
    if failure.step == "execute":
        return CannotExecute(f"{subject} can't be executed in {name}: {reason}")
    if failure.step == "directory":
        subject = printable(start.directories[0])
        return CannotExecute(f"{subject} can't be the directory to start in, in {name}: {reason}; name another with -w")
    if failure.step == "attach":
        return SessionLost(f"the tools can't be attached in {name} ({reason}): go without, by --via nsenter")
    if failure.number == errno.ETIMEDOUT:
        return SessionLost(
            f"{name} was entered, but what runs in there stops or freezes the command before it starts: "
            f"look with `dockshell doctor {name}`"
        )
    return SessionLost(
        f"could not enter {name} ({failure.step}: {printable(failure.subject) or reason}): try --via exec"
    )


class _Ends:
    """stdin, stdout and stderr of the command: a pty of the container's, or a pipe each, and in the null device's place
    the container's own. Nothing of the caller's goes in: a file or a terminal could be opened anew, or typed into,
    through the descriptor, and what stays inside after the session could read or write the rest of a pipeline. carried:
    which of stdout and stderr go on to a pipe of the caller's, without a copy (carry()). ours: what acts is a process
    of ours, which nothing inside can look into and which leaves nothing behind: it may have the caller's pipes."""

    def __init__(self, files: RootFiles, command: Command, *, ours: bool = False) -> None:
        self.pty = command.terminal is not None
        self.input = -1
        self.rest = -1
        self.outputs: dict[int, int] = {}
        self.carried: set[int] = set()
        self._made: list[int] = []
        self._files = files
        if command.terminal is not None:
            try:
                master, peer = terminals.new_pty(files.open, command.terminal)
            except OSError as error:
                raise CannotExecute(
                    f"the container has no terminals to give ({error.strerror} at /dev/pts): use -T"
                ) from None
            self.input, self.outputs, self.theirs = master, {master: 1}, (peer, peer, peer)
            self._made = [peer]
            return
        if ours and command.share:
            self.theirs = (0, 1, 2)
            return
        stdin, stdout = self._stdin(command), self._output(1, command)
        # One pipe for both, where the caller has them so (2>&1): it keeps the order of what is written.
        together = self.carried and _same(1, 2)
        self.theirs = (stdin, stdout, stdout if together else self._output(2, command))

    def _stdin(self, command: Command) -> int:
        if command.detach or not command.input:
            return self._nothing()
        if command.share and _is_null(0):
            return self._nothing()
        theirs, self.input = os.pipe()
        os.set_blocking(self.input, False)
        self._made.append(theirs)
        return theirs

    def _output(self, number: int, command: Command) -> int:
        if command.detach:
            return self._nothing()
        if command.share and _is_null(number):
            return self._nothing()
        if command.share and _is_pipe(number):
            self.carried.add(number)
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self.outputs[ours] = number
        self._made.append(theirs)
        return theirs

    def _nothing(self) -> int:
        """The container's own null device: who has ours open could change the mode of this machine's."""
        try:
            self._made.append(self._files.null_device())
        except OSError as error:
            raise CannotExecute(
                f"the container has no null device to give ({error.strerror}): use --via exec"
            ) from None
        return self._made[-1]

    def close_theirs(self) -> None:
        """Closes the command's ends, which it has by now."""
        while self._made:
            os.close(self._made.pop())

    def end_input(self) -> None:
        """Where it is a pipe, what the command has yet to read of it can still be told."""
        if self.input >= 0 and not self.pty:
            try:
                self.rest = os.open(f"/proc/self/fd/{self.input}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                pass
            os.close(self.input)
        self.input = -1

    def close(self) -> None:
        self.close_theirs()
        self.end_input()
        if self.rest >= 0:
            # What the command left unread is not for what it left behind.
            while _read(self.rest):
                pass
            os.close(self.rest)
        self.rest = -1
        while self.outputs:
            os.close(self.outputs.popitem()[0])


def _is_pipe(descriptor: int) -> bool:
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def _same(one: int, other: int) -> bool:
    facts, others = os.fstat(one), os.fstat(other)
    return (facts.st_dev, facts.st_ino) == (others.st_dev, others.st_ino)


def _is_null(descriptor: int) -> bool:
    facts = os.fstat(descriptor)
    return stat.S_ISCHR(facts.st_mode) and facts.st_rdev == os.makedev(1, 3)


class NsenterSession:
    """The `Session` of a kept command; and a `Carrier`."""

    def __init__(self, kept: Kept | KeptHere, ends: _Ends, carries: bool) -> None:
        self.carries = carries
        self._kept = kept
        self._ends = ends
        self._code: int | None = None
        self._master = ends.input if ends.pty else -1
        self._wide: set[int] = set()

    @property
    def ready(self) -> Sequence[int]:
        if self._code is None:
            return (*self._ends.outputs, self._kept.control.fileno())
        return tuple(self._ends.outputs)

    def receive(self, descriptor: int) -> list[tuple[int, bytes]]:
        stream = self._ends.outputs.get(descriptor)
        if stream is not None:
            data = _read(descriptor)
            if data:
                return [(stream, data)]
            if data is not None:
                self._drop(descriptor)
            return []
        self._code = self._kept.status()
        if self._code is None:
            return []
        # What it wrote before its end arrives; what others write who hold its pipes (a daemon it started) is no longer
        # ours to wait for.
        rest = []
        for ours, number in list(self._ends.outputs.items()):
            while data := _read(ours):
                rest.append((number, data))
            self._drop(ours)
        return rest

    def carry(self, descriptor: int) -> bool:
        number = self._ends.outputs.get(descriptor, -1)
        if number not in self._ends.carried:
            return False
        try:
            count = os.splice(descriptor, number, _MOST_CARRIED)
        except BlockingIOError:
            # The caller's is full. Whoever reads it may leave, too, and then the next try fails.
            waiter = poll()
            waiter.register(number, POLLOUT)
            waiter.poll()
            return True
        except BrokenPipeError:
            count = 0  # who reads our output left: with its pipe closed, the command is told as any other is
        if not count:
            self._drop(descriptor)
        elif count >= _MUCH and descriptor not in self._wide:
            self._wide.add(widened(descriptor))
            widened(number)
        return True

    @property
    def input(self) -> int | None:
        return self._ends.input if self._ends.input >= 0 and self._code is None else None

    def send(self, data: bytes) -> int:
        try:
            return os.write(self._ends.input, data)
        except BlockingIOError:
            return 0
        except OSError:
            self._ends.end_input()
            return 0

    def unread(self) -> int | None:
        descriptor = self._ends.input if self._ends.input >= 0 else self._ends.rest
        if self._ends.pty or descriptor < 0:
            return None
        from fcntl import ioctl

        return int.from_bytes(ioctl(descriptor, _FIONREAD, bytes(4)), sys.byteorder)

    def end_input(self) -> None:
        if self._ends.pty:
            self.send(terminals.END_OF_INPUT)
        else:
            self._ends.end_input()

    def resize(self, size: Size) -> None:
        if self._master >= 0 and self._code is None:
            terminals.resize(self._master, size)

    def signal(self, number: int) -> bool:
        return self._code is not None or self._kept.signal(number)

    def unkept(self) -> str:
        return ""

    def wait(self) -> int:
        code = -signal.SIGKILL if self._code is None else self._code
        return code if code >= 0 else 128 - code

    def ended_by(self) -> int:
        return max(0, -(self._code or 0))

    def close(self) -> None:
        self._kept.close()
        self._ends.close()

    def _drop(self, descriptor: int) -> None:
        del self._ends.outputs[descriptor]
        if descriptor == self._master:
            self._ends.input = self._master = -1
        os.close(descriptor)


def _read(descriptor: int) -> bytes | None:
    """What can be read without waiting: nothing at its end, None where there is only nothing yet."""
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # a pty whose other end was closed says EIO
