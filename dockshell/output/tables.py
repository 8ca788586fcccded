"""Tables for people."""

from __future__ import annotations

import os

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Column", "cut", "drawn", "fits", "justified", "records", "table", "wrapped"]

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


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    notes: Sequence[Sequence[str]] = (),
    *,
    whole: bool = False,
) -> None:
    """Prints the rows, of untrusted cells, to stdout: a line each, on a terminal cut to its width, elsewhere, or if so
    asked, whole. notes: for each row the lines of text, as untrusted, that come below it."""
    if os.isatty(1) and not whole:
        from dockshell.linux.terminals import size

        lines = drawn(columns, rows, size(1).columns, notes)
    else:
        lines = _plain(columns, rows, notes)
    if lines:
        print("\n".join(lines))


def records(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints the same for programs: a JSON list of objects, whose keys are the headings."""
    import json

    names = [column.heading.lower().replace(" ", "_") for column in columns]
    print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))


def drawn(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, notes: Sequence[Sequence[str]] = ()
) -> list[str]:
    """The lines of the same table for a terminal that is so many characters wide. A column with nothing in it is left
    out."""
    from dockshell.output.console import coloured

    columns, cells = _kept(columns, rows)
    headings = [column.heading for column in columns]
    widths = _fitted(columns, _widths(columns, cells), width)
    colours = coloured()
    lines = [_line(headings, [_BOLD if colours else ""] * len(columns), widths)]
    for number, row in enumerate(cells):
        styles = [_style(column, cell) if colours else "" for column, cell in zip(columns, row, strict=True)]
        lines.append(_line(row, styles, widths))
        for note in notes[number] if notes else ():
            lines += [_styled(each, _DIM if colours else "") for each in wrapped(printable(note), width, _NOTE)]
    return lines


def fits(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Does nothing have to be cut in a terminal that is so many characters wide?"""
    widths = _widths(*_kept(columns, rows))
    return sum(widths) + _GAP * (len(widths) - 1) <= width


def _kept(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> tuple[list[Column], list[list[str]]]:
    """Without the columns that have nothing in them; printable."""
    cells = _printable(rows)
    kept = [number for number in range(len(columns)) if not cells or any(row[number] for row in cells)]
    return [columns[number] for number in kept], [[row[number] for number in kept] for row in cells]


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    headings = [column.heading for column in columns]
    return [max(map(_width, each)) for each in zip(headings, *cells, strict=True)]


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]], notes: Sequence[Sequence[str]]) -> list[str]:
    cells = [[column.heading for column in columns], *_printable(rows)]
    below: list[Sequence[str]] = [(), *(notes or [()] * len(rows))]
    lines = []
    for line, told in zip(justified(cells, _GAP), below, strict=True):
        lines.append(line.rstrip())
        lines += [" " * _NOTE + printable(note) for note in told]
    return lines


def justified(rows: Sequence[Sequence[str]], gap: int, least: int = 0) -> list[str]:
    """The cells of each row as a line, all but its last one filled up to the widest of their column, with so many
    blanks between two, and at the least so many characters for both."""
    widths: list[int] = []
    for row in rows:
        widths += [max(least - gap, 0)] * (len(row) - 1 - len(widths))
        widths = [max(pair) for pair in zip(widths, [*map(len, row[:-1]), *widths[len(row) - 1 :]], strict=True)]
    return [
        "".join(cell.ljust(width + gap) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1]
        for row in rows
    ]


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
