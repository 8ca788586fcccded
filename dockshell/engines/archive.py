"""A container's files through the engine's API, for who may not look at its processes and for engines elsewhere."""

from __future__ import annotations

import io
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Api

__all__ = ["ArchiveFiles"]

_MOST_LINKS = 8
_SLACK = 1 << 16  # what tar adds around one file: headers, PAX records, padding


class ArchiveFiles:
    """The `Files` of a container by GET /containers/ID/archive. The engine resolves a path inside the container's root,
    but answers a link with the link, so that links are followed here, by asking for what they name, again inside. A
    tmpfs mounted in the container can't be seen this way (moby#22020)."""

    def __init__(self, api: Api, container: str) -> None:
        self._api = api
        self._container = container

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        found = self._member(path, limit)
        if found is None or not found[1].isreg():
            return None
        content = found[0].extractfile(found[1])
        return content.read(limit) if content else None

    def names(self, path: str) -> list[str]:
        content = self._api.archive(self._container, path, 8 << 20)
        if content is None:
            return []
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                inside = (member.name.partition("/")[2] for member in tar)
                return sorted(name for name in inside if name and "/" not in name)
        except tarfile.TarError:
            return []

    def executable(self, path: str) -> bool:
        found = self._member(path, 0)
        return found is not None and found[1].isreg() and bool(found[1].mode & 0o111)

    def directory(self, path: str) -> bool:
        found = self._member(path, 0)
        return found is not None and found[1].isdir()

    def exists(self, path: str) -> bool:
        return self._member(path, 0) is not None

    def _member(self, path: str, limit: int) -> tuple[tarfile.TarFile, tarfile.TarInfo] | None:
        for _ in range(_MOST_LINKS):
            content = self._api.archive(self._container, path, limit + _SLACK)
            if content is None:
                return None
            try:
                tar = tarfile.open(fileobj=io.BytesIO(content + bytes(1024)))  # noqa: SIM115 (an object in memory, nothing to close)
                member = tar.next()
            except tarfile.TarError:
                return None
            if member is None or not member.issym():
                return (tar, member) if member else None
            folder = path.rpartition("/")[0]
            path = member.linkname if member.linkname.startswith("/") else f"{folder}/{member.linkname}"
        return None
