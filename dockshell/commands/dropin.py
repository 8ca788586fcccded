"""`docker-bash` and `docker-ssh`: the words that baseimage-docker's tools of these names take, with a truthful exit
code."""

from __future__ import annotations

from dockshell import options
from dockshell.commands.entry import command, way
from dockshell.entering import enter
from dockshell.model import replace
from dockshell.target import parse

__all__ = ["run"]


def run(program: str, words: list[str]) -> int:
    """program: `docker-bash` or `docker-ssh`; words: its own → the exit code. Without words, usage and 0, as the old
    ones have it."""
    if not words:
        print(options.usage(program))
        return 0
    arguments = options.parse(words, program)
    if arguments.on("help"):
        print(options.usage(program))
        return 0
    target, *rest = arguments.words
    if program == "docker-bash":
        # Never by ssh, which the other one is for: so the order of a command's routes.
        return enter(
            parse(target), replace(command(arguments, rest), shell="bash"), replace(way(arguments), verb="exec")
        )
    # ssh(1) joins the words and lets the other side's shell read them; whoever types docker-ssh counts on that.
    spoken = ["sh", "-c", " ".join(rest)] if rest else []
    return enter(parse(target), command(arguments, spoken), replace(way(arguments), via="ssh", verb="shell"))
