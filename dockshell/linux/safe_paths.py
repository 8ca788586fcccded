"""Paths among files that somebody hostile arranges, for a process of ours that has entered there and serves them.

/proc has links that are no paths ("magic links": exe, root, cwd, fd/N, proc(5)). They lead to what a process has, and
what a process of ours has is the host's: its program is the host's Python. So none is ever followed: openat2(2) with
RESOLVE_NO_MAGICLINKS, and where the kernel or the container's seccomp filter lacks that, name by name, so that the
kernel follows no link at all.

/proc also lets a process read and write its own memory, environment and the like whatever its credentials are
(ptrace(2), "Ptrace access mode checking"). So what any /proc has of the calling process is refused. And files in which
the kernel shows itself act on being written to: those are not for changing.

All of this is called inside, where nothing can be imported: it only makes system calls. Everything raises OSError."""

from __future__ import annotations

import ctypes
import os
from errno import EACCES, EINVAL, ELOOP, ENOENT, ENOSYS, EOPNOTSUPP, EPERM
from stat import S_ISDIR, S_ISLNK

from dockshell.linux.libc import PROC, RESOLVE_NO_MAGICLINKS, call, file_system, openat2, shows_the_kernel, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "beside",
    "change_mode",
    "change_owner",
    "change_times",
    "need_changeable",
    "opened",
    "parent",
]

_HERE = -100  # AT_FDCWD
_EMPTY_PATH = 0x1000  # AT_EMPTY_PATH
_FCHMODAT2 = 452  # Linux 6.6
_LACKING = (ENOSYS, EPERM)  # what a kernel, and a seccomp filter, says of a call that it doesn't know
_NO_PROC = "this takes a newer kernel, or the kernel's own /proc in the container"
_MOST_LINKS = 40  # on the way to one file, as the kernel has it: path_resolution(7)
_PLACE = os.O_PATH | os.O_CLOEXEC
_DIRECTORY = _PLACE | os.O_DIRECTORY


def opened(path: bytes, flags: int, mode: int = 0, *, follow: bool = True) -> int:
    """A descriptor of what is at that path. flags, mode: as open(2) has them. follow: whether a link there is followed,
    as those on the way are. EACCES for what /proc has of the calling process."""
    flags |= os.O_CLOEXEC if follow else os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = openat2(_HERE, path, flags, RESOLVE_NO_MAGICLINKS, mode)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
    else:
        if file_system(descriptor) != PROC:
            return descriptor
        os.close(descriptor)
    directory, name = parent(path, follow=follow)
    try:
        descriptor = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory)
        try:
            if file_system(descriptor) == PROC:
                _need_others(descriptor if S_ISDIR(os.fstat(descriptor).st_mode) else directory)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
    finally:
        os.close(directory)


def parent(path: bytes, *, follow: bool = False) -> tuple[int, bytes]:
    """A descriptor of the directory in which that path ends, and the last name, which need not be there. follow:
    whether that name is to be of no link: then those that it leads to are gone through."""
    if not path or b"\0" in path:
        raise OSError(ENOENT if not path else EINVAL, os.strerror(ENOENT if not path else EINVAL))
    ahead = _names(path)
    links = 0
    directory = os.open(b"/" if path.startswith(b"/") else b".", _DIRECTORY)
    try:
        while True:
            name = ahead.pop()
            if not ahead and not follow:
                return directory, name
            try:
                found = os.open(name, _PLACE | os.O_NOFOLLOW, dir_fd=directory)
            except FileNotFoundError:
                if ahead:
                    raise
                return directory, name
            try:
                if not S_ISLNK(os.fstat(found).st_mode):
                    if not ahead:
                        return directory, name
                    directory, found = found, directory
                    continue
                if file_system(found) == PROC and not _is_top(directory):
                    raise OSError(ELOOP, os.strerror(ELOOP))  # all but those in /proc itself are no paths
                target = os.readlink(b"", dir_fd=found)
            finally:
                os.close(found)
            links += 1
            if links > _MOST_LINKS:
                raise OSError(ELOOP, os.strerror(ELOOP))
            if not target:
                raise OSError(ENOENT, os.strerror(ENOENT))
            if target.startswith(b"/"):
                root = os.open(b"/", _DIRECTORY)
                os.close(directory)
                directory = root
            ahead += _names(target)
    except BaseException:
        os.close(directory)
        raise


def beside(directory: int, act: Callable[[], None]) -> None:
    """Calls act() with that directory as the working one: there is no bindat(2) and no connectat(2)."""
    here = os.open(b".", _DIRECTORY)
    try:
        os.fchdir(directory)
        act()
    finally:
        os.fchdir(here)
        os.close(here)


def _names(path: bytes) -> list[bytes]:
    """The names in a path, the last one first. `.`, which takes a directory, is one where it ends in a slash."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if not names or path.endswith((b"/", b"/.")):
        names.append(b".")
    return names[::-1]


def _need_others(directory: int) -> None:
    """Raises EACCES where a directory of a /proc is the calling process's, or is in that, and where that can't be
    told since it is mounted without what is above it."""
    below = os.dup(directory)
    try:
        while not _is_top(below):
            above = os.open(b"..", _DIRECTORY, dir_fd=below)
            own = file_system(above) != PROC or _is_own(above, below)
            os.close(below)
            below = above
            if own:
                raise OSError(EACCES, "that is of the process which serves files here")
    finally:
        os.close(below)


def _is_top(directory: int) -> bool:
    """Is a directory of a /proc the topmost? Nowhere else is there a link of this name."""
    try:
        return S_ISLNK(os.stat(b"self", dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _is_own(top: int, below: int) -> bool:
    """Is `below` the directory of the calling process in that /proc?"""
    try:
        own = os.stat(b"self", dir_fd=top)
    except OSError:
        return False  # it isn't the topmost, or the process has no number in there
    facts = os.fstat(below)
    return (own.st_dev, own.st_ino) == (facts.st_dev, facts.st_ino)


def need_changeable(descriptor: int) -> None:
    """Raises EPERM for what is of a file system in which the kernel shows itself."""
    if shows_the_kernel(descriptor):
        raise OSError(EPERM, "what the kernel shows there is changed by a command alone")


# What follows changes what an O_PATH descriptor stands for, and so nothing that was put in its place since.


def change_mode(descriptor: int, mode: int) -> None:
    """chmod(2). Without fchmodat2(2) it is done by the link in /proc that is the descriptor's own."""
    if S_ISLNK(os.fstat(descriptor).st_mode):
        raise OSError(EOPNOTSUPP, "a link has no permissions of its own")
    try:
        syscall(_FCHMODAT2, ctypes.c_int(descriptor), b"", ctypes.c_uint(mode), ctypes.c_int(_EMPTY_PATH))
    except OSError as error:
        if error.errno not in _LACKING:
            raise
        directory = _own_descriptors(descriptor)
        try:
            os.chmod(b"%d" % descriptor, mode, dir_fd=directory)
        finally:
            os.close(directory)


def change_owner(descriptor: int, uid: int, gid: int) -> None:
    """chown(2), or lchown(2) of a link."""
    call("fchownat", ctypes.c_int(descriptor), b"", ctypes.c_uint(uid), ctypes.c_uint(gid), ctypes.c_int(_EMPTY_PATH))


def change_times(descriptor: int, times: tuple[int, int]) -> None:
    """Sets the times of the last access and the last change, in seconds since 1970, of a link too. Without
    AT_EMPTY_PATH for utimensat(2) (Linux 5.8) it is done by the link in /proc that is the descriptor's own."""
    moments = (ctypes.c_long * 4)(times[0], 0, times[1], 0)
    try:
        call("utimensat", ctypes.c_int(descriptor), b"", ctypes.byref(moments), ctypes.c_int(_EMPTY_PATH))
    except OSError as error:
        if error.errno != EINVAL:
            raise
        directory = _own_descriptors(descriptor)
        try:
            os.utime(b"%d" % descriptor, times, dir_fd=directory)
        finally:
            os.close(directory)


def _own_descriptors(descriptor: int) -> int:
    """A descriptor of /proc/self/fd, where that is the kernel's own and leads from the number to the same file.
    EOPNOTSUPP where it isn't so."""
    own = _own_directory()
    try:
        directory = os.open(b"fd", _DIRECTORY | os.O_NOFOLLOW, dir_fd=own)
        try:
            theirs, ours = os.stat(b"%d" % descriptor, dir_fd=directory), os.fstat(descriptor)
            if file_system(directory) == PROC and (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
                return os.dup(directory)
        finally:
            os.close(directory)
    except OSError:
        pass
    finally:
        os.close(own)
    raise OSError(EOPNOTSUPP, _NO_PROC)


def _own_directory() -> int:
    """A descriptor of /proc/self, where that is the kernel's own: what is mounted at /proc is the container's to say.
    EOPNOTSUPP where it isn't."""
    try:
        proc = os.open(b"/proc", _DIRECTORY | os.O_NOFOLLOW)
        try:
            number = os.readlink(b"self", dir_fd=proc)
            if file_system(proc) == PROC and number.isdigit():
                return os.open(number, _DIRECTORY | os.O_NOFOLLOW, dir_fd=proc)
        finally:
            os.close(proc)
    except OSError:
        pass
    raise OSError(EOPNOTSUPP, _NO_PROC)
