"""Whether a terminal gets colours."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console

__all__ = ["coloured", "drawing_on"]


def coloured() -> bool:
    """Has the terminal colours, and did nobody ask for none? https://no-color.org: NO_COLOR counts when set to anything
    but nothing."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def drawing_on(file: TextIO) -> Console:
    """A console on stdout or stderr, in colours where it is a terminal that has them and nobody asked for none. Without
    a colour system rich sends no escape sequence at all."""
    from rich.console import Console

    return Console(file=file, color_system="auto" if coloured() else None, highlight=False)
