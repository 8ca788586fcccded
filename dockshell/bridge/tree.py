"""A tree of files, as sftp and scp need it, and the nearest one: that of the calling process.

Paths are bytes and absolute; `.` and `..` in them mean what they mean to the kernel. Every method raises OSError as the
kernel would, and DockshellError where something else is in the way, with one sentence."""

from __future__ import annotations

import os
from errno import EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, EOPNOTSUPP, EPERM, EXDEV
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol
else:
    Protocol = object

__all__ = ["LINKS", "NOT_FOLLOWED", "SPACE", "Changes", "Directory", "File", "LocalTree", "Tree", "failure", "real"]

# What one tree can do and another can't: a second name for a file, changes of a link itself, how much room there is.
LINKS, NOT_FOLLOWED, SPACE = "links", "not followed", "space"

_MOST_LINKS = 40  # on the way to one file, as the kernel has it: path_resolution(7)

# What is no file may act on being opened, or keep whoever opens it waiting: open(2), fifo(7).
_CAREFULLY = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@noun(frozen=True)
class Changes:
    """What is to be changed of a file; None for what is to stay. size: in bytes. owner: (uid, gid). mode: the
    permissions alone, no type. times: of the last access and the last change, in seconds since 1970."""

    size: int | None = None
    owner: tuple[int, int] | None = None
    mode: int | None = None
    times: tuple[int, int] | None = None


class File(Protocol):
    """A regular file that is open. Offsets and sizes are in bytes."""

    def read(self, into: memoryview, at: int) -> int:
        """Fills it with what the file has from there on → how many bytes those are; 0 at its end and beyond."""

    def write(self, data: memoryview, at: int) -> None:
        """Writes all of it there."""

    def stat(self) -> os.stat_result: ...
    def file_id(self) -> object:
        """Equal for two that are the same file, however each was opened."""

    def change(self, changes: Changes) -> None: ...

    def sync(self) -> None:
        """What was written is to survive whatever happens: fsync(2)."""

    def space(self) -> os.statvfs_result: ...

    def close(self) -> None:
        """Done with it: what was written is there, or this raises."""

    def abandon(self) -> None:
        """Lets go of it, as whoever wrote it is gone. Raises nothing."""


class Directory(Protocol):
    """A directory that is being listed."""

    def read(self, most: int) -> list[tuple[bytes, os.stat_result]]:
        """At most so many more of its entries, without `.` and `..`, links as links; none at its end."""

    def close(self) -> None: ...


class Tree(Protocol):
    """Files by their paths. abilities: those of LINKS, NOT_FOLLOWED and SPACE that it has."""

    abilities: frozenset[str]

    def home(self) -> bytes:
        """The directory where relative paths begin: the user's home, `/` where there is none."""

    def user(self, number: int) -> bytes:
        """The name of that user; empty for none."""

    def group(self, number: int) -> bytes:
        """The name of that group; empty for none."""

    def stat(self, path: bytes, *, follow: bool = True) -> os.stat_result: ...

    def open(self, path: bytes, flags: int, mode: int = 0o666) -> File:
        """flags and mode as open(2) has them. Nothing but a regular file is opened."""

    def list(self, path: bytes) -> Directory: ...
    def readlink(self, path: bytes) -> bytes: ...

    def real(self, path: bytes) -> bytes:
        """The same place without links, `.` and `..` in it; the last name needn't exist."""

    def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        """replace: what has the new name goes; else it is an error that there is something."""

    def remove(self, path: bytes) -> None: ...
    def mkdir(self, path: bytes, mode: int = 0o777) -> None: ...
    def rmdir(self, path: bytes) -> None: ...
    def symlink(self, target: bytes, path: bytes) -> None: ...
    def link(self, old: bytes, new: bytes) -> None: ...
    def change(self, path: bytes, changes: Changes, *, follow: bool = True) -> None: ...
    def space(self, path: bytes) -> os.statvfs_result: ...


def failure(number: int, text: str = "") -> OSError:
    """An error as the kernel has it, with a text of our own where that says more."""
    return OSError(number, text or os.strerror(number))


def real(path: bytes, readlink: Callable[[bytes], bytes]) -> bytes:
    """An absolute path → the same place without links, `.` and `..` in it, as realpath(3); its last name needn't exist.

    readlink raises OSError with EINVAL for what is no link. Not os.path.realpath: that calls itself for each link."""
    done: list[bytes] = []
    ahead = path.split(b"/")[::-1]
    links = 0
    while ahead:
        name = ahead.pop()
        if name == b"..":
            del done[-1:]
        elif name not in (b"", b"."):
            done.append(name)
            try:
                target = readlink(b"/" + b"/".join(done))
            except OSError as error:
                if error.errno == EINVAL or (error.errno == ENOENT and not any(ahead)):
                    continue
                raise
            links += 1
            if links > _MOST_LINKS:
                raise failure(ELOOP)
            del done[0 if target.startswith(b"/") else -1 :]
            ahead += target.split(b"/")[::-1]
    return b"/" + b"/".join(done)


class LocalTree:
    """The `Tree` that the calling process sees, by plain system calls: it may do what the kernel lets this process do.

    It is made outside a container and used inside, by a process that can import nothing more (linux/entrance.py). So
    all that it needs is imported above, and what others look up in the container it is given: home is the user's, users
    and groups are the names of numbers."""

    abilities = frozenset((LINKS, NOT_FOLLOWED, SPACE))

    def __init__(self, home: bytes, users: Mapping[int, bytes], groups: Mapping[int, bytes]) -> None:
        self._home = home
        self._users, self._groups = users, groups

    def home(self) -> bytes:
        return self._home if self._home.startswith(b"/") and os.path.isdir(self._home) else b"/"

    def user(self, number: int) -> bytes:
        return self._users.get(number, b"")

    def group(self, number: int) -> bytes:
        return self._groups.get(number, b"")

    def stat(self, path: bytes, *, follow: bool = True) -> os.stat_result:
        return os.stat(path, follow_symlinks=follow)

    def open(self, path: bytes, flags: int, mode: int = 0o666) -> File:
        try:
            _need_regular(os.stat(path).st_mode)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        descriptor = os.open(path, flags | _CAREFULLY, mode)
        try:
            _need_regular(os.fstat(descriptor).st_mode)  # it may have been changed for another since
        except OSError:
            os.close(descriptor)
            raise
        return _LocalFile(descriptor)

    def list(self, path: bytes) -> Directory:
        return _LocalDirectory(path)

    def readlink(self, path: bytes) -> bytes:
        return os.readlink(path)

    def real(self, path: bytes) -> bytes:
        return real(path, os.readlink)

    def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        if not replace:
            if S_ISREG(os.lstat(old).st_mode) and _moved(old, new):
                return
            if os.path.lexists(new):
                raise failure(EEXIST)
        os.rename(old, new)

    def remove(self, path: bytes) -> None:
        os.unlink(path)

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        os.mkdir(path, mode)

    def rmdir(self, path: bytes) -> None:
        os.rmdir(path)

    def symlink(self, target: bytes, path: bytes) -> None:
        os.symlink(target, path)

    def link(self, old: bytes, new: bytes) -> None:
        os.link(old, new, follow_symlinks=False)

    def change(self, path: bytes, changes: Changes, *, follow: bool = True) -> None:
        if follow:
            _change(path, changes)
        else:
            _change_link(path, changes)

    def space(self, path: bytes) -> os.statvfs_result:
        return os.statvfs(path)


class _LocalFile:
    """A `File` by its descriptor."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, into: memoryview, at: int) -> int:
        return os.preadv(self._descriptor, (into,), at)

    def write(self, data: memoryview, at: int) -> None:
        written = os.pwrite(self._descriptor, data, at)
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], at + written)

    def stat(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def file_id(self) -> object:
        facts = self.stat()
        return facts.st_dev, facts.st_ino

    def change(self, changes: Changes) -> None:
        _change(self._descriptor, changes)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def space(self) -> os.statvfs_result:
        return os.fstatvfs(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def abandon(self) -> None:
        try:
            os.close(self._descriptor)
        except OSError:
            pass  # the disk is full, say; nobody is there to be told


class _LocalDirectory:
    """A `Directory` that the kernel lists as it is read, however large it is."""

    def __init__(self, path: bytes) -> None:
        self._entries = os.scandir(path)

    def read(self, most: int) -> list[tuple[bytes, os.stat_result]]:
        found: list[tuple[bytes, os.stat_result]] = []
        for entry in self._entries:
            try:
                found.append((entry.name, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue  # removed since
            if len(found) == most:
                break
        return found

    def close(self) -> None:
        self._entries.close()


def _need_regular(mode: int) -> None:
    if S_ISDIR(mode):
        raise failure(EISDIR)
    if not S_ISREG(mode):
        raise failure(EOPNOTSUPP, "it is no regular file")


def _moved(old: bytes, new: bytes) -> bool:
    """Gives a file another name that must be free, at once and safely; False where the file system can't."""
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        # EPERM: it has no second names, or not for who doesn't own the file (fs.protected_hardlinks, proc(5)).
        if error.errno in (EPERM, EOPNOTSUPP, EXDEV):
            return False
        raise
    os.unlink(old)
    return True


def _change(it: bytes | int, changes: Changes) -> None:
    """Changes a file by its path or descriptor. What can be changed is, whatever else can't; the first error counts."""
    steps: list[Callable[[], None]] = []
    if (size := changes.size) is not None:
        steps.append(lambda: os.truncate(it, size))
    if (mode := changes.mode) is not None:
        steps.append(lambda: os.chmod(it, mode))
    if (times := changes.times) is not None:
        steps.append(lambda: os.utime(it, times))
    if (owner := changes.owner) is not None:
        steps.append(lambda: os.chown(it, *owner))
    _all(steps)


def _change_link(path: bytes, changes: Changes) -> None:
    """The same of a link itself."""
    if changes.size is not None:
        raise failure(EINVAL)
    steps: list[Callable[[], None]] = []
    if (mode := changes.mode) is not None:
        steps.append(lambda: _change_mode_unfollowed(path, mode))
    if (times := changes.times) is not None:
        steps.append(lambda: os.utime(path, times, follow_symlinks=False))
    if (owner := changes.owner) is not None:
        steps.append(lambda: os.chown(path, *owner, follow_symlinks=False))
    _all(steps)


def _change_mode_unfollowed(path: bytes, mode: int) -> None:
    """fchmodat(2) has no flag for it before Linux 6.6; a descriptor that only holds the place does."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if S_ISLNK(os.fstat(descriptor).st_mode):
            raise failure(EOPNOTSUPP, "a link has no permissions of its own")
        os.chmod(b"/proc/self/fd/%d" % descriptor, S_IMODE(mode))
    finally:
        os.close(descriptor)


def _all(steps: list[Callable[[], None]]) -> None:
    first: OSError | None = None
    for step in steps:
        try:
            step()
        except OSError as error:
            first = first or error
    if first:
        raise first
