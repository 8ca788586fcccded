"""What a person configured for a container → a Command and a Way in, where the command line leaves it open."""

from __future__ import annotations

import os
import time

from dockshell.config.keys import keys
from dockshell.errors import printable
from dockshell.model import replace
from dockshell.routes import order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.config.held import Config
    from dockshell.entering import Way
    from dockshell.model import Command, Container
    from dockshell.recording import Recording

__all__ = ["Habits"]

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Habits:
    """What holds for that container."""

    def __init__(self, config: Config, container: Container) -> None:
        self._config = config
        self._container = container
        self._held = config.settings(container)

    def command(self, command: Command) -> Command:
        """The command, with what it doesn't say itself."""
        return replace(
            command,
            user=command.user or self._text("user"),
            shell=command.shell or self._text("shell"),
            tools=command.tools or self._text("tools"),
        )

    def way(self, way: Way, command: Command) -> Way:
        """The same for the way. Raises UsageError where it names no route."""
        via, detach_key = self._text("via"), self._text("detach_key")
        if via:
            order(via, way.verb, f"via, as {self._origin('via')} has it,")
        return replace(
            way,
            via=way.via or via,
            recording=way.recording or self._recording(command),
            detach_key=keys(detach_key) if detach_key and way.detach_key is None else way.detach_key,
        )

    def _recording(self, command: Command) -> Recording | None:
        """What is done at a terminal; a command in a pipe has nobody who'd watch it again."""
        place = self._text("record")
        if not place or command.terminal is None:
            return None
        from dockshell.recording import Recording  # with json, which who records nothing does without

        # Hostile, and to be a part of a file's name.
        name = "".join(c for c in self._container.name if c in _PLAIN)[:64].lstrip(".") or "container"
        file = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{os.getpid()}.cast"
        path = os.path.join(os.path.expanduser(place), file)
        return Recording(path, self._config.on("record_input", self._container), made=True)

    def _text(self, name: str) -> str:
        value = self._held[name][0] if name in self._held else ""
        return value if isinstance(value, str) else ""

    def _origin(self, name: str) -> str:
        return printable(self._config.origin(self._held[name][1], name))
