"""Target + Command → exit code: resolves, chooses a way in, runs the session, and tells along the way. What every
entering verb shares."""

from __future__ import annotations

import os
import time

from dockshell.errors import (
    CommandNotFound,
    EngineError,
    NoShell,
    SessionLost,
    ShellNotStarted,
    TimedOut,
    UsageError,
    printable,
)
from dockshell.linux.process import Process
from dockshell.model import noun, replace
from dockshell.resolve import Place, resolve_running
from dockshell.routes import Login, choose, order
from dockshell.session import Ended, Late, Left, Undeliverable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dockshell.config.held import Config
    from dockshell.model import Command, Container, Target
    from dockshell.recording import Recording, Tape
    from dockshell.routes import Route
    from dockshell.session import Session
    from dockshell.voice import Voice

    # The session, and input for it that was read already → its exit code.
    Drive = Callable[[Session, bytes], int]

__all__ = ["Way", "enter", "run", "suited"]


@noun(frozen=True)
class Way:
    """How to get in. place: where to look; via: the routes to try, as routes.order() takes them; verb: whose order
    `auto` follows. config: what a person configured, which suited() makes the rest of; recording: None for none;
    detach_key: what has to be typed to leave the command to itself, empty for nothing, None for what is configured;
    timeout: how many seconds the command is given, 0 for any number; took: who is told the route that was taken."""

    place: Place
    via: str
    verb: str
    login: Login
    voice: Voice
    config: Config | None = None
    recording: Recording | None = None
    detach_key: bytes | None = None
    timeout: float = 0.0
    took: Callable[[str], None] | None = None


def enter(target: Target, command: Command, way: Way) -> int:
    """Runs the command in the container that the target names, with this process's stdin, stdout and stderr → its exit
    code.

    Raises DockshellError where it never began, or its connection broke.
    """
    container = resolve_running(target, way.place, way.voice)
    if target.kind == "latest" and os.isatty(0) and os.isatty(1):
        way.voice.say(_introduced(container))  # a prompt shows an id at the most, and nobody named it
    return run(container, *suited(container, command, way))[0]


def _introduced(container: Container) -> str:
    """Which it is, for a person: `web (nginx:1.25, up 3 minutes)`."""
    seconds = max(0, int(time.time() - container.started))
    length, unit = next(each for each in _UNITS if seconds >= each[0])
    count = seconds // (length or 1)
    age = f"up {count} {unit}{'' if count == 1 else 's'}"
    facts = [each for each in (container.image, age if container.started else "") if each]
    return printable(f"{container.name} ({', '.join(facts)})" if facts else container.name)


_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (0, "second"))


def suited(container: Container, command: Command, way: Way) -> tuple[Command, Way]:
    """Both as the person configured them for that container, where they say nothing themselves. Raises UsageError."""
    if way.config is not None:
        from dockshell.habits import Habits

        habits = Habits(way.config, container)
        command, way = habits.command(command), habits.way(way, command)
    if way.detach_key is None and command.terminal and container.engine.name == "docker":
        way = replace(way, detach_key=_keys_of_docker())
    return command, way


def _keys_of_docker() -> bytes | None:
    """detachKeys of Docker's config.json: who says nothing there has none, for Docker's own would hold Ctrl-P back."""
    from dockshell.engines.client_config import setting

    said = setting("detachKeys")
    if not said:
        return None
    from dockshell.config.keys import keys

    try:
        return keys(str(said))
    except ValueError as error:
        raise UsageError(f"detachKeys in Docker's config.json: {printable(str(error))}") from None


def run(
    container: Container,
    command: Command,
    way: Way,
    others: Callable[[Session], Mapping[int, Callable[[], None]]] | None = None,
    drive: Drive | None = None,
) -> tuple[int, int]:
    """The same in a container that was found → the exit code, and the number of the signal that ended the command, 0
    where none did or nobody can tell. others: what relay() is to listen to besides, once there is a session. drive:
    what is to drive the session to its exit code in relay()'s place."""
    name, route = choose(way.via, way.verb, way.login, container, command, way.voice.tell)
    if way.took:
        way.took(name)
    if name == "ssh" and way.detach_key:
        way.voice.tell("ssh: its session ends with the connection, so there is no detach key")
        way = replace(way, detach_key=b"")
    if way.timeout:
        way = replace(way, detach_key=b"")  # nobody would be there to end what was left to itself
    drive = drive or _relayed(command, way, others)
    tape = None
    if way.recording:
        from dockshell.recording import Tape

        command = replace(command, share=False)  # what goes straight to the command passes us by
        tape = Tape(way.recording, container, command, way.voice)
    if command.privileged:
        way.voice.say("privileged: all capabilities")
    elif command.capabilities:
        from dockshell.linux.capability_names import spelled

        way.voice.say(f"besides the container's capabilities: {spelled(command.capabilities)}")
    try:
        return _tried(container, command, way, name, route, drive, tape)
    finally:
        if tape:
            tape.close()


def _tried(
    container: Container, command: Command, way: Way, name: str, route: Route, drive: Drive, tape: Tape | None
) -> tuple[int, int]:
    """run() by that route, by another shell where one can't be started, and by the toolbox where there is none."""
    taken = b""  # input that was read for what could not be started
    while True:
        session = None
        try:
            session = route.open(container, command)
            session = tape.of(session) if tape else session
            return _driven(session, container, way, drive, taken)
        except (NoShell, CommandNotFound) as missing:
            if session is not None and isinstance(missing, CommandNotFound):
                if missing.taken is None:
                    raise
                taken = missing.taken
            if isinstance(missing, ShellNotStarted):
                if not command.not_shells:
                    way.voice.say(f"a shell can't be started in {printable(container.name)} ({missing}): using another")
                command = replace(command, not_shells=(*command.not_shells, missing.shell))
                continue
            if "toolbox" not in order(way.via, way.verb) or name in ("ssh", "toolbox") or command.preserved:
                raise
            from dockshell.routes.toolbox import instead

            name, route = "toolbox", instead(missing, container, command, way.login)
            if way.took:
                way.took(name)


def _relayed(command: Command, way: Way, others: Callable[[Session], Mapping[int, Callable[[], None]]] | None) -> Drive:
    def drive(session: Session, taken: bytes) -> int:
        # Not before: the engine, or the kernel, has its own work to do meanwhile.
        from dockshell.relay import relay

        try:
            return relay(
                session,
                terminal=command.terminal is not None,
                input=command.input,
                others=others(session) if others else None,
                first=taken,
                detach_key=way.detach_key or b"",
                timeout=way.timeout,
            )
        except Late:
            name = printable(os.fsdecode(command.argv[0])) if command.argv else "the shell"
            raise TimedOut(f"{name} took longer than {way.timeout:g} s (--timeout) and was ended") from None

    return drive


def _driven(session: Session, container: Container, way: Way, drive: Drive, taken: bytes = b"") -> tuple[int, int]:
    """run() from where there is a session. taken: input that was read for another, which never began."""
    if way.voice.loud and (lack := session.unkept()):
        way.voice.say(lack)
    try:
        code = drive(session, taken)
    except Left as left:
        from dockshell.leaving import leave

        leave(session, left.rest)
        session = Ended()
        way.voice.say(f"left: what runs goes on in {printable(container.name)}, until it ends by itself")
        return 0, 0
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
        return first.belongs_to(container.id, container.started, container.owner) and not first.ending()
    except PermissionError:
        return True
    except OSError:
        return False
