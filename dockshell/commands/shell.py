"""`dockshell shell`, and the bare `dockshell [TARGET]`: a login shell in a container."""

from __future__ import annotations

from dockshell.commands.entry import command, enter
from dockshell.target import LATEST, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Enters TARGET, or the newest container, and runs a login shell there → its exit code."""
    target = parse(arguments.words[0]) if arguments.words else LATEST
    return enter(arguments, target, command(arguments, []))
