"""The last steps of a process before it becomes the command: it joins what it must join, gives up what it must give up,
and executes.

They are a list of system calls, made by a program of a hundred bytes (sealed.py) that is started before the first of
them. It joins every namespace, and only then has a child in the container's pid namespace: nothing of ours is seen
inside that isn't wholly inside. Where something of ours acts in the command's place, our own process makes the calls;
others can't look into its memory, and an import after them would load the container's code as ours."""

from __future__ import annotations

import errno
import os
import sys
from fcntl import F_DUPFD_CLOEXEC, fcntl

from dockshell.errors import Fault
from dockshell.linux import cgroup, credentials, labels, limits, seccomp
from dockshell.linux.calls import ANY_ERROR, EXIT, Calls, errors, failed, text
from dockshell.linux.credentials import Capabilities
from dockshell.linux.descriptors import close_all_but
from dockshell.linux.namespaces import Namespaces
from dockshell.linux.sealed import BASE, sealed
from dockshell.linux.signals import signal
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from dockshell.linux.calls import Argument

__all__ = ["Entrance", "Failure", "Starting", "start"]

_PR_SET_PDEATHSIG = 1
_NEW_SESSION_KEYRING = 1  # keyctl(2), KEYCTL_JOIN_SESSION_KEYRING
_TIOCSCTTY = 0x540E  # ioctl_tty(2)
_SET_FLAGS, _CLOSE_ON_EXEC = 2, 1  # fcntl(2)
_SEPARATOR = "\t"
_OF_THE_LIBRARY = (32, 33)  # signals that glibc has ignored in what posix_spawn(3) starts
# What a failure is told by; the number is a call's step.
_STEPS = ("join", "attach", "confine", "directory", "execute")
_JOIN, _ATTACH, _CONFINE, _DIRECTORY, _EXECUTE = range(5)
_NEXT_CANDIDATE = errors(errno.ENOENT, errno.ENOTDIR, errno.EACCES)


@noun(frozen=True)
class Entrance:
    """What the process joins and becomes. stdio: the three descriptors to have; pty: whether they are a terminal to be
    controlled. program: the path to execute, empty to look argv's first word up in the environment's PATH; label and
    filter are empty where there is none. groups None: they can't be set in that user namespace. guarded: the command is
    to be killed should its keeper die. act: what the process does in the command's place, with its result for an exit
    code; it may use nothing that is not imported yet; held: the descriptors that it needs besides. attach: adds calls
    that are made once all is joined, and returns the descriptors that they need. preserved: descriptors of our own
    caller's that the command gets as they are."""

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
    attach: Callable[[Calls], list[int]] | None = None
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
        """The opposite of pack(), and of what the program in memory reports."""
        if told[1:8] == bytes(7):  # the number of a system call
            found = failed(told)
            step, number = found[-1]
            if (_EXECUTE, errno.EACCES) in found and number in (errno.ENOENT, errno.ENOTDIR):
                number = errno.EACCES  # as execvp(3) has it
            return cls(_STEPS[step], number, "")
        name, digits, subject = told.decode("utf-8", "surrogateescape").split(_SEPARATOR, 2)
        return cls(name, int(digits), subject)


@noun(frozen=True)
class Starting:
    """Descriptors of the process that starts. gate: to read a byte from before execve, by when the supervisor has done
    its part from outside. report: closed on execve, or told a Failure, a Fault or what failed() reads. born: told
    the number of the child that becomes the command. trouble: where what acts tells a Fault, -1 where nothing does.
    doors: the cgroups to go into."""

    gate: int
    report: int
    born: int
    trouble: int
    doors: cgroup.Doors


def start(entrance: Entrance, starting: Starting) -> int:
    """Starts the process → its number. It has a child that becomes the command, or acts, and whose parent is the
    calling process; its own end comes before. It gets no descriptor of the calling process but the command's stdin,
    stdout and stderr, and what it needs. Raises OSError."""
    calls, needed = _calls(entrance, starting, os.getpid())
    if entrance.act:
        pid = os.fork()
        if pid == 0:
            _enter(entrance, starting, calls, {*needed, *entrance.held})
        return pid
    program = sealed(calls.image(BASE))
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            os.set_inheritable(number, number in needed or number in (0, 1, 2))
        except OSError:
            pass  # what listed them is closed
    spare = _aside(entrance.stdio)
    default = [signal.SIGPIPE, signal.SIGXFSZ, *_ignored()]
    pid = os.posix_spawn(
        f"/proc/self/fd/{program}", [b"dockshell"], {},
        file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(spare)],
        setsigmask=(), setsigdef=default,
    )  # fmt: skip
    for descriptor in (program, *spare):
        os.close(descriptor)
    return pid


def _calls(entrance: Entrance, starting: Starting, parent: int) -> tuple[Calls, set[int]]:
    """The list, and the descriptors that it needs."""
    calls = Calls(starting.report)
    needed = {starting.gate, starting.report, starting.born, *starting.doors.descriptors, *entrance.preserved}
    calls.step = _JOIN
    credentials.hide(calls)
    calls.add("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in _OF_THE_LIBRARY:
        calls.add("rt_sigaction", number, bytes(32), 0, 8)
    label = labels.on_exec(calls, entrance.label) if entrance.label and not entrance.act else ()
    calls.add("keyctl", _NEW_SESSION_KEYRING, 0, allowed=ANY_ERROR)
    separate = "pid" in entrance.namespaces
    needed.update(entrance.namespaces.join_rest(calls))
    if entrance.attach:
        calls.step = _ATTACH
        needed.update(entrance.attach(calls))
        calls.step = _JOIN
    lowest = next(number for number in range(3, 4 + len(needed)) if number not in needed)
    for entry in label:
        calls.set_descriptor(entry, lowest)
    calls.add("umask", entrance.umask)
    cgroup.fork_into(calls, starting.doors, starting.born)
    if entrance.guarded:
        calls.add("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
    calls.add("setsid")
    _confine(calls, entrance)
    if entrance.guarded:
        # After the change of credentials, which clears it: PR_SET_PDEATHSIG(2const).
        calls.add("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
        # Its number is 0 for who can't see it; that of another means that it was killed before.
        calls.go_on(calls.add("getppid", expected=0 if separate else parent), otherwise=EXIT)
    # At the end of that pipe the supervisor has said why already, or can't any more.
    calls.go_on(calls.add("read", starting.gate, bytes(8), 1, expected=1), otherwise=EXIT)
    calls.add("close", starting.gate)
    credentials.settle(calls, entrance.uid, entrance.capabilities)
    calls.step = _EXECUTE
    if entrance.act:
        calls.end()
    else:
        calls.add("fcntl", starting.report, _SET_FLAGS, _CLOSE_ON_EXEC)
        _execute(calls, entrance)
    return calls, needed


def _confine(calls: Calls, entrance: Entrance) -> None:
    """Adds what makes the process one of the container's."""
    calls.step = _CONFINE
    if entrance.pty:
        calls.add("ioctl", 0, _TIOCSCTTY, 0)
        # The terminal belongs to its user, as login(1) makes it: tmux and screen open it by name.
        calls.add("fchown", 0, entrance.uid, -1)
    limits.apply(calls, entrance.limits)
    credentials.bound(calls, entrance.capabilities.bounding, entrance.last_capability)
    if entrance.no_new_privileges:
        credentials.no_new_privileges(calls)
    elif entrance.filter:
        # Without no_new_privs only CAP_SYS_ADMIN may install a filter, so before it is given up.
        seccomp.install(calls, entrance.filter)
    credentials.become(calls, entrance.uid, entrance.gid, entrance.groups, entrance.capabilities)
    credentials.hide(calls)
    calls.step = _DIRECTORY
    _start_in(calls, entrance.directories)
    calls.step = _CONFINE
    if entrance.no_new_privileges and entrance.filter:
        seccomp.install(calls, entrance.filter)


def _start_in(calls: Calls, directories: tuple[str, ...]) -> None:
    """Adds what enters the first directory that can be; the last one's error counts."""
    entered = []
    for directory in directories:
        last = directory is directories[-1]
        allowed = 0 if last else ANY_ERROR
        change = calls.add("chdir", text(os.fsencode(directory)), allowed=allowed)
        # A directory that isn't below our root has no path that begins with a slash: /proc/self/fd/N can lead outside
        # (getcwd(2), CVE-2024-21626).
        path = bytes(4096)
        ask = calls.add("getcwd", path, len(path), allowed=allowed)
        look = calls.peek(path, ord("/"))
        entered.append(look)
        for each in (change, ask, look):
            calls.go_on(each, otherwise=calls.following)
        calls.add("chdir", b"/\0")
        if last:
            calls.add("chdir", b"\0")  # fails
    for look in entered:
        calls.go_on(look, calls.following)


def _execute(calls: Calls, entrance: Entrance) -> None:
    """Adds execvp(3)'s search, in the container's own PATH."""
    word = entrance.argv[0]
    if entrance.program or b"/" in word:
        candidates = [os.fsencode(entrance.program) or word]
    else:
        path = entrance.environment.get(b"PATH", b"").split(b":")
        candidates = [(directory or b".") + b"/" + word for directory in path]
    argv: list[Argument] = [*map(text, entrance.argv), 0]
    environment: list[Argument] = [*(text(name + b"=" + value) for name, value in entrance.environment.items()), 0]
    for candidate in candidates:
        allowed = 0 if candidate is candidates[-1] else _NEXT_CANDIDATE
        calls.add("execve", text(candidate), argv, environment, allowed=allowed)


def _aside(stdio: tuple[int, int, int]) -> list[int]:
    """The same, as descriptors of which none is a number that another is to have."""
    return [fcntl(descriptor, F_DUPFD_CLOEXEC, 3) for descriptor in stdio]


def _ignored() -> list[int]:
    """Signals that our own caller had us ignore (nohup) mean nothing inside."""
    return [number for number in range(1, 32) if signal.getsignal(number) is signal.SIG_IGN]


def _enter(entrance: Entrance, starting: Starting, calls: Calls, ours: set[int]) -> NoReturn:
    """The same by our own process, a fresh child of the supervisor's, which then acts."""
    try:
        # While our own files are what is imported, and /proc is our own.
        from dockshell.linux.arguments import wipe_arguments
        from dockshell.linux.own_label import labelled

        sys.path.clear()
        sys.meta_path.clear()
        for number in (signal.SIGPIPE, signal.SIGXFSZ, *_ignored()):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number, descriptor in enumerate(_aside(entrance.stdio)):
            os.dup2(descriptor, number)
        close_all_but({0, 1, 2, starting.trouble, *ours})
        wipe_arguments()
        act = labelled(entrance.label, entrance.act or (lambda: 0))
        calls.run()
        _act(act, starting)
    except OSError as error:
        os.write(starting.report, Failure(_STEPS[calls.step], error.errno or 0, "").pack())
    except Exception as error:
        os.write(starting.report, Fault.of(error).pack())
    finally:
        os._exit(127)


def _act(act: Callable[[], int], starting: Starting) -> NoReturn:
    """What execve would have done: descriptors are closed. What it would have undone, that the process can't be looked
    into, stays."""
    os.close(starting.report)  # its end says that it has begun
    try:
        code = act()
    except BaseException as error:
        code = 125
        if not isinstance(error, OSError):  # whoever was spoken with went away, or the like
            os.write(starting.trouble, Fault.of(error).pack())
    os._exit(code & 0xFF)
