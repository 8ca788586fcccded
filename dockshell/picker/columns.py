"""A list's cells in columns, for terminals of any width."""

from __future__ import annotations

from prompt_toolkit.utils import get_cwidth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["aligned", "fitted", "natural", "wrapped"]

_GAP = 2


def natural(lines: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column is with all that is in it."""
    return [max(map(get_cwidth, cells)) for cells in zip(*lines, strict=True)]


def fitted(widths: Sequence[int], floors: Sequence[tuple[int, int]], room: int) -> list[int]:
    """The widths that go into room for so many characters. floors: which column is cut down to how many, one after
    another for as long as that is needed. A column of 0 isn't there."""
    fits = list(widths)
    for column, floor in floors:
        excess = sum(fits) + _GAP * (sum(map(bool, fits)) - 1) - room
        if excess > 0:
            fits[column] = max(fits[column] - excess, min(floor, fits[column]))
    return fits


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line of them, each cut or filled up to its column."""
    return (" " * _GAP).join(_cell(cell, width) for cell, width in zip(cells, widths, strict=True) if width)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of so many columns, broken between words where that can be."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and get_cwidth(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if get_cwidth(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _cell(text: str, width: int) -> str:
    if get_cwidth(text) > width:
        while text and get_cwidth(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - get_cwidth(text))
