"""The toolbox route by the engine's API alone: a sidecar has the tools, the command is an exec in the target itself,
confined as any other."""

from __future__ import annotations

from dockshell.engines.aside import aside
from dockshell.engines.sidecar import OWN, Load, Sidecar
from dockshell.environment import Extra, identity_of
from dockshell.errors import UsageError
from dockshell.routes import exec as by_exec
from dockshell.tools.layout import DIRECTORIES, programs, runner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Api, Files
    from dockshell.model import Command, Container
    from dockshell.session import Session
    from dockshell.tools.chosen import Tools

__all__ = ["start"]

# Only the sidecar's own shell knows its number, by which the target's processes find what it has …
_NUMBERED = """
sed "1s/@/$$/" run.numberless >run && chmod 755 run
"""
# … and what there is in its image. As layout.programs() has it: a link may lead to a program.
_LINKED = f"""
for directory in {" ".join(DIRECTORIES)}; do
    for each in tree/$directory/*; do
        [ -d "$each" ] || {{ [ ! -x "$each" ] && [ ! -L "$each" ]; }} || ln -sf ../run "bin/${{each##*/}}"
    done
done
"""


def start(api: Api, container: Container, command: Command, tools: Tools) -> Session:
    """Starts the command with the tools. Raises DockshellError."""
    if command.detach:
        raise UsageError("-d would outlive the tools, which leave with us: leave it out, or use sudo")
    files = container.engine.files(container)
    identity = identity_of(container, command, files)
    user = identity.uid, identity.gid
    brought = _Brought(Sidecar(api, container, user, _load(tools)), files, (api, container.id, user))
    try:
        return by_exec.start(container, command, brought)
    except BaseException:
        brought.close()
        raise


def _load(tools: Tools) -> Load:
    """Laid out as layout.py has it."""
    prelude = (_NUMBERED if tools.image or tools.directory else "") + (_LINKED if tools.image else "")
    load = Load(tools.busybox, tools.image, prelude, writes=bool(prelude))
    load.link("sh", "busybox")
    load.directory("bin")
    found = programs(tools.directory) if tools.directory else []
    for name in found:
        load.link(f"bin/{name}", "../run")
    for name in {*tools.applets} - {*found}:
        load.link(f"bin/{name}", "../busybox")
    if prelude:
        load.write("run.numberless", runner(f"/proc/@/root{OWN}"))
    if tools.image:
        load.link("tree", "..")
    elif tools.directory:
        load.add("tree", tools.directory)
    return load


class _Brought:
    """What a sidecar brings to an exec. It is the `Files` of the container, too, with the tools among them: those are
    not where the engine looks for the container's files."""

    def __init__(self, sidecar: Sidecar, files: Files, seen: tuple[Api, str, tuple[int, int]]) -> None:
        """seen: by whose exec, in which container and by whom the tools can be looked at."""
        self._sidecar = sidecar
        self._files = files
        self._seen = seen
        self.files: Files = self
        self.extra = Extra((f"{sidecar.place}/bin",), f"{sidecar.place}/sh")
        self.shell: tuple[str, ...] = (sidecar.busybox, "sh")
        self.held: tuple[int, ...] = (sidecar.link.fileno(),) if sidecar.link is not None else ()

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        return self._files.read(path, limit)

    def names(self, path: str) -> list[str]:
        return self._files.names(path)

    def executable(self, path: str) -> bool:
        return self._is("-x", path) if self._brings(path) else self._files.executable(path)

    def directory(self, path: str) -> bool:
        return self._is("-d", path) if self._brings(path) else self._files.directory(path)

    def exists(self, path: str) -> bool:
        return self._is("-e", path) if self._brings(path) else self._files.exists(path)

    def close(self) -> None:
        self._sidecar.close()

    def _brings(self, path: str) -> bool:
        return path.startswith(self._sidecar.place + "/")

    def _is(self, question: str, path: str) -> bool:
        """test(1), asked where it counts: an exec more, but only where a command didn't start."""
        api, container, (uid, gid) = self._seen
        return aside(api, container, [self._sidecar.busybox, "test", question, path], f"{uid}:{gid}")[0] == 0
