"""`dockshell init`: completions and the words dl and dsh, for a shell's startup file; `docker shell`, for Docker's
command."""

from __future__ import annotations

import os

import dockshell
from dockshell.errors import DockshellError, UsageError, printable
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.options import Arguments

__all__ = ["run"]

_SCRIPTS = {"bash": "bash/dockshell", "zsh": "zsh/_dockshell", "fish": "fish/dockshell.fish"}
# `function NAME` and not `NAME()`: where NAME is an alias already, the latter would be a syntax error.
_BOURNE = """
function dl { command dockshell latest "$@"; }
function dsh { command dockshell "$@"; }
"""
_FISH = """
function dl --description 'the newest running container'
    command dockshell latest $argv
end
function dsh --description 'a shell in a container'
    command dockshell $argv
end
"""


def run(arguments: Arguments) -> int:
    """Prints what the shell is to evaluate, or puts Docker's plugin in place. Raises UsageError for a shell that isn't
    known."""
    shell = os.path.basename(arguments.words[0])
    if shell == "docker":
        from dockshell.commands import init_docker

        (init_docker.remove if arguments.on("remove") else init_docker.put)(Voice())
        return 0
    if arguments.on("remove"):
        raise UsageError("--remove is about docker's plugin: a shell's startup file is yours to edit")
    if shell not in _SCRIPTS:
        raise UsageError(f"no completions for {printable(arguments.words[0])!r}: there are some for bash, zsh and fish")
    print(_script(_SCRIPTS[shell]) + (_FISH if shell == "fish" else _BOURNE), end="")
    return 0


def _script(name: str) -> str:
    """The file's content, which an installed package holds itself and a checkout has beside it."""
    package = os.path.dirname(os.path.abspath(dockshell.__file__))
    for folder in (package, os.path.dirname(package)):
        try:
            with open(os.path.join(folder, "completions", name), encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise DockshellError(f"the completion script {name} is missing beside {printable(package)}: install dockshell anew")
