"""`dockshell ls`: what can be reached, and how."""

from __future__ import annotations

import os

from dockshell.commands.looking import place, voice
from dockshell.engines.json import encode
from dockshell.errors import EngineError, UsageError, printable
from dockshell.linux.terminals import size
from dockshell.listing.fields import LOOKED_FOR, TEXTS, as_json, letters, words
from dockshell.listing.filters import filters
from dockshell.listing.rows import asked, glanced, listed
from dockshell.listing.template import Template
from dockshell.output import tables
from dockshell.routes import ROUTES, UNSEEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dockshell.listing.rows import Listing, Row
    from dockshell.model import Size
    from dockshell.options import Arguments

__all__ = ["run"]

# A name is what people type next, so it is the last to be cut; a state is of no use in part.
_GIVES = {"name": 4, "image": 1, "state": 0, "age": 0, "addresses": 3, "service": 2, "shell": 0, "ways": 0}
_COLUMNS = tuple(tables.Column(name, gives) for name, gives in _GIVES.items())
_ROOMY = 120  # columns of a terminal in which the ways are told in words
_LEGEND = f"{', '.join(f'{name[0]} {name}' for name in ROUTES)}; - refused"
_UNSEEN = f", ? {UNSEEN}; -v tells why"
# A watch asks an engine so often, and then leaves it alone for many times as long as that has taken.
_PAUSE = 1.0
_PATIENCE = 10


def run(arguments: Arguments) -> int:
    """Prints the containers, newest first, of every engine that answers. Raises UsageError, and EngineError where no
    engine does."""
    chosen = [name for name in ("quiet", "format", "watch") if arguments.said.get(name)]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} don't go together: give one of them")
    look = _Look(arguments)
    if arguments.on("watch"):
        return _watch(look)
    if arguments.text("format"):
        return _format(look, arguments.text("format"))
    if arguments.on("quiet"):
        return _print(TEXTS["id"](row) for row in look.listed())
    rows = look.closer(look.listed())
    narrow = os.isatty(1) and size(1).columns < _ROOMY
    tables.table(*_table(rows, look.full, roomy=not narrow))
    if rows and narrow:
        print(f"\n{_legend(look.full)}")
    return 0


class _Look:
    """Where to look, at which containers. full: everything is asked, as -v wants it."""

    def __init__(self, arguments: Arguments) -> None:
        """Raises UsageError."""
        self._place = place(arguments)
        self._voice = voice(arguments)
        self._filters = filters(arguments.texts("filter"))
        self._everything = bool(arguments.on("all"))
        self.full = self._voice.loud

    def listing(self) -> Listing:
        """What the engines list. Raises EngineError."""
        return listed(self._place, self._filters, everything=self._everything)

    def listed(self) -> tuple[Row, ...]:
        """The same, and -v's words about each engine said. Raises EngineError."""
        listing = self.listing()
        for line in (*listing.engines, *listing.failures):
            self._voice.tell(line)
        return listing.rows

    def closer(self, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        """With what can be seen of each besides."""
        return tuple(map(asked, rows)) if self.full else glanced(rows)


def _table(
    rows: Sequence[Row], full: bool, *, roomy: bool
) -> tuple[Sequence[tables.Column], list[list[str]], list[list[str]]]:
    """Columns, cells and notes as tables has them: the reasons are below each row, where all was asked. roomy: there is
    space for the ways in words."""
    told = {**TEXTS, "name": TEXTS["target"], "ways": words if roomy else letters}
    cells = [[told[name](row) for name in _GIVES] for row in rows]
    notes = [[f"{name}: {why}" for name, why in row.ways if why] for row in rows] if full else []
    return _COLUMNS, cells, notes


def _legend(full: bool) -> str:
    return _LEGEND if full else _LEGEND + _UNSEEN


def _format(look: _Look, form: str) -> int:
    if form == "json":
        return _print(encode(as_json(row)).decode() for row in look.closer(look.listed()))
    template = Template(form)
    rows = look.closer(look.listed()) if template.fields & LOOKED_FOR else look.listed()
    return _print(map(template.filled, rows))


def _print(lines: Iterable[str]) -> int:
    for line in lines:
        print(line)
    return 0


def _watch(look: _Look) -> int:
    """Until Ctrl-C or q. What is wrong with an engine is said below the table, for it may come back."""
    from functools import partial
    from time import monotonic

    from dockshell.output.live import Screen, can_draw

    if not can_draw():
        raise UsageError("--watch draws at a terminal, and there is none: take `--format json`, again and again")
    listing = look.listing()  # what is wrong from the beginning ends it
    rows: tuple[Row, ...] = ()
    told = listing.failures
    try:
        with Screen() as screen:
            while True:
                began = monotonic()
                try:
                    listing = look.listing()
                    rows, told = look.closer(listing.rows), listing.failures
                except EngineError as error:
                    told = (str(error),)
                screen.show(partial(_frame, rows, look.full, told))
                if not screen.wait(max(_PAUSE, _PATIENCE * (monotonic() - began))):
                    return 0
    except KeyboardInterrupt:
        return 0


def _frame(rows: Sequence[Row], full: bool, told: Sequence[str], size: Size) -> list[str]:
    """The lines of a screen: the table as far as there is space, and a footer."""
    roomy = size.columns >= _ROOMY
    columns, cells, notes = _table(rows, full, roomy=roomy)
    lines = tables.drawn(columns, cells, size.columns, notes)
    footer = ["", *(line for each in told for line in tables.wrapped(printable(each), size.columns))]
    footer += [] if roomy else [tables.cut(_legend(full), size.columns)]
    footer += [tables.cut(f"{len(rows)} containers; q or Ctrl-C ends", size.columns)]
    space = max(size.rows - len(footer), 1)
    if len(lines) > space:
        lines = [*lines[: space - 1], f"… and {len(lines) - space + 1} lines more"]
    return lines + footer
