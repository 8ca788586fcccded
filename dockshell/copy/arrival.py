"""Copies that arrive in a container by its engine: under a temporary name first, told of by a shell inside, and then
given their own."""

from __future__ import annotations

import os
import threading
from errno import EACCES, EIO, EISDIR, ENOTDIR, EPERM
from hashlib import sha256
from queue import Full, Queue
from stat import S_IFDIR, S_ISDIR, S_ISLNK, S_ISREG
from time import monotonic, sleep, time_ns

from dockshell.copy.entry import BLOCK, CopyError, Entry, How, Swallowed, failure
from dockshell.copy.program import Program
from dockshell.copy.tar import TarSink, TarSource
from dockshell.errors import DockshellError, EngineError, printable
from dockshell.linux.guardian import Guardian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from dockshell.copy.destination import Owner
    from dockshell.copy.entry import Content
    from dockshell.copy.remote import Remote
    from dockshell.copy.report import Report
    from dockshell.engines import Api

    class Feed(Protocol):
        """Where a tar goes."""

        def write(self, data: bytes) -> None: ...
        def finish(self) -> None: ...
        def close(self) -> None: ...


__all__ = ["Arrival", "Direct"]

_HASHED = 64 << 20  # bytes: of so many at the most the hash is taken inside, for that takes as long as copying
_STILL_UNPACKING = 3.0  # seconds in which an engine is done with what it had read when we were killed
_PATIENCE = 10.0  # seconds for an engine that is busy, once we want nothing more of it
_PIECES = 8  # of a tar that wait to be sent
_MARK = b"\n=\n"  # no line of a listing is one

# $1: what goes before each program, $2: the directory, $3: the temporary one in it. Begins before anything is sent, and
# says what file system that is; once told that all was sent, says what has arrived, the hash or the length of each;
# reads which of it is to go, and which directory is of another time; then moves the rest to where it belongs, and says
# what was in its way. Where its input ends early, who sent is gone.
_SETTLE = """
cd -P -- "$2" || exit 77
$1 stat -f -c %T . || exit 77
read -r how || { $1 rm -rf -- "$3"; exit 1; }
[ -d "$3" ] || exit 79
cd -- "$3" || exit 77
if [ "$how" = sums ]; then $1 find . -type f -exec $1 sha256sum {} +
else $1 find . -type f -exec $1 stat -c "%s  %n" {} +; fi || exit 77
printf '\\n=\\n'
while IFS= read -r go && [ "$go" != go ]; do
    case $go in
        x*) $1 rm -rf -- "./${go#x}" ;;
        t*) p=${go#t* }; go=${go#t}; $1 touch -d "@${go%% *}" -- "./$p" ;;
    esac
done
cd ..
[ "$go" = go ] || { $1 rm -rf -- "$3"; exit 1; }
b=$1 f=0
merge() {
    for e in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        [ -e "$e" ] || [ -L "$e" ] || continue
        n=$2/${e##*/}
        d=; [ ! -d "$e" ] || [ -L "$e" ] || d=1
        h=; [ ! -d "$n" ] || [ -L "$n" ] || h=1
        if [ $d ] && [ $h ]; then merge "$e" "$n"; continue; fi
        if [ $h ] || { [ $d ] && { [ -e "$n" ] || [ -L "$n" ]; }; }; then printf '%s/\\n' "$n"; f=1; continue; fi
        [ ! -L "$n" ] || $b rm -f -- "$n"
        $b mv -f -- "$e" "$n" || f=1
    done
}
merge "./$3" .
$b rm -rf -- "./$3"
exit $f
"""
_UNPACK = 'cd -P -- "$2" && umask 0 && $1 mkdir -m 700 -- "$3" && exec $1 tar x${4}pf - -C "$3"'
_SWEEP = 'cd -P -- "$2" && $1 rm -rf -- "$3"'


class Arrival:
    """The `Sink`. user: who the programs inside run as; archive: whether the engine's archive takes the tar, else a tar
    inside does."""

    def __init__(self, side: Remote, directory: str, owner: Owner, report: Report, *, user: str, archive: bool) -> None:
        self._side = side
        self._directory = directory
        self._report = report
        self._user = user
        self._archive = archive
        self._name = f".dockshell-{os.urandom(8).hex()}"
        self._arrived: dict[bytes, tuple[int, str]] = {}  # the length and hash of each that was sent
        self._spoiled: list[bytes] = []
        self._times: dict[bytes, int] = {}
        self._links: set[bytes] = set()
        self._late: set[bytes] = set()  # directories in which a busybox's tar makes links when it has done all else
        self._settled = self._begins = False
        self._size = 0
        self._program, self.file_system = self._started()
        own = not archive and side.weak_root
        if own and not owner.everything and str(owner.uid) != user.partition(":")[0]:
            report.say(
                f"the copies in {printable(directory)} belong to user {user}, for root in there may not give away"
            )
        self._sweeper = _Sweeper(side, directory, self._name, user)
        self._guardian = Guardian(self._sweeper, side.held(user))
        self._feed: Feed | None = None
        self._tar = TarSink(
            self._write, report, prefix=f"{self._name}/".encode() if archive else b"", owner=owner, simple=not archive
        )

    def _started(self) -> tuple[Program, bytes]:
        """The program that gives names, and what file system it is in. Raises OSError."""
        while True:
            words = self._side.script(_SETTLE, self._directory, self._name, user=self._user)
            program = Program(self._side.api, self._side.container.id, words, self._user)
            told = program.until(b"\n")
            if told.endswith(b"\n"):
                return program, told.strip()
            code, said = program.code(), program.said()
            program.close()
            if not self._side.lacks(code):
                raise failure(EACCES, f"it can't be entered: {said or code}")

    def _write(self, data: bytes) -> None:
        if self._feed is None:
            self._feed = self._begun()
        self._feed.write(data)

    def _begun(self) -> Feed:
        """Not before there is something to send: an engine answers nothing else about the container meanwhile."""
        side = self._side
        if self._archive:
            return _Upload(side.api, side.container.id, self._directory)
        flags = "o" if side.weak_root else ""
        words = side.script(_UNPACK, self._directory, self._name, flags, user=self._user)
        return _Unpacking(Program(side.api, side.container.id, words, self._user))

    def put(self, entry: Entry) -> None:
        if not entry.path:
            return
        self._refuse(entry)
        if not self._begins:
            self._begins = True
            if self._archive:
                self._tar.put(Entry(b"", S_IFDIR | 0o700, 0, 0, time_ns()))
        if not self._archive and S_ISDIR(entry.mode):
            self._times[entry.path] = entry.time // 1_000_000_000
        elif not self._archive and (entry.twin or S_ISLNK(entry.mode)):
            self._late.add(os.path.dirname(entry.path))
        hashed: _Hashed | None = None
        if S_ISREG(entry.mode) and entry.content is not None:
            entry.content = hashed = _Hashed(entry.content, entry.size, wanted=entry.size <= _HASHED)
        try:
            self._tar.put(entry)
        except OSError:
            self._spoiled.append(entry.path)
            raise
        if hashed is not None:
            self._arrived[entry.path] = (hashed.size, hashed.digest())
            self._size += hashed.size

    def _refuse(self, entry: Entry) -> None:
        """What would lead elsewhere. Raises OSError."""
        if self._links:
            parts = entry.path.split(b"/")
            if any(b"/".join(parts[:count]) in self._links for count in range(1, len(parts) + 1)):
                raise failure(ENOTDIR, "what is in its place, or on its way, is no directory")
        if entry.twin and entry.twin not in self._arrived:
            raise failure(EPERM, "it is a second name of a file that isn't of this copy")
        if S_ISLNK(entry.mode):
            self._links.add(entry.path)

    def finish(self) -> None:
        if not self._begins:
            self._settled = True
            return
        self._tar.finish()
        if self._feed is not None:
            self._feed.finish()
        sums = self._size <= _HASHED
        self._report.check = "the SHA-256 of each" if sums else "the length of each"
        program = self._program
        program.write(b"sums\n" if sums else b"lengths\n")
        code = self._settle(program, sums)
        if code == 79:
            self._side.distrust()
            raise Swallowed(f"{printable(self._directory)} is not reached by the engine's archive")
        self._settled = True
        if code not in (0, 1):
            raise CopyError(f"what arrived could not be put in its place (code {code}): {program.said()}")

    def _settle(self, program: Program, sums: bool) -> int:
        told = program.until(_MARK)
        if not told.endswith(_MARK):
            return program.code()
        wrong = self._compare(told, sums)
        for path in (*self._spoiled, *wrong):
            if b"\n" in path:
                raise CopyError("a name with a newline in it can't be taken away again: nothing was copied")
            program.write(b"x" + path + b"\n")
        for path in self._late & self._times.keys():
            if b"\n" not in path:
                program.write(b"t%d %b\n" % (self._times[path], path))
        program.write(b"go\n")
        program.end_input()
        for line in program.until(b"\0\0").split(b"\n"):
            if line:
                path = line.removesuffix(b"/").removeprefix(b"./")
                self._report.failed(path, failure(EISDIR, "a directory and what is none don't replace one another"))
        if program.said():
            self._report.say(f"inside it was said: {program.said()}")
            self._report.failures += 1
        return program.code()

    def _compare(self, told: bytes, sums: bool) -> list[bytes]:
        """Those that have not arrived as they were sent."""
        found: dict[bytes, bytes] = {}
        for line in told.split(b"\n"):
            word, _, path = line.partition(b"  ")
            found[path.removeprefix(b"./")] = word
        wrong = []
        for path, (size, digest) in self._arrived.items():
            if b"\n" in path or b"\\" in path:
                continue  # spelled otherwise by every sha256sum
            expected = digest if sums else str(size)
            if found.get(path, b"").decode("ascii", "replace") != expected:
                self._report.failed(path, failure(EIO, "what arrived is not what was sent"))
                wrong.append(path)
        return wrong

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()
        self._program.close()
        try:
            if self._begins and not self._settled:
                self._sweeper.sweep(self._side.api.anew(_PATIENCE))
        except DockshellError:
            self._guardian.control.close()  # it goes on trying when we are gone
            return
        self._guardian.dismiss()
        self._guardian.close()


class _Hashed:
    """The `Content` of a file that is hashed as it passes. size: what it says that it has; wanted: whether a hash
    is."""

    def __init__(self, content: Content, size: int, *, wanted: bool) -> None:
        self._content = content
        self._hash = sha256() if wanted else None
        self.size = size

    def blocks(self) -> Iterator[tuple[int, bytes | bytearray | memoryview]]:
        at = 0
        for offset, block in self._content.blocks():
            self._add_zeros(offset - at)
            if self._hash:
                self._hash.update(block)
            at = offset + len(block)
            yield offset, block
        self._add_zeros(self.size - at)
        self.size = max(self.size, at)

    def _add_zeros(self, count: int) -> None:
        while self._hash and count > 0:
            self._hash.update(bytes(min(count, BLOCK)))
            count -= BLOCK

    def digest(self) -> str:
        return self._hash.hexdigest() if self._hash else ""

    def close(self) -> None:
        self._content.close()


class _Upload:
    """A tar on its way to the engine's archive, by a thread: the request wants to read, and we want to write."""

    def __init__(self, api: Api, container: str, directory: str) -> None:
        self._pieces: Queue[bytes] = Queue(_PIECES)
        self._failure: Exception | None = None
        self._taken = self._complete = self._given_up = False
        self._thread = threading.Thread(target=self._run, args=(api, container, directory), daemon=True)
        self._thread.start()

    def _run(self, api: Api, container: str, directory: str) -> None:
        try:
            api.upload(container, directory, self._sent(), -1)
        except Exception as error:
            self._failure = error
        while not self._taken and not self._given_up:  # whoever writes is not to wait for ever
            self._taken = not self._pieces.get()

    def _sent(self) -> Iterator[bytes]:
        while piece := self._pieces.get():
            if self._given_up:
                break
            yield piece
        self._taken = True
        if self._given_up or not self._complete:
            raise EngineError("the copy was given up")

    def write(self, data: bytes) -> None:
        if self._failure:
            raise self._failure
        self._pieces.put(data)

    def finish(self) -> None:
        self._complete = True
        self._pieces.put(b"")
        self._thread.join()
        if self._failure:
            raise self._failure

    def close(self) -> None:
        """Where it isn't finished, the connection breaks off: an engine unpacks no more then."""
        self._given_up = True
        try:
            self._pieces.put_nowait(b"")
        except Full:
            pass  # it looks up at the next piece
        self._thread.join(_PATIENCE)


class _Unpacking:
    """A tar on its way to one that runs inside."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def write(self, data: bytes) -> None:
        self._program.write(data)

    def finish(self) -> None:
        self._program.end_input()
        if code := self._program.code():
            raise CopyError(f"tar inside ended with {code}: {self._program.said() or 'it said nothing'}")

    def close(self) -> None:
        self._program.close()


class _Sweeper:
    """The guardian's `Duty`: the temporary directory goes, with what is still being put there."""

    def __init__(self, side: Remote, directory: str, name: str, user: str) -> None:
        self._side = side
        self._words = side.script(_SWEEP, directory, name, user=user)
        self._user = user

    def signal(self, number: int) -> bool:
        return True

    def end(self) -> None:
        api = self._side.api.anew()
        give_up = monotonic() + _STILL_UNPACKING
        while monotonic() < give_up:
            try:
                self.sweep(api)
            except DockshellError:
                return
            sleep(0.3)

    def sweep(self, api: Api) -> None:
        """Has it taken away, as far as it is there by now."""
        from dockshell.engines.aside import aside

        aside(api, self._side.container.id, self._words, self._user)


class Direct:
    """The `Sink` of a container in which nothing can be run: the engine unpacks under the final names, and what is
    there then is read back and compared."""

    def __init__(self, side: Remote, directory: str, owner: Owner, report: Report) -> None:
        self._side = side
        self._directory = directory
        self._report = report
        self._feed: _Upload | None = None
        self._tar = TarSink(self._write, report, owner=owner)
        self._sent: dict[bytes, _Hashed] = {}

    def _write(self, data: bytes) -> None:
        if self._feed is None:
            self._feed = _Upload(self._side.api, self._side.container.id, self._directory)
        self._feed.write(data)

    def put(self, entry: Entry) -> None:
        if S_ISREG(entry.mode) and entry.content is not None:
            entry.content = self._sent[entry.path] = _Hashed(entry.content, entry.size, wanted=True)
        self._tar.put(entry)

    def finish(self) -> None:
        self._tar.finish()
        if self._feed is not None:
            self._feed.finish()
        tops = {path.partition(b"/")[0] for path in self._sent}
        left = dict(self._sent)
        self._report.check = "the SHA-256 of each"
        for top in tops:
            where = os.path.join(self._directory, os.fsdecode(top))
            download = self._side.api.download(self._side.container.id, where)
            if download is None:
                continue
            try:
                for entry in TarSource(download.read, rebased=True).entries(b"", top, False, How(), self._report):
                    sent = left.get(entry.path)
                    if sent is not None and entry.content is not None:
                        back = _Hashed(entry.content, entry.size, wanted=True)
                        for _ in back.blocks():
                            pass
                        if back.digest() == sent.digest():
                            del left[entry.path]
            finally:
                download.close()
        for path in left:
            self._report.failed(path, failure(EIO, "what arrived is not what was sent"))

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()
