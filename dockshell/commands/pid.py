"""`dockshell pid`: the number that a container's first process has on the host."""

from __future__ import annotations

from dockshell.commands.latest import found, show
from dockshell.errors import DockshellError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Prints the number, as the host of TARGET's engine counts. Raises DockshellError where the engine tells none."""
    container = found(arguments)
    if not container.pid:
        name = printable(container.name)
        raise DockshellError(
            f"the engine tells no process number for {name}: `dockshell exec {name} ps` shows those inside"
        )
    return show(arguments, container, str(container.pid), pid=container.pid)
