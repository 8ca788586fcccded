"""A container's files through the engine's API, for who may not look at its processes and for engines elsewhere."""

from __future__ import annotations

from binascii import a2b_base64

from dockshell.engines import cache
from dockshell.engines.json import decode
from dockshell.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.engines import Api
    from dockshell.model import Container

__all__ = ["ArchiveFiles"]

_PASSWD = "/etc/passwd"
_MOST_LINKS = 8
_SLACK = 1 << 16  # what tar adds around one file: headers, PAX records, padding

# The API tells a mode as Go does (io/fs.FileMode), whose types are not the kernel's.
_DIRECTORY, _LINK, _NOT_REGULAR = 1 << 31, 1 << 27, 0x8F280000


class ArchiveFiles:
    """The `Files` of a container by /containers/ID/archive: HEAD tells what is there in half a millisecond, GET reads
    it, for which Docker starts a process of its own and takes 35 ms. The engine resolves a path inside the container's
    root, but answers a link with the link, so that links are followed here, by asking for what they name, again inside.
    A tmpfs mounted in the container can't be seen this way (moby#22020).

    passwd, which every command takes, is read once and kept in the person's own cache for as long as the engine says of
    it the same: the container, its start, the file's size, mode and time to the nanosecond. A file that was changed and
    made to look unchanged could make the variables USER, LOGNAME, HOME and SHELL stale, and nothing else: it is the
    engine that turns -u's words into numbers, anew for each command."""

    def __init__(self, api: Api, container: Container) -> None:
        self._api = api
        self._container = container.id
        self._lifetime = f"{api.address} {container.id} {container.started!r}"

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        found = self._find(path)
        if found is None or not found.regular:
            return None
        if path != _PASSWD:
            return self._read(found.path, limit)
        key = f"{self._lifetime} {found.path} {found.spelled}"
        content = cache.recall(self._container, key)
        if content is None:
            content = self._read(found.path, limit)
            if content is not None:
                cache.remember(self._container, key, content)
        return content

    def names(self, path: str) -> list[str]:
        found = self._find(path)
        if found is None or not found.directory:
            return []
        inside = (name.partition("/")[2] for name, _ in self._members(found.path, 8 << 20))
        return sorted(name for name in inside if name and "/" not in name)

    def executable(self, path: str) -> bool:
        found = self._find(path)
        return found is not None and found.regular and bool(found.mode & 0o111)

    def directory(self, path: str) -> bool:
        found = self._find(path)
        return found is not None and found.directory

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def _find(self, path: str) -> _Found | None:
        """What is at that path, or where the link there leads in the end; None for nothing, and for a path that the
        engine can't follow."""
        for _ in range(_MOST_LINKS):
            try:
                spelled = self._api.path_stat(self._container, path)
            except EngineError as error:
                if error.status:
                    return None
                raise
            found = _Found(path, spelled)
            if not found.link:
                return found if spelled else None
            path = found.link
        return None

    def _read(self, path: str, limit: int) -> bytes | None:
        return next((content for _, content in self._members(path, limit)), None)

    def _members(self, path: str, limit: int) -> Iterator[tuple[str, bytes | None]]:
        """The name of each member of the tar of what is there, with the content of a regular file, cut to the limit."""
        import io

        from dockshell.engines.untrusted_tar import NONSENSE, UntrustedTar  # tarfile takes 8 ms

        content = self._api.archive(self._container, path, limit + _SLACK)
        if content is None:
            return
        # The end of a tar that was cut is put in its place.
        tar = UntrustedTar(io.BytesIO(content + bytes(1024)).read)
        try:
            for member in tar.members():
                yield member.name, tar.content(member).read(limit) if member.isreg() else None
        except NONSENSE:
            return


class _Found:
    """What the engine tells of a path. spelled: in its own words (Api.path_stat)."""

    def __init__(self, path: str, spelled: str) -> None:
        self.path, self.spelled = path, spelled
        self.mode, self.link = 0, ""
        try:
            facts = decode(a2b_base64(spelled)) if spelled else {}
            self.mode = int(facts.get("mode", 0))
            if self.mode & _LINK:
                self.link = str(facts.get("linkTarget", ""))
        except (ValueError, TypeError, AttributeError, OverflowError):
            self.mode = _NOT_REGULAR  # it makes no sense: whatever that is, it is nothing to read

    @property
    def regular(self) -> bool:
        return not self.mode & _NOT_REGULAR

    @property
    def directory(self) -> bool:
        return bool(self.mode & _DIRECTORY)
