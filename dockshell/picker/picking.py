"""A person picks a container."""

from __future__ import annotations

import os
import signal

from dockshell.errors import NotFound, UsageError, printable
from dockshell.linux.terminals import Raw
from dockshell.model import Target
from dockshell.picker.facts import Lookout
from dockshell.picker.gathering import Gathering
from dockshell.resolve import Place
from dockshell.target import LATEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.entering import Way
    from dockshell.model import Command, Container

__all__ = ["pick"]

_LEAVE = b"\x1b[?25h\x1b[?1049l"  # back from xterm's other screen, with a cursor


def pick(
    way: Way, command: Command, wanted: Callable[[Container], bool], typed: str = ""
) -> tuple[Place, Target] | None:
    """Has a person pick one of the wanted containers, at the terminal that stdin and stdout are → where it is, and what
    names it there and nothing else; None where there is nothing to pick.

    way, command: what the session will be, for what is told of the ways in. typed: what the list is narrowed to to
    begin with. Raises UsageError without a terminal, NotFound where it went meanwhile, EngineError, KeyboardInterrupt
    where the person leaves."""
    if not (os.isatty(0) and os.isatty(1)) or os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError("--pick takes a terminal to draw on: name a TARGET, or leave it out for the newest")
    gathering = Gathering(list(way.place.engines(LATEST)), wanted)
    gathering.begin()
    # Not before: importing it takes as long as an engine does to answer.
    from dockshell.picker.screen import Ended, Screen

    if gathering.vain:
        return None
    lookout = Lookout(way, command)
    lookout.begin()
    try:
        with Raw(0, _LEAVE):
            picked = Screen(gathering, lookout, typed).run()
    except Ended as ended:
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
        raise
    finally:
        lookout.close()
    return _still_there(picked) if picked else None


def _still_there(picked: Container) -> tuple[Place, Target]:
    """While one looks at a list, a container may go, and another come that its id's letters would name, too."""
    target = Target("name", picked.id)
    if not any(each.id == picked.id for each in picked.engine.find(target)):
        raise NotFound(f"{printable(picked.name)} is gone: pick another")
    return Place(only=picked.engine), target
