"""`dockshell exec`: one command in a container, or in many."""

from __future__ import annotations

import os

from dockshell.commands.entry import command, enter, variables_in
from dockshell.commands.looking import aimed, target
from dockshell.errors import UsageError, printable
from dockshell.target import parse, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]

_HEX = frozenset("0123456789abcdef")
_SHORTEST, _LONGEST = 12, 256  # characters
_MANY = ("all", "label", "service", "jobs", "group", "json")


def run(arguments: Arguments) -> int:
    """Enters TARGET and runs CMD there → its exit code; or enters all that the words mean."""
    if arguments.said.get("compose_env_file"):
        _name_project(arguments)
    if cidfile := arguments.text("cidfile"):
        return _by_file(arguments, cidfile)
    if any(map(arguments.said.get, _MANY)) or several(arguments.words[0]):
        from dockshell.commands import many

        return many.run(arguments)
    return enter(arguments, target(arguments), command(arguments, arguments.words[1:]))


def _name_project(arguments: Arguments) -> None:
    """`docker compose --env-file FILE exec`: nothing in it is for the command, but it may name the project. What the
    environment itself says goes before it, and of several files the last."""
    from dockshell.compose import unquoted

    for path in reversed(arguments.texts("compose_env_file")):
        for name, value in reversed(list(variables_in(path))):
            if name.startswith("COMPOSE_"):
                os.environ.setdefault(name, unquoted(value))


def _by_file(arguments: Arguments, path: str) -> int:
    """--cidfile: the id is the first line, as podman reads it. Raises UsageError."""
    if any(map(arguments.said.get, _MANY)):
        raise UsageError("--cidfile names one container: leave out the options that name several")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            id = file.readline(_LONGEST).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise UsageError(f"--cidfile {printable(path)} can't be read: {reason}") from None
    if not _HEX.issuperset(id) or len(id) < _SHORTEST:
        raise UsageError(
            f"--cidfile {printable(path)} does not contain a container id: `docker run --cidfile` writes one"
        )
    return enter(arguments, aimed(arguments, parse(id)), command(arguments, arguments.words))
