"""A program file of this machine: which loader it needs, if any. elf(5)."""

from __future__ import annotations

import os

from dockshell.executable import HEAD, program

__all__ = ["loader"]

_EXECUTABLE, _SHARED = 2, 3


def loader(path: str) -> str | None:
    """The path of the loader that the program names (PT_INTERP), empty for a static program; None where the file is no
    program of this kind of machine, or can't be read."""
    try:
        with open(path, "rb") as file, open("/proc/self/exe", "rb") as own:
            found, ours = program(file.read(HEAD)), program(own.read(HEAD))
    except (OSError, ValueError):
        return None
    if found.kind not in (_EXECUTABLE, _SHARED) or found.machine != ours.machine:
        return None
    return os.fsdecode(found.loader)
