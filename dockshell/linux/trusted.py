"""Files, directories and sockets that say what a person wants, of which somebody else could have made one. Those that
belong to somebody else than the caller, root, or who called sudo aren't believed; -v tells which were passed over."""

from __future__ import annotations

import os
from stat import S_ISREG

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["believed", "below_foreign", "foreign", "passed_over", "read", "report"]

_LARGEST = 16 << 20  # bytes

# Paths that weren't believed so far, with the number of whom they belong to.
passed_over: dict[str, int] = {}


def believed(uid: int) -> bool:
    """Does what belongs to that user count as the caller's own wish?"""
    return uid in (0, os.geteuid()) or (os.geteuid() == 0 and str(uid) == os.environ.get("SUDO_UID"))


def report(say: Callable[[str], None]) -> None:
    """Says what was passed over since this was last asked, a line for each."""
    while passed_over:
        path, uid = passed_over.popitem()
        say(f"{printable(path)} belongs to user {uid} and is not believed")


def foreign(path: str) -> bool:
    """Is there something at that path, links followed, that belongs to somebody who isn't believed? It is noted in
    passed_over then."""
    try:
        uid = os.stat(path).st_uid
    except (OSError, ValueError):
        return False
    if believed(uid):
        return False
    passed_over[path] = uid
    return True


def below_foreign(path: str) -> str:
    """The path itself or the first directory above it, up to the root, that belongs to somebody who isn't believed, and
    so could be exchanged at any moment; empty for none. Links are followed."""
    real = os.path.realpath(path)
    while real != "/" and not foreign(real):
        real = os.path.dirname(real)
    return real.rstrip("/")


def read(path: str, largest: int = _LARGEST) -> bytes | None:
    """The file's content, cut off at that length; None where it isn't there, is no regular file, or belongs to somebody
    who isn't believed, which is noted in passed_over."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        facts = os.fstat(descriptor)
        if not believed(facts.st_uid):
            passed_over[path] = facts.st_uid
            return None
        if not S_ISREG(facts.st_mode):
            return None
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read(largest)
    except OSError:
        return None
    finally:
        os.close(descriptor)
