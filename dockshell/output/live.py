"""A terminal's alternate screen, drawn anew as things change."""

from __future__ import annotations

import os
import signal
import sys
import termios
from select import POLLIN, poll
from time import monotonic

from dockshell.linux.guardian import Guardian
from dockshell.linux.terminals import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any

    from dockshell.model import Size

__all__ = ["Screen", "can_draw"]

# xterm's: the alternate screen, without a cursor; and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_TOP, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_TICK = 0.2  # seconds after which a new size is seen at the latest


def can_draw() -> bool:
    """Is stdout a terminal that can be drawn on?"""
    return os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"


class Screen:
    """`with Screen() as screen:` the terminal at stdout is drawn on, and what is typed isn't echoed. However it ends,
    by TERM, HUP and KILL too, the terminal is as it was before; while it is stopped (Ctrl-Z) as well."""

    def __init__(self) -> None:
        self._keys = os.isatty(0)
        self._frame: Callable[[Size], Sequence[str]] = lambda size: ()
        self._shown = size(1)

    def __enter__(self) -> Screen:
        self._duty = _Restoring(os.dup(1), termios.tcgetattr(0) if self._keys else None)
        self._guardian = Guardian(self._duty, [self._duty.descriptor])
        self._handlers = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, _end), (signal.SIGHUP, _end), (signal.SIGTSTP, self._stop),
            )
        }  # fmt: skip
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._duty.end()
        self._guardian.dismiss()
        self._guardian.close()
        os.close(self._duty.descriptor)

    def show(self, frame: Callable[[Size], Sequence[str]]) -> None:
        """Draws the lines that frame has for a size, and again when the terminal's size changes. What doesn't fit below
        is not drawn; a line must not be wider than the terminal."""
        self._frame = frame
        self._shown = size(1)
        lines = frame(self._shown)[: self._shown.rows]
        sys.stdout.write(_TOP + "\n".join(line + _REST_OF_LINE for line in lines) + _REST_OF_SCREEN)
        sys.stdout.flush()

    def wait(self, seconds: float) -> bool:
        """So long; False, at once, if `q` was typed."""
        poller = poll()
        if self._keys:
            poller.register(0, POLLIN)
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            if poller.poll(min(left, _TICK) * 1000):
                typed = os.read(0, 4096)
                if not typed or b"q" in typed:
                    return False
            if size(1) != self._shown:
                self.show(self._frame)
        return True

    def _begin(self) -> None:
        if self._duty.ours:
            termios.tcsetattr(0, termios.TCSADRAIN, self._duty.ours)
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def _stop(self, number: int, _: FrameType | None) -> None:
        self._duty.end()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._stop)  # from here on it goes on again
        self._begin()
        self.show(self._frame)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _silent(settings: list[Any]) -> list[Any]:
    """The same without echo, each key as it is typed."""
    *others, characters = settings
    others[3] &= ~(termios.ECHO | termios.ICANON)
    characters = [*characters]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0  # numbers, as they will be read
    return [*others, characters]


class _Restoring:
    """The guardian's `Duty`, and ours: the terminal becomes what it was. before: the settings of the one at stdin, None
    where none is there. Where they aren't any longer as we made them, somebody has restored them already, as a shell
    does that was waiting for us."""

    def __init__(self, descriptor: int, before: list[Any] | None) -> None:
        self.descriptor, self._before = descriptor, before
        self.ours = _silent(before) if before else []

    def signal(self, number: int) -> bool:
        return False

    def end(self) -> None:
        try:
            os.write(self.descriptor, _LEAVE.encode())
            if self._before and termios.tcgetattr(self.descriptor) == self.ours:
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._before)
        except (OSError, termios.error):
            pass  # the terminal went away, and its settings with it
