"""What the preview tells of a container: what its listing has at once, the rest when one has rested on it."""

from __future__ import annotations

import threading

from dockshell.entering import suited
from dockshell.environment import identity_of, login_shell
from dockshell.errors import DockshellError, NoShell, printable
from dockshell.listing.fields import TEXTS
from dockshell.listing.rows import Row
from dockshell.model import Target, replace
from dockshell.routes import Login, choose
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.entering import Way
    from dockshell.model import Command, Container

__all__ = ["Facts", "Lookout", "listed"]

Facts = list[tuple[str, str]]

_REST = 0.15  # seconds that one rests on a container before it is looked at
_PATIENCE = 1.0  # seconds that the end waits for a look that has begun
_LONGEST = 400  # characters of a fact


def listed(container: Container, ways: Facts | None = None) -> Facts:
    """What is known of it → (what it is called, printable text), the most telling first. ways: what was found out of
    the ways in."""

    def text(field: str) -> str:
        return TEXTS[field](Row(container, container.name))

    facts = [
        ("container", f"{container.name} ({container.short})"),
        ("image", container.short_image),
        ("state", text("status")),
        *(ways or ()),
        ("user", container.user),
        ("directory", container.directory),
        ("addresses", ", ".join(f"{address} ({network})" for network, address in container.addresses)),
        ("ports", text("ports")),
        ("service", text("service")),
        ("created", f"{text('age')} ago"),
        ("engine", f"{container.engine.name} at {container.engine.address}"),
        ("labels", text("labels")),
    ]
    return [(name, _short(printable(fact))) for name, fact in facts if fact]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


class Lookout:
    """Looks at one container after another, in a thread of its own: the engine's own facts first, then the ways in, as
    `way` and `command` ask for them. known: what was found, by id; changed: called, in that thread, whenever there is
    more of it."""

    def __init__(self, way: Way, command: Command) -> None:
        self.known: dict[str, Facts] = {}
        self.changed: Callable[[], None] = lambda: None
        self._way = way
        self._command = command
        # What a route has to say would be said across the screen.
        login = way.login
        self._login = Login(login.key, login.port, login.forwards, login.agent, Voice())
        self._wanted: Container | None = None
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def want(self, container: Container | None) -> None:
        """That one is looked at next, unless it is known or another is wanted before long."""
        with self._news:
            if container is not self._wanted:
                self._wanted = container
                self._news.notify()

    def begin(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Returns when nothing is looked at any more, or takes too long to wait for."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(_PATIENCE)

    def _work(self) -> None:
        while (container := self._next()) is not None:
            try:
                self._look(container)
            except DockshellError as error:
                self._tell(container, [("failed", str(error))])
            except OSError as error:
                self._tell(container, [("failed", f"it can't be looked at: {error.strerror}")])

    def _next(self) -> Container | None:
        """The one to look at, once it has been wanted for a while; None at the end."""
        with self._news:
            while not self._closed:
                wanted = self._wanted
                if wanted is None or wanted.id in self.known:
                    self._news.wait()
                elif not self._news.wait(_REST):
                    return wanted
            return None

    def _look(self, row: Container) -> None:
        container = next((each for each in row.engine.find(Target("name", row.id)) if each.id == row.id), None)
        if container is None:
            self.known[row.id] = [("state", "it is gone")]
            self.changed()
            return
        container = replace(container, status=row.status)  # which a listing alone has
        self._tell(container)
        if container.state == "running":
            self._tell(container, [*self._shell(container), *self._ways(container)])

    def _tell(self, container: Container, ways: Facts | None = None) -> None:
        self.known[container.id] = listed(container, ways)
        self.changed()

    def _shell(self, container: Container) -> Facts:
        files = container.engine.files(container)
        try:
            identity = identity_of(container, self._command, files)
            who = f" as {identity.name or identity.uid}"
            return [("shell", login_shell(identity, files, self._command.shell) + who)]
        except NoShell:
            return [("shell", "none inside")]
        except DockshellError as error:
            return [("shell", str(error))]

    def _ways(self, container: Container) -> Facts:
        """What each route says, up to the one that would be taken."""
        told: Facts = []

        def tell(line: str) -> None:
            name, _, reason = line.partition(": ")
            told.append((name, reason))

        try:
            command, way = suited(container, self._command, self._way)
            choose(way.via, way.verb, self._login, container, command, tell)
        except DockshellError:
            pass  # every reason was told
        return told
