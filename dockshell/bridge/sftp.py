"""An SFTP server, version 3 (draft-ietf-secsh-filexfer-02), as OpenSSH's clients and all others speak it, with those of
OpenSSH's extensions that they use (OpenSSH's PROTOCOL file, section 4).

It is code of our own, and synchronous, for two reasons. It runs as a small process inside a container's namespaces,
forked where asyncssh must not be: nothing can be imported in there, and asyncio brings a loop and its descriptors. And
asyncssh's own server makes objects and tasks for each packet, and moves less than 0.9 times what sshd's does. Here the
two kinds of packets that carry data are answered where they lie: a write is pwrite(2) from the buffer that it came in,
a read is preadv(2) into the buffer that goes out, many of them to one write(2).

The client is hostile: a packet longer than any honest one, or one that isn't what its type asks for, ends the session;
how much is open at a time is bounded, and so is all memory."""

from __future__ import annotations

import fcntl  # for widened(), which would import it too late
import os
import time
from errno import EBADF, EINVAL, EMFILE, EMSGSIZE, ENAMETOOLONG, ENOENT
from resource import RLIMIT_NOFILE, getrlimit
from struct import Struct

from dockshell.bridge import sftp_packets as packets
from dockshell.bridge.sftp_packets import LONGEST_OWNER, Malformed, Reader, number, string
from dockshell.bridge.tree import LINKS, NOT_FOLLOWED, SPACE, failure
from dockshell.errors import DockshellError
from dockshell.linux.descriptors import widened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dockshell.bridge.tree import Directory, File, Tree

__all__ = ["serve"]

_ = fcntl

ENDED, BROKEN = 0, 1  # exit codes: the client said all it had to say, or what it said made no sense

# SSH_FXP_…, section 3.
_INIT, _READ, _WRITE, _STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED = 1, 5, 6, 101, 102, 103, 104, 105, 200
_VERSION, _EXTENDED_REPLY = 2, 201

# SSH_FXF_…, section 6.3.
_FOR_READING, _FOR_WRITING, _APPEND, _CREATE, _TRUNCATE, _EXCLUSIVE = 1, 2, 4, 8, 16, 32

_LONGEST = 256 << 10  # of a packet, as OpenSSH has it; it asks with `limits` and then uses all of it
_MOST_DATA = _LONGEST - 1024  # in one answer, or one request
_MOST_HANDLES = 1000
_MOST_NAMES = 100  # in one answer: with the longest names there are, that is half of the longest packet
_LONGEST_PATH = 4096  # PATH_MAX of the kernel's limits.h
_MOST_IDS = 1000  # in one question for names
_SPARE = 24  # descriptors that are for other things than a client's files
_IN, _OUT = 1 << 20, 1 << 19
_ENOUGH = _LONGEST  # so much is written out before more is read: else the client would wait for its first bytes

_LENGTH = Struct(">I")
_AT_WORK = Struct(">IBIIIQI")  # READ and WRITE alike: length, type, id, 4, the handle, offset, length of the data
_AT_WORK_LENGTH = _AT_WORK.size - 4
_DATA_HEAD = Struct(">IBII")
_STATUS_HEAD = Struct(">IBII")
_LIMITS = Struct(">QQQQ")
_ROOM = Struct(">QQQQQQQQQQQ")
_READ_ONLY, _NO_SETUID = 1, 2  # of statvfs@openssh.com's flags

_TEXTS = {packets.OK: b"Success", packets.EOF: b"End of file", packets.UNSUPPORTED: b"Operation unsupported"}
_TOLD = (OSError, ValueError, OverflowError, DockshellError)  # what a request may fail with, and is told


def serve(tree: Tree, source: int, sink: int) -> int:
    """Answers the requests that come from `source`, two blocking descriptors, until that ends → the exit code: 0, or 1
    where it ended in the middle or made no sense. Raises DockshellError where the tree can't even be begun with."""
    session = _Session(tree, sink)
    try:
        return session.run(widened(source))
    except Malformed:
        return BROKEN
    except OSError:
        return BROKEN  # the client is gone, in the middle of it
    finally:
        session.close()


class _Session:
    """One client's. The answers gather in `_out`, of which `_filled` bytes are taken."""

    def __init__(self, tree: Tree, sink: int) -> None:
        self._tree = tree
        self._sink = widened(sink)
        self._out = bytearray(_OUT)
        self._view = memoryview(self._out)
        self._filled = 0
        self._begun = False
        self._home = tree.home()
        self._files: dict[int, File] = {}
        self._directories: dict[int, tuple[Directory, list[bytes]]] = {}
        self._next = 0
        self._most = max(1, min(_MOST_HANDLES, getrlimit(RLIMIT_NOFILE)[0] - _SPARE))

    def run(self, source: int) -> int:
        """Reads as much as there is, answers all the whole packets in it, and writes the answers. Raises Malformed."""
        buffer = bytearray(_IN)
        view = memoryview(buffer)
        start = end = 0
        while True:
            while end - start >= 4:
                (length,) = _LENGTH.unpack_from(buffer, start)
                if not 1 <= length <= _LONGEST:
                    self._flush()
                    return BROKEN
                after = start + 4 + length
                if after > end:
                    break
                kind = buffer[start + 4]
                if (
                    (kind != _WRITE and kind != _READ)
                    or length < _AT_WORK_LENGTH
                    or not self._work(buffer, view, start, length)
                ):
                    self._answer(kind, bytes(view[start + 5 : after]))
                start = after
                if self._filled >= _ENOUGH:
                    self._flush()
            self._flush()
            if start:
                # What is left is the beginning of a packet.
                buffer[: end - start] = buffer[start:end]
                start, end = 0, end - start
            received = os.readv(source, [view[end:]])
            if not received:
                return BROKEN if end else ENDED
            end += received

    def close(self) -> None:
        """Lets go of all that the client left open."""
        for file in self._files.values():
            file.abandon()
        for directory, _ in self._directories.values():
            directory.close()

    def _work(self, buffer: bytearray, view: memoryview, start: int, length: int) -> bool:
        """Answers a READ or WRITE at `start` right here; False for one that isn't of the usual form."""
        _, kind, request, four, handle, at, count = _AT_WORK.unpack_from(buffer, start)
        file = self._files.get(handle)
        if four != 4 or file is None:
            return False
        try:
            if kind == _WRITE:
                if count != length - _AT_WORK_LENGTH:
                    raise Malformed("the data is longer than its packet")
                begin = start + _AT_WORK.size
                file.write(view[begin : begin + count], at)
                self._put(_success(request))
                return True
            if length != _AT_WORK_LENGTH:
                raise Malformed("there is more in it than a READ")
            begin = self._room(_DATA_HEAD.size + min(count, _MOST_DATA)) + _DATA_HEAD.size
            got = file.read(self._view[begin : begin + min(count, _MOST_DATA)], at)
            if got or not count:
                _DATA_HEAD.pack_into(self._out, self._filled, 9 + got, _DATA, request, got)
                self._filled += _DATA_HEAD.size + got
            else:
                self._put(_status(request, packets.EOF))
        except _TOLD as error:
            self._put(_failed(request, error))
        return True

    def _answer(self, kind: int, content: bytes) -> None:
        """Any other request. content: the packet after its type. Raises Malformed."""
        reader = Reader(content)
        request = reader.number()
        if kind == _INIT:
            self._begun = True  # the number was the client's version; what follows are extensions of its own
            self._put(_packet(_VERSION, number(3) + self._extensions()))
            return
        if not self._begun:
            raise Malformed("the first packet is no INIT")
        try:
            do = _REQUESTS.get(kind)
            answer = do(self, reader) if do else None
            if answer is None:
                self._put(_status(request, packets.OK if do else packets.UNSUPPORTED))
            elif isinstance(answer, int):
                self._put(_status(request, answer))
            elif len(answer[1]) > _LONGEST:
                raise failure(EMSGSIZE)  # a tree may know names of any length
            else:
                self._put(_packet(answer[0], number(request) + answer[1]))
        except _TOLD as error:
            self._put(_failed(request, error))

    def _put(self, answer: bytes) -> None:
        begin = self._room(len(answer))
        self._out[begin : begin + len(answer)] = answer
        self._filled += len(answer)

    def _room(self, size: int) -> int:
        """Where so many bytes have room."""
        if self._filled + size > _OUT:
            self._flush()
        return self._filled

    def _flush(self) -> None:
        sent = 0
        while sent < self._filled:
            sent += os.write(self._sink, self._view[sent : self._filled])
        self._filled = 0

    def _extensions(self) -> bytes:
        return b"".join(
            string(name) + string(version)
            for name, (version, ability, _) in _EXTENSIONS.items()
            if not ability or ability in self._tree.abilities
        )

    def _path(self, reader: Reader) -> bytes:
        """A path, made absolute."""
        given = reader.string()
        if len(given) > _LONGEST_PATH:
            raise failure(ENAMETOOLONG)
        if b"\0" in given:
            raise failure(EINVAL)
        return given if given.startswith(b"/") else os.path.join(self._home, given)

    def _handle(self, reader: Reader) -> int:
        given = reader.string()
        return int.from_bytes(given, "big") if len(given) == 4 else -1

    def _file(self, reader: Reader) -> File:
        file = self._files.get(self._handle(reader))
        if file is None:
            raise failure(EBADF)
        return file

    def _new_handle(self) -> int:
        """A number that wasn't in use of late: that of what was closed fits nothing."""
        if len(self._files) + len(self._directories) >= self._most:
            raise failure(EMFILE)
        while True:
            self._next = (self._next + 1) & 0xFFFFFFFF
            if self._next not in self._files and self._next not in self._directories:
                return self._next

    # What can be asked for. Each takes the rest of the packet and returns the answer's type and content, a status, or
    # None for success.

    def open(self, reader: Reader) -> tuple[int, bytes]:
        path, asked, changes = self._path(reader), reader.number(), reader.changes()
        handle = self._new_handle()
        mode = 0o666 if changes.mode is None else changes.mode
        self._files[handle] = self._tree.open(path, _open_flags(asked), mode)
        return _HANDLE, string(number(handle))

    def close_handle(self, reader: Reader) -> None:
        handle = self._handle(reader)
        file = self._files.pop(handle, None)
        if file is not None:
            file.close()
            return
        directory, _ = self._directories.pop(handle, (None, None))
        if directory is None:
            raise failure(EBADF)
        directory.close()

    def read_or_write(self, reader: Reader) -> None:
        """One that isn't of the usual form can only fail."""
        self._file(reader)
        raise Malformed("no READ or WRITE")

    def stat(self, reader: Reader) -> tuple[int, bytes]:
        return _ATTRS, packets.attributes(self._tree.stat(self._path(reader)))

    def lstat(self, reader: Reader) -> tuple[int, bytes]:
        return _ATTRS, packets.attributes(self._tree.stat(self._path(reader), follow=False))

    def fstat(self, reader: Reader) -> tuple[int, bytes]:
        return _ATTRS, packets.attributes(self._file(reader).stat())

    def setstat(self, reader: Reader) -> None:
        self._tree.change(self._path(reader), reader.changes())

    def lsetstat(self, reader: Reader) -> None:
        self._tree.change(self._path(reader), reader.changes(), follow=False)

    def fsetstat(self, reader: Reader) -> None:
        self._file(reader).change(reader.changes())

    def opendir(self, reader: Reader) -> tuple[int, bytes]:
        path = self._path(reader)
        handle = self._new_handle()
        self._directories[handle] = (self._tree.list(path), [path, os.path.join(path, b"..")])
        return _HANDLE, string(number(handle))

    def readdir(self, reader: Reader) -> int | tuple[int, bytes]:
        directory, dots = self._directories.get(self._handle(reader), (None, []))
        if directory is None:
            raise failure(EBADF)
        found = []
        for name, path in zip((b".", b".."), list(dots), strict=False):
            try:
                found.append((name, self._tree.stat(path)))
            except OSError:
                continue  # it may be listed, but not entered
        dots.clear()
        found += directory.read(_MOST_NAMES - len(found))
        if not found:
            return packets.EOF
        now = time.time()
        entries = [
            string(name)
            + string(packets.line_of(name, facts, (self._tree.user(facts.st_uid), self._tree.group(facts.st_gid)), now))
            + packets.attributes(facts)
            for name, facts in found
        ]
        return _NAME, number(len(entries)) + b"".join(entries)

    def remove(self, reader: Reader) -> None:
        self._tree.remove(self._path(reader))

    def mkdir(self, reader: Reader) -> None:
        path, changes = self._path(reader), reader.changes()
        self._tree.mkdir(path, 0o777 if changes.mode is None else changes.mode)

    def rmdir(self, reader: Reader) -> None:
        self._tree.rmdir(self._path(reader))

    def realpath(self, reader: Reader) -> tuple[int, bytes]:
        return _one_name(self._tree.real(self._path(reader)))

    def rename(self, reader: Reader) -> None:
        self._tree.rename(self._path(reader), self._path(reader), replace=False)

    def readlink(self, reader: Reader) -> tuple[int, bytes]:
        return _one_name(self._tree.readlink(self._path(reader)))

    def symlink(self, reader: Reader) -> None:
        # OpenSSH has the two the other way round than the draft, and so has everybody since.
        target = reader.string()
        self._tree.symlink(target, self._path(reader))

    def extended(self, reader: Reader) -> int | tuple[int, bytes] | None:
        _, ability, do = _EXTENSIONS.get(reader.string(), (b"", "", None))
        if do is None or (ability and ability not in self._tree.abilities):
            return packets.UNSUPPORTED
        return do(self, reader)

    def posix_rename(self, reader: Reader) -> None:
        self._tree.rename(self._path(reader), self._path(reader), replace=True)

    def statvfs(self, reader: Reader) -> tuple[int, bytes]:
        return _space(self._tree.space(self._path(reader)))

    def fstatvfs(self, reader: Reader) -> tuple[int, bytes]:
        return _space(self._file(reader).space())

    def hardlink(self, reader: Reader) -> None:
        self._tree.link(self._path(reader), self._path(reader))

    def fsync(self, reader: Reader) -> None:
        self._file(reader).sync()

    def limits(self, reader: Reader) -> tuple[int, bytes]:
        return _EXTENDED_REPLY, _LIMITS.pack(_LONGEST, _MOST_DATA, _MOST_DATA, self._most)

    def expand_path(self, reader: Reader) -> tuple[int, bytes]:
        given = reader.string()
        if given.startswith(b"~"):
            name, _, rest = given[1:].partition(b"/")
            if name and name != self._tree.user(os.geteuid()):
                raise failure(ENOENT, "whose home that is isn't known here: give the whole path")
            given = os.path.join(self._home, rest.lstrip(b"/"))
        return _one_name(self._tree.real(self._path(Reader(string(given)))))

    def copy_data(self, reader: Reader) -> None:
        origin, begin, length = self._file(reader), reader.long(), reader.long()
        copy, at = self._file(reader), reader.long()
        if origin.file_id() == copy.file_id():
            raise failure(EINVAL)  # it would grow for ever
        chunk = memoryview(bytearray(_MOST_DATA))
        left = length or -1  # 0: to the file's end
        while left and (got := origin.read(chunk[: left if 0 < left < _MOST_DATA else _MOST_DATA], begin)):
            copy.write(chunk[:got], at)
            begin, at, left = begin + got, at + got, left - got if length else -1

    def names_of_ids(self, reader: Reader) -> tuple[int, bytes]:
        users, groups = Reader(reader.string()), Reader(reader.string())
        return _EXTENDED_REPLY, _names(users, self._tree.user) + _names(groups, self._tree.group)


if TYPE_CHECKING:
    _Request = Callable[[_Session, Reader], int | tuple[int, bytes] | None]

_REQUESTS: Mapping[int, _Request] = {
    3: _Session.open,
    4: _Session.close_handle,
    5: _Session.read_or_write,
    6: _Session.read_or_write,
    7: _Session.lstat,
    8: _Session.fstat,
    9: _Session.setstat,
    10: _Session.fsetstat,
    11: _Session.opendir,
    12: _Session.readdir,
    13: _Session.remove,
    14: _Session.mkdir,
    15: _Session.rmdir,
    16: _Session.realpath,
    17: _Session.stat,
    18: _Session.rename,
    19: _Session.readlink,
    20: _Session.symlink,
    _EXTENDED: _Session.extended,
}

# Name: version, the tree's ability that it takes (empty for none), what to do.
_EXTENSIONS: Mapping[bytes, tuple[bytes, str, _Request]] = {
    b"posix-rename@openssh.com": (b"1", "", _Session.posix_rename),
    b"statvfs@openssh.com": (b"2", SPACE, _Session.statvfs),
    b"fstatvfs@openssh.com": (b"2", SPACE, _Session.fstatvfs),
    b"hardlink@openssh.com": (b"1", LINKS, _Session.hardlink),
    b"fsync@openssh.com": (b"1", "", _Session.fsync),
    b"lsetstat@openssh.com": (b"1", NOT_FOLLOWED, _Session.lsetstat),
    b"limits@openssh.com": (b"1", "", _Session.limits),
    b"expand-path@openssh.com": (b"1", "", _Session.expand_path),
    b"copy-data": (b"1", "", _Session.copy_data),
    b"users-groups-by-id@openssh.com": (b"1", "", _Session.names_of_ids),
}


def _open_flags(asked: int) -> int:
    """SSH_FXF_… → open(2)'s."""
    both = asked & (_FOR_READING | _FOR_WRITING)
    flags = os.O_RDWR if both == 3 else os.O_WRONLY if both == _FOR_WRITING else os.O_RDONLY
    if both & _FOR_WRITING and asked & _APPEND:
        flags |= os.O_APPEND
    for bit, flag in ((_CREATE, os.O_CREAT), (_TRUNCATE, os.O_TRUNC), (_EXCLUSIVE, os.O_EXCL)):
        flags |= flag if asked & bit else 0
    return flags


def _packet(kind: int, content: bytes) -> bytes:
    return number(len(content) + 1) + bytes((kind,)) + content


def _status(request: int, code: int, text: bytes = b"") -> bytes:
    content = string(text or _TEXTS.get(code, b"Failure")) + string(b"")
    return _STATUS_HEAD.pack(9 + len(content), _STATUS, request, code) + content


_SUCCESS = _status(0, packets.OK)


def _success(request: int) -> bytes:
    """The answer to each write."""
    return _SUCCESS[:5] + number(request) + _SUCCESS[9:]


def _failed(request: int, error: BaseException) -> bytes:
    text = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return _status(request, packets.status_of(error), text.encode("utf-8", "replace")[:1024])


def _one_name(path: bytes) -> tuple[int, bytes]:
    return _NAME, number(1) + string(path) * 2 + number(0)


def _names(numbers: Reader, name: Callable[[int], bytes]) -> bytes:
    found: list[bytes] = []
    while numbers.left:
        if len(found) == _MOST_IDS:
            raise failure(EINVAL, "that many names at once aren't told")
        found.append(string(name(numbers.number())[:LONGEST_OWNER]))
    return string(b"".join(found))


def _space(facts: os.statvfs_result) -> tuple[int, bytes]:
    flags = (_READ_ONLY if facts.f_flag & os.ST_RDONLY else 0) | (_NO_SETUID if facts.f_flag & os.ST_NOSUID else 0)
    return _EXTENDED_REPLY, _ROOM.pack(
        facts.f_bsize,
        facts.f_frsize,
        facts.f_blocks,
        facts.f_bfree,
        facts.f_bavail,
        facts.f_files,
        facts.f_ffree,
        facts.f_favail,
        facts.f_fsid & 0xFFFFFFFFFFFFFFFF,
        flags,
        facts.f_namemax,
    )
