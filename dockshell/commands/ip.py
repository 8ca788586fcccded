"""`dockshell ip`: a container's addresses."""

from __future__ import annotations

from dockshell.commands.latest import found, show
from dockshell.errors import DockshellError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Prints TARGET's address on each of its networks, a line each. Raises DockshellError where there is none."""
    container = found(arguments)
    addresses = dict.fromkeys(printable(address) for _, address in container.addresses)
    if not addresses:
        raise DockshellError(
            f"{printable(container.name)} has no address of its own, for its network is the host's, another container's"
            " or none: start it on a network of the engine's to give it one"
        )
    each = [{"network": network, "address": address} for network, address in container.addresses]
    return show(arguments, container, "\n".join(addresses), addresses=each)
