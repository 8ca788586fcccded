"""`dockshell latest`: the id of the newest running container. Also what ip and pid have in common with it: words →
container."""

from __future__ import annotations

from dockshell.commands.looking import place, voice
from dockshell.errors import printable
from dockshell.resolve import resolve_running
from dockshell.target import LATEST, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Container
    from dockshell.options import Arguments

__all__ = ["found", "run"]


def run(arguments: Arguments) -> int:
    """Prints twelve characters of the id, as `docker ps -lq` does."""
    print(printable(found(arguments).short))
    return 0


def found(arguments: Arguments) -> Container:
    """The running container that TARGET, or its absence, names. Raises what resolve_running() does, and UsageError."""
    target = parse(arguments.words[0]) if arguments.words else LATEST
    return resolve_running(target, place(arguments), voice(arguments))
