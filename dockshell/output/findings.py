"""What the doctor found, for people: a heading for each subject, a line for each finding, and below it the command that
mends it, on a line of its own that can be copied."""

from __future__ import annotations

import os
import sys

from dockshell.errors import printable

__all__ = ["Report"]

_INDENT = 2
_GRADE = 8  # the width of the column of grades, with the gap behind it
_STYLES = {"ok": "green", "note": "cyan", "wrong": "yellow", "danger": "bold red"}


class Report:
    """Prints to stdout; at a terminal in colours and by its width, elsewhere each finding in one line."""

    def __init__(self) -> None:
        self._subject = ""
        self._at_terminal = os.isatty(1)

    def add(self, subject: str, grade: str, what: str, remedy: str) -> None:
        """A finding's four fields, which may hold anything."""
        if subject != self._subject:
            self._line([("\n" if self._subject else "", ""), (subject, "bold")])
            self._subject = subject
        lines = self._wrapped(printable(what))
        margin = " " * (_INDENT + _GRADE)
        self._line([(" " * _INDENT, ""), (grade.ljust(_GRADE), _STYLES[grade]), (lines[0], "")])
        for line in lines[1:]:
            self._line([(margin + line, "")])
        if remedy:
            self._line([(margin, ""), (printable(remedy), "bold")])
        sys.stdout.flush()

    def _wrapped(self, text: str) -> list[str]:
        if not self._at_terminal:
            return [text]
        from rich.text import Text

        from dockshell.output.console import drawing_on

        console = drawing_on(sys.stdout)
        room = max(console.width - _INDENT - _GRADE - 1, 20)
        return [line.plain.rstrip() for line in Text(text).wrap(console, room)]

    def _line(self, pieces: list[tuple[str, str]]) -> None:
        """Pieces of text, each with its style."""
        if not self._at_terminal:
            print("".join(text for text, _ in pieces))
            return
        from rich.text import Text

        from dockshell.output.console import drawing_on

        # A command is broken by the terminal alone, so that it is one line when it is copied.
        drawing_on(sys.stdout).print(Text.assemble(*pieces), soft_wrap=True)
