"""What `dockshell forward` does: listens here, and carries each connection inside, until it is told to end or the
container stops."""

from __future__ import annotations

import socket
import time
from select import EPOLLIN

from dockshell.errors import EngineError, SessionLost, printable
from dockshell.forward.carrying import Far, Traffic, reset
from dockshell.forward.listening import Listener
from dockshell.forward.loop import Loop
from dockshell.forward.ways import Inside, Ways
from dockshell.linux import open_files
from dockshell.linux.process import Process
from dockshell.linux.signals import signal
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.forward.ways import Way
    from dockshell.forward.words import Forward
    from dockshell.model import Container
    from dockshell.ssh.forwards import Spot
    from dockshell.voice import Voice

__all__ = ["Forwarding", "Wish"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AT_ONCE = 64  # connections taken before others have their turn
_EACH, _ELSE = 2, 64  # descriptors: of a connection, and of all else that is held open
_PAUSE = 0.1  # seconds, where no descriptor is left
_LATE = 1.0  # seconds by which an engine may learn later than we do that a container ended


@noun(frozen=True)
class Wish:
    """forwards: at least one. user: as -u has it, for Unix sockets inside. via: `auto` or the way to take."""

    forwards: Sequence[Forward]
    user: str
    via: str


class Forwarding:
    """All forwards to one container, which run. Listens from the start, and has chosen the ways; raises DockshellError
    where either can't be, and then nothing is left of it."""

    def __init__(self, container: Container, wish: Wish, voice: Voice) -> None:
        self._container = container
        self._voice = voice
        self._loop = Loop()
        self._ways = Ways(wish.via, Inside(container, wish.user, self._loop, voice, self._cut_off))
        self._traffic = Traffic(self._loop)
        self._dialling = 0
        self._doors: list[_Door] = []
        self._limit = open_files.raise_limit()
        self._told_limit = False
        self._process = _first(container)
        try:
            for each in wish.forwards:
                self._doors.append(_Door(Listener(each.listen), each.to))
            for door in self._doors:
                door.way = self._ways.choose(door.to)
                self._open_up(door)
        except BaseException:
            self.close()
            raise

    @property
    def lines(self) -> list[str]:
        """Where it listens and where that leads, a line each."""
        return [f"{door.listener} -> {self._shown(door)}" for door in self._doors]

    @property
    def url(self) -> str:
        """The first port's, for a browser; empty where there is none."""
        return next((door.listener.url for door in self._doors if door.listener.port), "")

    def run(self) -> int:
        """Until INT, TERM or HUP → 0; until the container stops → 137. Raises DockshellError where a way is cut off."""
        if self._process:
            self._loop.watch(self._process.pidfd, EPOLLIN, lambda events: self._loop.stop(137))
        code = self._loop.run(_ENDING)
        if code == 137:
            self._check_stopped()
            self._voice.say(f"{printable(self._container.name)} stopped, and what was forwarded to it with it")
        return code

    def close(self) -> None:
        """Nothing listens any more, and every connection is broken off."""
        for door in self._doors:
            self._loop.forget(door.listener.socket.fileno())
            door.listener.close()
        self._traffic.close()
        self._ways.close()
        self._loop.close()

    def _shown(self, door: _Door) -> str:
        return f"{printable(self._container.name)}:{printable(door.to.path) if door.to.path else door.to.port}"

    def _open_up(self, door: _Door) -> None:
        if door.listener.wide:
            self._voice.say(f"{door.listener}: whoever can reach this machine there can reach {self._shown(door)}")
        self._watch(door)

    def _watch(self, door: _Door) -> None:
        self._loop.watch(door.listener.socket.fileno(), EPOLLIN, lambda events: self._accept(door))

    def _accept(self, door: _Door) -> None:
        for _ in range(_AT_ONCE):
            if _ELSE + _EACH * (len(self._traffic) + self._dialling) > self._limit:
                self._rest(door)
                return
            try:
                near, _ = door.listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in open_files.EXHAUSTED:
                    self._rest(door)
                    return
                continue  # it went away before it was taken: accept(2)
            self._dial(near, door)

    def _dial(self, near: socket.socket, door: _Door) -> None:
        near.setblocking(False)
        if near.family != socket.AF_UNIX:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert door.way
        self._dialling += 1
        door.way.dial(door.to, lambda far: self._dialled(near, far, door.to))

    def _dialled(self, near: socket.socket, far: Far | OSError, to: Spot) -> None:
        self._dialling -= 1
        if isinstance(far, OSError):
            self._voice.tell(f"{to.path or to.port}: not connected: {printable(far.strerror or str(far)).lower()}")
            reset(near)
            return
        self._traffic.carry(near, far)

    def _rest(self, door: _Door) -> None:
        """No descriptor is left: whoever comes waits until one is."""
        if not self._told_limit:
            self._told_limit = True
            self._voice.say(
                f"more connections have to wait: {len(self._traffic)} at once are what the limit of open files "
                f"({self._limit}) allows; raise it where dockshell is started, as with `ulimit -n 65536`"
            )
        self._loop.forget(door.listener.socket.fileno())
        self._loop.after(_PAUSE, lambda: self._watch(door))

    def _cut_off(self) -> None:
        self._loop.stop(137)

    def _check_stopped(self) -> None:
        """Raises SessionLost where it still runs."""
        name = printable(self._container.name)
        until = time.monotonic() + _LATE
        while self._runs():
            if time.monotonic() > until:
                raise SessionLost(f"the sidecar of {name}, by which its ports were reached, is gone: start it again")
            time.sleep(_PAUSE)

    def _runs(self) -> bool:
        if self._process:
            return self._process.alive()
        try:
            return self._container.engine.running(self._container)
        except EngineError as error:
            raise SessionLost(f"{printable(self._container.name)} is out of reach: {error}") from None


class _Door:
    """One forward."""

    def __init__(self, listener: Listener, to: Spot) -> None:
        self.listener = listener
        self.to = to
        self.way: Way | None = None


def _first(container: Container) -> Process | None:
    """The container's first process, to know its end by, without any right; None where it can't be seen from here."""
    if not container.local or not container.pid:
        return None
    try:
        process = Process(container.pid)
        return process if process.belongs_to(container.id, container.started, container.owner) else None
    except OSError:
        return None
