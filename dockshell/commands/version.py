"""`dockshell version`: what `--version` prints."""

from __future__ import annotations

from dockshell import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Prints it → 0."""
    print(f"dockshell {__version__}")
    return 0
