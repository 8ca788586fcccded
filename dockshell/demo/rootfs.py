"""A small root directory made of this machine's own programs, for a container or a sandbox that needs no image from
anywhere.

A static busybox makes all of it where there is one; else the usual programs are taken, with the shared libraries that
their loader names.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from dockshell.errors import DockshellError
from dockshell.linux.elf import loader
from dockshell.tools.busybox import is_static

__all__ = ["Entry", "lay", "tree", "write_tar"]

PROGRAMS = """
    sh bash ls cat echo id ps env hostname sleep date uname pwd mkdir rm cp mv ln touch chmod head tail wc
    grep sed sort tr true false test stty tty kill
"""
_DIRECTORIES = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sys": 0o555,
    "tmp": 0o1777,
    "var": 0o755,
    "var/tmp": 0o1777,
}
_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": b"root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/hostname": b"sandbox\n",
    "etc/hosts": b"127.0.0.1 localhost sandbox\n",
    "etc/profile": b'PS1="$(id -un)@$(hostname):\\$PWD\\\\$ "\nexport PS1\n',
}


class Entry(NamedTuple):
    """One thing in the tree. path is relative to the root; content is None for a directory or a link, link is empty for
    anything but a symbolic link."""

    path: str
    mode: int
    content: bytes | None = None
    link: str = ""


def tree() -> list[Entry]:
    """The whole small root, every directory before what is in it. Raises DockshellError where this machine has no shell
    to put there."""
    programs = list(_busybox()) or list(_programs())
    if "bin/sh" not in {entry.path for entry in programs}:
        raise DockshellError("the demonstration found no shell on this machine: install busybox-static")
    entries = [Entry(path, mode) for path, mode in _DIRECTORIES.items()]
    entries += [Entry(path, 0o644, content) for path, content in _FILES.items()]
    known = set(_DIRECTORIES)
    for program in programs:
        for directory in _parents(program.path):
            if directory not in known:
                known.add(directory)
                entries.append(Entry(directory, 0o755))
        entries.append(program)
    return entries


def write_tar(entries: list[Entry], file: IO[bytes]) -> None:
    """Writes the tree as a tar archive, everything owned by root, as an engine imports it."""
    with tarfile.open(fileobj=file, mode="w") as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mode = entry.mode
            if entry.link:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
            elif entry.content is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content or b""))


def lay(entries: list[Entry], directory: str) -> None:
    """Puts the tree into an empty directory, owned by whoever does it. Raises OSError."""
    for path, mode, content, link in entries:
        place = os.path.join(directory, path)
        if link:
            os.symlink(link, place)
            continue
        if content is None:
            os.mkdir(place)
        else:
            with open(place, "xb") as file:
                file.write(content)
        os.chmod(place, mode)


def _busybox() -> Iterator[Entry]:
    """A static busybox and a link for each program in it; nothing where none is installed."""
    for name in ("busybox", "busybox-static", "busybox.static"):
        path = shutil.which(name)
        if path and is_static(path):
            listed = subprocess.run([path, "--list"], capture_output=True, text=True, check=False).stdout.split()
            # One that a distribution trimmed for its boot disk may lack what is wanted here.
            if {"sh", "ls", "id", "ps"} <= set(listed):
                yield Entry("bin/busybox", 0o755, _content(path))
                # A link by its own name would take the program's place.
                yield from (
                    Entry(f"bin/{applet}", 0o777, None, "busybox")
                    for applet in listed
                    if applet != "busybox" and "/" not in applet
                )
                return


def _programs() -> Iterator[Entry]:
    """The usual programs and their libraries, each file once: one program of many names (a busybox, coreutils in one)
    is linked."""
    taken: dict[str, str] = {}
    for name in PROGRAMS.split():
        path = os.path.realpath(shutil.which(name) or "")
        if loader(path) is None:
            continue
        if path in taken:
            yield Entry(f"bin/{name}", 0o777, None, taken[path])
            continue
        taken[path] = name
        yield Entry(f"bin/{name}", 0o755, _content(path))
    # At the paths where the loader looked: a program names its own loader by an absolute path.
    for path in (*_libraries(*taken), *_terminal()):
        yield Entry(os.path.normpath(path).lstrip("/"), 0o755, _content(path))


def _terminal() -> Iterator[str]:
    """The description of the caller's terminal, without which bash edits lines as on a typewriter: terminfo(5)."""
    name = os.environ.get("TERM", "")
    for directory in ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"):
        path = f"{directory}/{name[:1]}/{name}"
        if re.fullmatch(r"[\w.+-]+", name) and os.path.isfile(path):
            yield path
            return


def _libraries(*programs: str) -> list[str]:
    """The paths of the shared libraries that programs of this machine load, their loaders among them; none for a static
    one. The loader lists them (ld.so(8), --list), not ldd(1): that is a script of bash's, which may not be there."""
    found = []
    for program in programs:
        if named := loader(program):
            found.append(named)
            try:
                done = subprocess.run([named, "--list", program], capture_output=True, text=True, check=False)
            except OSError as problem:
                raise DockshellError(
                    f"the demonstration can't use {program} ({named}: {problem.strerror}): install busybox-static"
                ) from None
            found += re.findall(r"(?:^\s*|=> )(/\S+) \(0x", done.stdout, re.MULTILINE)
    return list(dict.fromkeys(found))


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
