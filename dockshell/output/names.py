"""Whose a line is, where the lines of many containers come together."""

from __future__ import annotations

import os

from dockshell.errors import printable
from dockshell.output.console import coloured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Names"]

# SGR colours, in ECMA-48's words: cyan, yellow, green, magenta, blue, and the bright ones. No red, which means trouble.
_PALETTE = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Names:
    """The names of the containers, which are known by their places. At a terminal each has a colour of its own, by its
    place, so that neighbours differ and the same selection looks the same again. apart: do stdout and stderr lead to
    different places?"""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [printable(name) for name in names]
        self._width = max(map(len, self._names), default=0)
        self._coloured = {stream: os.isatty(stream) and coloured() for stream in (1, 2)}
        self.apart = not os.path.sameopenfile(1, 2)

    def before_lines(self, number: int, stream: int) -> bytes:
        """What stands in front of each of its lines: `web   | `, all as wide as the longest."""
        return self._drawn(number, stream, f"{self._names[number]:{self._width}} | ")

    def above(self, number: int, stream: int) -> bytes:
        """A line of its own above all that it wrote, as tail(1) has it: `==> web <==`."""
        return self._drawn(number, stream, f"==> {self._names[number]} <==") + b"\n"

    def _drawn(self, number: int, stream: int, text: str) -> bytes:
        if self._coloured[stream]:
            text = f"\x1b[{_PALETTE[number % len(_PALETTE)]}m{text}\x1b[0m"
        return text.encode("utf-8", "backslashreplace")
