"""The options that say where to look and how much to tell, which nearly every verb has."""

from __future__ import annotations

from dockshell.resolve import Place
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["place", "voice"]


def place(arguments: Arguments) -> Place:
    """Where -H and --context say to look."""
    return Place(arguments.text("host"), arguments.text("context"))


def voice(arguments: Arguments) -> Voice:
    """As loud as -v asks for."""
    return Voice(bool(arguments.on("verbose")))
