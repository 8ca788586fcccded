"""`dockshell proxy`: an SSH server on stdin and stdout, for the ProxyCommand of any SSH client."""

from __future__ import annotations

import os

from dockshell.bridge.steward import Setting, Steward
from dockshell.commands.looking import aimed, anywhere, voice
from dockshell.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run", "via"]

_SUFFIX = ".dockshell"  # what `dockshell ssh-config` has people write behind a name


def run(arguments: Arguments) -> int:
    """Serves one connection to its end → 0. Raises UsageError."""
    if os.isatty(0):
        raise UsageError(
            "proxy speaks SSH on its input and output, for the ProxyCommand of ssh: `dockshell ssh-config --install`, "
            "then `ssh TARGET.dockshell`"
        )
    from dockshell.target import parse

    # What can't be one is refused before anything is waited for.
    found = aimed(arguments, parse(_target(arguments.words).removesuffix(_SUFFIX)))
    # Before asyncssh is imported, which takes longer than all that the steward has to get ready.
    steward = Steward.start(Setting(anywhere(arguments), via(arguments), voice(arguments), bool(arguments.on("debug"))))
    from dockshell.bridge import hostkey, library

    library.load()
    from dockshell.bridge.server import Open, serve
    from dockshell.linux import open_files

    open_files.raise_limit()
    serve(0, 1, Open(str(found), steward, hostkey.private()))
    return 0


def _target(words: list[str]) -> str:
    """What `ssh-config` has clients say: the name as it was typed, %n, and after a blank as it was made of that, %h, in
    small letters by some. A client that knows no %n (paramiko) leaves that as it is."""
    typed, _, made = (words or ["@latest"])[0].partition(" ")
    return made if typed == "%n" else typed


def via(arguments: Arguments) -> str:
    """The way in that --via says. Raises UsageError."""
    said = arguments.text("via") or "auto"
    if said not in ("auto", "nsenter", "exec"):
        raise UsageError("--via takes auto, nsenter or exec here: it is an SSH server already")
    return said
