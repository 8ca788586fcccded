"""What the kernel takes to execute a file: a script's interpreter, a program's loader. execve(2), elf(5). Pure; the
file may say anything."""

from __future__ import annotations

import os
from struct import error, unpack_from

from dockshell.errors import printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dockshell.engines import Files

__all__ = ["HEAD", "Program", "interpreter", "program", "what_is_missing"]

HEAD = 1 << 16  # bytes from a file's beginning in which nearly every linker puts all that is looked at here
_LOADER = 3  # PT_INTERP
_LONGEST = 4096  # PATH_MAX
_LINE = 256  # BINPRM_BUF_SIZE: the kernel reads no more of a script
_DEEPEST = 5  # a script's interpreter may be a script: execve(2)


@noun(frozen=True)
class Program:
    """An ELF program. kind, machine: e_type and e_machine; loader: the path of its loader, empty for a static one."""

    kind: int
    machine: int
    loader: bytes


def program(head: bytes) -> Program:
    """By the beginning of its file. Raises ValueError for anything else, and where the head does not have it all."""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        raise ValueError("it is no ELF file")
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    word = order + ("Q" if wide else "I")
    try:
        kind, machine = unpack_from(order + "HH", head, 16)
        table = unpack_from(word, head, 32 if wide else 28)[0]
        size, count = unpack_from(order + "HH", head, 54 if wide else 42)
        if size != (56 if wide else 32):  # the kernel takes no other
            raise ValueError("its program headers have an odd size")
        for entry in range(table, table + size * count, size):
            if unpack_from(order + "I", head, entry)[0] == _LOADER:
                start = unpack_from(word, head, entry + (8 if wide else 4))[0]
                length = unpack_from(word, head, entry + (32 if wide else 16))[0]
                path, end, _ = head[start : start + min(length, _LONGEST)].partition(b"\0")
                if not path or not end:
                    raise ValueError("its loader has no name")
                return Program(kind, machine, path)
    except (error, OverflowError):
        raise ValueError("it is cut short") from None
    return Program(kind, machine, b"")


def interpreter(head: bytes) -> bytes:
    """The path that a script's first line names, as the kernel reads it; empty for what is no script."""
    if head[:2] != b"#!":
        return b""
    line = head[2:_LINE].partition(b"\n")[0].partition(b"\0")[0]
    return line.replace(b"\t", b" ").strip(b" ").partition(b" ")[0]


def what_is_missing(files: Files, paths: Iterable[str], directory: str = "/") -> str:
    """Why execve(2) said that there is no such file (ENOENT), where one of these paths is there: that path, and what of
    it isn't. Empty where it can't be seen. directory: the one from which relative paths count."""
    for path in paths:
        if files.executable(path) and (reason := _lack(files, path, directory)):
            return f"{printable(path)}: {reason}"
    return ""


def _lack(files: Files, path: str, directory: str) -> str:
    told = ""
    for _ in range(_DEEPEST):
        head = files.read(path, HEAD) or b""
        what, needed = "interpreter", interpreter(head)
        if not needed:
            try:
                what, needed = "loader", program(head).loader
            except ValueError:
                return ""
        if not needed:
            return ""
        path = os.path.join(directory, needed.decode("utf-8", "surrogateescape"))
        spelled = f"{told}its {what} '{printable(needed.decode('utf-8', 'surrogateescape'))}'"
        if not files.exists(path):
            return f"{spelled} is not there{_remedy(what, needed)}"
        told = f"{spelled} can't be executed: "
    return ""


def _remedy(what: str, needed: bytes) -> str:
    if what == "loader":
        return "; it was built for a system with another C library"
    return "; its lines end in CR LF: save it with LF alone" if needed.endswith(b"\r") else ""
