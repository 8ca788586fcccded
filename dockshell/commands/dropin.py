"""`docker-bash` and `docker-ssh`: the words that baseimage-docker's tools of these names take, with a truthful exit
code."""

from __future__ import annotations

from dockshell.commands.entry import command, way
from dockshell.entering import enter
from dockshell.model import replace
from dockshell.target import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Runs CMD or a login shell in CONTAINER → the exit code."""
    target, *words = arguments.words
    found = parse(target)
    if arguments.verb == "docker-bash":
        # Never by ssh, which the other one is for: so the order of a command's routes.
        return enter(found, replace(command(arguments, words), shell="bash"), replace(way(arguments), verb="exec"))
    # ssh(1) joins the words and lets the other side's shell read them; whoever types docker-ssh counts on that.
    spoken = ["sh", "-c", " ".join(words)] if words else []
    return enter(found, command(arguments, spoken), replace(way(arguments), via="ssh", verb="shell"))
