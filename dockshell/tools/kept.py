"""Names that a person keeps for tools: a file of `NAME<tab>WHAT` lines, $XDG_CONFIG_HOME/dockshell/tools (else
~/.config/dockshell/tools). WHAT is the path of a directory, or an image."""

from __future__ import annotations

import os

from dockshell import config
from dockshell.errors import NotFound, UsageError, printable
from dockshell.linux.trusted import foreign, passed_over
from dockshell.tools.busybox import NoTools

__all__ = ["add", "is_directory", "names", "remove"]

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_LONGEST = 64


def is_directory(what: str) -> bool:
    """Does it mean a directory? A path begins with a slash or a dot, the name of an image with neither."""
    return what.startswith(("/", "."))


def names() -> dict[str, str]:
    """What is kept, by name. Raises NoTools where the file can't be read."""
    path = _path()
    if foreign(path):
        raise NoTools(
            f"{printable(path)}, where names for tools are kept, belongs to user {passed_over[path]} and is not "
            "believed: set XDG_CONFIG_HOME to a directory that is yours"
        )
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = file.read().split("\n")  # a path may hold all else that splitlines() takes for a line's end
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NoTools(f"{printable(path)}, where names for tools are kept, can't be read: {error.strerror}") from None
    return {name: what for name, tab, what in (line.partition("\t") for line in lines) if name and tab and what}


def add(name: str, what: str) -> None:
    """Keeps the name for that directory or image, in the place of what it was kept for. Raises UsageError, NoTools."""
    if not name or len(name) > _LONGEST or not _LETTERS.issuperset(name) or is_directory(name):
        raise UsageError(f"{printable(name)!r} can't be a name for tools: letters, digits, _, - and dots can")
    if "\n" in what or "\t" in what:
        raise UsageError("a directory with a newline or a tab in its path can't be kept")
    _write({**names(), name: what})


def remove(name: str) -> None:
    """The name goes, and what it was kept for stays. Raises NotFound, NoTools."""
    kept = names()
    if name not in kept:
        known = ", ".join(sorted(kept))
        raise NotFound(
            f"no tools are kept as {printable(name)}: "
            + (f"there are {printable(known)}" if known else "see `dockshell tools --help`")
        )
    _write({each: what for each, what in kept.items() if each != name})


def _write(kept: dict[str, str]) -> None:
    """The whole file or none."""
    path = _path()
    unfinished = f"{path}.{os.getpid()}"
    content = "".join(f"{name}\t{what}\n" for name, what in sorted(kept.items()))
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(content)
        os.rename(unfinished, path)
    except OSError as error:
        raise NoTools(
            f"{printable(path)}, where names for tools are kept, can't be written ({error.strerror}): "
            "set XDG_CONFIG_HOME to a directory that is yours"
        ) from None


def _path() -> str:
    return os.path.join(config.directory(), "tools")
