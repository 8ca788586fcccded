"""`dockshell shell`, and the bare `dockshell [TARGET]`: a login shell in a container."""

from __future__ import annotations

import os

from dockshell import config
from dockshell.commands.entry import command, enter, way
from dockshell.target import LATEST, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.model import Container
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Enters TARGET, or the one that a person picks, or the newest container, and runs a login shell there → its exit
    code."""
    if _picks(arguments):
        return _picked(arguments)
    target = parse(arguments.words[0]) if arguments.words else LATEST
    return enter(arguments, target, command(arguments, []))


def _picks(arguments: Arguments) -> bool:
    """Was that asked for, now or in the configuration? The latter is for who names no TARGET at a terminal."""
    said = arguments.on("pick")
    if said is not None or arguments.words:
        return bool(said)
    configured = config.load()
    return configured is not None and configured.on("pick") and os.isatty(0) and os.isatty(1)


def _picked(arguments: Arguments) -> int:
    """A TARGET is what the list is narrowed to, to begin with."""
    from dockshell.picker.picking import pick

    picked = pick(way(arguments), command(arguments, []), _wanted(arguments), " ".join(arguments.words))
    # With nothing to pick it is as if nobody had asked, which says why.
    at, target = picked or (None, LATEST)
    # The command is made anew, for the terminal may have another size by now.
    return enter(arguments, target, command(arguments, []), at)


def _wanted(arguments: Arguments) -> Callable[[Container], bool]:
    """Those that it makes sense to pick."""
    if arguments.on("stopped"):
        return lambda each: each.state not in ("running", "paused")
    states = ("running", "paused") if arguments.on("unpause") else ("running",)
    return lambda each: each.state in states
