"""The ways to what listens inside. A way is one class with these methods, in a file of its own, and a line in WAYS."""

from __future__ import annotations

from dockshell.errors import DockshellError, NoRoute, UsageError
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from dockshell.forward.carrying import Far
    from dockshell.forward.loop import Loop
    from dockshell.model import Container
    from dockshell.ssh.forwards import Spot
    from dockshell.voice import Voice

    Then = Callable[[Far | OSError], None]
else:
    Protocol = object

__all__ = ["WAYS", "Inside", "Way", "Ways"]

# In the order in which `auto` tries them: in the container's own network, where everything can be reached; across its
# network, where it can be reached at all; by a program, which costs a process for each connection.
WAYS = {
    "nsenter": "dockshell.forward.within",
    "address": "dockshell.forward.address",
    "exec": "dockshell.forward.beside",
}


@noun(frozen=True)
class Inside:
    """Where all forwards lead. user: whose rights count at Unix sockets, as -u has it. lost: called, in the loop, when
    a way finds itself cut off."""

    container: Container
    user: str
    loop: Loop
    voice: Voice
    lost: Callable[[], None]


class Way(Protocol):
    """A way to what listens in one container. Each module in WAYS has a function `way(inside: Inside) -> Way`."""

    def refuses(self, spot: Spot) -> str | None:
        """Why it can't lead there, with the remedy; None if it can. spot: its port, or its path."""

    def dial(self, spot: Spot, then: Then) -> None:
        """Connects to there. Returns at once; then is called once, later and in the loop, unless it was closed."""

    def close(self) -> None:
        """Lets go of all that it holds inside or beside the container. Connections that it made are not its own."""


class Ways:
    """Those that were asked so far. via: `auto` or a name in WAYS."""

    def __init__(self, via: str, inside: Inside) -> None:
        if via not in ("auto", *WAYS):
            raise UsageError(f"--via takes auto, {', '.join(WAYS)} here; not {via!r}")
        self._names: Sequence[str] = tuple(WAYS) if via == "auto" else (via,)
        self._inside = inside
        self._made: dict[str, Way] = {}

    def choose(self, spot: Spot) -> Way:
        """The first that doesn't refuse. -v tells which, and why others did. Raises NoRoute, holding every refusal."""
        refusals = []
        for name in self._names:
            way = self._way(name)
            reason = way.refuses(spot)
            self._inside.voice.tell(f"{spot.path or spot.port}: {name}: {reason or 'taken'}")
            if reason is None:
                return way
            refusals.append((name, reason))
        raise NoRoute(self._inside.container.name, refusals)

    def close(self) -> None:
        for way in self._made.values():
            try:
                way.close()
            except DockshellError as error:
                self._inside.voice.tell(str(error))

    def _way(self, name: str) -> Way:
        if name not in self._made:
            self._made[name] = __import__(WAYS[name], fromlist=("way",)).way(self._inside)
        return self._made[name]
