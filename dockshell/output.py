"""Tables for people. The only room that knows rich, which is imported only where there is a terminal to draw on."""

from __future__ import annotations

import os
import sys

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Column", "table"]


class Column:
    """heading: what stands above; whole: never cut, however narrow the terminal."""

    def __init__(self, heading: str, *, whole: bool = False) -> None:
        self.heading = heading.upper()
        self.whole = whole


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows, of untrusted cells, to stdout: a line each, on a terminal cut to its width, elsewhere whole."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if os.isatty(1):
        _drawn(columns, cells)
    else:
        _plain([[column.heading for column in columns], *cells])


def _plain(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _drawn(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # https://no-color.org: set to anything but nothing. Without a colour system rich sends no escape sequence at all.
    colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    console = Console(file=sys.stdout, color_system="auto" if colours else None, highlight=False)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(columns):
        longest = max([len(column.heading), *(len(row[number]) for row in rows)])
        drawn.add_column(column.heading, no_wrap=True, overflow="ellipsis", min_width=longest if column.whole else None)
    for row in rows:
        # As Text, for rich reads [brackets] in a string as its own markup.
        drawn.add_row(*(Text(cell, style=_style(column, cell)) for column, cell in zip(columns, row, strict=True)))
    console.print(drawn)


def _style(column: Column, cell: str) -> str:
    if column.heading == "STATE":
        return "green" if cell == "running" else "yellow"
    return "cyan" if column.heading == "NAME" else ""
