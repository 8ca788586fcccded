"""Files that say what a person wants, of which somebody else could write one."""

from __future__ import annotations

import os
from stat import S_ISREG

__all__ = ["read"]

_LARGEST = 16 << 20  # bytes


def read(path: str, largest: int = _LARGEST) -> bytes | None:
    """The file's content, cut off at that length; None where it isn't there, is no regular file, or belongs to somebody
    else than the caller, root, or who called sudo."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        facts = os.fstat(descriptor)
        called_sudo = os.geteuid() == 0 and str(facts.st_uid) == os.environ.get("SUDO_UID")
        if not S_ISREG(facts.st_mode) or not (facts.st_uid in (0, os.geteuid()) or called_sudo):
            return None
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read(largest)
    except OSError:
        return None
    finally:
        os.close(descriptor)
