"""What `dockshell serve` tells of itself: a line of JSON for each login, refusal, session and end."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

from dockshell.bridge.allowance import Allowance
from dockshell.errors import printable

__all__ = ["Bounded", "Journal"]

_LONGEST = 200  # characters of a text: what clients say of themselves is theirs to choose
_BURST, _RATE = 100, 5.0  # lines about what comes without end


class Journal:
    """descriptor: where the lines go, each by one write(2), so that those of several processes don't mix; known: what
    every line says besides (the peer, the connection). No command, no path and no key's private half is ever told."""

    def __init__(self, descriptor: int, **known: str | int) -> None:
        self.descriptor = descriptor
        self._known = known

    def about(self, **known: str | int) -> Journal:
        """The same, with more that every line says."""
        return Journal(self.descriptor, **self._known, **known)

    def tell(self, event: str, **facts: str | int | None) -> None:
        """event: `listening`, `login`, `refusal`, `session`, `end`, `disconnect`."""
        when = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {name: _short(value) for name, value in {**self._known, **facts}.items() if value is not None}
        line = json.dumps({"time": when, "event": event, **said}, ensure_ascii=True)
        try:
            os.write(self.descriptor, line.encode() + b"\n")
        except OSError:
            pass  # a full disk keeps nobody out, nor in


class Bounded:
    """Of what comes without end a bounded number of lines is written, each with the number of those before it that were
    not, as `more`: who floods us is not to fill the disk too."""

    def __init__(self, burst: float = _BURST, rate: float = _RATE) -> None:
        self._allowance = Allowance(burst, rate)
        self._untold = 0

    def tell(self, journal: Journal, event: str, **facts: str | int | None) -> None:
        if self._allowance.take():
            journal.tell(event, **facts, more=self._untold or None)
            self._untold = 0
        else:
            self._untold += 1


def _short(value: str | int) -> str | int:
    return printable(value)[:_LONGEST] if isinstance(value, str) else value
