"""Where Podman's client finds its service: CONTAINER_HOST, CONTAINER_CONNECTION, CONTAINER_SSHKEY, and the connections
that `podman system connection` keeps, in podman-connections.json (Podman 5) or containers.conf (before that, and by
hand): podman(1), podman-system-connection(1), containers.conf(5).

A file of somebody else's is passed over (linux/trusted.py)."""

from __future__ import annotations

import os
import tomllib

from dockshell.engines.json import decode
from dockshell.errors import EngineError, printable
from dockshell.linux.trusted import read
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

__all__ = ["Destination", "connection", "default", "find", "names"]


@noun(frozen=True)
class Destination:
    """uri: the service's address; identity: the private key's file for one of ssh://, empty for ssh's own."""

    uri: str
    identity: str = ""


def connection(name: str, said: str) -> Destination:
    """The connection of that name. said: who named it. Raises EngineError where there is none."""
    found, _ = _connections()
    if name not in found:
        known = ", ".join(map(printable, sorted(found)))
        advice = f"choose one of {known}" if known else "`podman system connection add` makes one"
        raise EngineError(f"{said} names {printable(name)!r}, but Podman has no such connection: {advice}")
    return found[name]


def find(name: str) -> Destination | None:
    """The same; None where there is none."""
    return _connections()[0].get(name)


def names() -> list[str]:
    """All of them by name. Raises EngineError."""
    return sorted(_connections()[0])


def default() -> tuple[str, Destination] | None:
    """The connection that Podman takes where nobody names one, with its name; None for none. Raises EngineError where a
    file makes no sense."""
    found, chosen = _connections()
    return (chosen, found[chosen]) if chosen in found else None


def _connections() -> tuple[dict[str, Destination], str]:
    """All of them, and which is the default's name."""
    found: dict[str, Destination] = {}
    chosen = ""
    for path in _toml_files():
        engine = _table(_read(path, lambda content: tomllib.loads(content.decode("utf-8"))).get("engine"))
        found |= _destinations(engine.get("service_destinations"), "uri", "identity", path)
        chosen = _text(engine.get("active_service"), path) or chosen
    path = os.environ.get("PODMAN_CONNECTIONS_CONF") or os.path.join(_own(), "podman-connections.json")
    table = _table(_read(path, decode).get("Connection"))
    found |= _destinations(table.get("Connections"), "URI", "Identity", path)
    return found, _text(table.get("Default"), path) or chosen


def _toml_files() -> Iterator[str]:
    """containers.conf's places, those that count more later: containers.conf(5)."""
    if only := os.environ.get("CONTAINERS_CONF"):
        yield only
    else:
        yield from _SYSTEM
        for base in ("/etc/containers", _own()):
            if base != "/etc/containers":
                yield os.path.join(base, "containers.conf")
            directory = os.path.join(base, "containers.conf.d")
            names = os.listdir(directory) if os.access(directory, os.R_OK | os.X_OK) else []
            yield from (os.path.join(directory, name) for name in sorted(names) if name.endswith(".conf"))
    if last := os.environ.get("CONTAINERS_CONF_OVERRIDE"):
        yield last


_SYSTEM = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")


def _own() -> str:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "containers")


def _read(path: str, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    """What the file holds; nothing where it isn't there, or somebody else's. Raises EngineError."""
    content = read(path)
    if content is None:
        return {}
    try:
        return _table(parse(content))
    except ValueError as error:
        raise EngineError(f"{printable(path)} can't be understood ({printable(str(error))}): mend it") from None


def _destinations(table: Any, uri: str, identity: str, path: str) -> dict[str, Destination]:
    rows: Mapping[str, Any] = _table(table)
    return {
        name: Destination(_text(_table(row).get(uri), path), _text(_table(row).get(identity), path))
        for name, row in rows.items()
    }


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str | None):
        raise EngineError(f"{printable(path)} has {printable(repr(value)):.40} where a string belongs: mend it")
    return value or ""
