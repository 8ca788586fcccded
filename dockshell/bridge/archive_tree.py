"""A container's files through the engine's archive alone: for one with no shell in it, which can't be entered either.

What the archive can't do, nothing here can: remove, rename, give a second name."""

from __future__ import annotations

import os
import tarfile
import time
from errno import EACCES, EEXIST, EINVAL, EIO, EISDIR, ENOENT, ENOSYS, ENOTDIR, EOPNOTSUPP, EPERM
from itertools import islice
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from dockshell.bridge.spooled import SpooledFile, pieces
from dockshell.bridge.tree import Changes, failure, real
from dockshell.engines import path_stat
from dockshell.engines.untrusted_tar import NONSENSE, UntrustedTar
from dockshell.errors import EngineError
from dockshell.identity import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from dockshell.bridge.tree import Directory, File
    from dockshell.engines import Api, Download
    from dockshell.identity import Identity
    from dockshell.model import Container

__all__ = ["ArchiveTree"]

_TAR_TYPES = {
    tarfile.DIRTYPE: S_IFDIR,
    tarfile.SYMTYPE: S_IFLNK,
    tarfile.CHRTYPE: S_IFCHR,
    tarfile.BLKTYPE: S_IFBLK,
    tarfile.FIFOTYPE: S_IFIFO,
}
_READ, _WRITE, _SEARCH = 4, 2, 1
_BLOCK = 512
_LARGEST_LISTING = 256 << 20  # bytes of a directory's tar, which has the files' content in it
_LONGEST_LISTING = 20.0  # seconds
_FRESH = 2.0  # seconds for which what was told of a directory counts
_NOT_FROM_OUTSIDE = ("/dev", "/proc", "/sys")  # mounted inside alone, as a tmpfs is
_NO_SHELL = "there is no shell inside, and the engine's own archive can't do it: do it by an image with one"


class ArchiveTree:
    """The `Tree` of a container by /containers/ID/archive.

    The engine reads and writes as root there. What a user other than root may is decided here, before, by the modes and
    owners that the engine tells of the file and of every directory on the way; between that and the act somebody inside
    could put a link in a directory's place, which is why a container with a shell is served by that instead
    (shell_tree.py). Podman doesn't tell owners (it says root's of everything): to such a user only what everybody may
    is allowed, and a file that is written over becomes the user's.

    A link is followed by asking for what it names, again inside. A new file is the identity's; one that is there keeps
    its owner and its mode."""

    abilities: frozenset[str] = frozenset()

    def __init__(self, api: Api, container: Container, identity: Identity) -> None:
        self._api = api
        self._container = container
        self._identity = identity
        self._tells_owners = api.server() != "podman"
        files = container.engine.files(container)
        self._users = names(files.read("/etc/passwd") or b"")
        self._groups = names(files.read("/etc/group") or b"")
        self._mounts = _mounted_inside(api, container.id)
        self._known: dict[bytes, tuple[float, os.stat_result]] = {}
        self._home = b""

    def home(self) -> bytes:
        if not self._home:
            wanted = os.fsencode(self._identity.home)
            try:
                there = wanted.startswith(b"/") and S_ISDIR(self.stat(wanted).st_mode)
            except OSError:
                there = False
            self._home = wanted if there else b"/"
        return self._home

    def user(self, number: int) -> bytes:
        return self._users.get(number, b"")

    def group(self, number: int) -> bytes:
        return self._groups.get(number, b"")

    def stat(self, path: bytes, *, follow: bool = True) -> os.stat_result:
        """Its owner counts as root: that takes a download to know, which listing a directory is anyway."""
        where = self.real(path) if follow else self._unfollowed(path)
        self._need(os.path.dirname(where), _SEARCH)
        return self._seen(where)[0]

    def open(self, path: bytes, flags: int, mode: int = 0o666) -> File:
        where = self.real(path)
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        try:
            facts: os.stat_result | None = self._seen(where)[0]
        except FileNotFoundError:
            facts = None
        if facts is None:
            if not flags & os.O_CREAT:
                raise failure(ENOENT)
            self._need_directory(os.path.dirname(where))
            self._need(os.path.dirname(where), _WRITE | _SEARCH)
        else:
            if flags & os.O_CREAT and flags & os.O_EXCL:
                raise failure(EEXIST)
            if S_ISDIR(facts.st_mode):
                raise failure(EISDIR)
            if not S_ISREG(facts.st_mode):
                raise failure(EOPNOTSUPP, "it is no regular file")
            read = _READ if flags & os.O_ACCMODE != os.O_WRONLY else 0
            self._need(where, read | (_WRITE if writes else 0))
        if writes or facts is None:
            self._need_reachable(where)
        empty = facts is None or (writes and bool(flags & os.O_TRUNC))
        if facts is None:
            facts = self._new(S_IFREG, mode)
        return SpooledFile(_Origin(self, where, facts), flags, empty=empty)

    def list(self, path: bytes) -> Directory:
        where = self.real(path)
        self._need_directory(where)
        self._need(where, _READ)
        return _Listed(self._members(where))

    def readlink(self, path: bytes) -> bytes:
        where = self._unfollowed(path)
        self._need(os.path.dirname(where), _SEARCH)
        facts, target = self._seen(where)
        if not S_ISLNK(facts.st_mode):
            raise failure(EINVAL)
        for member in self._headers(where):
            return os.fsencode(member.linkname) if member.issym() else target  # Podman follows it
        raise failure(ENOENT)

    def real(self, path: bytes) -> bytes:
        return real(path, self._target)

    def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        raise failure(ENOSYS, _NO_SHELL)

    def remove(self, path: bytes) -> None:
        raise failure(ENOSYS, _NO_SHELL)

    rmdir = remove

    def link(self, old: bytes, new: bytes) -> None:
        raise failure(ENOSYS, _NO_SHELL)

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        self._make(path, tarfile.DIRTYPE, self._new(S_IFDIR, mode))

    def symlink(self, target: bytes, path: bytes) -> None:
        self._make(path, tarfile.SYMTYPE, self._new(S_IFLNK, 0o777), target)

    def change(self, path: bytes, changes: Changes, *, follow: bool = True) -> None:
        if not follow:
            raise failure(EOPNOTSUPP)
        where = self.real(path)
        self._need(os.path.dirname(where), _SEARCH)
        facts = self._told(where)
        if S_ISREG(facts.st_mode):
            file = self.open(where, os.O_WRONLY) if changes.size is not None else self._owned(where, facts)
            file.change(changes)
            file.close()
            return
        if not S_ISDIR(facts.st_mode) or where == b"/":
            raise failure(ENOSYS, _NO_SHELL)
        self._need_owner(facts)
        self.put(where, tarfile.DIRTYPE, self._changed(facts, changes))

    def space(self, path: bytes) -> os.statvfs_result:
        raise failure(EOPNOTSUPP)

    def fetch(self, where: bytes) -> Download:
        """The content of the regular file at that real path. Raises OSError."""
        download = self._api.download(self._container.id, os.fsdecode(where))
        if download is None:
            raise failure(ENOENT)
        try:
            tar = UntrustedTar(download.read)
            member = next(tar.members(), None)
            content = tar.content(member) if member and member.isreg() else None
        except NONSENSE as error:
            download.close()
            raise _no_tar() from error
        if content is None:
            download.close()
            raise failure(EIO, "it is no regular file any more")
        return _Content(download, content)

    def put(self, where: bytes, kind: bytes, facts: os.stat_result, descriptor: int = -1, target: bytes = b"") -> None:
        """Puts something at that real path: a tar of one member. descriptor: of a file with its content. Raises
        OSError where it isn't there then."""
        place, name = os.path.split(where)
        member = tarfile.TarInfo(os.fsdecode(name))
        member.type, member.linkname = kind, os.fsdecode(target)
        member.mode, member.uid, member.gid = S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid
        member.mtime = int(facts.st_mtime)
        member.size = facts.st_size if kind == tarfile.REGTYPE else 0
        # Not PAX's: GNU's has names as the bytes that they are.
        head = member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        end = bytes(-member.size % _BLOCK + 2 * _BLOCK)
        self._api.upload(
            self._container.id,
            os.fsdecode(place),
            _joined(head, descriptor, member.size, end),
            len(head) + member.size + len(end),
        )
        self._known.clear()
        found = self._seen(where)[0] if kind != tarfile.SYMTYPE else None
        if found and (S_ISDIR(found.st_mode) != (kind == tarfile.DIRTYPE) or found.st_size < member.size):
            raise failure(EIO, "the engine took it, but it isn't there")

    def standing(self, where: bytes, new: os.stat_result, changes: Changes) -> os.stat_result:
        """What a regular file is to be that is written: what it is, or new, and changed. Raises OSError."""
        try:
            facts = self._told(where)
        except FileNotFoundError:
            return self._changed(new, changes)
        if not S_ISREG(facts.st_mode):
            raise failure(EIO, "it is no regular file any more")
        if not self._tells_owners:
            whole = list(facts)[:10]
            whole[4:6] = self._identity.uid, self._identity.gid
            facts = os.stat_result(whole)
        return self._changed(facts, changes)

    def _owned(self, where: bytes, facts: os.stat_result) -> File:
        self._need_owner(facts)
        self._need_reachable(where)
        file = SpooledFile(_Origin(self, where, facts), os.O_RDWR, empty=False)
        file.rewrite()
        return file

    def _make(self, path: bytes, kind: bytes, facts: os.stat_result, target: bytes = b"") -> None:
        where = self._unfollowed(path)
        place = os.path.dirname(where)
        self._need_directory(place)
        self._need(place, _WRITE | _SEARCH)
        self._need_reachable(where)
        try:
            self._seen(where)
        except FileNotFoundError:
            self.put(where, kind, facts, target=target)
            return
        raise failure(EEXIST)

    def _new(self, kind: int, mode: int) -> os.stat_result:
        mode = kind | (mode & 0o7777 & (0o7777 if kind == S_IFLNK else ~self._container.umask))
        now = int(time.time())
        return os.stat_result((mode, 0, 0, 1, self._identity.uid, self._identity.gid, 0, now, now, now))

    def _seen(self, where: bytes) -> tuple[os.stat_result, bytes]:
        """What HEAD tells of a path, and where it leads in the end if it is a link. Raises FileNotFoundError."""
        if b"\0" in where:
            raise failure(EINVAL)
        try:
            spelled = self._api.path_stat(self._container.id, os.fsdecode(where))
        except EngineError as error:
            if not error.status:
                raise
            spelled = ""  # there is a file on the way, or links that lead to themselves
        if not spelled:
            raise failure(ENOENT)
        try:
            mode, size, moment, target = path_stat.read(spelled)
        except ValueError as error:
            raise failure(EIO, "the engine tells of it what makes no sense") from error
        return os.stat_result((mode, 0, 0, 1, 0, 0, size, moment, moment, moment)), target

    def _target(self, where: bytes) -> bytes:
        facts, target = self._seen(where)
        if not S_ISLNK(facts.st_mode) or not target.startswith(b"/") or target == where:
            raise failure(EINVAL)
        return target

    def _unfollowed(self, path: bytes) -> bytes:
        """The place itself, without links on the way to it."""
        name = os.path.basename(path.rstrip(b"/"))
        if name in (b"", b".", b".."):
            return self.real(path)
        return os.path.join(self.real(os.path.dirname(path.rstrip(b"/"))), name)

    def _headers(self, where: bytes) -> Iterator[tarfile.TarInfo]:
        """The members of the tar of what is there, without their content; bounded in bytes and in time."""
        download = self._api.download(self._container.id, os.fsdecode(where))
        if download is None:
            raise failure(ENOENT)
        bounded = _Bounded(download)
        try:
            yield from UntrustedTar(bounded.read).members()
        except NONSENSE as error:
            raise _no_tar() from error
        finally:
            download.close()

    def _members(self, where: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        for member in self._headers(where):
            name = os.fsencode(member.name.partition("/")[2])
            if name and b"/" not in name and name not in (b".", b".."):
                yield name, _facts(member)

    def _told(self, where: bytes) -> os.stat_result:
        """What the first header of its tar tells, the owner too."""
        moment, known = self._known.get(where, (0.0, None))
        if known is None or time.monotonic() - moment > _FRESH:
            known = next((_facts(member) for member in self._headers(where)), None)
            if known is None:
                raise failure(ENOENT)
            self._known[where] = time.monotonic(), known
        return known

    def _need(self, where: bytes, wanted: int) -> None:
        """Raises EACCES where the user may not do that with what is at the real path, or may not get there."""
        if self._identity.uid == 0:
            return
        parts = where.split(b"/")[1:]
        ways = [b"/", *(b"/" + b"/".join(parts[:count]) for count in range(1, len(parts)) if parts[0])]
        for way in ways:
            if way != where:
                self._need_bits(way, _SEARCH)
        self._need_bits(where, wanted)

    def _need_bits(self, where: bytes, wanted: int) -> None:
        facts = self._told(where)
        mode = facts.st_mode
        if not self._tells_owners:
            bits = mode >> 6 & mode >> 3 & mode
        elif facts.st_uid == self._identity.uid:
            bits = mode >> 6
        elif facts.st_gid in (self._identity.gid, *self._identity.groups):
            bits = mode >> 3
        else:
            bits = mode
        if wanted & ~bits:
            raise failure(EACCES)

    def _need_owner(self, facts: os.stat_result) -> None:
        if self._identity.uid not in (0, facts.st_uid if self._tells_owners else 0):
            raise failure(EPERM)

    def _changed(self, facts: os.stat_result, changes: Changes) -> os.stat_result:
        """Raises EPERM for what the kernel keeps for a file's owner, or for root."""
        whole: list[Any] = list(facts)[:10]
        if changes.mode is not None or changes.times is not None:
            self._need_owner(facts)
        if changes.mode is not None:
            whole[0] = facts.st_mode & ~0o7777 | changes.mode
        elif self._identity.uid and S_ISREG(facts.st_mode):
            whole[0] &= ~0o6000  # whoever writes into a file can't have it run as another: write(2)
        if changes.owner is not None and changes.owner != (facts.st_uid, facts.st_gid):
            if self._identity.uid:
                raise failure(EPERM)
            whole[4:6] = changes.owner
        if changes.times is not None:
            whole[7:9] = changes.times
        return os.stat_result(whole)

    def _need_directory(self, where: bytes) -> None:
        if not S_ISDIR(self._seen(where)[0].st_mode):
            raise failure(ENOTDIR)

    def _need_reachable(self, where: bytes) -> None:
        """A file put below a tmpfs would be lost, without a word."""
        for mount in self._mounts:
            if where == mount or where.startswith(mount + b"/"):
                text = f"{os.fsdecode(mount)} is mounted inside alone, so that the engine can't write there"
                raise failure(EOPNOTSUPP, f"{text} (moby#22020): name another directory")


class _Origin:
    """The regular file at a real path. facts: what it is, or is to be."""

    def __init__(self, tree: ArchiveTree, where: bytes, facts: os.stat_result) -> None:
        self._tree, self._where, self._facts = tree, where, facts

    def fetch(self) -> Download:
        return self._tree.fetch(self._where)

    def put(self, descriptor: int, size: int, changes: Changes) -> None:
        facts = list(self._tree.standing(self._where, self._facts, changes))[:10]
        facts[6] = size
        if changes.times is None:
            facts[7:9] = [int(time.time())] * 2
        self._tree.put(self._where, tarfile.REGTYPE, os.stat_result(facts), descriptor)

    def change(self, changes: Changes) -> None:
        self._tree.change(self._where, changes)

    def stat(self) -> os.stat_result:
        return self._facts

    def file_id(self) -> object:
        return self._where  # the engine tells no inode


class _Listed:
    """A `Directory` from a tar's members."""

    def __init__(self, members: Iterator[tuple[bytes, os.stat_result]]) -> None:
        self._members = members

    def read(self, most: int) -> list[tuple[bytes, os.stat_result]]:
        return list(islice(self._members, most))

    def close(self) -> None:
        close = getattr(self._members, "close", None)
        if close:
            close()


class _Content:
    """The `Download` of a tar's one member."""

    def __init__(self, download: Download, content: Any) -> None:
        self._download, self._content = download, content

    def read(self, size: int, /) -> bytes:
        try:
            return bytes(self._content.read(size))
        except NONSENSE as error:
            raise _no_tar() from error

    def close(self) -> None:
        self._download.close()


class _Bounded:
    """A download that ends with an error where it goes on for too long."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._left = _LARGEST_LISTING
        self._give_up = time.monotonic() + _LONGEST_LISTING

    def read(self, size: int) -> bytes:
        piece = self._download.read(size)
        self._left -= len(piece)
        if self._left < 0 or time.monotonic() > self._give_up:
            raise failure(EIO, "there is too much below it to be listed from outside: name what you want")
        return piece


def _no_tar() -> OSError:
    return failure(EIO, "the engine's answer is no tar, or not all of one")


def _joined(head: bytes, descriptor: int, size: int, end: bytes) -> Iterator[bytes]:
    yield head
    if size:
        yield from pieces(descriptor, size)
    yield end


def _facts(member: tarfile.TarInfo) -> os.stat_result:
    kind = _TAR_TYPES.get(member.type, S_IFREG)
    moment = int(member.mtime) if abs(member.mtime) < 1 << 40 else 0
    numbers = [number if 0 <= number < 1 << 32 else 0 for number in (member.uid, member.gid)]
    size = member.size if 0 <= member.size < 1 << 63 else 0
    return os.stat_result((kind | member.mode & 0o7777, 0, 0, 1, *numbers, size, moment, moment, moment))


def _mounted_inside(api: Api, container: str) -> tuple[bytes, ...]:
    """Directories that the engine can't see into: those of the kernel, and each tmpfs. Podman can."""
    if api.server() == "podman":
        return ()
    facts = api.inspect(container)
    try:
        host: Mapping[str, Any] = facts.get("HostConfig") or {}
        found = [*_NOT_FROM_OUTSIDE, *(host.get("Tmpfs") or {})]
        found += [each["Destination"] for each in facts.get("Mounts") or [] if each.get("Type") == "tmpfs"]
        return tuple(os.fsencode(os.path.normpath(str(each))) for each in found)
    except (TypeError, AttributeError, KeyError, ValueError):
        return tuple(map(os.fsencode, _NOT_FROM_OUTSIDE))
