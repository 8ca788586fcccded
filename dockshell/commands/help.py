"""`dockshell help [VERB]`: what `--help` shows."""

from __future__ import annotations

from dockshell import options
from dockshell.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Prints it → 0. Raises UsageError for what is no verb."""
    verb = "".join(arguments.words)
    if verb and verb not in options.VERBS and verb not in options.DROPINS:
        meant = options.nearly(verb)
        hint = f"did you mean `dockshell help {meant}`?" if meant else "`dockshell help` lists the verbs"
        raise UsageError(f"{printable(verb)} is not a verb: {hint}")
    print(options.usage(verb))
    return 0
