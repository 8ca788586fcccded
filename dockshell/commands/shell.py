"""`dockshell shell`, and the bare `dockshell [TARGET]`: a login shell in a container."""

from __future__ import annotations

import os

from dockshell import config
from dockshell.commands.entry import command, enter, way
from dockshell.commands.looking import place, target
from dockshell.errors import EngineError, UsageError, printable
from dockshell.options import nearly
from dockshell.target import ID, LATEST, rank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.engines import Engine
    from dockshell.model import Container, Target
    from dockshell.options import Arguments
    from dockshell.resolve import Place

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Enters TARGET, or the one that a person picks, or the newest container, and runs a login shell there → its exit
    code."""
    if _picks(arguments):
        return _picked(arguments)
    meant = target(arguments)
    if arguments.bare and arguments.words and (verb := nearly(arguments.words[0])):
        _check_slip(arguments, meant, verb)
    return enter(arguments, meant, command(arguments, []))


def _check_slip(arguments: Arguments, meant: Target, verb: str) -> None:
    """Raises UsageError for a word that is nearly a verb, unless a container or a service is called just so: none is
    entered because its name or id begins like a slip."""
    where, word = place(arguments), printable(arguments.words[0])
    try:
        for engine in where.engines(meant):
            if _called_so(engine, meant, where):
                return
    except EngineError:
        pass  # there is none at all, and whoever made a slip needs none
    raise UsageError(
        f"{word} is not a verb, and no container has exactly that name: did you mean `dockshell {verb}`? "
        f"`dockshell shell {word}` looks for a container whose name begins with it"
    )


def _called_so(engine: Engine, meant: Target, where: Place) -> bool:
    try:
        found = engine.find(meant, where.project)
    except EngineError:
        return False
    return bool(found) and rank(meant, found[0], where.project()) < ID


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
