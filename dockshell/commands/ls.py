"""`dockshell ls`: the containers that run."""

from __future__ import annotations

import time

from dockshell.commands.looking import place, voice
from dockshell.errors import EngineError
from dockshell.model import Container
from dockshell.output import tables
from dockshell.target import LATEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]

# A name is what people type next, so it is the last to be cut; an id or a state is of no use in part.
_COLUMNS = (
    tables.Column("name", gives=3),
    tables.Column("id"),
    tables.Column("image", gives=1),
    tables.Column("state"),
    tables.Column("age"),
    tables.Column("addresses", gives=2),
)
_ALIVE = ("running", "paused", "restarting")  # what `docker ps` shows, too
_UNITS = (("y", 365 * 86400), ("w", 7 * 86400), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def run(arguments: Arguments) -> int:
    """Prints a row for each, newest first, of every engine that answers. Raises EngineError where none does."""
    tell = voice(arguments).tell
    failures: list[str] = []
    listings: list[list[Container]] = []
    for engine in place(arguments).engines(LATEST):
        try:
            listings.append([each for each in engine.all() if each.state in _ALIVE])
            tell(f"{engine.name} at {engine.address}: {len(listings[-1])} running")
        except EngineError as error:
            failures.append(str(error))
            tell(str(error))
    if not listings:
        raise EngineError("; ".join(failures))
    peopled = [listing for listing in listings if listing]
    rows = [_row(each, pinned=len(peopled) > 1) for listing in peopled for each in listing]
    tables.table(_COLUMNS, rows)
    return 0


def _row(container: Container, *, pinned: bool) -> list[str]:
    """pinned: with its engine in front of the name, where containers of several are shown; that is a TARGET, too."""
    name = f"{container.engine.name}://{container.name}" if pinned else container.name
    addresses = ", ".join(dict.fromkeys(address for _, address in container.addresses))
    return [name, container.short, container.image, container.state, _age(time.time() - container.created), addresses]


def _age(seconds: float) -> str:
    """In the largest unit of which there is one: 42s, 3h, 12d."""
    for letter, length in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{letter}"
    return "0s"
