"""`dockshell tools`: names for what `--tools` brings into containers."""

from __future__ import annotations

import os

from dockshell.commands.looking import place, voice
from dockshell.engines import containers
from dockshell.errors import EngineError, UsageError, printable
from dockshell.output import tables
from dockshell.target import LATEST
from dockshell.tools import kept
from dockshell.tools.busybox import NoTools, static_busybox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]

_COLUMNS = (
    tables.Column("name", gives=3),
    tables.Column("kind"),
    tables.Column("what", gives=1),
    tables.Column("state", gives=2),
)
_THERE = "there"


def run(arguments: Arguments) -> int:
    """Lists, adds or removes → 0. Raises UsageError and DockshellError."""
    action, *words = arguments.words
    if arguments.on("json") and action != "list":
        raise UsageError(f"--json goes with list, not with {printable(action)}: leave it out")
    if action == "list" and not words:
        (tables.records if arguments.on("json") else tables.table)(_COLUMNS, _rows(arguments))
    elif action == "add" and words:
        _add(arguments, *words)
    elif action == "remove" and len(words) == 1:
        kept.remove(words[0])
    else:
        raise UsageError(
            "tools takes list, add DIR|IMAGE [NAME], or remove NAME: `dockshell tools add nicolaka/netshoot`"
        )
    return 0


def _add(arguments: Arguments, what: str, name: str = "") -> None:
    say = voice(arguments).say
    if kept.is_directory(what):
        what = os.path.abspath(what)
    # What people call an image: the last part, without tag or digest.
    name = name or os.path.basename(what).partition("@")[0].partition(":")[0]
    state = _state(arguments, what)
    if state != _THERE and not kept.is_directory(what) and os.path.isdir(what):
        raise UsageError(f"{printable(what)} would be an image: the directory is ./{printable(what)}")
    kept.add(name, what)
    if state != _THERE:
        say(f"{printable(name)} is kept, but {printable(what)} can't be brought yet: {state}")


def _rows(arguments: Arguments) -> list[list[str]]:
    try:
        first = ["(none)", "busybox", static_busybox(), _THERE]
    except NoTools as reason:
        first = ["(none)", "busybox", "", str(reason)]
    rows = [
        [name, "directory" if kept.is_directory(what) else "image", what, _state(arguments, what)]
        for name, what in sorted(kept.names().items())
    ]
    return [first, *rows]


def _state(arguments: Arguments, what: str) -> str:
    """Can it be brought now? `there`, or why not."""
    if kept.is_directory(what):
        return _THERE if os.path.isdir(what) else "no such directory"
    failures, asked = [], []
    for engine in place(arguments).engines(LATEST):
        if engine.api is None:
            continue
        try:
            asked.append(engine.name)
            if containers.image(engine.api, what) is not None:
                return _THERE
        except EngineError as error:
            failures.append(str(error))
    if failures and len(failures) == len(asked):
        return failures[0]
    return f"not pulled: `{asked[0]} pull {printable(what)}`" if asked else "no engine to ask"
