"""What the engines have: each is asked in a thread of its own, for a slow one is not to hold the others up."""

from __future__ import annotations

import threading

from dockshell.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dockshell.engines import Engine
    from dockshell.model import Container

__all__ = ["Gathering"]


class Gathering:
    """wanted: which containers are. changed: called, in any thread, whenever there is more to know. found grows as the
    engines answer; failures are the sentences of those that can't."""

    def __init__(self, engines: Sequence[Engine], wanted: Callable[[Container], bool]) -> None:
        self.found: tuple[Container, ...] = ()
        self.failures: tuple[str, ...] = ()
        self.changed: Callable[[], None] = lambda: None
        self._wanted = wanted
        self._asked = list(engines)
        self._lock = threading.Lock()

    @property
    def asked(self) -> list[str]:
        """The addresses of the engines that haven't answered yet."""
        return [engine.address for engine in self._asked]

    @property
    def vain(self) -> bool:
        """Have all answered, and is there nothing to pick?"""
        return not self._asked and not self.found

    def begin(self) -> None:
        """Asks them."""
        for engine in list(self._asked):
            # A daemon: one that never answers is not waited for at the end.
            threading.Thread(target=self._ask, args=(engine,), daemon=True).start()

    def _ask(self, engine: Engine) -> None:
        found, failure = [], ""
        try:
            found = [each for each in engine.all() if self._wanted(each)]
        except EngineError as error:
            failure = str(error)
        with self._lock:
            self.found += tuple(found)
            self.failures += (failure,) if failure else ()
            self._asked.remove(engine)
        self.changed()
