"""`dockshell exec`: one command in a container, or in many."""

from __future__ import annotations

from dockshell.commands.entry import command, enter
from dockshell.commands.looking import target
from dockshell.target import several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]

_MANY = ("all", "label", "service", "jobs", "group", "json")


def run(arguments: Arguments) -> int:
    """Enters TARGET and runs CMD there → its exit code; or enters all that the words mean."""
    if any(map(arguments.said.get, _MANY)) or several(arguments.words[0]):
        from dockshell.commands import many

        return many.run(arguments)
    return enter(arguments, target(arguments), command(arguments, arguments.words[1:]))
