"""`dockshell latest`: the id of the newest running container. Also what ip and pid have in common with it: words →
container."""

from __future__ import annotations

import sys

from dockshell.errors import printable
from dockshell.resolve import Place, newer_but_not_running, resolve_running
from dockshell.target import LATEST, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.model import Container
    from dockshell.options import Arguments

__all__ = ["found", "run", "teller"]


def run(arguments: Arguments) -> int:
    """Prints twelve characters of the id, as `docker ps -lq` does."""
    print(printable(found(arguments).short))
    return 0


def found(arguments: Arguments) -> Container:
    """The running container that TARGET, or its absence, names. Raises what resolve_running() does, and UsageError."""
    target = parse(arguments.words[0]) if arguments.words else LATEST
    tell = teller(arguments)
    container = resolve_running(target, Place(arguments.text("host"), arguments.text("context")), tell)
    name, short = printable(container.name), printable(container.short)
    tell(f"container: {name} ({short}) of {container.engine.name} at {container.engine.address}")
    if target.kind == "latest" and (newer := newer_but_not_running(container)):
        _say(f"{printable(newer.name)} is newer but not running ({printable(newer.state)}): taking {name}")
    return container


def teller(arguments: Arguments) -> Callable[[str], None]:
    """What -v shows goes through here."""
    return _say if arguments.on("verbose") else lambda line: None


def _say(line: str) -> None:
    sys.stderr.write(f"dockshell: {line}\n")
    sys.stderr.flush()
