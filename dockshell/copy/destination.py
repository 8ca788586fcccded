"""A directory that entries are put into, by this kernel.

Every name is taken by the descriptor of its directory, and every directory on the way is opened without following a
link, so that neither an entry nor who swaps directories meanwhile can lead out. A file is written without a name
(open(2), O_TMPFILE), read back and compared byte by byte, and only then given its name: whenever we are cut off, there
is nothing half under it and nothing to clear away. Where a name has to be replaced, or the file system has no nameless
files, there is one temporary name in the directory itself, which a guardian removes should we be killed."""

from __future__ import annotations

import os
from errno import EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, EOPNOTSUPP, EPERM, EXDEV
from stat import S_IFDIR, S_IFMT, S_ISDIR, S_ISLNK, S_ISREG
from time import time_ns

from dockshell.copy.entry import BLOCK, Entry, Unverified, failure
from dockshell.linux.libc import openat2, shows_the_kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dockshell.copy.report import Report
    from dockshell.linux.guardian import Guardian

__all__ = ["KERNELS", "Destination", "Owner"]

KERNELS = "it is the kernel's, which is changed by a command alone"

_RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x04, 0x08
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_NAMELESS = (EOPNOTSUPP, EISDIR, ENOENT, EINVAL)  # open(2): what old kernels and other file systems say


class Owner:
    """Whose the copies become. uid, gid: everybody's; -1: the entry's own where `everything` is asked for, else whoever
    makes them."""

    def __init__(self, uid: int = -1, gid: int = -1, *, everything: bool = False) -> None:
        self.uid, self.gid = uid, gid
        self.everything = everything

    def of(self, entry: Entry) -> tuple[int, int]:
        """uid and gid; -1 for whoever makes it."""
        if not self.everything:
            return self.uid, self.gid
        return (entry.uid if self.uid < 0 else self.uid), (entry.gid if self.gid < 0 else self.gid)

    def mode(self, entry: Entry) -> int:
        """Who else's than the one for whom it was set may not be entered as by a setuid bit, so that takes -a."""
        return entry.mode & (0o7777 if self.everything else 0o1777)


class Destination:
    """The `Sink`. top: the directory's descriptor, ours from here on."""

    def __init__(self, top: int, owner: Owner, report: Report) -> None:
        self._owner = owner
        self._report = report
        self._stack: list[tuple[bytes, int]] = [(b"", top)]
        self._parent = b""
        self._directories: dict[bytes, Entry] = {}
        self._shared: set[tuple[int, int]] = set()
        self._back = bytearray(BLOCK)
        self._nameless = True
        self._temporary = b""
        self._guardian: Guardian | None = None
        self._root = os.geteuid() == 0
        self._umask = os.umask(0)
        report.check = "each byte"

    def put(self, entry: Entry) -> None:
        parent, _, name = entry.path.rpartition(b"/")
        if parent != self._parent:
            self._go(parent)
        directory = self._stack[-1][1]
        if not name:
            return  # the directory itself: it is there, and stays as it is
        if entry.twin:
            self._link_twin(directory, name, entry)
        elif S_ISREG(entry.mode):
            self._put_file(directory, name, entry)
        elif S_ISDIR(entry.mode):
            self._put_directory(directory, name, entry)
        elif S_ISLNK(entry.mode):
            self._name(lambda where, called: os.symlink(entry.link, called, dir_fd=where), directory, name)
            self._finish_by_name(directory, name, entry)
        elif self._owner.everything and self._root:
            mode = S_IFMT(entry.mode) | self._owner.mode(entry)
            self._name(lambda where, called: os.mknod(called, mode, entry.device, dir_fd=where), directory, name)
            self._finish_by_name(directory, name, entry)
        else:
            self._report.left_out(entry)
            return
        self._report.copied(entry)

    def finish(self) -> None:
        self._go(b"")

    def close(self) -> None:
        os.umask(self._umask)
        while self._stack:
            os.close(self._stack.pop()[1])
        if self._guardian:
            self._guardian.dismiss()
            self._guardian.close()
            self._guardian = None

    # directories

    def _go(self, parent: bytes) -> None:
        """Makes that directory the one at the end of the stack."""
        while (path := self._stack[-1][0]) and path != parent and not parent.startswith(path + b"/"):
            self._leave()
        rest = parent[len(path) :].lstrip(b"/")
        for name in rest.split(b"/") if rest else ():
            path, above = self._stack[-1]
            below = path + b"/" + name if path else name
            self._push(below, self._descended(above, name, below))
            if not self._root and below in self._directories:
                os.fchmod(self._stack[-1][1], 0o700)
        self._parent = parent

    def _descended(self, above: int, name: bytes, path: bytes) -> int:
        """A descriptor of a directory on the way. A tar needn't have told of it."""
        try:
            return _entered(above, name)
        except FileNotFoundError:
            entry = Entry(path, S_IFDIR | 0o755, -1, -1, time_ns())
            os.mkdir(name, 0o700, dir_fd=above)
            self._directories[path] = entry
            return _entered(above, name)

    def _push(self, path: bytes, descriptor: int) -> None:
        self._stack.append((path, descriptor))
        self._parent = path

    def _leave(self) -> None:
        """A directory of ours gets its mode and time when nothing more is put there; until then it is ours alone."""
        path, descriptor = self._stack.pop()
        self._parent = self._stack[-1][0]
        try:
            entry = self._directories.get(path)
            if entry is not None:
                self._finish_open(descriptor, entry, os.fstat(descriptor))
        except OSError as error:
            self._report.failed(path, error)
        finally:
            os.close(descriptor)

    def _put_directory(self, directory: int, name: bytes, entry: Entry) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
            made = True
        except FileExistsError:
            made = False
        descriptor = _entered(directory, name)
        if made:
            facts = os.fstat(descriptor)
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o777 & ~0o700:
                os.close(descriptor)
                raise failure(EPERM, "somebody put another directory in its place")
        if made or self._owner.everything:
            self._directories[entry.path] = entry
        self._push(entry.path, descriptor)

    # files

    def _put_file(self, directory: int, name: bytes, entry: Entry) -> None:
        descriptor = self._new(directory, self._owner.mode(entry))
        try:
            size = self._write(descriptor, entry)
            facts = os.fstat(descriptor)
            if facts.st_size != size:
                raise Unverified(0, f"{facts.st_size} bytes arrived of {size}")
            self._finish_open(descriptor, entry, facts)
            if self._temporary:
                self._rename(directory, name)
            else:
                self._name(
                    lambda where, called: os.link(
                        f"/proc/self/fd/{descriptor}", called, dst_dir_fd=where, follow_symlinks=True
                    ),
                    directory,
                    name,
                )
            if entry.shared:
                self._shared.add((facts.st_dev, facts.st_ino))
        finally:
            os.close(descriptor)
            self._clear()

    def _new(self, directory: int, mode: int) -> int:
        """A descriptor of a new file, which has no name, or the temporary one."""
        if self._nameless:
            try:
                return os.open(b".", _NAMELESS, mode, dir_fd=directory)
            except OSError as error:
                if error.errno not in _NO_NAMELESS:
                    raise
                self._nameless = False
        self._temporary = self._spare_name()
        return os.open(self._temporary, _NEW, 0o600, dir_fd=self._stack[0][1])

    def _write(self, descriptor: int, entry: Entry) -> int:
        """Writes the content and compares what can be read then → how many bytes it has."""
        if entry.content is None:
            return 0
        end, back = 0, self._back
        for at, block in entry.content.blocks():
            size = len(block)
            done = os.pwrite(descriptor, block, at)
            while done < size:  # a disk that got full in between says so at the next
                done += os.pwrite(descriptor, memoryview(block)[done:], at + done)
            if size == len(back):
                read = os.preadv(descriptor, [back], at)
                same = read == size and back == block
            else:
                same = os.pread(descriptor, size, at) == block
            if not same:
                raise Unverified(0, f"what was written at {at} reads back as something else")
            end = at + size
            self._report.moved(size)
        if end < entry.size:
            os.ftruncate(descriptor, entry.size)  # a hole at the end
        return max(end, entry.size)

    def _link_twin(self, directory: int, name: bytes, entry: Entry) -> None:
        """One more name for a file of this copy, and for no other."""
        top = self._stack[0][1]
        flags = os.O_PATH | os.O_CLOEXEC
        descriptor = openat2(top, os.fsdecode(entry.twin), flags, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)
        try:
            facts = os.fstat(descriptor)
            if (facts.st_dev, facts.st_ino) not in self._shared:
                raise failure(EPERM, "it is a second name of a file that isn't of this copy")
            self._name(
                lambda where, called: os.link(
                    f"/proc/self/fd/{descriptor}", called, dst_dir_fd=where, follow_symlinks=True
                ),
                directory,
                name,
            )
        finally:
            os.close(descriptor)

    # names

    def _name(self, make: Callable[[int, bytes], None], directory: int, name: bytes) -> None:
        """Has something made under that name; where that is taken, under the temporary one, and renamed."""
        try:
            make(directory, name)
        except FileExistsError:
            facts = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if S_ISDIR(facts.st_mode):
                raise failure(EISDIR, "a directory is in its place") from None
            self._temporary = self._spare_name()
            try:
                make(self._stack[0][1], self._temporary)
                self._rename(directory, name)
            finally:
                self._clear()

    def _rename(self, directory: int, name: bytes) -> None:
        try:
            os.rename(self._temporary, name, src_dir_fd=self._stack[0][1], dst_dir_fd=directory)
        except OSError as error:
            if error.errno in (EISDIR, ENOTDIR, EEXIST):
                raise failure(EISDIR, "a directory is in its place") from None
            if error.errno == EXDEV:
                raise failure(EXDEV, "another file system is mounted there: copy that part by itself") from None
            raise
        self._temporary = b""

    def _spare_name(self) -> bytes:
        """The temporary name, in the directory itself, watched over by a guardian from its first use on."""
        if self._guardian is None:
            from dockshell.linux.guardian import Guardian

            top = self._stack[0][1]
            self._spare = b".dockshell-" + os.urandom(8).hex().encode()
            self._guardian = Guardian(_Remover(top, self._spare), (top,))
        return self._spare

    def _clear(self) -> None:
        if self._temporary:
            self._temporary = b""
            try:
                os.unlink(self._spare, dir_fd=self._stack[0][1])
            except FileNotFoundError:
                pass

    # what else an entry has

    def _finish_open(self, descriptor: int, entry: Entry, facts: os.stat_result) -> None:
        uid, gid = self._owner.of(entry)
        if (uid >= 0 and uid != facts.st_uid) or (gid >= 0 and gid != facts.st_gid):
            try:
                os.fchown(descriptor, uid, gid)
            except PermissionError:
                self._report.lost("owner")
        for attribute, value in entry.xattrs.items():
            try:
                os.setxattr(descriptor, attribute, value)
            except OSError:
                self._report.lost(attribute)
        mode = self._owner.mode(entry)
        if facts.st_mode & 0o7777 != mode or mode & 0o6000:
            os.fchmod(descriptor, mode)  # after fchown(2), which clears setuid bits
        os.utime(descriptor, ns=(entry.time, entry.time))

    def _finish_by_name(self, directory: int, name: bytes, entry: Entry) -> None:
        """What can't be opened: by what has that name now, if it is what was made."""
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            facts = os.fstat(descriptor)
            if S_IFMT(facts.st_mode) != S_IFMT(entry.mode) or facts.st_rdev != entry.device:
                raise failure(EPERM, "somebody put something else in its place")
            uid, gid = self._owner.of(entry)
            if (uid >= 0 and uid != facts.st_uid) or (gid >= 0 and gid != facts.st_gid):
                try:
                    os.chown(f"/proc/self/fd/{descriptor}", uid, gid)
                except PermissionError:
                    self._report.lost("owner")
            os.utime(f"/proc/self/fd/{descriptor}", ns=(entry.time, entry.time))
        finally:
            os.close(descriptor)


class _Remover:
    """The guardian's `Duty`: the temporary name goes."""

    def __init__(self, directory: int, name: bytes) -> None:
        self._directory = directory
        self._name = name

    def signal(self, number: int) -> bool:
        return True

    def end(self) -> None:
        try:
            os.unlink(self._name, dir_fd=self._directory)
        except OSError:
            pass


def _entered(directory: int, name: bytes) -> int:
    """A descriptor of the directory of that name. Raises OSError, for one that is the kernel's too: what is made there
    acts."""
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
    except OSError as error:
        if error.errno in (ENOTDIR, 40):
            raise failure(ENOTDIR, "what is in its place, or on its way, is no directory") from None
        raise
    if shows_the_kernel(descriptor):
        os.close(descriptor)
        raise failure(EPERM, KERNELS)
    return descriptor
