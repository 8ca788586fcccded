"""The steward: a process that enters containers on behalf of another, which speaks SSH.

    ssh client ──▶ server.py ──errand, descriptors──▶ steward ──fork──▶ errands.py, a process for each
                   asyncssh, the keys                 neither           a command, files, a socket

They are two so that what talks with the network holds no container open and what enters one holds no key; so that
entering, which takes a process with one thread and few imports, is a plain fork; and since the one can get ready while
the other imports asyncssh, which takes longer than all else. Each errand is a process of its own, so that none can take
another down. An errand ends when whoever asked for it goes away: it holds the other end of a socket.

What somebody may do is bound to the channel by which their errands come (`another`), and the steward goes by that
alone: whoever speaks SSH can't ask for more, whatever has become of them."""

from __future__ import annotations

import os
import resource
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from select import POLLIN, poll
from time import monotonic

from dockshell.bridge.errand import Allowed, pack, permitted, unpack
from dockshell.errors import Fault
from dockshell.linux import open_files, passing, sessions
from dockshell.linux.descriptors import close_all_but
from dockshell.linux.signals import FORWARDED, signal
from dockshell.model import noun, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from dockshell.bridge.errand import Errand
    from dockshell.resolve import Place
    from dockshell.voice import Voice

__all__ = ["Setting", "Steward"]

_SPARE = 32  # descriptors that are kept free for what comes with an errand
_OWN = 4  # … for what we open for one
_MOST_MEMORY = 128 << 20  # bytes that an errand's own process may have: getrlimit(2), RLIMIT_DATA
_WEIGHED = 0.5  # seconds between two looks at how much they have in all


@noun(frozen=True)
class Setting:
    """What holds for all errands: where to look for containers, the way in (`auto`, `nsenter` or `exec`), and who
    tells; debug: whether a Fault is told with its traceback; sessions: how many errands may go on at once, of which one
    key may have half and one container three quarters, 0 for any number; memory: how many bytes all of them may have.
    desk: in an errand's process, the socket by which the steward hears which container and which command it is."""

    place: Place
    via: str
    voice: Voice
    debug: bool = False
    sessions: int = 0
    memory: int = 0
    desk: socket | None = None

    def line(self, fault: Fault) -> bytes:
        """What whoever runs this reads of it on stderr. The client, who is somebody else, only learns its kind."""
        return "\n".join([f"dockshell: {fault}", *([fault.trace] if self.debug else ()), ""]).encode()


class Steward:
    """The steward's process, seen from the one that asks."""

    def __init__(self, channel: socket) -> None:
        self._channel = channel

    @classmethod
    def start(cls, setting: Setting) -> Steward:
        """Forks it. For a process with one thread, before it imports what the steward is to be without. By what this
        gives only another() can be asked for."""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                _Desk(theirs, setting).run()
            except Exception as error:
                os.write(2, setting.line(Fault.of(error)))
            finally:
                os._exit(0)
        theirs.close()
        return cls(ours)

    @classmethod
    def held(cls, descriptor: int) -> Steward:
        """The handle that another process gave away."""
        return cls(socket(fileno=descriptor))

    def fileno(self) -> int:
        """Has an end where the steward is gone: poll(2), POLLHUP."""
        return self._channel.fileno()

    def another(self, allowed: Allowed) -> Steward:
        """A handle by which somebody who may do that has errands done. Raises OSError where the steward is gone."""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        try:
            passing.send(self._channel, pack(allowed), [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return Steward(ours)

    def send(self, errand: Errand, descriptors: Iterable[int]) -> socket:
        """Has the errand done, with these descriptors → the socket by which it is spoken with (errands.py). Raises
        OSError where the steward is gone, or the errand is larger than a message."""
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


class _Running:
    """An errand that goes on. desk: a socket by which its process tells the container that it found, once, and which
    command it is the keeper of: command is that one's number and leader its pidfd, 0 and -1 for none."""

    def __init__(self, pid: int, key: str, desk: socket) -> None:
        self.pid, self.key, self.desk = pid, key, desk
        self.pidfd = os.pidfd_open(pid)
        self.container = ""
        self.command, self.leader = 0, -1

    def keeps(self, command: int, leader: int) -> None:
        """It is the keeper of that command from now on."""
        if self.leader >= 0:
            os.close(self.leader)
        self.command, self.leader = command, leader

    def end(self) -> None:
        """It has ended."""
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.desk.close()


class _Desk:
    """The steward's own process. first: the channel by which others are asked for."""

    def __init__(self, first: socket, setting: Setting) -> None:
        self._first, self._setting = first, setting
        self._channels: dict[int, tuple[socket, Allowed]] = {}
        self._running: dict[int, _Running] = {}  # by the descriptor of the process
        self._asking: dict[int, _Running] = {}  # by the descriptor of the desk
        self._ending: dict[int, int] = {}  # processes that end what an errand left, by their descriptor
        self._poller = poll()
        self._weighed = 0.0

    def run(self) -> NoReturn:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in FORWARDED:
            signal.signal(each, signal.SIG_IGN)
        close_all_but({2, self._first.fileno()})
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        from dockshell.bridge import errands

        errands.get_ready(many=self._setting.sessions > 0)
        open_files.raise_limit()
        self._poller.register(self._first, POLLIN)
        while self._first.fileno() >= 0 or self._channels:
            watched = self._setting.sessions and self._running
            ready = self._poller.poll(_WEIGHED * 1000 if watched else None)
            if watched:
                self._weigh()
            for number, _ in ready:
                if number == self._first.fileno():
                    self._welcome()
                elif number in self._channels:
                    self._receive(number)
                elif number in self._running or number in self._ending:
                    self._end(number)
                elif number in self._asking:
                    self._hear(number)
        os._exit(0)

    def _welcome(self) -> None:
        """Another channel by which errands come, where there is room for those errands' descriptors too."""
        try:
            content, descriptors = passing.receive(self._first)
        except OSError as error:
            if error.errno in open_files.EXHAUSTED:
                return  # that one is lost, and its socket is closed
            content, descriptors = b"", []
        if not content:
            self._poller.unregister(self._first)
            self._first.close()
        try:
            open_files.need(_SPARE)
            channel = socket(fileno=descriptors[0]) if descriptors else None
        except OSError:
            channel = None  # by the end of which the other side sees it
        for number in descriptors[1:] if channel else descriptors:
            os.close(number)
        if channel:
            self._channels[channel.fileno()] = channel, unpack(content, Allowed)
            self._poller.register(channel, POLLIN)

    def _receive(self, number: int) -> None:
        channel, allowed = self._channels[number]
        try:
            content, descriptors = passing.receive(channel)
        except OSError as error:
            if error.errno in open_files.EXHAUSTED:
                return
            content, descriptors = b"", []
        if not content:
            self._poller.unregister(number)
            del self._channels[number]
            channel.close()
        elif descriptors:
            self._begin(content, descriptors, allowed)
        for descriptor in descriptors:
            os.close(descriptor)

    def _begin(self, content: bytes, descriptors: list[int], allowed: Allowed) -> None:
        """An errand's process; or, where there can be no more of them, the reason, by the errand's control socket."""
        most = self._setting.sessions // 2
        if most and sum(each.key == allowed.key for each in self._running.values()) >= most:
            _refuse(descriptors[0], f"{most} sessions and forwards with one key are enough: end some")
            return
        if self._setting.sessions and len(self._running) >= self._setting.sessions:
            _refuse(descriptors[0], "there are too many sessions and forwards: try again later")
            return
        try:
            open_files.need(_OWN)
            ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
            pid = os.fork()
        except OSError as error:
            short = open_files.shortage(error)
            _refuse(descriptors[0], short or f"no process could be started: {error.strerror}")
            return
        if pid == 0:
            _carry_out(content, descriptors, allowed, replace(self._setting, desk=theirs))
        theirs.close()
        ours.setblocking(False)
        try:
            running = _Running(pid, allowed.key, ours)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            ours.close()
            _refuse(descriptors[0], open_files.shortage(error) or f"no process could be started: {error.strerror}")
            return
        self._running[running.pidfd] = self._asking[ours.fileno()] = running
        self._poller.register(running.pidfd, POLLIN)
        self._poller.register(ours, POLLIN)

    def _hear(self, number: int) -> None:
        """Which container an errand goes to → whether it may; then, of which command it is the keeper."""
        running = self._asking[number]
        try:
            content, descriptors = passing.receive(running.desk)
        except OSError:
            content, descriptors = b"", []
        if not content:
            self._poller.unregister(number)
            del self._asking[number]
        elif running.container:
            running.keeps(int(content), *descriptors or [-1])
        else:
            running.container = content.decode("utf-8", "replace")
            there = sum(each.container == running.container for each in self._running.values())
            fits = not self._setting.sessions or there <= max(1, self._setting.sessions * 3 // 4)
            try:
                running.desk.send(b"y" if fits else b"n")
            except OSError:
                pass  # it has just ended

    def _weigh(self) -> None:
        if monotonic() < self._weighed + _WEIGHED:
            return
        from dockshell.linux import memory

        self._weighed = monotonic()
        owners = {each.pid: each.key for each in self._running.values()}
        if pid := memory.heaviest(owners, self._setting.memory):
            os.kill(pid, signal.SIGKILL)

    def _end(self, number: int) -> None:
        if number in self._ending:
            os.waitpid(self._ending.pop(number), 0)
            self._poller.unregister(number)
            os.close(number)
            return
        running = self._running.pop(number)
        self._poller.unregister(number)
        desk = running.desk.fileno()
        while desk in self._asking:
            self._hear(desk)
        running.end()
        if running.command:
            self._end_orphans(running)

    def _end_orphans(self, running: _Running) -> None:
        """An errand was killed, and what it was the keeper of goes on: to end that takes up to two seconds, for which
        others wait only where there can't be a process, or a descriptor, more."""
        pid = 0
        try:
            pid = os.fork()
            if pid == 0:
                _end_orphans(running)
            pidfd = os.pidfd_open(pid)
            self._ending[pidfd] = pid
            self._poller.register(pidfd, POLLIN)
        except OSError:
            if pid:
                os.waitpid(pid, 0)
            else:
                sessions.end_orphans(running.command, running.leader)
        finally:
            running.keeps(0, -1)


def _end_orphans(running: _Running) -> NoReturn:
    """In a process of its own."""
    try:
        close_all_but({2, running.leader})
        sessions.end_orphans(running.command, running.leader)
    finally:
        os._exit(0)


def _carry_out(content: bytes, descriptors: list[int], allowed: Allowed, setting: Setting) -> NoReturn:
    """In an errand's process."""
    try:
        open_files.restore_limit()
        if setting.sessions:
            from dockshell.linux import memory

            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, most))  # the command gets its container's
            memory.first_to_go()
        os.setsid()
        for number in FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        assert setting.desk
        close_all_but({0, 1, 2, setting.desk.fileno(), *descriptors})
        from dockshell.bridge import errands

        control, *given = descriptors
        errands.carry_out(lambda: permitted(unpack(content), allowed), socket(fileno=control), given, setting)
    finally:
        os._exit(125)


def _refuse(control: int, why: str) -> None:
    from dockshell.engines.json import encode

    try:
        channel = socket(fileno=control)
    except OSError:
        return  # it is no socket
    try:
        channel.setblocking(False)
        channel.send(encode({"error": why, "code": 125, "exhausted": True}))
    except OSError:
        pass  # who asked is gone
    channel.detach()
