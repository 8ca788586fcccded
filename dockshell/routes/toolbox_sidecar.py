"""The toolbox route by the engine's API alone: a sidecar has the tools, the command is an exec in the target itself,
confined as any other."""

from __future__ import annotations

from dockshell.engines.sidecar import Load, Sidecar
from dockshell.environment import Extra, identity_of
from dockshell.errors import UsageError
from dockshell.routes import exec as by_exec
from dockshell.tools.busybox import applets, static_busybox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Api, Files
    from dockshell.model import Command, Container
    from dockshell.session import Session

__all__ = ["start"]


def start(api: Api, container: Container, command: Command) -> Session:
    """Starts the command with the tools. Raises DockshellError."""
    if command.detach:
        raise UsageError("-d would outlive the tools, which leave with us: leave it out, or use sudo")
    files = container.engine.files(container)
    who = identity_of(container, command, files)
    busybox = static_busybox()
    load = Load(busybox)
    load.directory("bin")
    names = applets(busybox)
    for name in names:
        load.link(f"bin/{name}", "../busybox")
    brought = _Brought(Sidecar(api, container, (who.uid, who.gid), load), files, names)
    try:
        return by_exec.start(container, command, brought)
    except BaseException:
        brought.close()
        raise


class _Brought:
    """What a sidecar brings to an exec."""

    def __init__(self, sidecar: Sidecar, files: Files, names: list[str]) -> None:
        self._sidecar = sidecar
        self.files: Files = _Both(files, sidecar.place, names)
        self.extra = Extra((f"{sidecar.place}/bin",), f"{sidecar.place}/bin/sh")
        self.shell: tuple[str, ...] = (sidecar.busybox, "sh")
        self.held: tuple[int, ...] = (sidecar.link.fileno(),) if sidecar.link is not None else ()

    def close(self) -> None:
        self._sidecar.close()


class _Both:
    """The `Files` of the container, and the names of the tools among them: they are not where the engine looks for the
    container's files."""

    def __init__(self, files: Files, place: str, names: list[str]) -> None:
        self._files = files
        self._bin = f"{place}/bin"
        self._tools = {f"{self._bin}/{name}" for name in names} | {f"{place}/busybox"}

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        return self._files.read(path, limit)

    def names(self, path: str) -> list[str]:
        return self._files.names(path)

    def executable(self, path: str) -> bool:
        return path in self._tools or self._files.executable(path)

    def directory(self, path: str) -> bool:
        return path == self._bin or self._files.directory(path)

    def exists(self, path: str) -> bool:
        return path in self._tools or self._files.exists(path)
