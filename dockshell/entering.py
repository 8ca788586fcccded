"""Target + Command → exit code: resolves, chooses a way in, runs the session, and tells along the way. What every
entering verb shares."""

from __future__ import annotations

from dockshell.errors import EngineError, SessionLost, printable
from dockshell.model import noun
from dockshell.relay import relay
from dockshell.resolve import Place, newer_but_not_running, resolve_running
from dockshell.routes import Login, choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.model import Command, Container, Target

__all__ = ["Way", "enter"]


@noun(frozen=True)
class Way:
    """How to get in. place: where to look; via: `auto` or a route; verb: whose order `auto` follows; tell: gets what -v
    shows; say: gets what everybody should read."""

    place: Place
    via: str
    verb: str
    login: Login
    tell: Callable[[str], None]
    say: Callable[[str], None]


def enter(target: Target, command: Command, way: Way) -> int:
    """Runs the command in the container that the target names, with this process's stdin, stdout and stderr → its exit
    code.

    Raises DockshellError where it never began, or its connection broke.
    """
    container = resolve_running(target, way.place, way.tell)
    name = printable(container.name)
    way.tell(f"container: {name} ({container.short}) of {container.engine.name} at {container.engine.address}")
    if target.kind == "latest" and (newer := newer_but_not_running(container)):
        way.say(f"{printable(newer.name)} is newer but not running ({printable(newer.state)}): taking {name}")
    _, route = choose(way.via, way.verb, way.login, container, command, way.tell)
    if command.privileged:
        way.say("privileged: all capabilities, and no security label")
    session = route.open(container, command)
    try:
        code = relay(session, terminal=command.terminal is not None, input=command.input)
    except SessionLost:
        if _stopped(container, way):
            return 137
        raise
    finally:
        session.close()
    if code == 137:
        _stopped(container, way)
    return code


def _stopped(container: Container, way: Way) -> bool:
    """Did the container stop under the session? Then says so."""
    try:
        if container.engine.running(container):
            return False
    except EngineError:
        return False
    way.say(f"{printable(container.name)} stopped, and the session with it")
    return True
