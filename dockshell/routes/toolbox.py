"""The toolbox route: a container with nothing inside gets tools for a session, and keeps nothing of them.

As root they are mounted where only the session sees them (toolbox_kernel.py); else, by the engine's API, a container
beside it has them (toolbox_sidecar.py)."""

from __future__ import annotations

from dockshell.environment import has_shell
from dockshell.errors import CommandNotFound, DockshellError, EngineError, MissingInterpreter
from dockshell.routes.nsenter import Nsenter
from dockshell.tools.busybox import NoTools
from dockshell.tools.chosen import Tools, choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Command, Container
    from dockshell.routes import Login
    from dockshell.session import Session
    from dockshell.voice import Voice

__all__ = ["Toolbox", "instead", "route"]


def route(login: Login) -> Toolbox:
    return Toolbox(login.voice)


class Toolbox:
    """The `Route`."""

    def __init__(self, voice: Voice, nsenter: Nsenter | None = None) -> None:
        """nsenter: who has been asked about the same already, if anybody."""
        self._voice = voice
        self._known = nsenter
        self._nsenter: Nsenter | None = None
        self._tools: Tools | None = None

    def refuses(self, container: Container, command: Command, *, asked: bool) -> str | None:
        try:
            self._tools = choose(command.tools)
        except NoTools as lack:
            return str(lack)
        nsenter = self._known or Nsenter()
        reason = nsenter.refuses(container, command, asked=asked)
        if reason is None:
            self._nsenter = nsenter
            return None
        if container.engine.api is None:
            return reason
        if command.capabilities:
            return f"capabilities are added by the kernel alone, and {reason}"
        self._voice.tell(f"toolbox: not by the kernel ({reason}), so by a container beside it")
        return None

    def open(self, container: Container, command: Command) -> Session:
        if self._tools is None:
            raise EngineError("the tools were not looked for")
        if self._nsenter is not None:
            from dockshell.routes.toolbox_kernel import start

            return start(self._nsenter, self._tools, container, command)
        from dockshell.routes import toolbox_sidecar

        if container.engine.api is None:
            raise EngineError("there is no engine to ask")
        return toolbox_sidecar.start(container.engine.api, container, command, self._tools)


def instead(missing: DockshellError, container: Container, command: Command, login: Login) -> Toolbox:
    """The route with tools, for a command (or shell) that was found missing in a container where there is no shell;
    where there is one, that is raised again, and where tools can't be had, with the reason."""
    if isinstance(missing, CommandNotFound) and has_shell(container.engine.files(container)):
        raise missing
    toolbox = route(login)
    reason = toolbox.refuses(container, command, asked=False)
    login.voice.tell(f"toolbox: {reason or 'taken, for there is no shell inside'}")
    if reason is None:
        return toolbox
    if isinstance(missing, MissingInterpreter):
        raise missing
    what = "it is not there, nor a shell" if isinstance(missing, CommandNotFound) else "there is no shell inside"
    raise type(missing)(f"{what}, and no tools can be brought: {reason}") from missing
