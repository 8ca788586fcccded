"""What a person configured for Docker's client that holds for whoever speaks to the engine in its place: config.json
(https://docs.docker.com/reference/cli/docker/#docker-cli-configuration-file-configjson-properties), DOCKER_API_VERSION
and DOCKER_CUSTOM_HEADERS.

Nearly everybody who logged in to a registry has a config.json, and few say anything in it that matters here: so it is
decoded only where the name that is asked for stands in it."""

from __future__ import annotations

import os

from dockshell.engines.json import decode
from dockshell.engines.where import configuration
from dockshell.errors import EngineError, printable
from dockshell.linux.trusted import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["headers", "setting", "version_prefix"]

_VARIABLE = "DOCKER_CUSTOM_HEADERS"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")  # RFC 9110, 5.6.2
# What a request says by itself; Docker's client lets nobody change these either.
_OURS = ("host", "content-type", "content-length", "transfer-encoding", "connection", "upgrade", "user-agent")


def setting(name: str) -> Any:
    """What config.json says under that name, however its letters are cased, as Go reads it; None where it says
    nothing, or is somebody else's (linux/trusted.py). Raises EngineError where it is no JSON."""
    path, wanted = _path(), name.lower()
    content = read(path) or b""
    if wanted.encode() not in content.lower():
        return None
    try:
        table = decode(content)
    except ValueError as error:
        raise EngineError(f"{printable(path)} is not JSON ({error}): mend it") from None
    said = table if isinstance(table, dict) else {}
    return next((value for each, value in said.items() if each.lower() == wanted), None)


def version_prefix() -> str:
    """What begins each request's path where DOCKER_API_VERSION names a version: `/v1.41`; else empty. Raises
    EngineError where it names none."""
    version = os.environ.get("DOCKER_API_VERSION", "").removeprefix("v")
    if not version:
        return ""
    parts = version.split(".")
    if len(parts) != 2 or not all(each.isascii() and each.isdigit() for each in parts):
        raise EngineError(f"DOCKER_API_VERSION says {printable(version)!r}, which is not a version such as 1.41")
    return f"/v{version}"


def headers() -> tuple[tuple[str, bytes], ...]:
    """The fields that are sent with each request: those of DOCKER_CUSTOM_HEADERS, where that is set in place of all
    that config.json has under HttpHeaders. Raises EngineError for what can't be one."""
    variable = os.environ.get(_VARIABLE, "")
    return tuple(_checked(_of_variable(variable), _VARIABLE) if variable else _of_file())


def _of_file() -> Iterator[tuple[str, bytes]]:
    table = setting("HttpHeaders")
    said = f"HttpHeaders in {printable(_path())}"
    if table is None:
        return iter(())
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise EngineError(f'{said} is not an object of names and values such as {{"X-Token": "..."}}')
    return _checked(table.items(), said)


def _of_variable(text: str) -> Iterator[tuple[str, str]]:
    """CSV of NAME=VALUE, quoted where there is a comma in it: docker/cli, cli/command/cli_options.go."""
    import csv

    try:
        pairs = next(csv.reader([text], strict=True), [])
    except csv.Error:
        pairs = [""]
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise EngineError(
                f"{_VARIABLE} holds {printable(pair)!r}, which is not NAME=VALUE: put commas between several"
            )
        yield name.strip(), value


def _checked(pairs: Iterable[tuple[str, str]], said: str) -> Iterator[tuple[str, bytes]]:
    """As they may stand in a request: a line's end within would begin a field, or a request, of somebody else's."""
    found: dict[str, tuple[str, bytes]] = {}
    for name, value in pairs:
        if not name or not _TOKEN.issuperset(name):
            raise EngineError(f"{said} names {printable(name)!r}, which is not the name of a header, such as X-Token")
        if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
            raise EngineError(f"{said} gives {printable(name)} a value with a control character in it: take that out")
        if name.lower() not in _OURS:
            found[name.lower()] = name, value.strip(" \t").encode("utf-8", "surrogateescape")
    return iter(found.values())


def _path() -> str:
    return os.path.join(configuration(), "config.json")
