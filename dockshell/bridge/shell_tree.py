"""A container's files through its own shell and its own few programs, for who can't enter it and has the engine's exec.

All of it is done as the session's user, so that it is the kernel inside that says what this user may: the engine's
archive would read and write as root. A file's content goes through cat(1). What errors mean is asked with test(1),
never read out of a program's words."""

from __future__ import annotations

import os
from errno import EACCES, EEXIST, EINVAL, EIO, EISDIR, ENOENT, ENOTDIR, EOPNOTSUPP

from dockshell.bridge.inner_shell import InnerShell, quoted
from dockshell.bridge.spooled import SpooledFile, pieces
from dockshell.bridge.tree import LINKS, Changes, failure, real
from dockshell.errors import EngineError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockshell.bridge.tree import Directory, File
    from dockshell.engines import Download

__all__ = ["ShellTree"]

_WRITABLE = 0o200
_FACTS = b"%f %i %d %h %u %g %s %X %Y"  # of stat(1), GNU's and busybox's alike

# Exit codes of the scripts below; what else a program says is EIO.
_CODES = {
    42: ENOENT,
    43: EACCES,
    44: EEXIST,
    45: EISDIR,
    46: EINVAL,
    47: ENOTDIR,
    48: EOPNOTSUPP,
}

# why PATH: nothing can be seen there; is that so, or may the user not look? there PATH: is anything of that name?
_FUNCTIONS = b"""
there() { [ -e "$1" ] || [ -L "$1" ]; }
up() { u=${1%/*}; u=${u:-/}; }
why() {
    up "$1"
    while [ "$u" != / ] && ! [ -e "$u" ]; do up "$u"; done
    [ -d "$u" ] || exit 47
    [ -x "$u" ] || exit 43
    exit 42
}
need() { there "$1" || why "$1"; }
free() { ! there "$1" || exit 44; }
may_change() { up "$1"; [ -d "$u" ] || why "$1"; [ -w "$u" ] && [ -x "$u" ] || exit 43; }
"""


class ShellTree:
    """The `Tree` that an InnerShell sees. home: the user's; users, groups: the names of numbers."""

    abilities = frozenset((LINKS,))

    def __init__(self, shell: InnerShell, home: bytes, users: Mapping[int, bytes], groups: Mapping[int, bytes]) -> None:
        self._shell = shell
        self._home = home
        self._users, self._groups = users, groups

    def home(self) -> bytes:
        if not self._home.startswith(b"/"):
            return b"/"
        code, _ = self._shell.ask(b"[ -d %s ]" % quoted(self._home))
        return b"/" if code else self._home

    def user(self, number: int) -> bytes:
        return self._users.get(number, b"")

    def group(self, number: int) -> bytes:
        return self._groups.get(number, b"")

    def stat(self, path: bytes, *, follow: bool = True) -> os.stat_result:
        option = b"-L" if follow else b""
        script = b'stat %s -c \'%s\' "$1" 2>/dev/null || why "$1"' % (option, _FACTS)
        facts = _facts(self._do(script, path).split())
        if facts is None:
            raise failure(EIO, "the container's stat says what makes no sense")
        return facts

    def open(self, path: bytes, flags: int, mode: int = 0o666) -> File:
        writes, creates = flags & os.O_ACCMODE != os.O_RDONLY, bool(flags & os.O_CREAT)
        # Writable for as long as it is written: the kernel would ask no more once it is open.
        script = b"""
            [ ! -d "$1" ] || exit 45
            if [ -e "$1" ]; then
                %s
                [ -f "$1" ] || exit 48
            else
                %s
                up "$1"; [ -d "$u" ] || why "$1"
                true > "$1" || exit 43
                chmod "$(printf %%o $((0%o & ~0$(umask))))" "$1"
                umask
            fi
        """ % (
            b"exit 44" if creates and flags & os.O_EXCL else b":",
            b":" if creates else b'why "$1"',
            mode & 0o777 | _WRITABLE,
        )
        if flags & os.O_ACCMODE != os.O_WRONLY:
            script += b'\n[ -r "$1" ] || exit 43'
        if writes:
            script += b'\ntrue %s "$1" || exit 43' % (b">" if flags & os.O_TRUNC else b">>")
        umask = self._do(script, path).strip()
        file = SpooledFile(_Origin(self, self._shell, path), flags, empty=writes and bool(flags & os.O_TRUNC))
        if umask.isdigit() and not mode & _WRITABLE:
            file.change(Changes(mode=mode & 0o777 & ~int(umask[-4:], 8)))
        return file

    def list(self, path: bytes) -> Directory:
        said = self._do(
            b"""
            [ -e "$1" ] || why "$1"
            [ -d "$1" ] || exit 47
            [ -r "$1" ] && cd "$1" 2>/dev/null || exit 43
            set --
            printf '%%s\\0' ./* ./.[!.]* ./..?* | xargs -0 stat -c '%s %%n' 2>/dev/null
            exit 0
            """
            % _FACTS,
            path,
        )
        return _Listed(said)

    def readlink(self, path: bytes) -> bytes:
        return self._do(b'need "$1"; [ -L "$1" ] || exit 46; readlink -n "$1"', path)

    def real(self, path: bytes) -> bytes:
        return real(path, self.readlink)

    def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        # mv(1) would move it into a directory of that name; rename(2) takes the place of an empty one.
        taken = b"""
            if [ -L "$2" ]; then [ ! -d "$2" ] || rm -f "$2"; elif [ -d "$2" ]; then
                [ -d "$1" ] || exit 45
                rmdir "$2" 2>/dev/null || exit 44
            fi
        """
        self._do(
            b'need "$1"; may_change "$1"; may_change "$2"\n%s\nmv -f "$1" "$2" 2>&1'
            % (taken if replace else b'free "$2"'),
            old,
            new,
        )

    def remove(self, path: bytes) -> None:
        self._do(b'need "$1"; [ -L "$1" ] || [ ! -d "$1" ] || exit 45; may_change "$1"; rm -f "$1" 2>&1', path)

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        self._do(
            b"""
            free "$1"; may_change "$1"
            mkdir "$1" 2>&1 && chmod "$(printf %%o $((0%o & ~0$(umask))))" "$1"
            """
            % (mode & 0o777),
            path,
        )

    def rmdir(self, path: bytes) -> None:
        self._do(b'need "$1"; [ -d "$1" ] && [ ! -L "$1" ] || exit 47; may_change "$1"; rmdir "$1" 2>&1', path)

    def symlink(self, target: bytes, path: bytes) -> None:
        self._do(b'free "$2"; may_change "$2"; ln -s -- "$1" "$2" 2>&1', target, path)

    def link(self, old: bytes, new: bytes) -> None:
        self._do(b'need "$1"; free "$2"; may_change "$2"; ln "$1" "$2" 2>&1', old, new)

    def change(self, path: bytes, changes: Changes, *, follow: bool = True) -> None:
        if not follow:
            raise failure(EOPNOTSUPP)
        if changes.size is not None:
            file = self.open(path, os.O_WRONLY)
            try:
                file.change(Changes(size=changes.size))
                file.close()
            except (OSError, EngineError):
                file.abandon()
                raise
        self._do(b'need "$1"\n' + _steps(changes), path)

    def space(self, path: bytes) -> os.statvfs_result:
        raise failure(EOPNOTSUPP)

    def _do(self, script: bytes, *words: bytes) -> bytes:
        """Runs it with these words as $1 and so on → what it said. Raises OSError."""
        for word in words:
            if b"\0" in word:
                raise failure(EINVAL)
        arguments = b" ".join(map(quoted, words))
        code, said = self._shell.ask(b"%s\nset -- %s\n%s" % (_FUNCTIONS, arguments, script))
        if code:
            told = said.strip().rpartition(b"\n")[2][:300].decode("utf-8", "replace")
            raise failure(_CODES[code]) if code in _CODES else failure(EIO, printable(told) or "it failed inside")
        return said


class _Origin:
    """A file's content, by cat(1)."""

    def __init__(self, tree: ShellTree, shell: InnerShell, path: bytes) -> None:
        self._tree, self._shell, self._path = tree, shell, path

    def fetch(self) -> Download:
        exec = self._shell.another()
        exec.send(b"exec cat < %s\n" % quoted(self._path))
        return exec

    def put(self, descriptor: int, size: int, changes: Changes) -> None:
        exec = self._shell.another()
        try:
            # What is in the way is written over and not replaced: owner, mode and other names stay. The content may
            # come no sooner than the shell has read its script, or it would read that too.
            exec.send(b"echo; exec cat > %s\n" % quoted(self._path))
            exec.read(1)
            exec.send_all(pieces(descriptor, size))
            while exec.read(1 << 16):
                pass
            if exec.code():
                told = exec.complaint.strip().decode("utf-8", "replace")
                raise failure(EIO, printable(told[-300:]) or "it can't be written inside")
        finally:
            exec.close()
        if self._tree.stat(self._path).st_size != size:
            raise failure(EIO, "it isn't there as it was sent: somebody else writes it, or the disk is full")
        self.change(changes)

    def change(self, changes: Changes) -> None:
        if changes != Changes():
            self._tree.change(self._path, changes)

    def stat(self) -> os.stat_result:
        return self._tree.stat(self._path)

    def file_id(self) -> object:
        facts = self.stat()
        return facts.st_dev, facts.st_ino


class _Listed:
    """A `Directory` from what stat(1) said: a line for each entry, its name last. A newline in a name leaves a line
    that is none, which belongs to the name before."""

    def __init__(self, said: bytes) -> None:
        self._found: list[tuple[bytes, os.stat_result]] = []
        for line in said.removesuffix(b"\n").split(b"\n"):
            *numbers, name = line.split(b" ", 9)
            facts = _facts(numbers)
            if facts is None or not name.startswith(b"./") or name in (b"./", b"./.", b"./..") or b"/" in name[2:]:
                if self._found:
                    before, known = self._found[-1]
                    self._found[-1] = (before + b"\n" + line.replace(b"/", b"?"), known)
                continue
            self._found.append((name[2:], facts))
        self._found.reverse()

    def read(self, most: int) -> list[tuple[bytes, os.stat_result]]:
        return [self._found.pop() for _ in range(min(most, len(self._found)))]

    def close(self) -> None:
        self._found.clear()


def _facts(numbers: list[bytes]) -> os.stat_result | None:
    """What _FACTS asked for; None for what is no such answer."""
    if len(numbers) != 9 or not all(number.lstrip(b"-").isalnum() and len(number) <= 20 for number in numbers):
        return None
    try:
        mode = int(numbers[0], 16) & 0o177777
        inode, device, links, uid, gid, size, accessed, changed = map(int, numbers[1:])
    except ValueError:
        return None
    if uid >> 32 or gid >> 32 or size >> 63 or abs(accessed) >> 40 or abs(changed) >> 40:
        return None
    return os.stat_result((mode, inode, device, links, uid, gid, size, accessed, changed, changed))


def _steps(changes: Changes) -> bytes:
    """The calls that make them, of $1; what can be changed is, and the last failure counts."""
    steps = [b"code=0"]
    if changes.mode is not None:
        steps.append(b'chmod %o "$1" 2>&1 || code=1' % changes.mode)
    if changes.times is not None:
        accessed, changed = changes.times
        # Not every touch(1) can set the one alone.
        steps.append(b'touch -d @%d "$1" 2>&1 || code=1' % changed)
        steps.append(b'touch -a -d @%d "$1" 2>/dev/null' % accessed)
        steps.append(b'touch -m -d @%d "$1" 2>/dev/null' % changed)
    if changes.owner is not None:
        steps.append(b'chown %d:%d "$1" 2>&1 || code=1' % changes.owner)
    return b"\n".join([*steps, b"exit $code"])
