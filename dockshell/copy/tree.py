"""Files that this kernel reaches: here, or in a container by its root. Read directory by directory, each name by
the descriptor of its directory, so that nobody who swaps a directory for a link leads anywhere else; and nothing but a
regular file or a directory is ever opened for real, for to open a device may act."""

from __future__ import annotations

import os
from errno import ELOOP, ENXIO, EPERM
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISLNK, S_ISREG

from dockshell.copy.destination import KERNELS, Destination
from dockshell.copy.entry import BLOCK, Changed, Entry, failure
from dockshell.linux.libc import shows_the_kernel
from dockshell.linux.rootfs import open_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.copy.destination import Owner
    from dockshell.copy.entry import How
    from dockshell.copy.report import Report

__all__ = ["Tree"]

_DEEPEST = 400  # directories in one another, each of which takes a descriptor at both ends
_PATH = os.O_PATH | os.O_CLOEXEC
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_PAGE = 4096  # bytes
_NO_ATTRIBUTES: dict[str, bytes] = {}


class Tree:
    """The `Side`. root: a descriptor of the container's root, within which every path and link then stays (openat2(2));
    -1 for what is here."""

    def __init__(self, root: int = -1) -> None:
        self._root = root

    @property
    def trusted(self) -> bool:
        """Is it ours, and nobody's inside?"""
        return self._root < 0

    def open(self, path: bytes, flags: int) -> int:
        """A descriptor of what is there. Raises OSError."""
        if self._root < 0:
            return os.open(path, flags | os.O_CLOEXEC)
        return open_within(self._root, path, flags)

    def look(self, path: bytes, *, follow: bool = True) -> os.stat_result | None:
        try:
            descriptor = self.open(path, _PATH if follow else _PATH | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def readlink(self, path: bytes) -> bytes:
        descriptor = self.open(path, _PATH | os.O_NOFOLLOW)
        try:
            return os.readlink(b"", dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def names(self, path: bytes) -> list[bytes]:
        descriptor = self.open(path, _FLAGS | os.O_DIRECTORY)
        try:
            return sorted(map(os.fsencode, os.listdir(descriptor)))
        finally:
            os.close(descriptor)

    def entries(self, path: bytes, name: bytes, follow: bool, how: How, report: Report) -> Iterator[Entry]:
        walk = _Walk(self, how, report)
        try:
            yield from walk.run(path, name, follow)
        finally:
            walk.close()

    def sink(self, directory: bytes, owner: Owner, report: Report) -> Destination:
        top = self.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        if not self.trusted and shows_the_kernel(top):
            os.close(top)
            raise failure(EPERM, KERNELS)
        facts = os.fstat(top)
        report.avoid = (facts.st_dev, facts.st_ino)
        return Destination(top, owner, report)

    def copy_within(self, directory: bytes) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


class _Walk:
    """One copy's way through a tree."""

    def __init__(self, tree: Tree, how: How, report: Report) -> None:
        self._tree = tree
        self._how = how
        self._report = report
        self._stack: list[_Level] = []
        self._twins: dict[tuple[int, int], bytes] = {}

    def run(self, path: bytes, name: bytes, follow: bool) -> Iterator[Entry]:
        top = self._tree.open(path, _PATH if follow else _PATH | os.O_NOFOLLOW)
        self._named = shows_the_kernel(top)
        entry = self._opened(top, path, name)
        while True:
            if entry is not None:
                yield entry
            if not self._stack:
                return
            level = self._stack[-1]
            child = next(level.names, None)
            if child is None:
                os.close(level.descriptor)
                self._stack.pop()
                entry = None
                continue
            where = level.path + b"/" + child
            entry = None
            called = level.name + b"/" + child if level.name else child
            try:
                if child in level.plain:
                    entry = self._plain(child, level.descriptor, called)
                if entry is None:
                    found = os.open(child, _PATH | os.O_NOFOLLOW, dir_fd=level.descriptor)
                    entry = self._opened(found, where, called)
            except OSError as error:
                self._report.failed(where, error)

    def _plain(self, child: bytes, directory: int, name: bytes) -> Entry | None:
        """The entry of what was a regular file here when the directory was read, opened at once; None if it isn't."""
        descriptor = os.open(child, _FLAGS | os.O_NOFOLLOW, dir_fd=directory)
        facts = os.fstat(descriptor)
        if not S_ISREG(facts.st_mode):
            os.close(descriptor)
            return None
        entry = Entry(name, facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns)
        if not self._is_twin(entry, facts):
            self._fill(entry, descriptor, facts)
            return entry
        os.close(descriptor)
        return entry

    def _opened(self, descriptor: int, where: bytes, name: bytes) -> Entry | None:
        """The entry that an O_PATH descriptor, which is closed here, stands for; a directory is entered. where: its
        path in the source."""
        try:
            facts = os.fstat(descriptor)
            if S_ISLNK(facts.st_mode) and self._how.follow:
                followed = self._tree.open(where, _PATH)
                os.close(descriptor)
                descriptor, facts = followed, os.fstat(followed)
            entry = Entry(name, facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns)
            if S_ISREG(facts.st_mode):
                self._read_file(entry, descriptor, facts)
            elif S_ISDIR(facts.st_mode):
                return self._enter(entry, descriptor, where, facts)
            elif S_ISLNK(facts.st_mode):
                entry.link = os.readlink(b"", dir_fd=descriptor)
            elif S_ISBLK(facts.st_mode) or S_ISCHR(facts.st_mode):
                entry.device = facts.st_rdev
            return entry
        finally:
            os.close(descriptor)

    def _read_file(self, entry: Entry, descriptor: int, facts: os.stat_result) -> None:
        if not self._is_twin(entry, facts):
            self._fill(entry, os.open(f"/proc/self/fd/{descriptor}", _FLAGS), facts)

    def _is_twin(self, entry: Entry, facts: os.stat_result) -> bool:
        """Is it one more name of a file that was copied already?"""
        entry.size = facts.st_size
        if facts.st_nlink > 1:
            first = self._twins.setdefault((facts.st_dev, facts.st_ino), entry.path)
            entry.shared = first == entry.path
            entry.twin = b"" if entry.shared else first
        return bool(entry.twin)

    def _fill(self, entry: Entry, opened: int, facts: os.stat_result) -> None:
        entry.content = _FileContent(opened, facts)
        entry.xattrs = self._attributes(opened)

    def _enter(self, entry: Entry, descriptor: int, where: bytes, facts: os.stat_result) -> Entry | None:
        mounted = not self._stack or facts.st_dev != self._stack[-1].key[0]
        # Files without end, and none that a copy is for: who wants something of the kernel's names it.
        if mounted and not self._named and shows_the_kernel(descriptor):
            self._report.passed_by(where)
            return None
        key = (facts.st_dev, facts.st_ino)
        if key == self._report.avoid:
            raise failure(ELOOP, "a directory can't be copied into itself")
        if any(level.key == key for level in self._stack):
            raise failure(ELOOP, "it leads to a directory that it is in")
        if len(self._stack) >= _DEEPEST:
            raise failure(ELOOP, f"more than {_DEEPEST} directories deep")
        opened = os.open(f"/proc/self/fd/{descriptor}", _FLAGS | os.O_DIRECTORY)
        try:
            entry.xattrs = self._attributes(opened)
            names, plain = self._listed(opened)
        except BaseException:
            os.close(opened)
            raise
        self._stack.append(_Level(opened, where.rstrip(b"/"), entry.path, key, names, plain))
        return entry

    def _listed(self, directory: int) -> tuple[Iterator[bytes], set[bytes]]:
        """The names in it, and those of them that may be opened for what they are said to be: here nobody is out to
        have us open a device."""
        if not self._tree.trusted:
            return iter([os.fsencode(each) for each in os.listdir(directory)]), set()
        names, plain = [], set()
        with os.scandir(directory) as found:
            for each in found:
                name = os.fsencode(each.name)
                names.append(name)
                if each.is_file(follow_symlinks=False):
                    plain.add(name)
        return iter(names), plain

    def _attributes(self, descriptor: int) -> dict[str, bytes]:
        try:
            names = os.listxattr(descriptor)
        except OSError:
            return _NO_ATTRIBUTES  # a file system that has none
        if not names:
            return _NO_ATTRIBUTES
        wanted = names if self._how.everything else [each for each in names if each.startswith("user.")]
        return {each: os.getxattr(descriptor, each) for each in wanted if each != "security.selinux"}

    def close(self) -> None:
        while self._stack:
            os.close(self._stack.pop().descriptor)


class _Level:
    """A directory on the way. path: in the source; name: the entry's path; key: who it is. names: those in it that are
    to come; plain: which of those in it are regular files that may be opened at once."""

    __slots__ = ("descriptor", "key", "name", "names", "path", "plain")

    def __init__(
        self,
        descriptor: int,
        path: bytes,
        name: bytes,
        key: tuple[int, int],
        names: Iterator[bytes],
        plain: set[bytes],
    ) -> None:
        self.descriptor = descriptor
        self.path = path
        self.name = name
        self.names = names
        self.plain = plain
        self.key = key


class _FileContent:
    """The `Content` of a regular file: as much as it had when it was opened. One that only grew meanwhile, as a log
    does, is copied as it was."""

    __slots__ = ("_descriptor", "_facts")

    def __init__(self, descriptor: int, facts: os.stat_result) -> None:
        self._descriptor = descriptor
        self._facts = facts

    def blocks(self) -> Iterator[tuple[int, bytes | bytearray | memoryview]]:
        size = self._facts.st_size
        if 0 < size <= BLOCK:
            data = os.read(self._descriptor, size)
            if len(data) < size:
                raise Changed(0, "it was cut while it was copied")
            yield 0, data
            if size <= _PAGE:
                return  # it was read at once
        elif size == 0:
            yield from self._endless()
        elif self._facts.st_blocks * 512 < size:
            yield from self._with_holes(size)
        else:
            yield from self._dense(0, size)
        now = os.fstat(self._descriptor)
        if now.st_mtime_ns != self._facts.st_mtime_ns and now.st_size <= size:
            raise Changed(0, "it was written to while it was copied")

    def _endless(self) -> Iterator[tuple[int, bytes]]:
        """The kernel's own files (proc(5)) have no size until they are read."""
        at = 0
        while data := os.read(self._descriptor, BLOCK):
            yield at, data
            at += len(data)

    def _with_holes(self, size: int) -> Iterator[tuple[int, memoryview]]:
        at = 0
        while at < size:
            try:
                begin = os.lseek(self._descriptor, at, os.SEEK_DATA)
                end = os.lseek(self._descriptor, begin, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == ENXIO:  # nothing but a hole from here on
                    return
                raise
            yield from self._dense(begin, min(end, size))
            at = end

    def _dense(self, at: int, end: int) -> Iterator[tuple[int, memoryview]]:
        buffer = memoryview(bytearray(BLOCK))
        while at < end:
            count = os.preadv(self._descriptor, [buffer[: end - at]], at)
            if not count:
                raise Changed(0, "it was cut while it was copied")
            yield at, buffer[:count]
            at += count

    def close(self) -> None:
        os.close(self._descriptor)
