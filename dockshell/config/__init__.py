"""What a person configured: $XDG_CONFIG_HOME/dockshell/config.toml, else ~/.config/dockshell/config.toml."""

from __future__ import annotations

import os

from dockshell import __version__
from dockshell.engines.cache import recall, remember
from dockshell.engines.json import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.config.held import Config

__all__ = ["directory", "load", "path"]

_KEPT = "config"  # the name under which the cache has it


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
    """What is configured; None where there is no file, or it is somebody else's (linux/trusted.py), as where su(1) has
    kept XDG_CONFIG_HOME. What it said is kept until it changes.

    Raises UsageError where the file can't be read or holds what makes no sense, with the line."""
    name = path()
    try:
        facts = os.stat(name)
    except OSError:
        return None
    if facts.st_uid not in (0, os.geteuid()):
        from dockshell.linux.trusted import foreign

        if foreign(name):
            return None
    from dockshell.config.held import Config, Section

    stamp = f"{name} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {__version__}"
    kept = recall(_KEPT, stamp)
    if kept is not None:
        return Config(name, [Section(*each) for each in decode(kept)])
    from dockshell.config.file import read

    sections = read(name)
    remember(_KEPT, stamp, encode([[each.kind, each.glob, dict(each.values)] for each in sections]))
    return Config(name, sections)
