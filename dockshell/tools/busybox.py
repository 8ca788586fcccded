"""A static busybox: one file that is a whole toolbox wherever it is executed, in a container without any file too."""

from __future__ import annotations

import os

from dockshell.errors import DockshellError
from dockshell.linux.elf import loader
from dockshell.linux.signals import gone

__all__ = ["NoTools", "applets", "is_static", "static_busybox"]

_NAMES = ("busybox", "busybox.static", "busybox-static")
_PLACES = ("/bin", "/usr/bin", "/usr/local/bin", "/usr/lib/busybox", "/usr/lib/initramfs-tools/bin")
_REMEDY = "install one (Debian and Ubuntu: apt install busybox-static), or name a file with DOCKSHELL_BUSYBOX"


class NoTools(DockshellError):
    """There is nothing to bring; says how to get it."""


def static_busybox() -> str:
    """The path of a static busybox on this machine: DOCKSHELL_BUSYBOX, else what is found in PATH and where
    distributions put it. Raises NoTools."""
    if named := os.environ.get("DOCKSHELL_BUSYBOX"):
        if not is_static(named):
            raise NoTools(f"DOCKSHELL_BUSYBOX says {named}, which is no static program: {_REMEDY}")
        return os.path.abspath(named)
    for place in (*os.environ.get("PATH", "").split(":"), *_PLACES):
        for name in _NAMES:
            path = os.path.join(place, name)
            if place.startswith("/") and is_static(path):
                return path
    raise NoTools(f"there is no static busybox on this machine, and so no tools to bring: {_REMEDY}")


def is_static(path: str) -> bool:
    """May it be executed, and is it a program of this kind of machine that needs no loader?"""
    return os.access(path, os.X_OK) and loader(path) == ""


_known: dict[str, list[str]] = {}


def applets(busybox: str) -> list[str]:
    """The names of the programs that it is, as it tells itself, asked once. Raises NoTools where it doesn't run
    here."""
    if busybox not in _known:
        _known[busybox] = _applets(busybox)
    return _known[busybox]


def _applets(busybox: str) -> list[str]:
    # Not by subprocess, whose import takes longer than all this.
    ours, theirs = os.pipe()
    try:
        with open(ours, encoding="utf-8", errors="replace") as told:
            try:
                pid = os.posix_spawn(busybox, [busybox, "--list"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 1)])
            finally:
                os.close(theirs)
            names = told.read().split()
        failed = gone(pid) or not names
    except OSError as error:
        raise NoTools(f"{busybox} does not run on this machine ({error.strerror}): {_REMEDY}") from None
    if failed:
        raise NoTools(f"{busybox} tells no programs (`--list`): {_REMEDY}")
    return [name for name in names if "/" not in name and name != "busybox"]
