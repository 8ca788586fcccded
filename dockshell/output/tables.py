"""Tables for people."""

from __future__ import annotations

import os
import sys

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Column", "table"]

_GAP = 2
_FLOORS = (15, 1)  # how narrow columns get: each in its turn down to the first, which holds an IPv4 address; then on


class Column:
    """heading: what stands above; gives: whose turn it is to be cut where the terminal is too narrow, 1 for the first,
    0 for never."""

    def __init__(self, heading: str, gives: int = 0) -> None:
        self.heading = heading.upper()
        self.gives = gives


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows, of untrusted cells, to stdout: a line each, on a terminal cut to its width, elsewhere whole."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if os.isatty(1):
        _drawn(columns, cells)
    else:
        _plain(columns, cells)


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.heading for column in columns], *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        print((" " * _GAP).join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _drawn(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from dockshell.output.console import drawing_on

    console = drawing_on(sys.stdout)
    lines = [[column.heading for column in columns], *rows]
    widths = _fitted(columns, [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)], console.width)
    drawn = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        drawn.add_column(column.heading, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        # As Text, for rich reads [brackets] in a string as its own markup.
        drawn.add_row(*(Text(cell, style=_style(column, cell)) for column, cell in zip(columns, row, strict=True)))
    console.print(drawn)


def _fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The widths of the columns in a terminal with room for that many characters. rich would cut ids, too."""
    fitted = list(widths)
    excess = sum(fitted) + _GAP * (len(fitted) - 1) - room
    turns = sorted((column.gives, number) for number, column in enumerate(columns) if column.gives)
    for floor in _FLOORS:
        for _, number in turns:
            cut = max(min(excess, fitted[number] - floor), 0)
            fitted[number] -= cut
            excess -= cut
    return fitted


def _style(column: Column, cell: str) -> str:
    if column.heading == "STATE":
        return "green" if cell == "running" else "yellow"
    return "cyan" if column.heading == "NAME" else ""
