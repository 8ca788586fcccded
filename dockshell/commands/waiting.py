"""What is said to somebody who waits."""

from __future__ import annotations

import contextlib
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.voice import Voice

__all__ = ["told_of"]

_SILENCE = 2.0  # seconds


@contextlib.contextmanager
def told_of(what: str, voice: Voice, after: float = _SILENCE) -> Iterator[None]:
    """Says what is being done, where it takes longer than `after` seconds."""
    timer = threading.Timer(after, lambda: voice.say(f"{what} ..."))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
