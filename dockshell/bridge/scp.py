"""The server of scp's old protocol, the one of rcp before it, which no standard describes: a line for each file, its
bytes, and a byte of answer to either. OpenSSH's `scp -O` speaks it, and every scp before its version 9.

    T MTIME 0 ATIME 0       the times of what comes next, where -p is given
    C MODE SIZE NAME        a file; so many bytes follow, and a 0
    D MODE 0 NAME           a directory, with all up to its E in it
    E
    \\1MESSAGE               an error; \\2 for one that ends it all

The peer is hostile: it names what it sends, and a name may be that of a single entry alone (CVE-2018-20685,
CVE-2019-6111); it says a size and sends another; it ends anywhere."""

from __future__ import annotations

import fcntl  # for widened(), which would import it too late
import os
from errno import EISDIR, ENOTDIR, ESTALE
from stat import S_IMODE, S_ISDIR, S_ISREG

from dockshell.bridge.patterns import SPECIAL, expanded
from dockshell.bridge.tree import Changes, failure
from dockshell.errors import DockshellError, printable
from dockshell.linux.descriptors import widened
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from dockshell.bridge.tree import Directory, File, Tree

__all__ = ["serve", "words_of"]

_ = fcntl

_CHUNK = 1 << 20  # bytes that are read at a time, and of the longest line
_MOST_BYTES = (1 << 63) - 1  # off_t's
_MOST_SECONDS = 1 << 40
_MANY = 100  # entries of a directory that are looked at in one go
_WRITABLE, _ENTERED = 0o200, 0o700  # what a new file and a new directory must be while they are filled

_MEANS_MORE = b"$`;&|<>(){}\n\r\0"  # to a shell, unquoted
_LETTERS = b"tfrpdqv"


def words_of(line: bytes) -> list[bytes] | None:
    """The line of an exec request → the words of the `scp -t …` or `scp -f …` that it is, as a client asks for a
    server; None for any other line, and for one that takes a shell to be understood.

    Quoted characters that mean something in patterns have a backslash before them (patterns.py)."""
    words = _split(line)
    return words if words and words[0] == b"scp" and _call(words) else None


def serve(tree: Tree, words: Sequence[bytes], source: int, sink: int) -> int:
    """Serves one such call over two blocking descriptors → its exit code: 0 where all went well, else 1. words: as
    words_of() gives them. What -q and -v ask for is the client's to show; -d is heeded."""
    call = _call(words)
    peer = _Peer(widened(source), widened(sink))
    try:
        try:
            if call is None:
                peer.complain("this is no call of scp's old protocol: scp -t PATH or scp -f PATH")
            elif call.takes:
                _Taker(tree, call, peer).run()
            else:
                _Giver(tree, call, peer).run()
        except _Over:
            pass
        except DockshellError as error:
            peer.complain(printable(str(error)))
    except OSError:
        return 1  # the peer is gone
    return 1 if peer.failed else 0


@noun(frozen=True)
class _Call:
    """takes: it is the end that files come to (-t), else that they come from (-f)."""

    takes: bool
    recursive: bool
    times: bool
    directory: bool
    paths: tuple[bytes, ...]


class _Over(Exception):
    """There is nothing more to do."""


class _Peer:
    """The other end. failed: something went wrong on one of both."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._buffer = bytearray(_CHUNK)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self.failed = False

    def send(self, data: bytes | memoryview) -> None:
        """Writes all of it. Raises OSError."""
        sent = os.write(self._sink, data)
        while sent < len(data):
            sent += os.write(self._sink, data[sent:])

    def complain(self, text: str, path: bytes = b"") -> None:
        """Tells the peer, for its user, what went wrong."""
        self.failed = True
        subject = printable(path.decode("utf-8", "replace")) + ": " if path else ""
        self.send(b"\1scp: " + f"{subject}{text}\n".encode("utf-8", "replace"))

    def complain_of(self, error: OSError | DockshellError, path: bytes) -> None:
        """The same of an error."""
        self.complain(printable((error.strerror if isinstance(error, OSError) else "") or str(error)), path)

    def at_end(self) -> bool:
        """Has it ended, and said nothing more?"""
        return self._start == self._end and not self._fill()

    def line(self) -> bytes:
        """What comes up to a newline, without it. Raises _Over where there is none."""
        while (found := self._buffer.find(b"\n", self._start, self._end)) < 0:
            if not self._fill():
                self.failed = True
                raise _Over
        line = bytes(self._view[self._start : found])
        self._start = found + 1
        return line

    def data(self, most: int) -> memoryview:
        """The next bytes, at least one and at most so many. Raises _Over at the end."""
        if self._start == self._end and not self._fill():
            self.failed = True
            raise _Over
        begin = self._start
        self._start = min(self._end, begin + most)
        return self._view[begin : self._start]

    def answer(self) -> bool:
        """The peer's answer to what was sent: did it take it? Raises _Over where it wants no more."""
        kind = bytes(self.data(1))
        if kind == b"\0":
            return True
        self.failed = True
        if kind not in (b"\1", b"\2"):
            self.complain("what came is no answer to what was sent")
            raise _Over
        self.line()  # for people; the peer has shown it to its own
        if kind == b"\2":
            raise _Over
        return False

    def _fill(self) -> bool:
        """Reads more; False at the end, and where what there is fills the buffer already."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
            self._start, self._end = 0, self._end - self._start
        received = os.readv(self._source, [self._view[self._end :]])
        self._end += received
        return received > 0


class _Taker:
    """-t: puts what the peer sends below the one path that was named, or at it."""

    def __init__(self, tree: Tree, call: _Call, peer: _Peer) -> None:
        self._tree, self._call, self._peer = tree, call, peer
        self._home = tree.home()
        self._times: tuple[int, int] | None = None
        # Those that were entered and not left yet: path as told, and what it is to get when it is left.
        self._inside: list[tuple[bytes, Changes]] = []

    def run(self) -> None:
        """To the peer's end. Raises _Over, OSError."""
        try:
            paths = expanded(self._tree, self._call.paths[0])
        except (OSError, DockshellError) as error:
            self._peer.complain_of(error, self._call.paths[0])
            return
        if len(paths) > 1:
            self._peer.complain("ambiguous target")
            return
        top = paths[0] or b"."
        if self._call.directory and not self._is_directory(top):
            self._peer.complain_of(failure(ENOTDIR), top)
            return
        self._peer.send(b"\0")
        while not self._peer.at_end():
            line = self._peer.line()
            kind = line[:1]
            if kind in (b"\1", b"\2"):
                self._peer.failed = True
                if kind == b"\2":
                    return
            elif kind == b"E" and self._inside:
                self._leave()
            elif kind == b"T":
                self._times = self._read_times(line[1:])
                self._peer.send(b"\0")
            elif kind in (b"C", b"D"):
                self._take(kind, line[1:], self._inside[-1][0] if self._inside else top)
            else:
                self._broken("this is no line of scp's old protocol")
        self._peer.failed = self._peer.failed or bool(self._inside)

    def _take(self, kind: bytes, line: bytes, top: bytes) -> None:
        mode, size, name = self._read_entry(line)
        times, self._times = self._times, None
        path = os.path.join(top, name) if self._inside or self._is_directory(top) else top
        if kind == b"C":
            self._file(path, mode, size, times)
        elif not self._call.recursive:
            self._broken("a directory came without -r")
        else:
            self._enter(path, mode, times)

    def _enter(self, path: bytes, mode: int, times: tuple[int, int] | None) -> None:
        wanted = mode if self._call.times else None
        try:
            try:
                if not S_ISDIR(self._tree.stat(self._absolute(path)).st_mode):
                    raise failure(ENOTDIR)
            except FileNotFoundError:
                self._tree.mkdir(self._absolute(path), mode | _ENTERED)
                if not self._call.times and mode & _ENTERED != _ENTERED:
                    got = S_IMODE(self._tree.stat(self._absolute(path)).st_mode)  # as the umask has it
                    wanted = got & ~(_ENTERED & ~mode)
        except (OSError, DockshellError) as error:
            self._peer.complain_of(error, path)
            return  # it won't send what is in there
        self._inside.append((path, Changes(mode=wanted, times=times)))
        self._peer.send(b"\0")

    def _leave(self) -> None:
        path, changes = self._inside.pop()
        try:
            if changes != Changes():
                self._tree.change(self._absolute(path), changes)
        except (OSError, DockshellError) as error:
            self._peer.complain_of(error, path)
            return
        self._peer.send(b"\0")

    def _file(self, path: bytes, mode: int, size: int, times: tuple[int, int] | None) -> None:
        new = not self._exists(path)
        try:
            # Not emptied first: it may be the very file that is being sent.
            file = self._tree.open(self._absolute(path), os.O_WRONLY | os.O_CREAT, mode | _WRITABLE)
        except (OSError, DockshellError) as error:
            self._peer.complain_of(error, path)
            return  # it won't send the content
        try:
            self._peer.send(b"\0")
            wrong = self._fill(file, size)
            self._peer.answer()
        except (OSError, _Over):
            file.abandon()
            raise
        try:
            if not wrong:
                wanted = mode if self._call.times else None
                if new and not self._call.times and not mode & _WRITABLE:
                    wanted = S_IMODE(file.stat().st_mode) & ~_WRITABLE
                file.change(Changes(size=size, mode=wanted, times=times))
            file.close()
        except (OSError, DockshellError) as error:
            wrong = wrong or error
        if wrong:
            self._peer.complain_of(wrong, path)
        else:
            self._peer.send(b"\0")

    def _fill(self, file: File, size: int) -> OSError | DockshellError | None:
        """Takes the content, all of it even where it can't be written → the first error."""
        wrong: OSError | DockshellError | None = None
        at = 0
        while at < size:
            data = self._peer.data(size - at)
            try:
                if not wrong:
                    file.write(data, at)
            except (OSError, DockshellError) as error:
                wrong = error
            at += len(data)
        return wrong

    def _read_entry(self, line: bytes) -> tuple[int, int, bytes]:
        """`MODE SIZE NAME` → these."""
        mode, _, rest = line.partition(b" ")
        size, _, name = rest.partition(b" ")
        if not (len(mode) == 4 and all(digit in b"01234567" for digit in mode)):
            self._broken("the mode makes no sense")
        if not (size.isdigit() and len(size) < 20 and int(size) <= _MOST_BYTES):
            self._broken("the size makes no sense")
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            self._broken("a name must be that of one entry", name)
        return int(mode, 8), int(size), name

    def _read_times(self, line: bytes) -> tuple[int, int]:
        """`MTIME 0 ATIME 0` → the last access and the last change; the zeros are microseconds, which nobody sends."""
        words = line.split(b" ")
        if len(words) != 4 or not all(word.isdigit() and len(word) < 14 for word in words):
            self._broken("the times make no sense")
        changed, accessed = int(words[0]), int(words[2])
        if max(changed, accessed) > _MOST_SECONDS:
            self._broken("the times make no sense")
        return accessed, changed

    def _broken(self, text: str, path: bytes = b"") -> NoReturn:
        self._peer.complain(text, path)
        raise _Over

    def _exists(self, path: bytes) -> bool:
        try:
            self._tree.stat(self._absolute(path))
        except OSError:
            return False
        return True

    def _is_directory(self, path: bytes) -> bool:
        try:
            return S_ISDIR(self._tree.stat(self._absolute(path)).st_mode)
        except (OSError, ValueError):
            return False

    def _absolute(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)


class _Giver:
    """-f: sends what the paths name."""

    def __init__(self, tree: Tree, call: _Call, peer: _Peer) -> None:
        self._tree, self._call, self._peer = tree, call, peer
        self._home = tree.home()
        self._chunk = memoryview(bytearray(_CHUNK))

    def run(self) -> None:
        """All of them. Raises _Over, OSError."""
        self._peer.answer()
        for word in self._call.paths:
            try:
                paths = expanded(self._tree, word)
            except (OSError, DockshellError) as error:
                self._peer.complain_of(error, word)
                continue
            for path in paths:
                self._give(path or b".")

    def _give(self, path: bytes) -> None:
        """A file, or a directory with all that is in it. Those that it is in the middle of are kept in a list, not on
        Python's stack: how deep they lie is the container's to say."""
        inside: list[_Listing] = []
        try:
            self._one(path, inside)
            while inside:
                place = inside[-1]
                try:
                    name = place.next()
                except (OSError, DockshellError) as error:
                    self._peer.complain_of(error, place.path)
                    name = b""
                if name:
                    self._one(os.path.join(place.path, name), inside)
                else:
                    inside.pop().close()
                    self._peer.send(b"E\n")
                    self._peer.answer()
        finally:
            for place in inside:
                place.close()

    def _one(self, path: bytes, inside: list[_Listing]) -> None:
        """A file; or the beginning of a directory, which `inside` gets."""
        whole = os.path.join(self._home, path)
        try:
            facts = self._tree.stat(whole)
            name = self._name(path, whole)
            if S_ISDIR(facts.st_mode) and self._call.recursive:
                inside.append(_Listing(path, self._tree.list(whole)))
                if not self._announced(b"D", facts, name):
                    inside.pop().close()
                return
            if not S_ISREG(facts.st_mode):
                raise failure(EISDIR, "not a regular file")
            file = self._tree.open(whole, os.O_RDONLY)
        except ValueError:
            self._peer.complain("no path has a zero byte in it")
            return
        except (OSError, DockshellError) as error:
            self._peer.complain_of(error, path)
            return
        try:
            facts = file.stat()
            if self._announced(b"C", facts, name):
                self._content(file, facts.st_size, path)
        finally:
            file.abandon()

    def _announced(self, kind: bytes, facts: os.stat_result, name: bytes) -> bool:
        """Tells what comes → whether the peer wants it."""
        if self._call.times:
            times = max(int(facts.st_mtime), 0), max(int(facts.st_atime), 0)
            self._peer.send(b"T%d 0 %d 0\n" % times)
            if not self._peer.answer():
                return False
        size = facts.st_size if kind == b"C" else 0
        # As OpenSSH spells a newline; else what follows it in a name would be a line of its own.
        name = name.replace(b"\n", b"\\^J")
        self._peer.send(b"%s%04o %d %s\n" % (kind, S_IMODE(facts.st_mode), size, name))
        return self._peer.answer()

    def _content(self, file: File, size: int, path: bytes) -> None:
        """As many bytes as were announced, zeros where the file has fewer by now; that is told then."""
        wrong: OSError | DockshellError | None = None
        at = 0
        while at < size:
            chunk = self._chunk[: min(_CHUNK, size - at)]
            try:
                got = 0 if wrong else file.read(chunk, at)
                if not got:
                    wrong = wrong or failure(ESTALE, "it became shorter while it was sent")
            except (OSError, DockshellError) as error:
                got, wrong = 0, error
            if not got:
                got = len(chunk)
                chunk[:] = bytes(got)
            self._peer.send(chunk[:got])
            at += got
        if wrong:
            self._peer.complain_of(wrong, path)
        else:
            self._peer.send(b"\0")
        self._peer.answer()

    def _name(self, path: bytes, whole: bytes) -> bytes:
        """What the peer is to call it: the last name in the path."""
        name = path.rstrip(b"/").rpartition(b"/")[2]
        if name in (b"", b".", b".."):
            name = self._tree.real(whole).rpartition(b"/")[2]
        if not name:
            raise failure(EISDIR, "the root has no name to be sent by: name what is in it")
        return name


class _Listing:
    """A directory that is being sent: its path as it was told, and the names that are still to come."""

    def __init__(self, path: bytes, directory: Directory) -> None:
        self.path = path
        self._directory = directory
        self._waiting: list[bytes] = []

    def next(self) -> bytes:
        """The next name; empty at the end."""
        if not self._waiting:
            self._waiting = [name for name, _ in self._directory.read(_MANY)][::-1]
        return self._waiting.pop() if self._waiting else b""

    def close(self) -> None:
        self._directory.close()


def _call(words: Sequence[bytes]) -> _Call | None:
    """What the words ask for; None where they aren't a server's."""
    letters = b""
    at = 1
    while at < len(words) and words[at].startswith(b"-") and len(words[at]) > 1:
        at += 1
        if words[at - 1] == b"--":
            break
        letters += words[at - 1][1:]
    paths = tuple(words[at:])
    takes = b"t" in letters
    if any(letter not in _LETTERS for letter in letters) or takes == (b"f" in letters):
        return None
    if not paths or (takes and len(paths) > 1):
        return None
    return _Call(takes, b"r" in letters, b"p" in letters, b"d" in letters, paths)


def _split(line: bytes) -> list[bytes] | None:
    """The line's words, quotes taken away; None where a shell would do more with it than call a program."""
    words: list[bytes] = []
    word: bytes | None = None
    at = 0
    while at < len(line):
        one = line[at : at + 1]
        at += 1
        if one in b" \t":
            words += [] if word is None else [word]
            word = None
            continue
        if one in _MEANS_MORE or (one == b"#" and word is None):
            return None
        word = b"" if word is None else word
        if one in b"'\"":
            quoted, at = _quoted(line, at, one)
            if quoted is None:
                return None
            word += quoted
        elif one == b"\\":
            if line[at : at + 1] in (b"", b"\n", b"\0"):
                return None
            word += _literal(line[at : at + 1])
            at += 1
        else:
            word += one
    return words + ([] if word is None else [word])


def _quoted(line: bytes, at: int, quote: bytes) -> tuple[bytes | None, int]:
    """What is between quotes, from `at` on, and where it goes on after them; None for what isn't plain text."""
    found = b""
    while at < len(line):
        one = line[at : at + 1]
        at += 1
        if one == quote:
            return found, at
        if one == b"\0" or (quote == b'"' and one in b"$`"):
            return None, at
        if quote == b'"' and one == b"\\" and line[at : at + 1] in (b"$", b"`", b'"', b"\\"):
            one = line[at : at + 1]
            at += 1
        found += _literal(one)
    return None, at


def _literal(one: bytes) -> bytes:
    return b"\\" + one if one in SPECIAL else one
