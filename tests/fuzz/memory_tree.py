"""A tree of files in memory: what sftp and scp do to it harms nothing, as whoever it runs."""

from __future__ import annotations

import os
from errno import EBUSY, EEXIST, EFBIG, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY
from stat import S_IFDIR, S_IFLNK, S_IFREG, S_ISDIR, S_ISLNK, S_ISREG

from dockshell.bridge.tree import LINKS, NOT_FOLLOWED, SPACE, Changes, failure, real

__all__ = ["MemoryTree"]

_LARGEST = 1 << 16  # bytes of a file
_LAST = (1 << 63) - 1  # off_t's


class _Node:
    def __init__(self, mode: int, content: bytes = b"") -> None:
        self.mode, self.content = mode, bytearray(content)
        self.owner, self.times = (0, 0), (0, 0)

    def stat(self) -> os.stat_result:
        size = len(self.content)
        return os.stat_result((self.mode, id(self), 1, 1, *self.owner, size, *self.times, 0))

    def change(self, changes: Changes) -> None:
        if changes.size is not None:
            if changes.size > _LARGEST:
                raise failure(EFBIG)
            self.content[:] = self.content[: changes.size].ljust(changes.size, b"\0")
        if changes.mode is not None:
            self.mode = self.mode & ~0o7777 | changes.mode
        self.owner = changes.owner or self.owner
        self.times = changes.times or self.times


class _File:
    """A `File`."""

    def __init__(self, node: _Node, tree: MemoryTree) -> None:
        self._node, self._tree = node, tree
        self.stat, self.change = node.stat, node.change

    def read(self, into: memoryview, at: int) -> int:
        if at > _LAST:
            raise OverflowError("as os.preadv() has it")
        found = self._node.content[at : at + len(into)]
        into[: len(found)] = found
        return len(found)

    def write(self, data: memoryview, at: int) -> None:
        if at > _LAST:
            raise OverflowError("as os.pwrite() has it")
        if at + len(data) > _LARGEST:
            raise failure(EFBIG)
        self._node.content.extend(bytes(max(0, at - len(self._node.content))))
        self._node.content[at : at + len(data)] = data

    def file_id(self) -> object:
        return id(self._node)

    def sync(self) -> None:
        pass

    def space(self) -> os.statvfs_result:
        return self._tree.space(b"/")

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _Listing:
    """A `Directory`."""

    def __init__(self, entries: list[tuple[bytes, os.stat_result]]) -> None:
        self._entries = entries

    def read(self, most: int) -> list[tuple[bytes, os.stat_result]]:
        found, self._entries = self._entries[:most], self._entries[most:]
        return found

    def close(self) -> None:
        pass


class MemoryTree:
    """The `Tree`: /home, where a session begins, with a directory, a file, and links to both, to each other, and up."""

    abilities = frozenset((LINKS, NOT_FOLLOWED, SPACE))

    def __init__(self) -> None:
        self._nodes = {
            b"/": _Node(S_IFDIR | 0o755),
            b"/home": _Node(S_IFDIR | 0o755),
            b"/home/d": _Node(S_IFDIR | 0o755),
            b"/home/d/e": _Node(S_IFREG | 0o600, b"deep"),
            b"/home/f": _Node(S_IFREG | 0o644, b"content"),
            b"/home/l": _Node(S_IFLNK | 0o777, b"d/e"),
            b"/home/u": _Node(S_IFLNK | 0o777, b"../home/./d"),
            b"/home/x": _Node(S_IFLNK | 0o777, b"x"),
        }

    def home(self) -> bytes:
        return b"/home"

    def user(self, number: int) -> bytes:
        return b"" if number else b"root"

    def group(self, number: int) -> bytes:
        return b"" if number else b"root"

    def stat(self, path: bytes, *, follow: bool = True) -> os.stat_result:
        return self._node(path, follow).stat()

    def open(self, path: bytes, flags: int, mode: int = 0o666) -> _File:
        place = self._place(path)
        node = self._nodes.get(place)
        if node is None:
            if not flags & os.O_CREAT:
                raise failure(ENOENT)
            node = self._made(place, _Node(S_IFREG | mode & 0o7777))
        elif flags & os.O_EXCL:
            raise failure(EEXIST)
        if not S_ISREG(node.mode):
            raise failure(EISDIR)
        if flags & os.O_TRUNC:
            node.content.clear()
        return _File(node, self)

    def list(self, path: bytes) -> _Listing:
        place = self._place(path)
        if not S_ISDIR(self._node(path).mode):
            raise failure(ENOTDIR)
        return _Listing([(each.rpartition(b"/")[2], self._nodes[each].stat()) for each in self._below(place)])

    def readlink(self, path: bytes) -> bytes:
        node = self._node(path, follow=False)
        if not S_ISLNK(node.mode):
            raise failure(EINVAL)
        return bytes(node.content)

    def real(self, path: bytes) -> bytes:
        return real(path, self._link)

    def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        source, sink = self._place(old, follow=False), self._place(new, follow=False)
        node = self._node(old, follow=False)
        if sink in self._nodes and not replace:
            raise failure(EEXIST)
        if S_ISDIR(node.mode):
            raise failure(EBUSY)
        self._made(sink, node, replace=replace)
        if source != sink:
            del self._nodes[source]

    def remove(self, path: bytes) -> None:
        if S_ISDIR(self._node(path, follow=False).mode):
            raise failure(EISDIR)
        del self._nodes[self._place(path, follow=False)]

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        self._made(self._place(path, follow=False), _Node(S_IFDIR | mode & 0o7777))

    def rmdir(self, path: bytes) -> None:
        place = self._place(path, follow=False)
        if not S_ISDIR(self._node(path, follow=False).mode):
            raise failure(ENOTDIR)
        if self._below(place) or place == b"/":
            raise failure(ENOTEMPTY)
        del self._nodes[place]

    def symlink(self, target: bytes, path: bytes) -> None:
        if b"\0" in target:
            raise ValueError("as os.symlink() has it")
        self._made(self._place(path, follow=False), _Node(S_IFLNK | 0o777, target))

    def link(self, old: bytes, new: bytes) -> None:
        self._made(self._place(new, follow=False), self._node(old, follow=False))

    def change(self, path: bytes, changes: Changes, *, follow: bool = True) -> None:
        node = self._node(path, follow)
        if changes.size is not None and not S_ISREG(node.mode):
            raise failure(EINVAL)
        node.change(changes)

    def space(self, path: bytes) -> os.statvfs_result:
        self._node(path)
        return os.statvfs_result((4096, 4096, 100, 50, 50, 100, 50, 50, 0, 255, 1))

    def _link(self, path: bytes) -> bytes:
        node = self._nodes.get(path)
        if node is None:
            raise failure(ENOENT)
        if not S_ISLNK(node.mode):
            raise failure(EINVAL)
        return bytes(node.content)

    def _place(self, path: bytes, follow: bool = True) -> bytes:
        if b"\0" in path:
            raise ValueError("as the functions of os have it")
        if follow:
            return self.real(path)
        directory, name = os.path.split(path.rstrip(b"/") or b"/.")
        return os.path.normpath(os.path.join(self.real(directory or b"/"), name)).replace(b"//", b"/")

    def _node(self, path: bytes, follow: bool = True) -> _Node:
        node = self._nodes.get(self._place(path, follow))
        if node is None:
            raise failure(ENOENT)
        return node

    def _made(self, place: bytes, node: _Node, *, replace: bool = False) -> _Node:
        above = self._nodes.get(os.path.dirname(place))
        if above is None or not S_ISDIR(above.mode):
            raise failure(ENOENT if above is None else ENOTDIR)
        if place in self._nodes and (not replace or S_ISDIR(self._nodes[place].mode)):
            raise failure(EEXIST)
        self._nodes[place] = node
        return node

    def _below(self, place: bytes) -> tuple[bytes, ...]:
        return tuple(each for each in self._nodes if each != b"/" and os.path.dirname(each) == place)
