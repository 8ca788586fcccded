"""`dockshell latest`: the id of the newest running container. Also what ip and pid have in common with it: words →
container."""

from __future__ import annotations

from dockshell.commands.looking import place, target, voice
from dockshell.engines.json import encode
from dockshell.errors import printable
from dockshell.resolve import resolve_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Container
    from dockshell.options import Arguments

__all__ = ["found", "run", "show"]


def run(arguments: Arguments) -> int:
    """Prints twelve characters of the id, as `docker ps -lq` does; as JSON all of it."""
    container = found(arguments)
    return show(arguments, container, printable(container.short))


def show(arguments: Arguments, container: Container, text: str, **facts: object) -> int:
    """Prints the text; with --json an object, of the container's name, id and engine and what else it is about → 0."""
    if arguments.on("json"):
        named = {"name": container.name, "id": container.id, "engine": container.engine.name}
        text = encode({**named, **facts}).decode()
    print(text)
    return 0


def found(arguments: Arguments) -> Container:
    """The running container that TARGET, or its absence, names. Raises what resolve_running() does, and UsageError."""
    return resolve_running(target(arguments), place(arguments), voice(arguments))
