"""An environment as a directory: a file for each variable, as a baseimage's /etc/container_environment, envdir(8) and
`chpst -e` have it."""

from __future__ import annotations

import errno
import os

from dockshell.errors import DockshellError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["write"]

# What says that a file can't be called so: too long a name, one that the file system has no letters for, or in which it
# sees another that is there.
_NO_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EEXIST)


def write(path: str, variables: Mapping[str, str]) -> list[str]:
    """Writes the files into the directory, which is made, or is there and empty; returns the names that no file can
    have. Raises DockshellError, and leaves nothing then.

    Who reads a file takes one newline off its end, so that a value which has one there gets one more; and so does an
    empty one, for a file with nothing in it tells `chpst -e` that there is no such variable."""
    try:
        made = _made(path)
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _failure(path, error) from None
    written: set[str] = set()
    try:
        if os.listdir(directory):
            raise DockshellError(f"{printable(path)} is not empty: name a directory that is, or is not there yet")
        for name, value in variables.items():
            if "/" not in name and name not in (".", "..") and _create(directory, _bytes(name), _content(value)):
                written.add(name)
    except OSError as error:
        for name in written:
            os.unlink(_bytes(name), dir_fd=directory)
        if made:
            os.rmdir(path)
        raise _failure(path, error) from None
    finally:
        os.close(directory)
    return [name for name in variables if name not in written]


def _made(path: str) -> bool:
    """Makes the directory; False where something of that name is there."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return False
    return True


def _create(directory: int, name: bytes, content: bytes) -> bool:
    """Makes that file; False where none can be called so. Raises OSError, and leaves none then."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno in _NO_NAME:
            return False
        raise
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        os.unlink(name, dir_fd=directory)
        raise
    return True


def _content(value: str) -> bytes:
    return _bytes(value if value and not value.endswith("\n") else value + "\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _failure(path: str, error: OSError) -> DockshellError:
    return DockshellError(f"{printable(path)} can't be written ({error.strerror}): name another directory with -o")
