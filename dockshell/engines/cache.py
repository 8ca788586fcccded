"""What takes long to find out again: what an engine told of its containers, a file for each, and what the config file
says, in a directory of the person's own, $XDG_CACHE_HOME/dockshell (else ~/.cache/dockshell).

Nothing depends on it. Whatever is wrong with the directory or a file (missing, cut, somebody else's, a full disk), it
is as if nothing had been kept."""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISREG

__all__ = ["recall", "remember"]

_MOST_FILES = 256
_LARGEST = 64 << 10  # bytes of content
_HEX = frozenset("0123456789abcdef")


def recall(subject: str, key: str) -> bytes | None:
    """What was remembered of that subject under that very key; None for nothing. subject: a container's id, or
    `config`."""
    head = os.fsencode(key)
    try:
        directory = _directory()
        try:
            # No link, and nothing that an open would wait for.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(_name(subject), flags, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            facts = os.fstat(descriptor)
            if not S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
                return None
            found = os.read(descriptor, _LARGEST + len(head) + 32)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return None
    first, _, content = found.partition(b"\n")
    return content if first == b"%s %d" % (head, len(content)) else None


def remember(subject: str, key: str, content: bytes) -> None:
    """Keeps that content for recall() until something else is kept of the subject, or many others are."""
    if len(content) > _LARGEST or "\n" in key:
        return
    try:
        name = _name(subject)
        _make_directory()
        directory = _directory()
    except (OSError, ValueError):
        return
    try:
        _write(directory, name, b"%s %d\n%s" % (os.fsencode(key), len(content), content))
        _forget_oldest(directory)
    except OSError:
        pass
    finally:
        os.close(directory)


def _write(directory: int, name: str, content: bytes) -> None:
    """The whole file or none."""
    unfinished = f"{name}.{os.getpid()}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        if os.write(descriptor, content) < len(content):
            raise OSError
        os.rename(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(unfinished, dir_fd=directory)
    finally:
        os.close(descriptor)


def _forget_oldest(directory: int) -> None:
    """Keeps the number of files bounded; what an interrupted write left is a file too."""
    names = os.listdir(directory)
    if len(names) <= _MOST_FILES:
        return
    written = sorted((os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime, name) for name in names)
    for _, name in written[: len(names) - _MOST_FILES]:
        os.unlink(name, dir_fd=directory)


def _directory() -> int:
    """A descriptor of the directory. Raises OSError where it is not ours alone: then somebody else could have put
    things there (or we are root by a sudo that kept HOME)."""
    descriptor = os.open(_path(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    facts = os.fstat(descriptor)
    if facts.st_uid == os.geteuid() and not S_IMODE(facts.st_mode) & 0o077:
        return descriptor
    os.close(descriptor)
    raise PermissionError


def _make_directory() -> None:
    """The directory, and the one for all caches where that is missing too; not in somebody else's home."""
    path = _path()
    for each in (os.path.dirname(path), path):
        if not os.path.exists(each) and os.stat(os.path.dirname(each)).st_uid == os.geteuid():
            os.mkdir(each, 0o700)


def _path() -> str:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):  # a relative one doesn't count: XDG Base Directory Specification
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "dockshell")


def _name(subject: str) -> str:
    """A file's name. Raises ValueError for what is no id: it comes from an engine."""
    if subject != "config" and (len(subject) != 64 or not _HEX.issuperset(subject)):
        raise ValueError
    return subject
