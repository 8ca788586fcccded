"""What an option takes."""

from __future__ import annotations

import os

from dockshell.completing import targets
from dockshell.completing.offering import FILES, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dockshell.completing.targets import View
    from dockshell.options import Option

__all__ = ["kept_tools", "values"]

_FILES = (
    "file", "key", "env_file", "log", "authorized_keys", "record", "output", "startup", "cidfile", "config", "identity",
    "tlscacert", "tlscert", "tlskey",
)  # fmt: skip
_FEW = {
    "env_from": (("config", "as configured"), ("init", "as process 1 was started")),
    "host": (("unix://", "a socket"), ("tcp://", "host:port"), ("ssh://", "user@host")),
    "format": (("json", "a line each"),),
}
_ENVIRONMENTS = (*_FEW["env_from"], ("files", "in /etc/container_environment"))
_FORMATS = (("sh", "for a shell's ."), ("json", "an object"), ("docker", "an env-file"), ("dir", "takes -o DIR"))
_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")


def values(option: Option, start: str, verb: str, view: View) -> Iterator[tuple[str, str]]:
    """(word, description) for each value of the option, `start` being what was typed of it. Those that a container has
    for it, a user or a directory, are not among them."""
    field = option.field
    if field in _FILES or (field, verb) == ("service", "image") or (field == "tools" and start.startswith(("/", "."))):
        yield FILES, ""
    elif (field, verb) == ("from", "env"):
        first = start[: start.find(",") + 1]  # of two to compare
        yield from ((first + word, what) for word, what in _ENVIRONMENTS)
    elif (field, verb) == ("format", "env"):
        yield from _FORMATS
    elif field in _FEW:
        yield from _FEW[field]
    elif field == "via":
        yield "auto", "the first that does"
        yield from ((name, "") for name in _ways(verb))
    elif field == "cap":
        from dockshell.linux.capability_names import NAMES

        yield from ((name, "") for name in NAMES)
    elif field == "tools":
        yield from kept_tools()
    elif field == "context":
        from dockshell.engines import contexts

        yield from ((name, "") for name in ("default", *contexts.names()) if safe(name))
    elif field == "connection":
        from dockshell.engines import podman_config

        yield from ((name, "") for name in podman_config.names() if safe(name))
    elif field == "env" and start:
        yield from ((name, "") for name in sorted(os.environ) if safe(name))
    elif field == "filter":
        yield from _filters(start.partition("=")[0] if "=" in start else "", view)
    elif field == "label":
        yield from targets.labels(view)
    elif field == "project":
        yield from targets.projects(view)
    elif field == "service":
        yield from targets.services(view)
    elif not option.value:
        yield from (("true", ""), ("false", ""))


def _ways(verb: str) -> Iterable[str]:
    if verb in ("cp", "proxy", "serve"):
        return "nsenter", "exec"
    if verb == "forward":
        from dockshell.forward.ways import WAYS

        return WAYS
    from dockshell.routes import ROUTES

    return ROUTES


def kept_tools() -> Iterator[tuple[str, str]]:
    """The names that `dockshell tools` keeps, with what they stand for."""
    from dockshell.tools import kept

    yield from ((name, what) for name, what in sorted(kept.names().items()) if safe(name))


def _filters(key: str, view: View) -> Iterator[tuple[str, str]]:
    """Those of `ls`: the keys, or for a key its values."""
    if not key:
        from dockshell.listing.filters import KEYS

        yield from ((f"{each}=", "") for each in KEYS)
        return
    known = {"name": targets.names, "label": targets.labels}
    found = known[key](view) if key in known else ((state, "") for state in _STATES if key == "status")
    yield from ((f"{key}={value}", what) for value, what in found)
