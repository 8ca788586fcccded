"""A Row's facts by name: as text for tables and templates, and as JSON."""

from __future__ import annotations

import time

from dockshell.routes import ROUTES, UNSEEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dockshell.listing.rows import Row
    from dockshell.model import Container

__all__ = ["LOOKED_FOR", "TEXTS", "WHOLE", "as_json", "letters", "words"]

_UNITS = (("y", 365 * 86400), ("w", 7 * 86400), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_COMPOSE = "com.docker.compose."


def words(row: Row) -> str:
    """The ways in by name: those that are open, and with a question mark those that nobody has looked at."""
    return ", ".join(_ways(row)) or "none"


def letters(row: Row) -> str:
    """The same, each by its first letter."""
    return " ".join(each[0] + "?" * each.endswith("?") for each in _ways(row)) or "none"


def _ways(row: Row) -> list[str]:
    return [name if why is None else f"{name}?" for name, why in row.ways if why in (None, UNSEEN)]


def _age(container: Container) -> str:
    """In the largest unit of which there is one: 42s, 3h, 12d."""
    seconds = time.time() - container.created
    return next((f"{int(seconds // length)}{letter}" for letter, length in _UNITS if seconds >= length), "0s")


def _moment(seconds: float) -> str:
    """RFC 3339, in UTC, of a moment that an engine told."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return ""


def _service(container: Container) -> str:
    """Compose's, as TARGET takes it: PROJECT/SERVICE."""
    labels = container.labels
    named = (labels.get(f"{_COMPOSE}project", ""), labels.get(f"{_COMPOSE}service", ""))
    return "/".join(named) if named[1] else ""


def _shell(row: Row) -> str:
    return "?" if row.shell is UNSEEN else row.shell or "none"


def _way(route: str) -> Callable[[Row], str]:
    def told(row: Row) -> str:
        why = dict(row.ways)[route]
        return "open" if why is None else why if why is UNSEEN else f"refused: {why}"

    return told


TEXTS: dict[str, Callable[[Row], str]] = {
    "name": lambda row: row.container.name,
    "target": lambda row: row.target,
    "id": lambda row: row.container.short,
    "engine": lambda row: row.container.engine.name,
    "image": lambda row: row.container.short_image,
    "state": lambda row: row.container.state,
    "status": lambda row: row.container.status or row.container.state,
    "age": lambda row: _age(row.container),
    "created": lambda row: _moment(row.container.created),
    "addresses": lambda row: ", ".join(dict.fromkeys(address for _, address in row.container.addresses)),
    "networks": lambda row: ", ".join(dict.fromkeys(network for network, _ in row.container.addresses)),
    "ports": lambda row: ", ".join(f"{each.address}:{each.outside}->{each.inside}" for each in row.container.ports),
    "labels": lambda row: ",".join(f"{key}={value}" for key, value in row.container.labels.items()),
    "service": lambda row: _service(row.container),
    "shell": _shell,
    "ways": words,
    **{name: _way(name) for name in ROUTES},
}
# The same in full, as --no-trunc has them.
WHOLE: dict[str, Callable[[Row], str]] = {
    **TEXTS,
    "id": lambda row: row.container.id,
    "image": lambda row: row.container.image,
}
# Those that take a look at the container, and not its engine's listing alone.
LOOKED_FOR = frozenset({"shell", "ways", *ROUTES})


def as_json(row: Row) -> dict[str, Any]:
    """shell: null where nobody has looked, empty where there is none. routes: `open` is null where nobody has looked,
    and `reason` says why it is not true."""
    container = row.container
    return {
        "name": container.name,
        "target": row.target,
        "id": container.id,
        "engine": container.engine.name,
        "image": container.image,
        "state": container.state,
        "status": container.status,
        "created": _moment(container.created),
        "addresses": [{"network": network, "address": address} for network, address in container.addresses],
        "ports": [
            {"inside": each.inside, "address": each.address, "outside": each.outside} for each in container.ports
        ],
        "labels": dict(container.labels),
        "service": _service(container),
        "shell": None if row.shell is UNSEEN else row.shell,
        "routes": {
            name: {"open": None if why is UNSEEN else why is None, "reason": why or ""} for name, why in row.ways
        },
    }
