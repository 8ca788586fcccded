"""A tree of files, as sftp and scp need it, and the nearest one: that of the calling process.

Paths are bytes and absolute; `.` and `..` in them mean what they mean to the kernel. Every method raises OSError as the
kernel would, and DockshellError where something else is in the way, with one sentence."""

from __future__ import annotations

import os
from errno import EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, EOPNOTSUPP, EPERM, EXDEV
from stat import S_ISDIR, S_ISLNK, S_ISREG

from dockshell.linux import safe_paths
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
_CAREFULLY = os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


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
    """The `Tree` that the calling process sees, by plain system calls: it may do what the kernel lets this process do,
    but for what is this process's own, and the kernel's (linux/safe_paths.py).

    It is made outside a container and used inside, by a process that can import nothing more (linux/entrance.py). So
    all that it needs is imported above, and what others look up in the container it is given: home is the user's, users
    and groups are the names of numbers."""

    abilities = frozenset((LINKS, NOT_FOLLOWED, SPACE))

    def __init__(self, home: bytes, users: Mapping[int, bytes], groups: Mapping[int, bytes]) -> None:
        self._home = home
        self._users, self._groups = users, groups

    def home(self) -> bytes:
        try:
            there = self._home.startswith(b"/") and S_ISDIR(self.stat(self._home).st_mode)
        except OSError:
            there = False
        return self._home if there else b"/"

    def user(self, number: int) -> bytes:
        return self._users.get(number, b"")

    def group(self, number: int) -> bytes:
        return self._groups.get(number, b"")

    def stat(self, path: bytes, *, follow: bool = True) -> os.stat_result:
        with _Opened(path, os.O_PATH, follow=follow) as descriptor:
            return os.fstat(descriptor)

    def open(self, path: bytes, flags: int, mode: int = 0o666) -> File:
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        try:
            with _Opened(path, os.O_PATH) as place:
                _need_file(place, writes)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        descriptor = safe_paths.opened(path, (flags | _CAREFULLY) & ~os.O_TRUNC, mode)
        try:
            _need_file(descriptor, writes)  # it may have been changed for another since
            if flags & os.O_TRUNC:
                os.ftruncate(descriptor, 0)
        except OSError:
            os.close(descriptor)
            raise
        return _LocalFile(descriptor)

    def list(self, path: bytes) -> Directory:
        return _LocalDirectory(safe_paths.opened(path, _DIRECTORY))

    def readlink(self, path: bytes) -> bytes:
        with _Opened(path, os.O_PATH, follow=False) as descriptor:
            if not S_ISLNK(os.fstat(descriptor).st_mode):
                raise failure(EINVAL)
            return os.readlink(b"", dir_fd=descriptor)

    def real(self, path: bytes) -> bytes:
        return real(path, self.readlink)

    def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        with _Parent(old) as (source, name), _Parent(new) as (sink, called):
            if not replace:
                facts = os.stat(name, dir_fd=source, follow_symlinks=False)
                if S_ISREG(facts.st_mode) and _moved(source, name, sink, called):
                    return
                if _exists(sink, called):
                    raise failure(EEXIST)
            os.rename(name, called, src_dir_fd=source, dst_dir_fd=sink)

    def remove(self, path: bytes) -> None:
        with _Parent(path) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        with _Parent(path) as (directory, name):
            os.mkdir(name, mode, dir_fd=directory)

    def rmdir(self, path: bytes) -> None:
        with _Parent(path) as (directory, name):
            os.rmdir(name, dir_fd=directory)

    def symlink(self, target: bytes, path: bytes) -> None:
        with _Parent(path) as (directory, name):
            os.symlink(target, name, dir_fd=directory)

    def link(self, old: bytes, new: bytes) -> None:
        with _Parent(old) as (source, name), _Parent(new) as (sink, called):
            os.link(name, called, src_dir_fd=source, dst_dir_fd=sink, follow_symlinks=False)

    def change(self, path: bytes, changes: Changes, *, follow: bool = True) -> None:
        with _Opened(path, os.O_PATH, follow=follow) as descriptor:
            safe_paths.need_changeable(descriptor)
            steps: list[Callable[[], None]] = []
            if (size := changes.size) is not None:
                if not follow:
                    raise failure(EINVAL)
                steps.append(lambda: self._cut(path, size))
            if (mode := changes.mode) is not None:
                steps.append(lambda: safe_paths.change_mode(descriptor, mode))
            if (times := changes.times) is not None:
                steps.append(lambda: safe_paths.change_times(descriptor, times))
            if (owner := changes.owner) is not None:
                steps.append(lambda: safe_paths.change_owner(descriptor, *owner))
            _all(steps)

    def space(self, path: bytes) -> os.statvfs_result:
        with _Opened(path, os.O_PATH) as descriptor:
            return os.fstatvfs(descriptor)

    def _cut(self, path: bytes, size: int) -> None:
        file = self.open(path, os.O_WRONLY)
        try:
            file.change(Changes(size=size))
        finally:
            file.close()


class _Opened:
    """What safe_paths.opened() opens, for as long as a `with` lasts. It looks things up only then."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: bytes, flags: int, *, follow: bool = True) -> None:
        self._descriptor = safe_paths.opened(path, flags, follow=follow)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


class _Parent(_Opened):
    """The directory that has what the path names, in which something is about to change, and its name in there; a link
    of that name is not followed. Raises EPERM where all changes are the kernel's."""

    __slots__ = ("_name",)

    def __init__(self, path: bytes) -> None:
        directory, self._name = os.path.split(path.rstrip(b"/") or b"/.")
        super().__init__(directory or b"/", os.O_PATH | os.O_DIRECTORY)
        try:
            safe_paths.need_changeable(self._descriptor)
        except OSError:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> tuple[int, bytes]:  # type: ignore[override]
        return self._descriptor, self._name


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
        it = self._descriptor
        safe_paths.need_changeable(it)
        steps: list[Callable[[], None]] = []
        if (size := changes.size) is not None:
            steps.append(lambda: os.ftruncate(it, size))
        if (mode := changes.mode) is not None:
            steps.append(lambda: os.fchmod(it, mode))
        if (times := changes.times) is not None:
            steps.append(lambda: os.utime(it, times))
        if (owner := changes.owner) is not None:
            steps.append(lambda: os.fchown(it, *owner))
        _all(steps)

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
    """A `Directory` that the kernel lists as it is read, however large it is. descriptor: of the directory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        try:
            self._entries = os.scandir(descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def read(self, most: int) -> list[tuple[bytes, os.stat_result]]:
        found: list[tuple[bytes, os.stat_result]] = []
        for entry in self._entries:
            try:
                found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue  # removed since
            if len(found) == most:
                break
        return found

    def close(self) -> None:
        self._entries.close()
        os.close(self._descriptor)


def _need_file(descriptor: int, writes: bool) -> None:
    """Raises OSError for what is no regular file, and where it is to be written to and is the kernel's."""
    mode = os.fstat(descriptor).st_mode
    if S_ISDIR(mode):
        raise failure(EISDIR)
    if not S_ISREG(mode):
        raise failure(EOPNOTSUPP, "it is no regular file")
    if writes:
        safe_paths.need_changeable(descriptor)


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _moved(source: int, name: bytes, sink: int, called: bytes) -> bool:
    """Gives a file another name that must be free, at once and safely; False where the file system can't."""
    try:
        os.link(name, called, src_dir_fd=source, dst_dir_fd=sink, follow_symlinks=False)
    except OSError as error:
        # EPERM: it has no second names, or not for who doesn't own the file (fs.protected_hardlinks, proc(5)).
        if error.errno in (EPERM, EOPNOTSUPP, EXDEV):
            return False
        raise
    os.unlink(name, dir_fd=source)
    return True


def _all(steps: list[Callable[[], None]]) -> None:
    """What can be changed is, whatever else can't; the first error counts."""
    first: OSError | None = None
    for step in steps:
        try:
            step()
        except OSError as error:
            first = first or error
    if first:
        raise first
