"""The embedded sandbox: a first process in namespaces of its own, on a small root of its own, that needs no engine and
leaves nothing behind.

Root makes the namespaces directly; anyone else makes a user namespace around them, in which root inside is the caller
outside (user_namespaces(7)). There are three processes: the caller; a keeper, its child, which makes the user and pid
namespaces; and the keeper's child, process 1 of the sandbox. All that the sandbox mounts lies in its mount namespace,
so it goes with its last process, and process 1 takes all others with it (pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from stat import S_IFCHR
from typing import NamedTuple

from dockshell.demo.rootfs import Entry, lay, tree
from dockshell.errors import DockshellError, printable
from dockshell.linux import mounts
from dockshell.linux.calls import Calls
from dockshell.linux.credentials import Capabilities, become, bound, last_capability
from dockshell.linux.libc import prctl

__all__ = ["NAME", "sandbox"]

NAME = "sandbox"
_SET_PDEATHSIG, _SET_NAME = 1, 15  # prctl(2)
_CAPABILITIES = 0xA80425FB  # the fourteen that an engine leaves to a container: moby oci/caps/defaults.go
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
# What moves the whole machine, and not just the sandbox, when it is written to as root without a user namespace.
_MACHINE = ("sys", "sysrq-trigger", "irq", "bus", "fs")
_ENVIRONMENT = (
    b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    b"HOME=/root",
    b"HOSTNAME=sandbox",
)
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1  # netdevice(7)


@contextlib.contextmanager
def sandbox() -> Iterator[int]:
    """Makes the sandbox and gives the number of its first process, ready to be entered; ends it when the block is left.

    It ends as well, by itself, when this process does in any way. Raises DockshellError where this machine doesn't let
    us make one.
    """
    if sys.platform != "linux":
        raise DockshellError(
            "a sandbox is made of Linux namespaces: run the demonstration on Linux, or with an engine running"
        )
    plan = _Plan(tree(), last_capability())
    life, ours = os.pipe()  # no one ever writes: that it ends is the message
    answer, theirs = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        _leave(theirs, lambda: _keep(plan, life, (ours, answer), theirs))
    try:
        os.close(life)
        os.close(theirs)
        yield _started(answer)
    finally:
        os.close(ours)
        os.close(answer)
        _end(keeper)


class _Plan(NamedTuple):
    """What process 1 needs and could no longer find out: the tree for its root, the kernel's last capability."""

    entries: list[Entry]
    last_capability: int


def _started(answer: int) -> int:
    """What process 1 and its keeper have to say, in any order: the number, and that all is ready, or why not."""
    said = b""
    while chunk := os.read(answer, 4096):
        said += chunk
        lines = said.decode("utf-8", "replace").split("\n")[:-1]
        if "ready" in lines and (number := [line for line in lines if line.isdecimal()]):
            return int(number[0])
    told = [line for line in said.decode("utf-8", "replace").split("\n") if line and not line.isdecimal()]
    reason = printable(told[0]) if told else "it ended at once"
    raise DockshellError(
        f"no sandbox could be made here ({reason}): run as root, or allow user namespaces, or start an engine"
    )


def _end(keeper: int) -> None:
    """Waits until nothing of the sandbox is left. Process 1 sees the end of its pipe, and the keeper the end of process
    1."""
    os.waitpid(keeper, 0)


def _leave(answer: int, work: Callable[[], None]) -> None:
    """Does the work of a child and ends it, whatever happens, without running anything that the parent had planned for
    its own end."""
    status = 1
    try:
        work()
        status = 0
    except Exception as problem:
        about = (
            f"{problem.filename}: {problem.strerror}"
            if isinstance(problem, OSError) and problem.filename
            else str(problem)
            if isinstance(problem, OSError | DockshellError)
            else f"{type(problem).__name__}: {problem}"
        )
        with contextlib.suppress(OSError):
            os.write(answer, f"{about}\n".encode())
    finally:
        os._exit(status)


def _keep(plan: _Plan, life: int, parents: tuple[int, ...], answer: int) -> None:
    """The keeper: makes the namespaces that take effect for children, starts process 1 in them, and waits for it."""
    for descriptor in parents:
        os.close(descriptor)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is the demonstration's business; its end is ours
    outside = os.getuid(), os.getgid()
    if outside[0]:
        mounts.unshare(mounts.NEWUSER)
        _write("/proc/self/setgroups", "deny")  # without it a member may not map a group: user_namespaces(7)
        _write("/proc/self/uid_map", f"0 {outside[0]} 1")
        _write("/proc/self/gid_map", f"0 {outside[1]} 1")
    mounts.unshare(mounts.NEWPID)
    first = os.fork()
    if first == 0:
        _leave(answer, lambda: _be_first(plan, life, answer))
    os.close(life)
    os.write(answer, b"%d\n" % first)
    os.close(answer)
    os.waitpid(first, 0)


def _be_first(plan: _Plan, life: int, answer: int) -> None:
    """Process 1: makes its surroundings, says that it is ready, and then waits for its caller's end.

    Once the root is another nothing can be imported any more, not even what Python fetches by itself, such as a codec
    other than UTF-8.
    """
    # Whoever is left to process 1 is reaped by the kernel: wait(2), NOTES.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    mounts.unshare(mounts.NEWNS | mounts.NEWUTS | mounts.NEWIPC | mounts.NEWNET)
    os.setsid()
    os.umask(0)
    socket.sethostname(NAME)
    _loopback()
    _root(plan.entries)
    os.umask(0o022)
    _detach(life, answer)
    _rename()
    # What an ordinary container has, so that nobody in there can do to the machine what root could: capabilities(7).
    calls = Calls()
    bound(calls, _CAPABILITIES, plan.last_capability)
    become(calls, 0, 0, None, Capabilities(_CAPABILITIES))
    # The keeper's end is ours, though it be killed. As the last thing, for new credentials clear it.
    calls.add("prctl", _SET_PDEATHSIG, signal.SIGKILL)
    calls.end()
    calls.run()
    os.write(answer, b"ready\n")
    os.close(answer)
    while os.read(life, 1):
        pass


def _root(entries: list[Entry]) -> None:
    """A tmpfs with the tree in it becomes the root."""
    root = "/tmp"  # there everywhere; what it hides, it hides in here only
    mounts.mount("", "/", flags=mounts.PRIVATE | mounts.RECURSIVE)  # nothing of what follows reaches the outside
    mounts.mount(NAME, root, "tmpfs", mounts.NOSUID, "mode=0755,size=64m")
    lay(entries, root)
    _proc(f"{root}/proc")
    with contextlib.suppress(OSError):  # not in every user namespace, and nothing here depends on it
        mounts.mount("sysfs", f"{root}/sys", "sysfs", mounts.NOSUID | mounts.NODEV | mounts.NOEXEC | mounts.READ_ONLY)
    _devices(f"{root}/dev")
    mounts.change_root(root)


def _proc(place: str) -> None:
    flags = mounts.NOSUID | mounts.NODEV | mounts.NOEXEC
    mounts.mount("proc", place, "proc", flags)
    for name in _MACHINE:
        if os.path.exists(path := f"{place}/{name}"):
            mounts.mount(path, path, flags=mounts.BIND)
            mounts.mount("", path, flags=flags | mounts.BIND | mounts.REMOUNT | mounts.READ_ONLY)


def _devices(place: str) -> None:
    """The devices that every program counts on. Nodes can't be made in a user namespace: there the machine's own are
    mounted."""
    for name, (major, minor) in _DEVICES.items():
        node = f"{place}/{name}"
        try:
            os.mknod(node, S_IFCHR | 0o666, os.makedev(major, minor))
        except PermissionError:
            _write(node, "")
            mounts.mount(f"/dev/{name}", node, flags=mounts.BIND)
    os.mkdir(f"{place}/pts")
    os.mkdir(f"{place}/shm")
    os.chmod(f"{place}/shm", 0o1777)
    mounts.mount(
        "devpts", f"{place}/pts", "devpts", mounts.NOSUID | mounts.NOEXEC, "newinstance,ptmxmode=0666,mode=0620"
    )
    for name, target in _LINKS.items():
        os.symlink(target, f"{place}/{name}")


def _loopback() -> None:
    """Turns lo on: netdevice(7)."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags: int = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _detach(*wanted: int) -> None:
    """Lets go of the caller's terminal and files: nothing inside is to reach them by /proc/1/fd."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in wanted:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _rename() -> None:
    """Takes a name, words and an environment of its own, instead of those that the fork copied from the caller:
    /proc/1/environ is read inside, and by whoever enters."""
    prctl(_SET_NAME, ctypes.c_char_p(NAME.encode()))
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end, environment, last = (int(field) for field in fields[45:49])  # proc_pid_stat(5), fields 48 to 51
    _overwrite(start, end, NAME.encode() + b"\0")
    _overwrite(environment, last, b"\0".join(_ENVIRONMENT) + b"\0")


def _overwrite(start: int, end: int, text: bytes) -> None:
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, text, min(len(text), end - start - 1))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
