"""What dockshell itself has to say: lines on stderr, for stdout is the command's."""

from __future__ import annotations

import os
import sys
from time import monotonic

__all__ = ["Counter", "Voice", "wrapped"]

_PATIENCE = 2.0  # seconds before there is anything to see: what is done by then needs no words
_BETWEEN = 0.2
_NARROWEST = 20  # columns; in fewer, or where a terminal has no size, the terminal itself breaks lines


class Voice:
    """loud: says also what -v asks for."""

    def __init__(self, loud: bool = False) -> None:
        self.loud = loud

    def say(self, line: str) -> None:
        """A line that everybody should read; at a terminal it is wrapped between words."""
        text = f"dockshell: {line}"
        sys.stderr.write(f"{wrapped(text, os.get_terminal_size(2).columns) if os.isatty(2) else text}\n")
        sys.stderr.flush()

    def tell(self, line: str) -> None:
        """A line for whoever wants to know how it went: -v."""
        if self.loud:
            self.say(line)


def wrapped(text: str, width: int) -> str:
    """The text for a terminal of so many columns, 0 where it has no size, in lines that end between words. Each has a
    carriage return, for the terminal may be in raw mode, and all but the first are indented."""
    # Not by textwrap, whose import takes longer than all else that is done here.
    if len(text) <= width or width < _NARROWEST:
        return text
    lines = [""]
    for word in text.split(" "):
        if not lines[-1].strip() or len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}" if lines[-1] else word
        else:
            lines.append(f"  {word}")
    return "\r\n".join(lines)


class Counter:
    """How far something is that takes long: at a terminal a line that is written anew, elsewhere a single line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = monotonic() + _PATIENCE
        self._drawn = False

    def show(self, size: int) -> None:
        """So many bytes are done."""
        if monotonic() < self._next:
            return
        at_terminal = os.isatty(2)
        if at_terminal:
            sys.stderr.write(f"\rdockshell: {self._what}: {size / 1e6:.0f} MB\x1b[K")
        elif not self._drawn:
            sys.stderr.write(f"dockshell: {self._what} ...\n")
        sys.stderr.flush()
        self._drawn = True
        self._next = monotonic() + _BETWEEN

    def close(self) -> None:
        """The line goes."""
        if self._drawn and os.isatty(2):
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
