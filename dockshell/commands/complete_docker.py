"""`dockshell __complete-docker`: completion of `docker shell`, told as Docker's command wants to hear it."""

from __future__ import annotations

import contextlib
import io
import sys

from dockshell.commands import complete
from dockshell.completing.offering import FILES, OPEN, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]

# What the answer ends with: https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective
_FILES, _NO_SPACE, _NO_FILES = 0, 2, 4


def run(arguments: Arguments) -> int:
    """Prints a line per candidate, `WORD` or `WORD<tab>DESCRIPTION`, and what the shell is to do with them → 0.
    Docker's scripts quote nothing, so that paths which would have to be quoted are left out."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        complete.run(arguments)
    lines = told.getvalue().splitlines()
    known = [line for line in lines if safe(line.partition("\t")[0].lstrip("-/"))]
    open_ended = all(line.partition("\t")[0].endswith(OPEN) for line in known)
    directive = _FILES if lines == [FILES] else _NO_FILES | (_NO_SPACE if known and open_ended else 0)
    sys.stdout.write("".join(f"{line}\n" for line in (*known, f":{directive}")))
    return 0
