"""The Compose project of where the caller is, by the rules of Docker Compose:
https://docs.docker.com/compose/how-tos/project-name/ and
https://docs.docker.com/compose/how-tos/environment-variables/envvars/.

Nothing in a file is interpreted but lines of `.env` and a `name:` on a line of its own; what can't be told so leaves a
doubt, and a doubt is an error that names the projects (resolve.py). Whoever owns the files could have us take another
container for the one that is meant, so that they count only if they are the caller's, root's, or his for whom sudo
runs us."""

from __future__ import annotations

import os

from dockshell.errors import UsageError, printable
from dockshell.linux.trusted import read
from dockshell.target import Project

__all__ = ["FILES", "here", "unquoted"]

# What Compose looks for in a directory and then in those above it: DefaultFileNames of
# https://github.com/compose-spec/compose-go/blob/main/cli/options.go
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_NAME = "COMPOSE_PROJECT_NAME"
_FILE = "COMPOSE_FILE"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_LARGEST = 1 << 18  # bytes of a file that are looked at


def here(name: str = "", file: str = "") -> Project:
    """The project of the current directory and of COMPOSE_PROJECT_NAME and COMPOSE_FILE, in the environment or in a
    .env; of that name, or of that file, where one is given: then no other is meant. Raises UsageError where the file is
    not there."""
    if file and file != "-" and not os.path.exists(file):
        raise UsageError(f"-f {printable(file)}: there is no such file; name the compose file of the project")
    if name:
        return Project(name=name, only=True)
    try:
        directories = _current()
    except OSError:  # it was removed
        return Project(name=os.environ.get(_NAME, ""), only=bool(file))
    settings = {**_settings(directories[0]), **os.environ}
    files = settings.get(_FILE, "").split(settings.get("COMPOSE_PATH_SEPARATOR") or ":")
    found = os.path.join(directories[0], file or files[0]) if (file or files[0]) not in ("", "-") else ""
    if found:
        found = os.path.normpath(found)
        directories = [os.path.dirname(found), os.path.realpath(os.path.dirname(found))]
    else:
        directories, found = _upwards(directories)
    if found:
        settings = {**_settings(os.path.dirname(found)), **settings}
    usual = _usual(found) if found else ""
    return Project(settings.get(_NAME, ""), tuple(dict.fromkeys(directories)), usual, only=bool(file))


def _current() -> list[str]:
    """The current directory as the shell calls it, which is what Compose notes, and without links."""
    real = os.getcwd()
    called = os.environ.get("PWD", "")
    try:
        if os.path.isabs(called) and os.path.samefile(called, real):
            return [os.path.normpath(called), real]
    except OSError:
        pass
    return [real]


def _upwards(begun: list[str]) -> tuple[list[str], str]:
    """The directories from there upwards to the first with a file of Compose's, which is the second; empty if there is
    none."""
    directories = list(begun)
    passed = list(begun)
    while True:
        for directory in directories:
            for name in FILES:
                if os.path.lexists(os.path.join(directory, name)):
                    return passed, os.path.join(directory, name)
        above = [os.path.dirname(each) for each in directories]
        if above == directories:
            return passed, ""
        directories = above
        passed += above


def _settings(directory: str) -> dict[str, str]:
    """The variables of ours that its .env sets, where they are plain."""
    found = {}
    for line in _read(os.path.join(directory, ".env")).split("\n"):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        value = unquoted(value)
        if equals and name.strip() in (_NAME, _FILE) and "$" not in value:
            found[name.strip()] = value
    return found


def _usual(file: str) -> str:
    """The name of the project that the file makes; empty where that can't be told."""
    content = _read(file)
    if not content:
        return ""
    for line in content.split("\n"):
        if line.startswith("name:"):
            said = unquoted(line.removeprefix("name:"))
            return said if _PLAIN.issuperset(said) else ""
    # https://github.com/compose-spec/compose-go/blob/main/loader/loader.go, NormalizeProjectName
    called = os.path.basename(os.path.dirname(file)).lower()
    return "".join(c for c in called if c in _PLAIN).lstrip("_-")


def unquoted(value: str) -> str:
    """A value as a .env or a compose file has it, without its quotes or what comes behind it."""
    value = value.strip()
    if value[:1] in ("'", '"'):
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].strip()


def _read(path: str) -> str:
    return (read(path, _LARGEST) or b"").decode("utf-8", "replace")
