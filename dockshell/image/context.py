"""What is sent to the engine, or committed: a Dockerfile, and all that it copies."""

from __future__ import annotations

import io
import os
import tarfile
from stat import S_ISDIR, S_ISLNK, S_ISREG

from dockshell.errors import DockshellError, UsageError, printable
from dockshell.image.recipe import ENVIRONMENT, in_files, parts
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from dockshell.image.plan import Plan

__all__ = ["Entry", "entries", "write_directory", "write_tar"]

_LAYERS = os.path.join(os.path.dirname(__file__), "layers")


@noun(frozen=True)
class Entry:
    """A file, or where link says so a symlink. path: in the context; source: the file here that has the content, empty
    where data is it."""

    path: str
    mode: int = 0o644
    source: str = ""
    data: bytes = b""
    link: str = ""


def entries(plan: Plan, dockerfile: str) -> Iterator[Entry]:
    """Everything, in an order that is always the same. Raises UsageError for what can't be copied."""
    yield Entry("Dockerfile", data=dockerfile.encode("utf-8", "surrogateescape"))
    for part in parts(plan):
        yield from _tree(os.path.join(_LAYERS, part), part, own=True)
    for name, value in in_files(plan):
        # One newline at the end isn't counted by who reads it.
        data = value.encode("utf-8", "surrogateescape") + b"\n"
        yield Entry(f"{ENVIRONMENT}/{name}", data=data)
    for name, path in plan.startup:
        yield Entry(f"startup/{name}", 0o755, path)
    for name, path in plan.services:
        yield from _tree(path, f"services/{name}")


def write_directory(directory: str, found: Iterator[Entry]) -> None:
    """Makes the directory, which is not to be there yet or empty, with the entries in it. Raises UsageError,
    DockshellError."""
    if os.path.isdir(directory) and os.listdir(directory):
        raise UsageError(f"{printable(directory)} has something in it: name a directory that is new")
    try:
        for entry in found:
            path = os.path.join(directory, entry.path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if entry.link:
                os.symlink(entry.link, path)
                continue
            with open(path, "xb") as file:
                file.write(_content(entry))
            os.chmod(path, entry.mode)
    except OSError as error:
        raise DockshellError(
            f"{printable(directory)} can't be written ({error.strerror}): name another with -o"
        ) from None


def write_tar(out: IO[bytes], found: Iterator[Entry]) -> None:
    """The same as a tar, as POST /build takes it. Everything in it is root's, whoever has it here."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in found:
            info = tarfile.TarInfo(entry.path)
            if entry.link:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
                tar.addfile(info)
                continue
            data = _content(entry)
            info.size, info.mode = len(data), entry.mode
            tar.addfile(info, io.BytesIO(data))


def _content(entry: Entry) -> bytes:
    if not entry.source:
        return entry.data
    try:
        with open(entry.source, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{printable(entry.source)} can't be read: {error.strerror}") from None


def _tree(directory: str, under: str, own: bool = False) -> Iterator[Entry]:
    """The files below the directory. own: of the package, where an installation may have lost the modes; there a script
    is what begins like one. Elsewhere what may be executed stays so, and a service's `run` always may."""
    for name in sorted(os.listdir(directory)):
        path, inside = os.path.join(directory, name), f"{under}/{name}"
        facts = os.lstat(path)
        if S_ISDIR(facts.st_mode):
            if name != "__pycache__":
                yield from _tree(path, inside, own)
        elif S_ISLNK(facts.st_mode):
            yield Entry(inside, link=os.readlink(path))
        elif S_ISREG(facts.st_mode):
            executable = _script(path) if own else facts.st_mode & 0o111 or name in ("run", "finish")
            yield Entry(inside, 0o755 if executable else 0o644, path)
        else:
            raise UsageError(f"{printable(path)} is no file that an image could have: take it out of the directory")


def _script(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"#!"
