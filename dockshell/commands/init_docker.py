"""`dockshell init docker`: puts Docker's plugin for `docker shell` in place, or takes it away.

The plugin is a script that starts this very dockshell. It tells of itself without starting it, for Docker's command
asks every plugin whenever it shows its help, and names no version, for that would be what once wrote it."""

from __future__ import annotations

import json
import os
import shlex
import sys

from dockshell.engines.where import configuration
from dockshell.errors import DockshellError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.voice import Voice

__all__ = ["put", "remove"]

_MARK = "# Put here by `dockshell init docker`, and taken away by `dockshell init docker --remove`."
# https://github.com/docker/cli/blob/master/cli-plugins/metadata/metadata.go
_TOLD = {
    "SchemaVersion": "0.1.0",
    "Vendor": "dockshell",
    "ShortDescription": "A login shell in a container, by the best way in",
}
# -P: a directory that happens to be called dockshell is not imported.
_SCRIPT = """#!/bin/sh
{mark}
if [ "$1" = docker-cli-plugin-metadata ]; then
    echo {told}
    exit
fi
python={python}
if [ ! -x "$python" ]; then
    echo "dockshell: $python, which this plugin takes, is gone: install dockshell, then \\`dockshell init docker\\`" >&2
    exit 125
fi
exec "$python" -P -c '
try:
    from dockshell.cli import docker_shell
except ModuleNotFoundError:
    import sys
    print(f"dockshell: {{sys.executable}} has it no more: install it, then `dockshell init docker`", file=sys.stderr)
    sys.exit(125)
docker_shell()' "$@"
"""
_LARGEST = 64 << 10


def put(voice: Voice) -> None:
    """Makes the plugin, or makes it anew, and says so. Raises DockshellError where something else is in its place."""
    path = _path()
    script = _SCRIPT.format(mark=_MARK, told=shlex.quote(json.dumps(_TOLD)), python=shlex.quote(sys.executable))
    there = _ours(path)
    if there == script.encode() and os.access(path, os.X_OK):
        voice.say(f"{printable(path)} is in place already: `docker shell` works")
        return
    unfinished = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755), "w") as file:
            file.write(script)
        os.rename(unfinished, path)
    except OSError as error:
        raise DockshellError(
            f"{printable(path)} can't be made ({error.strerror}): see whose that directory is"
        ) from None
    done = "made" if there is None else "made anew"
    voice.say(f"{printable(path)} is {done}: `docker shell` works now, and `dockshell init docker --remove` undoes it")


def remove(voice: Voice) -> None:
    """Takes the plugin away, and says so. Raises DockshellError where it isn't ours."""
    path = _path()
    if _ours(path) is None:
        voice.say(f"there is no {printable(path)}: nothing to remove")
        return
    try:
        os.unlink(path)
    except OSError as error:
        raise DockshellError(
            f"{printable(path)} can't be removed ({error.strerror}): see whose that directory is"
        ) from None
    voice.say(f"{printable(path)} is removed")


def _path() -> str:
    return os.path.join(configuration(), "cli-plugins", "docker-shell")


def _ours(path: str) -> bytes | None:
    """What the plugin is by now; None where there is nothing. Raises DockshellError for what we didn't put there."""
    try:
        # Nothing of ours is a link, and nothing of ours has to be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            content = file.read(_LARGEST)
    except FileNotFoundError:
        return None
    except OSError:
        content = b""
    if _MARK.encode() not in content:
        raise DockshellError(f"{printable(path)} was not put there by dockshell: move it away, then try again")
    return content
