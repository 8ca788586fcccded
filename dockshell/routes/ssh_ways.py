"""The ways to an sshd inside: by its addresses, from inside its network, by what is published, and through the
connection that we have to the engine's own host."""

from __future__ import annotations

import os

from dockshell.errors import EngineError
from dockshell.model import noun
from dockshell.ssh import listening
from dockshell.ssh.listening import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from dockshell.model import Container
    from dockshell.ssh.listening import Way

__all__ = ["Through", "ways"]

_FAR = 10.0  # seconds for a connection through another machine


@noun(frozen=True)
class Through:
    """An address that the host of an engine reaches, by a channel of the SSH connection to that host. engine:
    ssh://…"""

    engine: str
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"{self.endpoint} through {self.engine}"

    def connect(self, limit: float) -> socket.socket:
        from dockshell.engines import tunnel

        try:
            return tunnel.channel(self.engine, self.endpoint.address, self.endpoint.port, max(limit, _FAR))
        except EngineError as error:
            raise OSError(str(error)) from error


def ways(container: Container, port: int, listens: set[str] | None, asked: bool) -> list[Way]:
    """Every way to that port, in the order in which to try them. listens: the addresses inside at which something
    listens there, None where that can't be known from here. asked: also to where the host itself may listen, in a
    container that shares the host's network."""
    outside = listening.endpoints(container, port)
    if container.engine.address.startswith("ssh://"):
        return [*_through(container, port), *outside]
    own = {address for _, address in container.addresses}
    if listens is None:
        return [*outside]
    reached = listening.reachable(outside, listens, own)
    inside: list[Way] = []
    if os.geteuid() == 0 and (asked or not listening.shares_network(container)):
        inside = listening.inner(container, port, listens)
    direct = [way for way in reached if way.address in own]
    return [*direct, *inside, *(way for way in reached if way.address not in own)]


def _through(container: Container, port: int) -> list[Way]:
    """Also what is published at an address of that host's alone."""
    found = [Endpoint(address, port) for _, address in container.addresses]
    for each in container.ports:
        if each.inside == port:
            anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
            found.append(Endpoint(anywhere.get(each.address, each.address), each.outside))
    return [Through(container.engine.address, each) for each in found]
