"""The last steps of a process before it becomes the command: it joins what it must join, gives up what it must give up,
and executes.

It runs between fork and execve in a process whose mount namespace changes underneath it. So it only makes system calls:
an import after join_rest() would load the container's code as ours."""

from __future__ import annotations

import errno
import os
import sys

from dockshell.errors import Fault
from dockshell.linux import cgroup, credentials, labels, limits, seccomp, terminals
from dockshell.linux.credentials import Capabilities
from dockshell.linux.descriptors import close_all_but
from dockshell.linux.libc import keyctl_new_session, prctl
from dockshell.linux.namespaces import Namespaces
from dockshell.linux.signals import signal
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["Entrance", "Failure", "enter"]

_PR_SET_PDEATHSIG = 1
_SEPARATOR = "\t"


@noun(frozen=True)
class Entrance:
    """What the process joins and becomes. stdio: the three descriptors to have; pty: whether they are a terminal to be
    controlled. program: the path to execute, empty to look argv's first word up in the environment's PATH; label and
    filter are empty where there is none. groups None: they can't be set in that user namespace. guarded: the command is
    to be killed should its keeper die. act: what the process does in the command's place, with its result for an exit
    code; it may use nothing that is not imported yet; held: the descriptors that it needs besides. attach: what is done
    once all is joined, with the same restriction. preserved: descriptors of our own caller's that the command gets as
    they are."""

    namespaces: Namespaces
    stdio: tuple[int, int, int]
    pty: bool
    uid: int
    gid: int
    groups: tuple[int, ...] | None
    capabilities: Capabilities
    last_capability: int
    no_new_privileges: bool
    filter: bytes
    label: str
    limits: dict[int, tuple[int, int]]
    umask: int
    program: str
    argv: tuple[bytes, ...]
    environment: dict[bytes, bytes]
    directories: tuple[str, ...]
    guarded: bool
    act: Callable[[], int] | None = None
    held: tuple[int, ...] = ()
    attach: Callable[[], None] | None = None
    preserved: tuple[int, ...] = ()


@noun(frozen=True)
class Failure:
    """Why the command never came to be: at which step (`join`, `attach`, `confine`, `directory`, `execute`), with which
    errno, and what it was about."""

    step: str
    number: int
    subject: str

    def pack(self) -> bytes:
        """As bytes, for the pipe that tells it."""
        return _SEPARATOR.join((self.step, str(self.number), self.subject)).encode("utf-8", "surrogateescape")

    @classmethod
    def unpack(cls, told: bytes) -> Failure:
        """The opposite of pack()."""
        step, number, subject = told.decode("utf-8", "surrogateescape").split(_SEPARATOR, 2)
        return cls(step, int(number), subject)


def enter(entrance: Entrance, legacy: list[int], gate: int, report: int, trouble: int) -> NoReturn:
    """Turns the calling process, a fresh child in the container's pid namespace, into the command.

    legacy: for cgroup.join_legacy(). gate: a descriptor to read a byte from before execve: by then the keeper has done
    its part from outside. report: a descriptor that is closed on execve, or told a Failure or a Fault. trouble: where
    what acts tells a Fault, -1 where nothing does."""
    step, keeper = "join", os.getppid()
    try:
        sys.path.clear()
        sys.meta_path.clear()
        os.setsid()
        cgroup.join_legacy(legacy)
        if entrance.label:
            labels.on_exec(entrance.label)
        keyctl_new_session()
        entrance.namespaces.join_rest()
        if entrance.attach:
            step = "attach"
            entrance.attach()
        step = "confine"
        held = (trouble, *entrance.held) if entrance.act else ()
        _take_stdio(entrance, {gate, report, *held, *entrance.preserved})
        limits.apply(entrance.limits)
        os.umask(entrance.umask)
        credentials.bound(entrance.capabilities.bounding, entrance.last_capability)
        if entrance.no_new_privileges:
            credentials.no_new_privileges()
        elif entrance.filter:
            # Without no_new_privs only CAP_SYS_ADMIN may install a filter, so before it is given up.
            seccomp.install(entrance.filter)
        credentials.become(entrance.uid, entrance.gid, entrance.groups, entrance.capabilities)
        step = "directory"
        _start_in(entrance.directories)
        step = "confine"
        if entrance.no_new_privileges and entrance.filter:
            seccomp.install(entrance.filter)
        if entrance.guarded:
            # After the change of credentials, which clears it: PR_SET_PDEATHSIG(2const).
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(127)  # it was killed before
        if not os.read(gate, 1):
            os._exit(127)  # the keeper said why already
        step = "execute"
        if entrance.act:
            _act(entrance, {gate, report}, trouble)
        _execute(entrance)
    except (OSError, ValueError) as error:
        subject = (
            entrance.argv[0].decode("utf-8", "replace")
            if step == "execute"
            else entrance.directories[0]
            if step == "directory"
            else str(error)
        )
        os.write(report, Failure(step, getattr(error, "errno", 0) or 0, subject).pack()[:4096])
    except Exception as error:
        os.write(report, Fault.of(error).pack())
    finally:
        os._exit(127)


def _take_stdio(entrance: Entrance, keep: set[int]) -> None:
    """Makes stdio descriptors 0, 1 and 2, and closes every other but those to keep."""
    # Moved out of the way first: one may be a number that another is to have.
    spare = [os.dup(descriptor) for descriptor in entrance.stdio]
    for number, descriptor in enumerate(spare):
        os.dup2(descriptor, number)
    close_all_but({0, 1, 2, *keep})
    if entrance.pty:
        terminals.control(0)
        # The terminal belongs to its user, as login(1) makes it: tmux and screen open it by name.
        os.fchown(0, entrance.uid, -1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, *_ignored()):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _ignored() -> list[int]:
    """Signals that our own caller had us ignore (nohup) mean nothing inside."""
    return [number for number in range(1, 32) if signal.getsignal(number) is signal.SIG_IGN]


def _start_in(directories: tuple[str, ...]) -> None:
    """Enters the first directory that can be; the last one's error counts."""
    for directory in directories:
        try:
            os.chdir(directory)
            # getcwd(2) fails for a directory that isn't below our root: /proc/self/fd/N can lead outside
            # (CVE-2024-21626).
            os.getcwd()
            return
        except OSError as error:
            failure = error
            os.chdir("/")
    raise failure


def _act(entrance: Entrance, ours: set[int], trouble: int) -> NoReturn:
    """What execve would have done: rights that go with it go, descriptors are closed. What it would have undone, that
    the process can't be looked into, stays."""
    credentials.settle(entrance.uid, entrance.capabilities)
    credentials.not_dumpable()
    for descriptor in ours:
        os.close(descriptor)  # the report's end says that it has begun
    try:
        code = entrance.act() if entrance.act else 0
    except BaseException as error:
        code = 125
        if not isinstance(error, OSError):  # whoever was spoken with went away, or the like
            os.write(trouble, Fault.of(error).pack())
    os._exit(code & 0xFF)


def _execute(entrance: Entrance) -> None:
    """execvp(3)'s search, in the container's own PATH."""
    word = entrance.argv[0]
    if entrance.program or b"/" in word:
        os.execve(entrance.program or word, entrance.argv, entrance.environment)
    failure: OSError | None = None
    for directory in entrance.environment.get(b"PATH", b"").split(b":"):
        try:
            os.execve((directory or b".") + b"/" + word, entrance.argv, entrance.environment)
        except OSError as error:
            if error.errno == errno.EACCES:
                failure = error
            elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
    raise failure or FileNotFoundError(errno.ENOENT, "not found")
