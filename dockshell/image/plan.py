"""What is to be built: options' words → a Plan. It looks at the files that were named, and reads none of them."""

from __future__ import annotations

import os

from dockshell.errors import UsageError, printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BASE", "Plan", "services", "startup", "variables"]

BASE = "debian:bookworm-slim"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_OURS = ("sshd", "cron", "syslog")


@noun(frozen=True)
class Plan:
    """base: the image to build on. ssh, cron, syslog, python: what is asked for. services, startup: (name inside, path
    here) of directories and of files. variables: (name, value) pairs."""

    base: str = BASE
    ssh: bool = False
    cron: bool = False
    syslog: bool = False
    python: bool = True
    services: tuple[tuple[str, str], ...] = ()
    startup: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


def services(directories: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The directories, each of a service (runsv(8)), by the names that they get. Raises UsageError."""
    found = _named(directories, "--service")
    for name, path in found:
        if not os.path.isdir(path):
            raise UsageError(f"--service takes a directory with a program `run` in it: {printable(path)} is none")
        if not os.path.isfile(os.path.join(path, "run")):
            raise UsageError(f"{printable(path)} is no service, for it has no `run`: write one, see runsv(8)")
        if name in _OURS:
            raise UsageError(f"{name} is what the image's own service may be called: give the directory another name")
    return found


def startup(files: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The files, each a program that runs before the services, by the names that they get. Raises UsageError."""
    found = _named(files, "--startup")
    for _, path in found:
        if not os.path.isfile(path):
            raise UsageError(f"--startup takes a file that can be executed: {printable(path)} is none")
    return found


def variables(words: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """K=V words. Raises UsageError."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _PLAIN.issuperset(name) or not name or name[0] in "0123456789.-":
            raise UsageError(
                f"--env takes K=V, which {printable(word.partition('=')[0])!r} begins not: `--env DEBUG=1`"
            )
        found[name] = value
    return tuple(found.items())


def _named(paths: Iterable[str], option: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for path in paths:
        name = os.path.basename(os.path.abspath(path))
        if not name or name.startswith(".") or not _PLAIN.issuperset(name):
            raise UsageError(f"{option} {printable(path)}: a name inside has letters, digits and _.- alone")
        if name in found:
            raise UsageError(f"{option} {printable(path)}: {name} is there already; give one of them another name")
        found[name] = path
    return tuple(found.items())
