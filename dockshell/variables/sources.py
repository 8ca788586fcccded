"""Who knows an environment of a container's, by the words of `--from`."""

from __future__ import annotations

from dockshell.environment import configured, files_environment
from dockshell.errors import DockshellError, UsageError, printable
from dockshell.variables.processes import Processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Container

__all__ = ["from_processes", "sources", "variables"]

_CONFIG = "config"
_WORDS = (_CONFIG, "init", "files")
_DIRECTORY = "/etc/container_environment"
_MOST_PIDS = 1 << 22  # PID_MAX_LIMIT of the kernel's threads.h


def sources(words: str) -> tuple[str, ...]:
    """`init`, or `config,init` → the one or two that are meant. Raises UsageError."""
    found = tuple(words.split(",")) if words else (_CONFIG,)
    for word in found:
        known = word in _WORDS or (word.isascii() and word.isdecimal() and 0 < int(word[:9]) <= _MOST_PIDS)
        if not known or len(word) > len(str(_MOST_PIDS)):
            raise UsageError(f"--from takes config, init, files or the number of a process, not {printable(word)!r}")
    if len(found) > 2:
        raise UsageError(f"--from takes one, or two to compare, not {len(found)}: `--from config,init`")
    return found


def from_processes(source: str) -> bool:
    """Must the container run for it?"""
    return source == "init" or source.isdecimal()


def variables(container: Container, source: str) -> dict[str, str]:
    """The environment as that one of sources() has it, by name; bytes that are not UTF-8 as surrogates (PEP 383).
    Raises DockshellError."""
    if source == _CONFIG:
        found = configured(container)
    elif source == "files":
        files = container.engine.files(container)
        if not files.directory(_DIRECTORY):
            raise DockshellError(
                f"{printable(container.name)} has no {_DIRECTORY}, which is a baseimage's: ask for config or init"
            )
        found = files_environment(files)
    else:
        processes = Processes(container)
        found = _pairs(processes.first() if source == "init" else processes.numbered(int(source)))
    return dict(sorted(found.items()))


def _pairs(environment: bytes) -> dict[str, str]:
    """K=V texts with a NUL behind each → by name. What is there more than once counts as getenv(3) has it."""
    found: dict[str, str] = {}
    for text in environment.decode("utf-8", "surrogateescape").split("\0"):
        name, equals, value = text.partition("=")
        if name and equals:
            found.setdefault(name, value)
    return found
