"""A static busybox: one file that is a whole toolbox wherever it is executed, in a container without any file too."""

from __future__ import annotations

import os
from struct import error, unpack_from

from dockshell.errors import DockshellError

__all__ = ["NoTools", "applets", "is_static", "static_busybox"]

_NAMES = ("busybox", "busybox.static", "busybox-static")
_PLACES = ("/bin", "/usr/bin", "/usr/local/bin", "/usr/lib/busybox", "/usr/lib/initramfs-tools/bin")
_REMEDY = "install one (Debian and Ubuntu: apt install busybox-static), or name a file with DOCKSHELL_BUSYBOX"
_HEAD = 4096  # bytes in which every linker puts the program headers
_INTERPRETER, _EXECUTABLE, _SHARED = 3, 2, 3


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
    """Is it a program of this kind of machine that needs no loader: elf(5), PT_INTERP?"""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
        if head[:4] != b"\x7fELF" or not os.access(path, os.X_OK):
            return False
        wide, little = head[4] == 2, head[5] == 1
        order = "<" if little else ">"
        kind, machine = unpack_from(order + "HH", head, 16)
        offset = unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)[0]
        size, count = unpack_from(order + "HH", head, 54 if wide else 42)
        kinds = [unpack_from(order + "I", head, offset + size * number)[0] for number in range(count)]
    except (OSError, error, IndexError):
        return False
    return kind in (_EXECUTABLE, _SHARED) and _INTERPRETER not in kinds and machine == _machine(order)


def _machine(order: str) -> int:
    """What kind of machine this is, by the interpreter's own program: elf(5), e_machine."""
    with open("/proc/self/exe", "rb") as file:
        found: int = unpack_from(order + "H", file.read(20), 18)[0]
    return found


def applets(busybox: str) -> list[str]:
    """The names of the programs that it is, as it tells itself. Raises NoTools where it doesn't run here."""
    # Not by subprocess, whose import takes longer than all this.
    ours, theirs = os.pipe()
    try:
        pid = os.posix_spawn(busybox, [busybox, "--list"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 1)])
        os.close(theirs)
        with open(ours, encoding="utf-8", errors="replace", closefd=False) as told:
            names = told.read().split()
        failed = os.waitpid(pid, 0)[1] or not names
    except OSError as error:
        os.close(theirs)
        raise NoTools(f"{busybox} does not run on this machine ({error.strerror}): {_REMEDY}") from None
    finally:
        os.close(ours)
    if failed:
        raise NoTools(f"{busybox} tells no programs (`--list`): {_REMEDY}")
    return [name for name in names if "/" not in name and name != "busybox"]
