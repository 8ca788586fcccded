"""The options that say where to look, for which container, and how much to tell, which nearly every verb has."""

from __future__ import annotations

from dockshell.resolve import Place
from dockshell.target import LATEST, as_service, parse
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Target
    from dockshell.options import Arguments
    from dockshell.target import Project

__all__ = ["aimed", "anywhere", "place", "target", "voice"]


def place(arguments: Arguments) -> Place:
    """Where -H and --context say to look, with the services first of the Compose project that is that of the current
    directory, or which -p or -f names."""

    def look() -> Project:
        from dockshell.compose import here

        return here(arguments.text("project"), next(iter(arguments.texts("file")), ""))

    return Place(arguments.text("host"), arguments.text("context"), look=look)


def anywhere(arguments: Arguments) -> Place:
    """The same for who serves others, whose directory means nothing here: no project comes first."""
    return Place(arguments.text("host"), arguments.text("context"))


def target(arguments: Arguments, number: int = 0) -> Target:
    """What that one of the words names, with -p, -f and --index; the newest where there is none. Raises UsageError."""
    return aimed(arguments, parse(arguments.words[number]) if len(arguments.words) > number else LATEST)


def aimed(arguments: Arguments, found: Target) -> Target:
    """The target as -p, -f and --index have it. Raises UsageError."""
    project, index, file = arguments.text("project"), arguments.text("index"), arguments.texts("file")
    return as_service(found, project, index, named=bool(project or file)) if project or index or file else found


def voice(arguments: Arguments) -> Voice:
    """As loud as -v asks for."""
    return Voice(bool(arguments.on("verbose")))
