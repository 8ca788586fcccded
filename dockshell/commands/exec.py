"""`dockshell exec`: one command in a container."""

from __future__ import annotations

from dockshell.commands.entry import command, enter
from dockshell.target import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Enters TARGET and runs CMD there → its exit code."""
    return enter(arguments, parse(arguments.words[0]), command(arguments, arguments.words[1:]))
