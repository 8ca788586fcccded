"""By the container's own address, for who lacks root: as its neighbours on its network reach it."""

from __future__ import annotations

import socket

from dockshell.errors import printable
from dockshell.forward.carrying import Far
from dockshell.forward.dialling import Dialling
from dockshell.linux.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.forward.ways import Inside, Then
    from dockshell.ssh.forwards import Spot

__all__ = ["ByAddress", "way"]

_PATIENCE = 2.0  # seconds for the one trial: a neighbour answers at once, or isn't there


def way(inside: Inside) -> ByAddress:
    return ByAddress(inside)


class ByAddress:
    """The `Way`."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._answering: dict[int, tuple[str, int]] = {}

    def refuses(self, spot: Spot) -> str | None:
        container = self._inside.container
        if spot.path:
            return "a Unix socket is at no address"
        if not container.local:
            return "its addresses are those of a network on another machine"
        hosts = [host for _, host in container.addresses]
        if not hosts:
            return "it has no address of its own"
        # An address passes to the next container as soon as this one stops; that it hasn't is known by its process.
        if not self._proved():
            return (
                f"process {container.pid} is not proved to be the container's: the engine may run in a virtual machine"
            )
        for host in hosts:
            try:
                socket.create_connection((host, spot.port), _PATIENCE).close()
            except (OSError, ValueError) as error:
                why = (getattr(error, "strerror", None) or "no answer").lower()
                continue
            self._answering[spot.port] = (host, spot.port)
            return None
        return (
            f"nothing answers at {printable(hosts[-1])} port {spot.port} ({why}): "
            "what listens on its loopback alone can't be reached so, and takes root"
        )

    def dial(self, spot: Spot, then: Then) -> None:
        Dialling(
            self._inside.loop,
            [self._answering[spot.port]],
            lambda family: socket.socket(family, socket.SOCK_STREAM),
            lambda made: then(made if isinstance(made, OSError) else Far(made)),
        )

    def close(self) -> None:
        pass

    def _proved(self) -> bool:
        container = self._inside.container
        try:
            return bool(container.pid) and Process(container.pid).belongs_to(
                container.id, container.started, container.owner
            )
        except OSError:
            return False
