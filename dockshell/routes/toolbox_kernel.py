"""The toolbox route as root: the tools are mounted in a copy of the container's mount namespace that only the session
has. Nothing is made in the container, and nothing shows there."""

from __future__ import annotations

import os

from dockshell.environment import Extra
from dockshell.errors import EngineError, NoRoute, SessionLost, printable
from dockshell.linux.attaching import Detached, empty_place, union
from dockshell.routes import nsenter_session as session
from dockshell.tools.layout import lay
from dockshell.voice import Counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Command, Container
    from dockshell.routes.nsenter import Nsenter
    from dockshell.session import Session
    from dockshell.tools.chosen import Tools

__all__ = ["start"]

_SHELLS = ("bash", "zsh")  # better ones than busybox's, where the tools have one


def start(nsenter: Nsenter, tools: Tools, container: Container, command: Command) -> Session:
    """Starts the command with the tools. nsenter: which has found that it doesn't refuse. Raises DockshellError."""
    facts = nsenter.facts(container, command)
    place = empty_place(facts.files)
    if not place:
        raise NoRoute(container.name, [("toolbox", "there is no empty directory inside to mount tools on")])
    layers = _layers(tools, container)
    try:
        namespaces = facts.namespaces if facts.joins_user else None
        tree = Detached(place, lambda made: _build(made, tools, layers), namespaces)
    except OSError as error:
        raise SessionLost(
            f"the tools can't be put together ({error.strerror or error}): take others by --tools"
        ) from None
    try:
        return session.start(facts, container, command, brought=_Brought(tree, _shell(layers)))
    finally:
        tree.close()


class _Brought:
    """A toolbox that goes in with the command."""

    def __init__(self, tree: Detached, shell: str) -> None:
        self.attach = tree.attach
        self.extra = Extra((f"{tree.place}/bin",), f"{tree.place}/{shell}")


def _layers(tools: Tools, container: Container) -> list[str]:
    """The directories that make the tools' tree."""
    if tools.directory:
        return [tools.directory]
    if not tools.image:
        return []
    if container.engine.api is None:
        raise EngineError(
            f"{printable(tools.image)} would be an image, and there is no engine to ask for one: "
            "name a directory as ./NAME"
        )
    from dockshell.tools.images import layers

    counter = Counter(f"copying the files of {printable(tools.image)}, once")
    try:
        return layers(container.engine.api, tools.image, counter.show)
    finally:
        counter.close()


def _build(place: str, tools: Tools, layers: list[str]) -> None:
    if layers:
        os.mkdir(f"{place}/tree")
        os.mkdir(f"{place}/empty")
        union(layers, f"{place}/tree", f"{place}/empty")
    lay(place, tools.busybox, tools.applets)


def _shell(layers: list[str]) -> str:
    """Where the login shell is in the toolbox, for a container that has none."""
    for shell in _SHELLS:
        if any(os.path.lexists(f"{layer}/{each}/{shell}") for layer in layers for each in ("bin", "usr/bin")):
            return f"bin/{shell}"
    return "sh"
