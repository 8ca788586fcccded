"""A session in a stand-in: a container like one that doesn't run, on a copy of its files, that lasts as long."""

from __future__ import annotations

import re
import time

from dockshell.entering import run, suited
from dockshell.errors import EngineError, NotFound, printable
from dockshell.model import Target, replace
from dockshell.resolve import resolve
from dockshell.standin.deputy import Deputy
from dockshell.standin.stagehand import KEEP, MAKE, Stagehand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dockshell.entering import Way
    from dockshell.model import Command, Container

__all__ = ["enter_stopped"]

_LOOP = 300.0  # seconds within which a container that the engine restarts is thought to end again


def enter_stopped(target: Target, command: Command, way: Way, keep: bool) -> int:
    """Runs the command in a stand-in for the container that the target names → its exit code. keep: what it changed is
    made an image in the end. Raises DockshellError."""
    container = resolve(target, way.place, way.voice, stopped=True)
    name, api = printable(container.name), container.engine.api
    if api is None:
        raise EngineError(f"{name} is known to no engine, and without one there are no files of what doesn't run")
    facts = api.inspect(container.id)
    _introduce(container, facts, way, keep)
    image = f"{_repository(container.name)}-kept:{time.strftime('%Y%m%d-%H%M%S')}" if keep else ""
    with Deputy(Stagehand(api, facts, image)) as deputy:
        id = deputy.do(MAKE, lambda: way.voice.say(f"copying what {name} has changed of its image ..."))
        found = container.engine.find(Target("name", id))
        if not found or found[0].id != id:
            raise NotFound(f"the stand-in for {name} ended at once: its engine's log may tell why")
        way.voice.tell(f"stand-in: {found[0].short} for {name}")
        try:
            like = replace(found[0], name=container.name, hostname=container.hostname, umask=container.umask)
            command, way = suited(container, command, way)
            return run(like, command, replace(way, detach_key=b""))[0]  # the stand-in goes when we do
        finally:
            if keep:
                _tell_kept(deputy.do(KEEP, lambda: way.voice.say(f"making {image} ...")), container, way)


def _introduce(container: Container, facts: dict[str, Any], way: Way, keep: bool) -> None:
    """What a person should know before they change anything."""
    name = printable(container.name)
    if _steady(container, facts):
        way.voice.say(f"{name} runs: this is a copy of it, and `dockshell shell {name}` enters the container itself")
    mounts = [each for each in facts.get("Mounts") or () if each.get("RW") and each.get("Type") != "tmpfs"]
    own = sorted(printable(str(each.get("Destination"))) for each in mounts)
    what = "changes are kept as an image" if keep else "changes are thrown away"
    but = f", but what is changed in {', '.join(own)} stays" if own else ""
    way.voice.say(f"a stand-in for {name} ({_state(container, facts)}): {what}{but}")


def _state(container: Container, facts: dict[str, Any]) -> str:
    if container.state in ("exited", "stopped"):  # the latter is Podman's, until it has cleared up
        return f"exited with {int((facts.get('State') or {}).get('ExitCode') or 0)}"
    return printable(container.state)


def _steady(container: Container, facts: dict[str, Any]) -> bool:
    restarted = int(facts.get("RestartCount") or 0) > 0 and time.time() - container.started < _LOOP
    return container.state == "running" and not restarted


def _repository(name: str) -> str:
    """A container's name as an image may have it: lower case, with no two separators in a row and none at an end
    (https://pkg.go.dev/github.com/distribution/reference)."""
    return re.sub(r"[^a-z0-9]{2,}", "-", name.lower())[:100].strip("._-") or "container"


def _tell_kept(image: str, container: Container, way: Way) -> None:
    if not image:
        way.voice.say("nothing was changed, so there is no image to keep")
        return
    name, copy, program = printable(container.name), image.partition(":")[0], container.engine.name
    way.voice.say(
        f"kept as {image}: `{program} run {image}` starts it; `{program} create --name {copy} {image}`, then "
        f"`{program} cp {copy}:FILE - | {program} cp - {name}:DIRECTORY` takes a file back"
    )
