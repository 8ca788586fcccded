"""What an engine tells of a path in a container (Api.path_stat): JSON in base64, with a mode as Go has it."""

from __future__ import annotations

import os
from binascii import a2b_base64
from datetime import datetime
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, S_ISLNK

from dockshell.engines.json import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["read"]

# io/fs.FileMode: its types and special bits are not the kernel's.
_TYPES = (
    (1 << 31, S_IFDIR),
    (1 << 27, S_IFLNK),
    (1 << 21, S_IFCHR),
    (1 << 26, S_IFBLK),
    (1 << 25, S_IFIFO),
    (1 << 24, S_IFSOCK),
)
_SPECIAL = ((1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000))


def read(spelled: str) -> tuple[int, int, int, bytes]:
    """The kernel's mode, the size in bytes, the time of the last change in seconds since 1970, and where a link leads;
    empty for what is none. Raises ValueError where it makes no sense."""
    try:
        facts: dict[str, Any] = decode(a2b_base64(spelled))
        mode, size = _kernel_mode(int(facts["mode"])), int(facts["size"])
        moment = int(datetime.fromisoformat(str(facts["mtime"])).timestamp())
        target = os.fsencode(str(facts.get("linkTarget") or "")) if S_ISLNK(mode) else b""
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(repr(error)) from error
    if not 0 <= size < 1 << 63:
        raise ValueError(f"a size of {size}")
    return mode, size, moment, target


def _kernel_mode(mode: int) -> int:
    kind = next((ours for theirs, ours in _TYPES if mode & theirs), S_IFREG)
    return kind | mode & 0o777 | sum(ours for theirs, ours in _SPECIAL if mode & theirs)
