"""Who knows containers. An engine is one class with these methods, and one line in the registry of where.py."""

from __future__ import annotations

from dockshell.target import elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Protocol

    from dockshell.model import Container, Size, Target
    from dockshell.target import Project
else:
    Protocol = object

__all__ = ["Api", "Download", "Engine", "Files", "Stream"]


class Files(Protocol):
    """The files of a container, read from outside. No symlink in there leads out of it, and nothing but a regular file
    is ever opened."""

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """The file's content, at most `limit` bytes of it; None where there is no regular file, or it can't be read."""

    def names(self, path: str) -> list[str]:
        """The names in that directory, sorted; empty where there is none."""

    def executable(self, path: str) -> bool:
        """Is there a regular file with an execute bit?"""

    def directory(self, path: str) -> bool:
        """Is there a directory?"""

    def exists(self, path: str) -> bool:
        """Is there anything at all?"""


class Engine(Protocol):
    """Finds containers and tells facts about them."""

    @property
    def name(self) -> str:
        """`docker`, `podman` or `kernel`: what may stand before `://`."""

    @property
    def address(self) -> str:
        """Where it is, as -v shows it: `unix:///var/run/docker.sock`, `this kernel`."""

    @property
    def api(self) -> Api | None:
        """Its Docker API; None for an engine that has none."""

    def refuses(self) -> str | None:
        """Why it can't be used here, with the remedy; None if it can."""

    def find(self, target: Target, project: Callable[[], Project] = elsewhere) -> list[Container]:
        """The containers that fit, all of the best rank at which any fits (target.py lists the ranks); empty if none
        does. project: whose services come first; asked where that matters.

        Raises EngineError where the engine doesn't answer as it should.
        """

    def all(self, filters: Mapping[str, list[str]] | None = None) -> list[Container]:
        """Every container, running or not, newest first; the facts that a listing holds, so not each field is filled.
        filters: only those that fit, in the words of Docker's API: {"status": ["running"]}. Raises EngineError."""

    def alive(self, filters: Mapping[str, list[str]] | None = None) -> list[Container]:
        """Those of them that run, paused and restarting ones counted in, as `docker ps` has it."""

    def newest(self) -> Container | None:
        """The one that was created last, running or not; as a listing has it."""

    def files(self, container: Container) -> Files:
        """The container's files."""

    def running(self, container: Container) -> bool:
        """Does it still run, asked anew?"""


class Stream(Protocol):
    """The bytes of one exec: what a connected, non-blocking socket does, under the socket's own names."""

    def fileno(self) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Download(Protocol):
    """An answer's content as it comes, however long it is."""

    def read(self, size: int, /) -> bytes:
        """At least one byte of it and at most so many; none at its end. Raises EngineError."""

    def close(self) -> None: ...


class Api(Protocol):
    """The part of Docker's API that dockshell speaks (https://docs.docker.com/engine/api/v1.41/). Each method raises
    EngineError, with the HTTP status if there was one."""

    @property
    def address(self) -> str: ...

    @property
    def local(self) -> bool:
        """Is it a socket of this machine?"""

    @property
    def owner(self) -> int:
        """The number of the user who listens at that socket, once something was asked; 0 for root, or elsewhere."""

    def anew(self, patience: float = 0) -> Api:
        """The same engine for another process, which shares no connection with this one. patience: seconds that it may
        take to answer a request, 0 for as many as it has with this one."""

    def server(self) -> str:
        """`docker` or `podman`, by what the server says of itself."""

    def containers(
        self, *, everything: bool = False, limit: int = 0, filters: Mapping[str, list[str]] | None = None
    ) -> list[dict[str, Any]]:
        """GET /containers/json: a listing, newest first; of the running ones, or everything."""

    def inspect(self, name: str) -> dict[str, Any]:
        """GET /containers/NAME/json; a name or id that fits nothing is an EngineError of status 404."""

    def exec_create(self, container: str, body: Mapping[str, Any]) -> str:
        """POST /containers/ID/exec → the exec's id. body is the request's JSON (AttachStdin, Cmd, Tty, …)."""

    def exec_start(self, exec_id: str, *, terminal: bool) -> Stream:
        """POST /exec/ID/start, taken over as a raw stream: framed (8-byte headers) without a terminal, plain bytes with
        one."""

    def exec_detached(self, exec_id: str) -> None:
        """POST /exec/ID/start with Detach: returns as soon as the command runs."""

    def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        """GET /exec/ID/json: Running, ExitCode, Pid."""

    def exec_resize(self, exec_id: str, size: Size) -> None:
        """POST /exec/ID/resize."""

    def attach(self, container: str) -> Stream:
        """POST /containers/ID/attach: what is sent there is the first process's input; what it prints from
        then on comes back, framed."""

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Any other request that is answered in JSON → the answer, None for an empty one. path: with its query, quoted
        (local.quote). Who wants one of those writes a function (containers.py), not a path."""

    def path_stat(self, container: str, path: str) -> str:
        """HEAD /containers/ID/archive: what is at that path, as X-Docker-Container-Path-Stat spells it (JSON in base64:
        size, mode, mtime, linkTarget); empty where there is nothing."""

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        """GET /containers/ID/archive: a tar of what is at that path, cut after `limit` bytes; None where there is
        nothing."""

    def download(self, container: str, path: str) -> Download | None:
        """The same as it comes, all of it."""

    def upload(self, container: str, path: str, tar: Iterable[bytes], size: int) -> None:
        """PUT /containers/ID/archive: unpacks a tar of that many bytes (-1: nobody knows yet) in that directory, as
        root and with the owners that it names. A tmpfs in there swallows what it gets without a word (moby#22020)."""
