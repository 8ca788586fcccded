"""A container's files by its engine alone: who may not reach them by the kernel, or where that is elsewhere.

Read by the engine's archive (GET), put by it (PUT) under a temporary name beside the final one; then a shell inside
tells what has arrived, and once that is what was sent, gives it its name. Where the archive can't reach (a tmpfs
swallows what it is given, moby#22020; a read-only root refuses even a volume in it) a tar inside does instead. The
shell and the tar are the container's own, else a busybox that stands beside it (engines/sidecar.py)."""

from __future__ import annotations

import os
import posixpath
from errno import EACCES, EIO, ELOOP, ENOENT
from stat import S_ISLNK

from dockshell.copy.arrival import Arrival, Direct
from dockshell.copy.entry import failure
from dockshell.copy.program import Program
from dockshell.copy.tar import TarSource
from dockshell.engines import path_stat
from dockshell.errors import NotRunning, printable
from dockshell.tools.busybox import NoTools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dockshell.copy.destination import Owner
    from dockshell.copy.entry import Entry, How, Sink
    from dockshell.copy.report import Report
    from dockshell.engines import Api
    from dockshell.engines.sidecar import Sidecar
    from dockshell.model import Container

__all__ = ["Remote"]

_MOST_LINKS = 40
_MOUNTED_INSIDE = ("/dev", "/proc", "/sys")
_NEEDED_OF_ROOT = ("ALL", "CHOWN", "DAC_OVERRIDE", "FOWNER")  # what makes root inside one who may do this
_TOOLS = "find mkdir mv readlink rm sha256sum stat tar touch"

_LACKING = 78  # the exit code of a script where the container lacks one of the programs
_HAS_TOOLS = f'[ "$1" ] || for c in {_TOOLS}; do command -v $c >/dev/null || exit {_LACKING}; done; '
_CAN_WRITE = 'cd -P -- "$2" && [ -w . ] || exit 77'
_IN_MEMORY = (b"tmpfs", b"ramfs")
_LOOK = '$1 stat $3 -c "%f %s %Y %d %i" -- "$2"'
_NAMES = 'cd -P -- "$2" && for f in * .[!.]* ..?*; do [ -e "$f" ] || [ -L "$f" ] || continue; printf "%s/" "$f"; done'
_PACK = 'cd -P -- "$2" && exec $1 tar c${4}f - -- "./$3"'


class Remote:
    """The `Side`."""

    def __init__(self, api: Api, container: Container) -> None:
        self.api = api
        self.container = container
        facts = api.inspect(container.id)
        host: dict[str, Any] = facts.get("HostConfig") or {}
        mounts = [each for each in facts.get("Mounts") or () if isinstance(each, dict)]
        tmpfs = [str(each.get("Destination")) for each in mounts if each.get("Type") == "tmpfs"]
        self._unreached = (*_MOUNTED_INSIDE, *(host.get("Tmpfs") or {}), *tmpfs)
        self._read_only = bool(host.get("ReadonlyRootfs"))
        dropped = {str(each).removeprefix("CAP_") for each in host.get("CapDrop") or ()}
        self.weak_root = bool(dropped.intersection(_NEEDED_OF_ROOT))
        self.runs = container.state == "running"
        self._by_program = False  # where the archive won't do, though nothing is mounted there that anybody told of
        self._avoided = b""  # where what is read here goes
        self._sidecars: dict[str, Sidecar] = {}
        self._own: bool | None = None  # are its own programs enough, as far as is known?

    # looking

    def look(self, path: bytes, *, follow: bool = True) -> os.stat_result | None:
        if self._by_program or self._is_unreached(path):
            return self._look_inside(path, follow)
        for _ in range(_MOST_LINKS):
            told = self._told(path)
            if told is None:
                missing = self.runs and self._told(os.path.dirname(path.rstrip(b"/"))) is None
                return self._look_inside(path, follow) if missing else None
            mode, size, time, link = told
            if not (follow or path.endswith(b"/")) or not S_ISLNK(mode):
                return os.stat_result((mode, 0, 0, 1, 0, 0, size, time, time, time))
            path = os.path.join(os.path.dirname(path), link)
            if self._is_unreached(path):
                return self._look_inside(path, follow)
        raise failure(ELOOP)

    def _told(self, path: bytes) -> tuple[int, int, int, bytes] | None:
        """mode, size, time and link, as the engine tells them; None for nothing."""
        spelled = self.api.path_stat(self.container.id, os.fsdecode(path) or "/")
        if not spelled:
            return None
        try:
            return path_stat.read(spelled)
        except ValueError:
            raise failure(EIO, "the engine describes it in a way that makes no sense") from None

    def _look_inside(self, path: bytes, follow: bool) -> os.stat_result | None:
        code, out = self.ask(_LOOK, os.fsdecode(path), "-L" if follow else "")
        try:
            mode, size, time, device, inode = (
                int(word, base) for word, base in zip(out.split(), (16, 10, 10, 10, 10), strict=True)
            )
        except ValueError:
            return None
        return None if code else os.stat_result((mode, inode, device, 1, 0, 0, size, time, time, time))

    def readlink(self, path: bytes) -> bytes:
        if self._is_unreached(path) or self.runs:
            code, out = self.ask('$1 readlink -- "$2"', os.fsdecode(path))
            if code:
                raise failure(ENOENT)
            return out.removesuffix(b"\n")
        told = self._told(path)
        if told is None:
            raise failure(ENOENT)
        return told[3]

    def names(self, path: bytes) -> list[bytes]:
        code, out = self.ask(_NAMES, os.fsdecode(path))
        if code and not out:
            raise failure(ENOENT)
        return sorted(filter(None, out.split(b"/")))

    def _is_unreached(self, path: bytes) -> bool:
        """Is it where the engine's archive sees something else than those inside?"""
        clean = posixpath.normpath(os.fsdecode(path))
        return any(clean == each or clean.startswith(each.rstrip("/") + "/") for each in self._unreached)

    # reading

    def entries(self, path: bytes, name: bytes, follow: bool, how: How, report: Report) -> Iterator[Entry]:
        path = path.removesuffix(b"/.").rstrip(b"/") or b"/"
        if follow:
            path = self._real(path)
        if how.follow or self._by_program or self._is_unreached(path):
            yield from self._packed(path, name, how, report)
            return
        download = self.api.download(self.container.id, os.fsdecode(path))
        if download is None:
            raise failure(ENOENT)
        try:
            yield from TarSource(download.read, rebased=True).entries(path, name, follow, how, report)
        finally:
            download.close()

    def _real(self, path: bytes) -> bytes:
        for _ in range(_MOST_LINKS):
            facts = self.look(path, follow=False)
            if facts is None or not S_ISLNK(facts.st_mode):
                return path
            path = os.path.join(os.path.dirname(path), self.readlink(path))
        return path

    def _packed(self, path: bytes, name: bytes, how: How, report: Report) -> Iterator[Entry]:
        real = self._canonical(path)  # which also settles whose programs these are, before there is a stream
        if self._avoided and (self._avoided + b"/").startswith(real.rstrip(b"/") + b"/"):
            raise failure(ELOOP, "a directory can't be copied into itself")
        above, base = os.path.split(path)
        script = self.script(_PACK, os.fsdecode(above), os.fsdecode(base), "h" if how.follow else "")
        program = Program(self.api, self.container.id, script, "0")
        try:
            program.end_input()
            source = TarSource(program.read, rebased=bool(base))
            yield from source.entries(path, name, False, how, report)
            if code := program.code():
                report.failed(path, failure(EIO, f"tar inside ended with {code}: {program.said()}"))
        finally:
            program.close()

    # putting

    def sink(self, directory: bytes, owner: Owner, report: Report) -> Sink:
        where = os.fsdecode(directory)
        if not self.runs:
            if self._is_unreached(directory):
                raise failure(EACCES, "it is a tmpfs, which is there only while the container runs")
            return Direct(self, where, owner, report)
        try:
            return self._arrival(directory, owner, report)
        except NoTools as lack:
            if self._is_unreached(directory) or self._read_only:
                raise
            report.say(f"{lack}: so the copies get their names before they are checked")
            return Direct(self, where, owner, report)

    def copy_within(self, directory: bytes) -> None:
        """An engine that reads a container's archive, or writes it, does nothing else with the container meanwhile."""
        if not self.runs:
            raise NotRunning(f"{printable(self.container.name)} doesn't run, so nothing in it can copy: start it")
        self._by_program = True
        self._avoided = self._canonical(directory)

    def _canonical(self, path: bytes) -> bytes:
        return self.ask('$1 readlink -f -- "$2"', os.fsdecode(path))[1].removesuffix(b"\n")

    def distrust(self) -> None:
        """The archive has swallowed something: from now on programs do it."""
        self._by_program = True

    def _arrival(self, directory: bytes, owner: Owner, report: Report) -> Sink:
        where = os.fsdecode(directory)
        if not (self._by_program or self._is_unreached(directory) or self._read_only or self.weak_root):
            arrival = Arrival(self, where, owner, report, user="0", archive=True)
            if arrival.file_system not in _IN_MEMORY:
                return arrival
            arrival.close()  # mounted from inside, so that the engine could not tell of it
        return Arrival(self, where, owner, report, user=self._who_writes(where), archive=False)

    def _who_writes(self, directory: str) -> str:
        """A user who may write there: root, if root has its usual rights; else the container's own, whose the copies
        are to be as a rule. Raises OSError."""
        users = ("0",) if not self.weak_root else tuple(dict.fromkeys((self.container.user or "0", "0")))
        for user in users:
            if self.ask(_CAN_WRITE, directory, user=user)[0] == 0:
                return user
        raise failure(EACCES, "nobody inside may write there")

    # programs inside

    def ask(self, script: str, *words: str, user: str = "0") -> tuple[int, bytes]:
        """Runs a script → its exit code and output."""
        while True:
            program = Program(self.api, self.container.id, self.script(script, *words, user=user), user)
            try:
                program.end_input()
                out = program.until(b"\0\0")
                code = program.code()
            finally:
                program.close()
            if not self.lacks(code):
                return code, out

    def script(self, script: str, *words: str, user: str = "0") -> list[str]:
        """The argv that has a shell inside read the script: $1 is what to put before the name of each program, and the
        words follow. Raises DockshellError where no shell is to be had."""
        if not self.runs:
            raise NotRunning(f"{printable(self.container.name)} doesn't run, and this takes a program in it: start it")
        if self._own is None:
            self._own = self.container.engine.files(self.container).executable("/bin/sh")
        if self._own:
            return ["/bin/sh", "-c", _HAS_TOOLS + script, "sh", "", *words]
        busybox = self._beside(user).busybox
        return [busybox, "sh", "-c", script, "sh", busybox, *words]

    def lacks(self, code: int) -> bool:
        """Did a script end so because the container's own programs are too few? From then on a busybox is brought."""
        lacking = bool(self._own) and code in (_LACKING, 126, 127)
        self._own = self._own and not lacking
        return lacking

    def held(self, user: str) -> tuple[int, ...]:
        """The descriptors by which the programs that were brought stay there."""
        sidecar = self._sidecars.get(user)
        return (sidecar.link.fileno(),) if sidecar and sidecar.link else ()

    def _beside(self, user: str) -> Sidecar:
        if user not in self._sidecars:
            from dockshell.engines.sidecar import Load, Sidecar
            from dockshell.environment import identity_of
            from dockshell.model import Command
            from dockshell.tools.busybox import static_busybox

            who = identity_of(self.container, Command(user=user), self.container.engine.files(self.container))
            self._sidecars[user] = Sidecar(self.api, self.container, (who.uid, who.gid), Load(static_busybox()))
        return self._sidecars[user]

    def close(self) -> None:
        """What was brought goes."""
        while self._sidecars:
            self._sidecars.popitem()[1].close()
