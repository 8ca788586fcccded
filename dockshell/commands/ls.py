"""`dockshell ls`: what can be reached, and how."""

from __future__ import annotations

import os

from dockshell.commands.looking import place, voice
from dockshell.engines.json import encode
from dockshell.errors import EngineError, UsageError, printable
from dockshell.linux.terminals import size
from dockshell.listing.fields import LOOKED_FOR, TEXTS, WHOLE, as_json, letters, words
from dockshell.listing.filters import filters
from dockshell.listing.rows import glanced, listed
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
_ROOMY = 120  # columns of a terminal in which the ways are told in words, even if others are cut for that
_UNBOUNDED = 1 << 16  # of what is no terminal
_LEGEND = ", ".join(f"{name[0]} {name}" for name in ROUTES)
_UNSEEN = f"; ? {UNSEEN}: -v looks, and says why"
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
    if arguments.text("format") not in ("", "table"):
        return _format(look, arguments.text("format"))
    if arguments.on("quiet"):
        return _print(look.texts["id"](row) for row in look.listed())
    rows = look.closer(look.listed())
    columns = size(1).columns if os.isatty(1) and not look.whole else _UNBOUNDED
    roomy = _is_roomy(rows, look, columns)
    tables.table(*_table(rows, look, roomy=roomy), whole=look.whole)
    if rows and not roomy:
        print(f"\n{_legend(rows)}")
    return 0


class _Look:
    """Where to look, at which containers. full: everything is asked, as -v wants it; whole: nothing is cut, and texts
    are those that are told."""

    def __init__(self, arguments: Arguments) -> None:
        """Raises UsageError."""
        self._place = place(arguments)
        self._voice = voice(arguments)
        self._filters = filters(arguments.texts("filter"))
        self._last = _last(arguments)
        self._everything = bool(arguments.on("all") or self._last)
        self.full = self._voice.loud
        self._watched = bool(arguments.on("watch"))
        self.whole = bool(arguments.on("no_trunc"))
        self.texts = WHOLE if self.whole else TEXTS

    def listing(self) -> Listing:
        """What the engines list. Raises EngineError."""
        return listed(self._place, self._filters, everything=self._everything, last=self._last)

    def listed(self) -> tuple[Row, ...]:
        """The same, and -v's words about each engine said. Raises EngineError."""
        listing = self.listing()
        for line in (*listing.engines, *listing.failures):
            self._voice.tell(line)
        return listing.rows

    def closer(self, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        """With what can be seen of each besides."""
        if not self.full:
            return glanced(rows)
        from dockshell.fleet.board import Board
        from dockshell.listing.workers import all_asked

        board = Board(len(rows), quiet=self._watched)
        try:
            return all_asked(rows, lambda done: board.show(done, ()))
        finally:
            board.close()


def _last(arguments: Arguments) -> int:
    """How many of the newest are asked for; 0 for all. Raises UsageError."""
    said = arguments.text("last")
    if not said:
        return int(bool(arguments.on("latest")))
    if arguments.on("latest"):
        raise UsageError("--latest is --last 1: give one of them")
    if not (said.isascii() and said.isdigit() and 0 < int(said) < 1 << 31):
        raise UsageError(f"--last takes a number from 1, as in `dockshell ls -n 3`; not {printable(said)!r}")
    return int(said)


def _table(
    rows: Sequence[Row], look: _Look, *, roomy: bool
) -> tuple[Sequence[tables.Column], list[list[str]], list[list[str]]]:
    """Columns, cells and notes as tables has them: the reasons are below each row, where all was asked. roomy: there is
    space for the ways in words."""
    told = {**look.texts, "name": TEXTS["target"], "ways": words if roomy else letters}
    cells = [[told[name](row) for name in _GIVES] for row in rows]
    notes = [[f"{name}: {why}" for name, why in row.ways if why] for row in rows] if look.full else []
    return _COLUMNS, cells, notes


def _is_roomy(rows: Sequence[Row], look: _Look, columns: int) -> bool:
    """Is there space for the ways in words, in a terminal with so many columns?"""
    return columns >= _ROOMY or tables.fits(*_table(rows, look, roomy=True)[:2], columns)


def _legend(rows: Sequence[Row]) -> str:
    unseen = any(why is UNSEEN for row in rows for _, why in row.ways)
    return _LEGEND + _UNSEEN * unseen


def _format(look: _Look, form: str) -> int:
    if form == "json":
        return _print(encode(as_json(row)).decode() for row in look.closer(look.listed()))
    template = Template(form, whole=look.whole)
    rows = look.closer(look.listed()) if template.fields & LOOKED_FOR else look.listed()
    return _print(template.filled(rows))


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
                screen.show(partial(_frame, rows, look, told))
                if not screen.wait(max(_PAUSE, _PATIENCE * (monotonic() - began))):
                    return 0
    except KeyboardInterrupt:
        return 0


def _frame(rows: Sequence[Row], look: _Look, told: Sequence[str], size: Size) -> list[str]:
    """The lines of a screen: the table as far as there is space, and a footer."""
    roomy = _is_roomy(rows, look, size.columns)
    columns, cells, notes = _table(rows, look, roomy=roomy)
    lines = tables.drawn(columns, cells, size.columns, notes)
    footer = ["", *(line for each in told for line in tables.wrapped(printable(each), size.columns))]
    footer += [] if roomy else [tables.cut(_legend(rows), size.columns)]
    footer += [tables.cut(f"{len(rows)} containers; q or Ctrl-C ends", size.columns)]
    space = max(size.rows - len(footer), 1)
    if len(lines) > space:
        lines = [*lines[: space - 1], f"… and {len(lines) - space + 1} lines more"]
    return lines + footer
