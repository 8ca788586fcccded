"""A tar of a whole root, as an engine sends it → the files that tools are made of: directories, files and links. No
owners, no devices, nothing that gives rights, and nothing outside the directory, whatever the tar says."""

from __future__ import annotations

import os

from dockshell.engines.untrusted_tar import NONSENSE, UntrustedTar
from dockshell.errors import EngineError
from dockshell.linux.libc import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from tarfile import TarInfo
    from typing import IO

    from dockshell.engines import Download

__all__ = ["unpack"]

_CHUNK = 1 << 20
_BLOCK = 512
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(tar: Download, directory: str, tell: Callable[[int], None]) -> None:
    """Into an empty directory. tell: gets the number of bytes so far. Raises OSError, and EngineError where it is no
    tar, or comes to an end too soon."""
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    counted = _Counted(tar, tell)
    try:
        files = UntrustedTar(counted.read)
        for member in files.members():
            _place(root, files, member)
        # For tarfile an end between two members is an end.
        if counted.rest().strip(b"\0"):
            raise EngineError("the engine sent only a part of the image's files: try again")
    except NONSENSE as error:
        raise EngineError(f"the engine sent no tar of the image's files ({error}): try again") from None
    finally:
        os.close(root)


class _Counted:
    """The tar as it is read."""

    def __init__(self, tar: Download, tell: Callable[[int], None]) -> None:
        self._tar, self._tell, self._count, self._last = tar, tell, 0, b""

    def rest(self) -> bytes:
        """The last block, which in a whole tar is empty."""
        while self.read(_CHUNK):
            pass
        return self._last

    def read(self, size: int) -> bytes:
        piece = self._tar.read(size)
        self._last = (self._last + piece)[-_BLOCK:]
        self._count += len(piece)
        self._tell(self._count)
        return piece


def _place(root: int, tar: UntrustedTar, member: TarInfo) -> None:
    path = _path(member.name)
    if not path:
        return  # the root itself, which is there
    above, _, name = path.rpartition("/")
    parent = _open(root, above)
    try:
        if member.isdir():
            os.mkdir(name, 0o700, dir_fd=parent)
            # Its owner is to be able to fill it.
            os.chmod(name, 0o700 | (member.mode & 0o755), dir_fd=parent, follow_symlinks=True)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            _link(root, _path(member.linkname), parent, name)
        elif member.isreg():
            descriptor = os.open(name, _FRESH, 0o600, dir_fd=parent)
            _fill(descriptor, tar.content(member), 0o600 | (member.mode & 0o755))
    finally:
        os.close(parent)


def _fill(descriptor: int, source: IO[bytes], mode: int) -> None:
    with open(descriptor, "wb") as file:
        while piece := source.read(_CHUNK):
            file.write(piece)
        os.fchmod(descriptor, mode)


def _link(root: int, path: str, parent: int, name: str) -> None:
    above, _, other = path.rpartition("/")
    source = _open(root, above)
    try:
        os.link(other, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


def _open(root: int, path: str) -> int:
    """A directory that was made before, reached by no link."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    return openat2(root, path or ".", flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)


def _path(name: str) -> str:
    """Without what doesn't count at its beginning and end. Raises ValueError for one that leads upwards."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{name!r:.80} leads upwards")
    return "/".join(parts)
