"""A tar stream as a source and as a sink: POSIX's (pax, as of Python's tarfile), GNU's where a busybox is to read it.

What a tar says is hostile: an entry whose name is absolute or has a ".." in it is refused, and so is a second name of
what isn't in the tar itself; that no link in it leads out is the sink's care."""

from __future__ import annotations

import os
import tarfile
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_ISREG

from dockshell.copy.entry import BLOCK, Changed, Entry, failure
from dockshell.engines.untrusted_tar import NONSENSE, UntrustedTar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dockshell.copy.destination import Owner
    from dockshell.copy.entry import How
    from dockshell.copy.report import Report
    from dockshell.engines.untrusted_tar import Stream

__all__ = ["TarSink", "TarSource"]

_KINDS = {
    tarfile.REGTYPE: S_IFREG,
    tarfile.AREGTYPE: S_IFREG,
    tarfile.CONTTYPE: S_IFREG,
    tarfile.GNUTYPE_SPARSE: S_IFREG,
    tarfile.LNKTYPE: S_IFREG,
    tarfile.DIRTYPE: S_IFDIR,
    tarfile.SYMTYPE: S_IFLNK,
    tarfile.CHRTYPE: S_IFCHR,
    tarfile.BLKTYPE: S_IFBLK,
    tarfile.FIFOTYPE: S_IFIFO,
}
_TYPES = {kind: name for name, kind in _KINDS.items() if name not in (tarfile.AREGTYPE, tarfile.CONTTYPE)}
_TYPES[S_IFREG] = tarfile.REGTYPE
_XATTR = "SCHILY.xattr."  # star(5), and what Go's archive/tar knows
_BATCH = 1 << 18
_RECORD = 10240  # bytes, of which a tar is a multiple: tar(5)
_ZEROS = bytes(BLOCK)
_LARGEST_UNSIZED = 64 << 20  # bytes of a file of the kernel's, which says that it has none


class TarSource:
    """read: the next bytes of the stream, at most so many; none at its end. rebased: whether the first name of each
    path is that of what was asked for, and the entries are to be called otherwise."""

    def __init__(self, read: Callable[[int], bytes], *, rebased: bool = False) -> None:
        self._tar = UntrustedTar(read)
        self._rebased = rebased

    def entries(self, path: bytes, name: bytes, follow: bool, how: How, report: Report) -> Iterator[Entry]:
        """See `Side`. Raises OSError where the stream is no tar, or ends early."""
        try:
            for member in self._tar.members():
                try:
                    entry = self._entry(member, name)
                except OSError as error:
                    report.failed(member.name.encode("utf-8", "surrogateescape"), error)
                    continue
                yield entry
        except NONSENSE as error:
            raise failure(22, f"it is no tar, or a broken one ({error})") from None
        if self._tar.stream.ended:
            raise failure(22, "the tar was cut off")
        self._tar.stream.drain()

    def _entry(self, member: tarfile.TarInfo, name: bytes) -> Entry:
        kind = _KINDS.get(member.type)
        if kind is None:
            raise failure(95, f"the tar says that it is of kind {member.type!r}")
        entry = Entry(self._path(member.name, name), kind | member.mode & 0o7777, member.uid, member.gid, _time(member))
        if member.islnk():
            entry.twin = self._path(member.linkname, name)
            if not entry.twin:
                raise failure(22, "it is a second name of nothing")
        elif kind == S_IFLNK:
            entry.link = member.linkname.encode("utf-8", "surrogateescape")
        elif kind in (S_IFCHR, S_IFBLK):
            entry.device = os.makedev(member.devmajor, member.devminor)
        elif kind == S_IFREG:
            entry.size = member.size
            entry.shared = True
            entry.content = _TarContent(self._tar.stream, member)
        for key, value in member.pax_headers.items():
            if key.startswith(_XATTR + "user."):
                entry.xattrs[key.removeprefix(_XATTR)] = value.encode("utf-8", "surrogateescape")
        return entry

    def _path(self, told: str, name: bytes) -> bytes:
        path = told.encode("utf-8", "surrogateescape")
        if self._rebased:
            path = path.partition(b"/")[2] if path[:2] != b"./" else path[2:].partition(b"/")[2]
            path = name + b"/" + path if name and path else name or path
        elif path.startswith(b"/"):
            raise failure(1, "its name is absolute")
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise failure(1, 'its name has a ".." in it')
        return b"/".join(parts)


def _time(member: tarfile.TarInfo) -> int:
    """In ns: tarfile has it as a float, which can't hold that much."""
    told = member.pax_headers.get("mtime", "")
    seconds, _, fraction = told.partition(".")
    if seconds.lstrip("-").isdigit() and fraction.isdigit():
        sign = -1 if seconds.startswith("-") else 1
        return int(seconds) * 1_000_000_000 + sign * int(fraction[:9].ljust(9, "0"))
    return int(member.mtime * 1_000_000_000)


class _TarContent:
    """The `Content` of a tar's member: in the stream behind its header."""

    def __init__(self, stream: Stream, member: tarfile.TarInfo) -> None:
        self._stream = stream
        self._begin = member.offset_data
        self._size = member.size
        self._sparse = member.sparse

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        self._stream.seek(self._begin)
        pieces: list[tuple[int, int]] = self._sparse or [(0, self._size)]  # type: ignore[assignment]
        end = 0
        for at, size in pieces:
            # Else what takes it as a tar would get more bytes than were announced, and see entries of others' in them.
            if not end <= at <= at + size <= self._size:
                raise failure(22, "its map of holes makes no sense")
            end = at + size
            while at < end:
                block = self._stream.some(min(end - at, BLOCK))
                if not block:
                    raise Changed(0, "the tar ends in the middle of it")
                if block != _ZEROS[: len(block)]:
                    yield at, block  # what is nothing but zeros may have been a hole, which few tars tell
                at += len(block)

    def close(self) -> None:
        """What is left of it is passed over on the way to the next."""


class TarSink:
    """write: takes the next bytes of the stream. prefix: put before each path. owner: whose the tar says that
    everything is; None for the entries' own. simple: a busybox reads it, which knows GNU's format only: times to the
    second, no extended attributes."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        report: Report,
        *,
        prefix: bytes = b"",
        owner: Owner | None = None,
        simple: bool = False,
    ) -> None:
        self._write = write
        self._report = report
        self._prefix = prefix
        self._owner = owner
        self._simple = simple
        self._batch = bytearray()
        self._size = 0
        self._again: list[bytes] = []

    def put(self, entry: Entry) -> None:
        path = self._prefix + entry.path
        if not path:
            return
        kind = entry.mode & 0o170000
        if kind not in _TYPES or (kind not in (S_IFREG, S_IFDIR, S_IFLNK) and not self._devices):
            self._report.left_out(entry)
            return
        member = tarfile.TarInfo(_text(path))
        member.type = tarfile.LNKTYPE if entry.twin else _TYPES[kind]
        member.mode = self._owner.mode(entry) if self._owner else entry.mode & 0o7777
        uid, gid = self._owner.of(entry) if self._owner else (entry.uid, entry.gid)
        member.uid, member.gid = max(uid, 0), max(gid, 0)
        member.linkname = _text(self._prefix + entry.twin) if entry.twin else _text(entry.link)
        member.devmajor, member.devminor = os.major(entry.device), os.minor(entry.device)
        self._put(member, entry)
        if entry.path:
            self._report.copied(entry)

    @property
    def _devices(self) -> bool:
        return self._owner is None or self._owner.everything

    def _put(self, member: tarfile.TarInfo, entry: Entry) -> None:
        head: bytes | None = None
        content = entry.content if S_ISREG(entry.mode) and not entry.twin else None
        if content is not None:
            member.size = entry.size
            if not entry.size:
                head = b"".join(bytes(block) for _, block in _bounded(content.blocks()))
                member.size = len(head)
        if not self._simple and (quick := _head(member, entry)):
            self._push(quick)
        elif self._simple:
            member.mtime = entry.time // 1_000_000_000
            for name in entry.xattrs:
                self._report.lost(name)
            head_block = member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
            if member.isdir():
                self._again.append(head_block)
            self._push(head_block)
        else:
            member.mtime = entry.time // 1_000_000_000
            records: dict[str, str] = {}
            if rest := entry.time % 1_000_000_000:
                records["mtime"] = f"{member.mtime}.{rest:09d}"
            for name, value in entry.xattrs.items():
                records[_XATTR + name] = value.decode("utf-8", "surrogateescape")
            member.pax_headers = records
            self._push(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if head is not None:
            self._push(head)
            self._push(bytes(-len(head) % 512))
        elif content is not None:
            self._push_content(content.blocks(), entry.size)

    def _push_content(self, blocks: Iterator[tuple[int, bytes | bytearray | memoryview]], size: int) -> None:
        """What the header has promised, whatever becomes of the file; a tar has no holes."""
        at = 0
        try:
            for offset, block in blocks:
                self._zeros(offset - at)
                self._push(block)
                self._report.moved(len(block))
                at = offset + len(block)
        finally:
            self._zeros(size - at)
            self._push(bytes(-size % 512))

    def _zeros(self, count: int) -> None:
        while count > 0:
            self._push(bytes(min(count, BLOCK)))
            count -= BLOCK

    def _push(self, data: bytes | bytearray | memoryview) -> None:
        if len(data) >= _BATCH:
            self._flush()
            self._size += len(data)
            self._write(bytes(data))
            return
        self._batch += data
        self._size += len(data)
        if len(self._batch) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        data, self._batch = bytes(self._batch), bytearray()
        if data:
            self._write(data)

    def finish(self) -> None:
        # A busybox gives a directory its time before it fills it, so that it is told once more.
        while self._again:
            self._push(self._again.pop())
        self._push(bytes(1024))
        self._push(bytes(-self._size % _RECORD))
        self._flush()

    def close(self) -> None:
        """The stream is somebody else's."""


def _head(member: tarfile.TarInfo, entry: Entry) -> bytes:
    """The header of what needs no more than POSIX's plain one, and a record for the time; empty for all else. tarfile's
    own takes four times as long, and with many small files that is what a copy waits for. pax(1), ustar Interchange
    Format."""
    name = os.fsencode(member.name) + (b"/" if member.isdir() else b"")
    seconds, rest = divmod(entry.time, 1_000_000_000)
    plain = member.type in (tarfile.REGTYPE, tarfile.DIRTYPE) and not entry.xattrs and name.isascii()
    largest = max(member.uid, member.gid)
    if not plain or len(name) > 100 or largest > 0o7777777 or member.size >> 33 or not 10**9 <= seconds < 10**10:
        return b""
    head = bytearray(512)
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (member.mode, member.uid, member.gid, member.size, seconds)
    head[: len(name)] = name
    head[100:148] = numbers
    head[148:156] = b" " * 8
    head[156:157] = member.type
    head[257:265] = b"ustar\00000"
    head[148:155] = b"%06o\0" % sum(head)
    record = b"30 mtime=%d.%09d\n" % (seconds, rest)
    return (_TIME_HEAD + record.ljust(512, b"\0") if rest else b"") + bytes(head)


def _time_head() -> bytes:
    """What stands in front of a record of 30 bytes, as that of a time always is."""
    member = tarfile.TarInfo("time")
    member.type, member.size = tarfile.XHDTYPE, 30
    return member.tobuf(tarfile.USTAR_FORMAT)


_TIME_HEAD = _time_head()


def _bounded(blocks: Iterator[tuple[int, bytes | bytearray | memoryview]]) -> Iterator[tuple[int, bytes]]:
    for at, block in blocks:
        if at + len(block) > _LARGEST_UNSIZED:
            raise failure(27, "it says that it is empty, and has no end")
        yield at, bytes(block)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
