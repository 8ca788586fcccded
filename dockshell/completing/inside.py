"""What is in a container: paths, users and groups, ports. All of it is hostile."""

from __future__ import annotations

from dockshell.completing.offering import plain, safe, visible
from dockshell.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.engines import Api, Files
    from dockshell.model import Container

__all__ = ["groups", "paths", "ports", "users"]

_MOST_ENTRIES = 2000
# Every name that begins with $1, each ended by a NUL, directories with a slash. Takes no program but the shell.
_LIST = r"""for n in "$1"*; do
    if [ -d "$n" ]; then printf '%s/\0' "$n"; elif [ -e "$n" ] || [ -L "$n" ]; then printf '%s\0' "$n"; fi
done"""
_PATIENCE = 1.5  # seconds for a shell inside


def paths(container: Container, begun: str) -> Iterator[tuple[str, str]]:
    """The paths that `begun` may become, counted from the container's root; directories with a slash at the end. What
    begins with a dot has to be asked for with it, as everywhere."""
    from dockshell.engines.archive import ArchiveFiles

    directory, slash, start = begun.rpartition("/")
    directory += slash
    files = container.engine.files(container)
    names = None
    if isinstance(files, ArchiveFiles) and container.engine.api:
        names = _by_shell(container.engine.api, container, f"/{begun.lstrip('/')}")
    if names is None:
        names = _by_files(files, f"/{directory}", start)
    for name in names:
        if name.startswith(start) and visible(name) and (start or name[0] != "."):
            yield directory + name, ""


def _by_files(files: Files, directory: str, start: str) -> list[str]:
    found = [name for name in files.names(directory) if name.startswith(start)][:_MOST_ENTRIES]
    return [f"{name}/" if files.directory(directory + name) else name for name in found]


def _by_shell(api: Api, container: Container, begun: str) -> list[str] | None:
    """The same by the container's own shell; None where it has none, or doesn't run. What is left then is the engine's
    archive: that has all that is below a directory in it, so that it takes long or is cut, and nothing of a tmpfs."""
    from dockshell.engines.aside import LATE, aside

    argv = ("/bin/sh", "-c", _LIST, "sh", begun)
    try:
        code, told, _ = aside(api, container.id, argv, limit=1 << 18, patience=_PATIENCE)
    except EngineError:
        return None
    if code not in (0, LATE):
        return None
    whole = told.decode("utf-8", "surrogateescape").split("\0")[:-1]
    before = begun.rfind("/") + 1
    names = (path[before:] for path in whole[:_MOST_ENTRIES] if path.startswith(begun))
    return [name for name in names if "/" not in name[:-1] and name not in ("", "/", "./", "../")]


def users(container: Container) -> Iterator[tuple[str, str]]:
    """The names in its passwd."""
    yield from ((name, plain(f"uid {number}")) for name, number in _entries(container, "/etc/passwd"))


def groups(container: Container) -> Iterator[tuple[str, str]]:
    """The names in its group."""
    yield from ((name, plain(f"gid {number}")) for name, number in _entries(container, "/etc/group"))


def _entries(container: Container, path: str) -> Iterator[tuple[str, str]]:
    content = container.engine.files(container).read(path) or b""
    for line in content.decode("ascii", "replace").split("\n")[:_MOST_ENTRIES]:
        fields = line.split(":", 3)
        if len(fields) > 3 and safe(fields[0]):
            yield fields[0], fields[2]


def ports(container: Container) -> Iterator[tuple[str, str]]:
    """Those that the engine published, and those that something listens on."""
    from dockshell.ssh.listening import listeners

    yield from ((str(port.inside), f"published at {port.outside}") for port in container.ports)
    yield from ((str(port), "listens") for port in sorted(listeners(container) or ()))
