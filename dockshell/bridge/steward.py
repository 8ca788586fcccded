"""The steward: a process that enters containers on behalf of another, which speaks SSH.

    ssh client ──▶ server.py ──errand, descriptors──▶ steward ──fork──▶ errands.py, a process for each
                   asyncssh, the keys                 neither           a command, files, a socket

They are two so that what talks with the network holds no container open and what enters one holds no key; so that
entering, which takes a process with one thread and few imports, is a plain fork; and since the one can get ready while
the other imports asyncssh, which takes longer than all else. Each errand is a process of its own, so that none can take
another down. An errand ends when whoever asked for it goes away: it holds the other end of a socket."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from select import POLLIN, poll

from dockshell.errors import Fault
from dockshell.linux import open_files, passing
from dockshell.linux.descriptors import close_all_but
from dockshell.linux.signals import FORWARDED, signal
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from dockshell.bridge.errand import Errand
    from dockshell.resolve import Place
    from dockshell.voice import Voice

__all__ = ["Setting", "Steward"]

_NEW = b"another"  # with a socket: errands come by that too
_SPARE = 32  # descriptors that are kept free for what comes with an errand


@noun(frozen=True)
class Setting:
    """What holds for all errands: where to look for containers, the way in (`auto`, `nsenter` or `exec`), and who
    tells; debug: whether a Fault is told with its traceback."""

    place: Place
    via: str
    voice: Voice
    debug: bool = False

    def line(self, fault: Fault) -> bytes:
        """What whoever runs this reads of it on stderr. The client, who is somebody else, only learns its kind."""
        return "\n".join([f"dockshell: {fault}", *([fault.trace] if self.debug else ()), ""]).encode()


class Steward:
    """The steward's process, seen from the one that asks."""

    def __init__(self, channel: socket) -> None:
        self._channel = channel

    @classmethod
    def start(cls, setting: Setting) -> Steward:
        """Forks it. For a process with one thread, before it imports what the steward is to be without."""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                _serve(theirs, setting)
            except Exception as error:
                os.write(2, setting.line(Fault.of(error)))
            finally:
                os._exit(0)
        theirs.close()
        return cls(ours)

    def another(self) -> Steward:
        """The same steward for another process, which takes this handle along. Raises OSError where the steward is
        gone."""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        passing.send(self._channel, _NEW, [theirs.fileno()])
        theirs.close()
        return Steward(ours)

    def send(self, errand: Errand, descriptors: Iterable[int]) -> socket:
        """Has the errand done, with these descriptors → the socket by which it is spoken with (errands.py). Raises
        OSError where the steward is gone, or the errand is larger than a message."""
        from dockshell.bridge.errand import pack

        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        try:
            passing.send(self._channel, pack(errand), [theirs.fileno(), *descriptors])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return ours

    def close(self) -> None:
        """Lets go of it. Without a handle left it ends; what it started goes on until its own sockets end."""
        self._channel.close()


def _serve(first: socket, setting: Setting) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for an errand's process: wait(2)
    for each in FORWARDED:
        signal.signal(each, signal.SIG_IGN)
    close_all_but({2, first.fileno()})
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    from dockshell.bridge import errands

    errands.get_ready()
    open_files.raise_limit()
    channels = {first.fileno(): first}
    poller = poll()
    poller.register(first, POLLIN)
    while channels:
        for number, _ in poller.poll():
            try:
                content, descriptors = passing.receive(channels[number])
            except OSError as error:
                if error.errno in open_files.EXHAUSTED:
                    continue  # that one is lost, and its sockets are closed
                content, descriptors = b"", []
            if not content:
                poller.unregister(number)
                channels.pop(number).close()
            elif content == _NEW and descriptors:
                if another := _welcome(descriptors.pop()):
                    channels[another.fileno()] = another
                    poller.register(another, POLLIN)
            elif descriptors:
                _fork(content, descriptors, setting)
            for descriptor in descriptors:
                os.close(descriptor)
    os._exit(0)


def _welcome(channel: int) -> socket | None:
    """Another channel by which errands come, where there is room for those errands' descriptors too."""
    try:
        open_files.need(_SPARE)
        return socket(fileno=channel)
    except OSError:
        os.close(channel)  # by which the other side sees it
        return None


def _fork(content: bytes, descriptors: list[int], setting: Setting) -> None:
    """An errand's process; or, where there can be no more of them, the reason, by the errand's control socket."""
    try:
        if os.fork():
            return
    except OSError as error:
        _refuse(descriptors[0], open_files.shortage(error) or f"no process could be started: {error.strerror}")
        return
    try:
        open_files.restore_limit()
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        close_all_but({0, 1, 2, *descriptors})
        from dockshell.bridge import errands
        from dockshell.bridge.errand import unpack

        control, *given = descriptors
        errands.carry_out(unpack(content), socket(fileno=control), given, setting)
    finally:
        os._exit(125)


def _refuse(control: int, why: str) -> None:
    from dockshell.engines.json import encode

    channel = socket(fileno=control)
    channel.setblocking(False)
    try:
        channel.send(encode({"error": why, "code": 125, "exhausted": True}))
    except OSError:
        pass  # who asked is gone
    channel.detach()
