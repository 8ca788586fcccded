"""The options that say where to look, for which container, and how much to tell, which nearly every verb has."""

from __future__ import annotations

from dockshell.errors import UsageError, printable
from dockshell.resolve import Place
from dockshell.target import LATEST, as_service, elsewhere, parse
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.engines.where import Tls
    from dockshell.model import Target
    from dockshell.options import Arguments
    from dockshell.target import Project

__all__ = ["aimed", "anywhere", "place", "target", "voice"]


# docker's and podman's; what is told at the first two, -v tells here.
_LEVELS = ("debug", "trace", "info", "warn", "warning", "error", "fatal", "panic")


def place(arguments: Arguments) -> Place:
    """Where the command line says to look, with the services first of the Compose project that is that of the current
    directory, or which -p or -f names. Raises UsageError where it says two places."""

    def look() -> Project:
        from dockshell.compose import here

        return here(arguments.text("project"), next(iter(arguments.texts("file")), ""))

    return _place(arguments, look)


def anywhere(arguments: Arguments) -> Place:
    """The same for who serves others, whose directory means nothing here: no project comes first."""
    return _place(arguments, elsewhere)


def _place(arguments: Arguments, look: Callable[[], Project]) -> Place:
    url, connection, identity = (arguments.text(name) for name in ("url", "connection", "identity"))
    if not (url or connection or identity):
        return Place(arguments.text("host"), arguments.text("context"), look=look, tls=_tls(arguments))
    if arguments.text("host") or arguments.text("context"):
        raise UsageError("--url, --connection and --identity are Podman's, -H and --context Docker's: give one of them")
    return Place(url, connection, look=look, podman=identity)


def target(arguments: Arguments, number: int = 0) -> Target:
    """What that one of the words names, with -p, -f and --index; the newest where there is none. Raises UsageError."""
    return aimed(arguments, parse(arguments.words[number]) if len(arguments.words) > number else LATEST)


def aimed(arguments: Arguments, found: Target) -> Target:
    """The target as -p, -f and --index have it. Raises UsageError."""
    project, index, file = arguments.text("project"), arguments.text("index"), arguments.texts("file")
    return as_service(found, project, index, named=bool(project or file)) if project or index or file else found


def voice(arguments: Arguments) -> Voice:
    """As loud as -v asks for, or --log-level. Raises UsageError for no level."""
    level = arguments.text("log_level").lower()
    if level and level not in _LEVELS:
        raise UsageError(f"--log-level takes {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}; not {printable(level)!r}")
    return Voice(bool(arguments.on("verbose")) or level in _LEVELS[:2])


def _tls(arguments: Arguments) -> Tls | None:
    """As docker has it: --tlsverify, whether true or false, asks for TLS, as --tls does; files alone don't."""
    tls, verify = arguments.on("tls"), arguments.on("tlsverify")
    if not tls and verify is None:
        return None
    from dockshell.engines.contexts import tls_of_options

    return tls_of_options(verify, *(arguments.text(name) for name in ("tlscacert", "tlscert", "tlskey")))
