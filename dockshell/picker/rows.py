"""Containers → rows to pick from, and which of them fit what was typed. Pure."""

from __future__ import annotations

from dockshell.errors import printable
from dockshell.listing.fields import TEXTS
from dockshell.listing.rows import Row as Listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.model import Container

__all__ = ["HEADINGS", "Row", "narrowed", "rows"]

_FIELDS = ("target", "image", "state", "age", "service")  # of listing/fields.py
HEADINGS = ("NAME", "IMAGE", "STATE", "AGE", "SERVICE")


class Row:
    """A container, with what is shown of it. name: with its engine in front where several engines have some; a TARGET
    either way."""

    def __init__(self, container: Container, name: str) -> None:
        self.container = container
        self.name = printable(name)
        self._listed = Listed(container, name)
        self._shown = " ".join(self.cells()).casefold()

    def cells(self) -> list[str]:
        """What stands below each of HEADINGS, now."""
        return [printable(TEXTS[field](self._listed)) for field in _FIELDS]

    def fits(self, word: str) -> bool:
        """Does the word, in lower case, stand anywhere in what is shown, or begin the id?"""
        return word in self._shown or self.container.id.startswith(word)

    def nearly_fits(self, word: str) -> bool:
        """Has the name its letters, in their order?"""
        letters = iter(self.name.casefold())
        return self.fits(word) or all(letter in letters for letter in word)


def rows(containers: Sequence[Container]) -> list[Row]:
    """A row for each, the newest first."""
    several = len({each.engine.address for each in containers}) > 1
    newest_first = sorted(containers, key=lambda each: each.created, reverse=True)
    return [Row(each, f"{each.engine.name}://{each.name}" if several else each.name) for each in newest_first]


def narrowed(rows: Sequence[Row], typed: str) -> list[Row]:
    """Those that every typed word fits, then those that it nearly fits, each in their order."""
    words = typed.casefold().split()
    fitting = [row for row in rows if all(map(row.fits, words))]
    kept = set(map(id, fitting))
    return fitting + [row for row in rows if id(row) not in kept and all(map(row.nearly_fits, words))]
