"""Tables for people."""

from __future__ import annotations

import os

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Column", "cut", "drawn", "table", "wrapped"]

_GAP = 2
# How narrow columns get: each in its turn down to the first, which holds an IPv4 address; then on.
_FLOORS = (15, 9, 1)
_NOTE = 4  # how far a note is indented
_BOLD, _DIM, _GREEN, _YELLOW, _CYAN = "1", "2", "32", "33", "36"


class Column:
    """heading: what stands above; gives: whose turn it is to be cut where the terminal is too narrow, 1 for the first,
    0 for never."""

    def __init__(self, heading: str, gives: int = 0) -> None:
        self.heading = heading.upper()
        self.gives = gives


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], notes: Sequence[Sequence[str]] = ()) -> None:
    """Prints the rows, of untrusted cells, to stdout: a line each, on a terminal cut to its width, elsewhere whole.
    notes: for each row the lines of text, as untrusted, that come below it."""
    if os.isatty(1):
        from dockshell.linux.terminals import size

        lines = drawn(columns, rows, size(1).columns, notes)
    else:
        lines = _plain(columns, rows, notes)
    if lines:
        print("\n".join(lines))


def drawn(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, notes: Sequence[Sequence[str]] = ()
) -> list[str]:
    """The lines of the same table for a terminal that is so many characters wide. A column with nothing in it is left
    out."""
    from dockshell.output.console import coloured

    cells = _printable(rows)
    kept = [number for number in range(len(columns)) if not cells or any(row[number] for row in cells)]
    columns = [columns[number] for number in kept]
    cells = [[row[number] for number in kept] for row in cells]
    headings = [column.heading for column in columns]
    widths = _fitted(columns, [max(map(_width, each)) for each in zip(headings, *cells, strict=True)], width)
    colours = coloured()
    lines = [_line(headings, [_BOLD if colours else ""] * len(columns), widths)]
    for number, row in enumerate(cells):
        styles = [_style(column, cell) if colours else "" for column, cell in zip(columns, row, strict=True)]
        lines.append(_line(row, styles, widths))
        for note in notes[number] if notes else ():
            lines += [_styled(each, _DIM if colours else "") for each in wrapped(printable(note), width, _NOTE)]
    return lines


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]], notes: Sequence[Sequence[str]]) -> list[str]:
    cells = [[column.heading for column in columns], *_printable(rows)]
    widths = [max(map(len, each)) for each in zip(*cells, strict=True)]
    below: list[Sequence[str]] = [(), *(notes or [()] * len(rows))]
    lines = []
    for row, told in zip(cells, below, strict=True):
        lines.append((" " * _GAP).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines += [" " * _NOTE + printable(note) for note in told]
    return lines


def _printable(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[printable(cell) for cell in row] for row in rows]


def _line(cells: Sequence[str], styles: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for cell, style, width in zip(cells, styles, widths, strict=True):
        text = cut(cell, width)
        shown.append(_styled(text, style) + " " * (width - _width(text)))
    return (" " * _GAP).join(shown).rstrip()


def _styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style and text else text


def _width(text: str) -> int:
    """How many columns of a terminal it takes: some characters take two, some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """The text as far as it fits in so many columns of a terminal, with a mark where it was cut."""
    if _width(text) <= width:
        return text
    if text.isascii():
        return text[: width - 1] + "…"
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1) + "…"


def wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    """Printable text as lines of so many columns at the most, all but the first a little further in."""
    from textwrap import wrap

    first = " " * indent
    return wrap(text, max(width, 2 * _NOTE), initial_indent=first, subsequent_indent=first + "  ")


def _fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The widths of the columns in a terminal with room for that many characters."""
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
        return _GREEN if cell == "running" else _YELLOW
    return _CYAN if column.heading == "NAME" else ""
