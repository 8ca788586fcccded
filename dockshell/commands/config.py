"""`dockshell config`: what is configured, and where each value came from."""

from __future__ import annotations

import os

from dockshell import config
from dockshell.commands.looking import place, target, voice
from dockshell.config.file import SETTINGS
from dockshell.config.held import EVERYWHERE
from dockshell.errors import printable
from dockshell.output import tables
from dockshell.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.config.held import Config, Section
    from dockshell.options import Arguments

__all__ = ["run"]

_COLUMNS = (
    tables.Column("setting"),
    tables.Column("value", gives=1),
    tables.Column("for", gives=2),
    tables.Column("from"),
)
_BUILT_IN = "built in"
_EVERY = "every container"


def run(arguments: Arguments) -> int:
    """Prints what holds: for TARGET; without one every setting at all, with the sections that change it. Raises
    UsageError for a file that makes no sense, and what resolve() does."""
    container = resolve(target(arguments), place(arguments), voice(arguments)) if arguments.words else None
    found = config.load()
    if found is None:
        voice(arguments).say(f"there is no {printable(config.path())}: the defaults hold")
    rows = []
    held = found.settings(container) if found else {}
    for name, setting in SETTINGS.items():
        if found and name in held:
            value, section = held[name]
            rows.append([name, _spoken(value), _whom(section.kind, section.glob), _origin(found, section, name)])
        else:
            rows.append([name, setting.absent, _EVERY, _BUILT_IN])
        if found and container is None:
            rows += _exceptions(found, name)
    (tables.records if arguments.on("json") else tables.table)(_COLUMNS, rows)
    return 0


def _exceptions(found: Config, name: str) -> list[list[str]]:
    return [
        [name, _spoken(section.values[name]), _whom(section.kind, section.glob), _origin(found, section, name)]
        for section in found.sections
        if section.kind != EVERYWHERE and name in section.values
    ]


def _origin(found: Config, section: Section, name: str) -> str:
    """A line's number is of no use if it is cut, and with `~` it rarely has to be."""
    home = os.path.join(os.path.expanduser("~"), "")
    origin = found.origin(section, name)
    return f"~/{origin[len(home) :]}" if origin.startswith(home) else origin


def _spoken(value: str | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _whom(kind: str, glob: str) -> str:
    return f"{kind} {glob}" if kind else _EVERY
