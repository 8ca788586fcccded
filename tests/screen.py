"""What a person sees of a program at a terminal: its output, drawn by a terminal in memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pexpect
import pyte

__all__ = ["Seen"]


class Seen:
    """child: a program on a pty of that many (rows, columns). raw: all that it has written so far."""

    def __init__(self, child: pexpect.spawn[bytes], dimensions: tuple[int, int] = (24, 80)) -> None:
        self.child = child
        self.raw = b""
        rows, columns = dimensions
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """The screen, with no blanks at the ends of lines."""
        return [line.rstrip() for line in self._screen.display]

    def until(self, holds: Callable[[list[str]], object], within: float = 60.0) -> list[str]:
        """Looks until that holds of the lines → these. Raises AssertionError, with what is to be seen instead."""
        end = time.monotonic() + within
        while not holds(self.lines):
            assert time.monotonic() < end, "\n".join(self.lines)
            with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
                data = self.child.read_nonblocking(1 << 16, timeout=0.1)
                self.raw += data
                self._stream.feed(data)
        return self.lines

    def shows(self, text: str) -> list[str]:
        """Looks until some line has that text in it → the lines."""
        return self.until(lambda lines: any(text in line for line in lines))

    def resize(self, rows: int, columns: int) -> None:
        """The terminal gets another size, and loses what it showed, so that only what is drawn anew is seen."""
        self._screen.resize(rows, columns)
        self._screen.reset()
        self.child.setwinsize(rows, columns)
