"""What dockshell itself has to say: lines on stderr, for stdout is the command's."""

from __future__ import annotations

import sys

__all__ = ["Voice"]


class Voice:
    """loud: says also what -v asks for."""

    def __init__(self, loud: bool = False) -> None:
        self.loud = loud

    def say(self, line: str) -> None:
        """A line that everybody should read."""
        sys.stderr.write(f"dockshell: {line}\n")
        sys.stderr.flush()

    def tell(self, line: str) -> None:
        """A line for whoever wants to know how it went: -v."""
        if self.loud:
            self.say(line)
