"""stdout and stderr of a fleet, and at a terminal the bar below what is written there."""

from __future__ import annotations

import os
from time import monotonic

from dockshell.relay import write_some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.output.bars import Count

__all__ = ["Board"]

_PATIENCE = 1.0  # seconds before there is a bar: what is done by then needs none
_QUIET = 0.2  # seconds without output before it comes back


class Board:
    """total: how many containers there are; quiet: there is to be no bar. draws: whether stderr is a terminal, which
    gets one."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self.draws = os.isatty(2) and not quiet
        self._total = total
        self._since = monotonic()
        self._next = self._since + _PATIENCE
        self._bar: Count | None = None

    def write(self, stream: int, data: bytes) -> None:
        """Writes all of it to stdout (1) or stderr (2), which must leave a terminal at the beginning of a line. Raises
        BrokenPipeError."""
        if self._bar:
            self._bar.hide()
            self._next = max(self._next, monotonic() + _QUIET)
        while data:
            data = data[write_some(stream, data) :]

    def show(self, ended: int, running: Sequence[str]) -> None:
        """Draws the bar, where one is due: how many have ended, and the names of those that run."""
        if not self.draws or monotonic() < self._next:
            return
        if self._bar is None:
            from dockshell.output.bars import Count

            self._bar = Count(self._total, self._since)
        self._bar.show(ended, running)
        self._next = monotonic() + _QUIET

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar:
            self._bar.hide()
