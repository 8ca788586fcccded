"""A guardian that does one thing after another for us, and answers: what it has begun it undoes, whatever ends us."""

from __future__ import annotations

import os
import time
from select import POLLIN, poll

from dockshell.engines.json import decode, encode
from dockshell.errors import DockshellError, EngineError
from dockshell.linux.guardian import Guardian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol
else:
    Protocol = object

__all__ = ["Deputy", "Errand"]

_LONG = 2.0  # seconds after which a person wonders
_PIECE = 1 << 16
_DONE = 255  # in the place of a thing's number
# Seconds after we were killed: until then others end the command (ARCHITECTURE.md, Who outlives dockshell), for which
# they may need what the errand has made.
_LAST = 2.5


class Errand(Protocol):
    """What a deputy does; both are called in its process."""

    def do(self, number: int) -> str:
        """The thing of that number (1 to 254) → what there is to tell of it. Raises DockshellError."""

    def end(self) -> None:
        """Undoes what is left of it: we are done, or gone. Raises nothing."""


class Deputy:
    """In a process of its own from the start: nothing of the errand is lost when we are killed in its middle."""

    def __init__(self, errand: Errand) -> None:
        self._answers, theirs = os.pipe()
        try:
            self._guardian = Guardian(_Duty(errand, theirs), [theirs])
        finally:
            os.close(theirs)

    def __enter__(self) -> Deputy:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._guardian.signal(_DONE)
        if isinstance(error, KeyboardInterrupt):
            self._guardian.control.close()  # it undoes things by itself, and who wants to be gone doesn't wait for that
        else:
            self._guardian.close()
        os.close(self._answers)

    def do(self, number: int, lasting: Callable[[], None]) -> str:
        """Has it do that, and waits → what it tells. lasting() is called once where that takes a while. Raises what the
        errand raised, as an EngineError."""
        self._guardian.signal(number)
        waiter = poll()
        waiter.register(self._answers, POLLIN)
        if not waiter.poll(int(_LONG * 1000)):
            lasting()
        told = b""
        while not told.endswith(b"\n"):
            piece = os.read(self._answers, _PIECE)
            if not piece:
                raise EngineError("the process that was to do it was killed: see what `dockshell --debug` tells")
            told += piece
        answer = decode(told)
        if "error" in answer:
            raise EngineError(answer["error"], answer["status"])
        return str(answer["told"])


class _Duty:
    """The guardian's `Duty`: a signal's number is the errand's. It answers a line of JSON each."""

    def __init__(self, errand: Errand, answers: int) -> None:
        self._errand = errand
        self._answers = answers
        self._done = False

    def signal(self, number: int) -> bool:
        if number == _DONE:
            self._done = True
            return True
        answer: dict[str, object]
        try:
            answer = {"told": self._errand.do(number)}
        except EngineError as error:
            answer = {"error": str(error), "status": error.status}
        except DockshellError as error:
            answer = {"error": str(error), "status": 0}
        except Exception as error:  # a fault of ours, which is to be seen
            answer = {"error": f"something went wrong that should not have ({error!r}): report that", "status": 0}
        try:
            os.write(self._answers, encode(answer) + b"\n")
        except BrokenPipeError:
            pass  # we are gone, which is what it reads next
        return True

    def end(self) -> None:
        if not self._done:
            time.sleep(_LAST)
        self._errand.end()
