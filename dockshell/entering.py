"""Target + Command → exit code: resolves, chooses a way in, runs the session, and tells along the way. What every
entering verb shares."""

from __future__ import annotations

import time

from dockshell.errors import CommandNotFound, EngineError, NoShell, SessionLost, printable
from dockshell.linux.process import Process
from dockshell.model import noun
from dockshell.resolve import Place, resolve_running
from dockshell.routes import Login, choose
from dockshell.session import Undeliverable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dockshell.model import Command, Container, Target
    from dockshell.session import Session
    from dockshell.voice import Voice

__all__ = ["Way", "enter", "run"]


@noun(frozen=True)
class Way:
    """How to get in. place: where to look; via: `auto` or a route; verb: whose order `auto` follows."""

    place: Place
    via: str
    verb: str
    login: Login
    voice: Voice


def enter(target: Target, command: Command, way: Way) -> int:
    """Runs the command in the container that the target names, with this process's stdin, stdout and stderr → its exit
    code.

    Raises DockshellError where it never began, or its connection broke.
    """
    return run(resolve_running(target, way.place, way.voice), command, way)[0]


def run(
    container: Container,
    command: Command,
    way: Way,
    others: Callable[[Session], Mapping[int, Callable[[], None]]] | None = None,
) -> tuple[int, int]:
    """The same in a container that was found → the exit code, and the number of the signal that ended the command, 0
    where none did or nobody can tell. others: what relay() is to listen to besides, once there is a session."""
    name, route = choose(way.via, way.verb, way.login, container, command, way.voice.tell)
    if command.privileged:
        way.voice.say("privileged: all capabilities, and no security label")
    elif command.capabilities:
        from dockshell.linux.capability_names import spelled

        way.voice.say(f"besides the container's capabilities: {spelled(command.capabilities)}")
    try:
        return _driven(route.open(container, command), container, command, way, others)
    except (NoShell, CommandNotFound) as missing:
        taken = missing.taken if isinstance(missing, CommandNotFound) else b""
        if way.via != "auto" or name in ("ssh", "toolbox") or taken is None:
            raise
        from dockshell.routes.toolbox import instead

        session = instead(missing, container, command, way.login)
        return _driven(session, container, command, way, others, taken)


def _driven(
    session: Session,
    container: Container,
    command: Command,
    way: Way,
    others: Callable[[Session], Mapping[int, Callable[[], None]]] | None,
    taken: bytes = b"",
) -> tuple[int, int]:
    """run() from where there is a session. taken: input that was read for another, which never began."""
    # Not before: the engine, or the kernel, has its own work to do meanwhile.
    from dockshell.relay import relay

    if way.voice.loud and (lack := session.unkept()):
        way.voice.say(lack)
    try:
        code = relay(
            session,
            terminal=command.terminal is not None,
            input=command.input,
            others=others(session) if others else None,
            first=taken,
        )
    except Undeliverable as signal:
        way.voice.tell(f"signal {signal.number}: {signal}; so dockshell ends by it itself")
        return 128 + signal.number, signal.number
    except (SessionLost, EngineError):  # what the engine knew of a command may go with its container
        if _stopped(container, way, _LATE):
            return 137, 0
        raise
    finally:
        session.close()
    if code == 137:
        _stopped(container, way)
    return code, session.ended_by()


# Seconds by which an engine may learn later than we do that a container ended: its processes go first.
_LATE = 1.0


def _stopped(container: Container, way: Way, patience: float = 0.0) -> bool:
    """Did the container stop under the session? Then says so. patience: how long to wait for the engine to see it, in
    seconds."""
    until = time.monotonic() + patience
    try:
        while _lives(container) and container.engine.running(container):
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
    except EngineError:
        return False
    way.voice.say(f"{printable(container.name)} stopped, and the session with it")
    return True


def _lives(container: Container) -> bool:
    """Is its first process still there, as far as can be seen from here?"""
    if not container.local or not container.pid:
        return True
    try:
        first = Process(container.pid)
        return first.belongs_to(container.id, container.started) and not first.ending()
    except PermissionError:
        return True
    except OSError:
        return False
