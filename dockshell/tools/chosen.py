"""--tools' words → what is brought."""

from __future__ import annotations

import os

from dockshell.errors import printable
from dockshell.model import noun
from dockshell.tools.busybox import NoTools, applets, static_busybox
from dockshell.tools.kept import is_directory, names

__all__ = ["Tools", "choose", "meant"]


@noun(frozen=True)
class Tools:
    """busybox: the path of a static one on this machine; applets: the names of the programs that it is. directory: one
    of this machine whose programs are brought besides, image: an engine's; both empty for busybox alone."""

    busybox: str
    applets: tuple[str, ...]
    directory: str = ""
    image: str = ""


def choose(words: str) -> Tools:
    """words: a name that is kept, a directory's path, or an image; empty for busybox alone. Raises NoTools."""
    what = meant(words)
    busybox = static_busybox()
    found = tuple(applets(busybox))
    if not what:
        return Tools(busybox, found)
    if not is_directory(what):
        return Tools(busybox, found, image=what)
    if os.path.realpath(what) == "/":
        raise NoTools(
            "/ would lay all of this machine's files open to the container: take /usr, or a smaller directory"
        )
    if not os.path.isdir(what):
        raise NoTools(f"{printable(what)} is no directory: name one that has programs, or an image that is there")
    return Tools(busybox, found, os.path.abspath(what))


def meant(words: str) -> str:
    """What a name is kept for; any other words are what they are."""
    return words if not words or is_directory(words) else names().get(words, words)
