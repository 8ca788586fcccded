"""A program file's header: which loader the program needs, if any. Source: elf(5)."""

from __future__ import annotations

import os
from struct import error, unpack, unpack_from

__all__ = ["loader"]

_HEAD = 4096  # bytes in which every linker puts the program headers
_INTERPRETER, _EXECUTABLE, _SHARED = 3, 2, 3
_LONGEST = 4096  # bytes of a path, PATH_MAX


def loader(path: str) -> str | None:
    """The path of the loader that the program names (PT_INTERP), empty for a static program; None where the file is no
    program of this kind of machine, or can't be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            if head[:4] != b"\x7fELF":
                return None
            wide, little = head[4] == 2, head[5] == 1
            order = "<" if little else ">"
            kind, machine = unpack_from(order + "HH", head, 16)
            if kind not in (_EXECUTABLE, _SHARED) or machine != _machine(order):
                return None
            offset = unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)[0]
            size, count = unpack_from(order + "HH", head, 54 if wide else 42)
            for header in range(offset, offset + size * count, size or 1):
                if unpack_from(order + "I", head, header)[0] == _INTERPRETER:
                    start = unpack_from(order + ("Q" if wide else "I"), head, header + (8 if wide else 4))[0]
                    length = unpack_from(order + ("Q" if wide else "I"), head, header + (32 if wide else 16))[0]
                    if length > _LONGEST:
                        return None
                    return os.fsdecode(os.pread(file.fileno(), length, start).rstrip(b"\0")) or None
    except (OSError, error, IndexError, OverflowError):
        return None
    return ""


def _machine(order: str) -> int:
    """What kind of machine this is, by the interpreter's own program: elf(5), e_machine."""
    with open("/proc/self/exe", "rb") as file:
        found: int = unpack(order + "H", file.read(20)[18:])[0]
    return found
