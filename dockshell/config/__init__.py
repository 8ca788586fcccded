"""What a person configured: $XDG_CONFIG_HOME/dockshell/config.toml, else ~/.config/dockshell/config.toml."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.config.file import Config

__all__ = ["directory", "load", "path"]


def directory() -> str:
    """Where a person's own settings are. A relative XDG_CONFIG_HOME doesn't count: XDG Base Directory Specification."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "dockshell")


def path() -> str:
    """The file's name, whether or not it is there."""
    return os.path.join(directory(), "config.toml")


def load() -> Config | None:
    """What is configured; None where there is no file, which is what the hot path finds out without an import more.

    Raises UsageError where the file can't be read or holds what makes no sense, with the line."""
    name = path()
    if not os.path.lexists(name):
        return None
    from dockshell.config.file import read

    return read(name)
