"""What is done with whole containers and images, through any engine's API: made, started, paused, removed.

Each function takes the `Api` first and raises EngineError with the engine's own reason. A container or image that is
gone already is no error to who removes it."""

from __future__ import annotations

from dockshell.engines.local import quote
from dockshell.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dockshell.engines import Api

__all__ = [
    "changes",
    "commit",
    "create",
    "image",
    "images",
    "join_network",
    "pause",
    "remove",
    "remove_image",
    "start",
    "unpause",
]

_GONE, _GOING = 404, 409  # not there; somebody is removing it right now


def create(api: Api, body: Mapping[str, Any], name: str = "") -> str:
    """POST /containers/create: a container that doesn't run yet → its id. body is the request's JSON (Image, Cmd,
    HostConfig, …)."""
    made = api.ask("POST", "/containers/create" + (f"?name={quote(name)}" if name else ""), body)
    if not isinstance(made, dict) or not isinstance(made.get("Id"), str):
        raise EngineError(f"the engine at {api.address} made a container and sent no id: is it a container engine?")
    return str(made["Id"])


def start(api: Api, container: str) -> None:
    """Starts it."""
    api.ask("POST", f"/containers/{quote(container)}/start")


def pause(api: Api, container: str) -> None:
    """Freezes all its processes."""
    api.ask("POST", f"/containers/{quote(container)}/pause")


def unpause(api: Api, container: str) -> None:
    """Lets them go on."""
    api.ask("POST", f"/containers/{quote(container)}/unpause")


def remove(api: Api, container: str) -> None:
    """The container goes, with its anonymous volumes, even if it runs."""
    _removed(api, f"/containers/{quote(container)}?force=1&v=1", (_GONE, _GOING))


def commit(api: Api, container: str, name: str = "", comment: str = "") -> str:
    """A new image of the container's files, which needn't run and isn't stopped → the image's id. name: NAME or
    NAME:TAG, empty for an image that has none."""
    repository, _, tag = name.partition(":")
    words = {"container": container, "pause": "0", "comment": comment, "repo": repository, "tag": tag}
    query = "&".join(f"{word}={quote(value)}" for word, value in words.items() if value)
    made = api.ask("POST", f"/commit?{query}", {})
    if not isinstance(made, dict) or not isinstance(made.get("Id"), str):
        raise EngineError(f"the engine at {api.address} made an image and sent no id: is it a container engine?")
    return str(made["Id"])


def changes(api: Api, container: str) -> list[tuple[int, str]]:
    """What differs in the container's files from its image's: (0 changed, 1 added or 2 deleted; path)."""
    told = api.ask("GET", f"/containers/{quote(container)}/changes") or []
    return [(int(each["Kind"]), str(each["Path"])) for each in told]


def join_network(api: Api, container: str, network: str) -> None:
    """Connects the container to one more network, under no name but its own."""
    api.ask("POST", f"/networks/{quote(network)}/connect", {"Container": container})


def image(api: Api, name: str) -> dict[str, Any] | None:
    """GET /images/NAME/json: an image's facts by its name or id; None where the engine has none of that name."""
    try:
        facts = api.ask("GET", f"/images/{quote(name)}/json")
    except EngineError as error:
        if error.status == _GONE:
            return None
        raise
    return facts if isinstance(facts, dict) else None


def images(api: Api) -> list[dict[str, Any]]:
    """GET /images/json: all images that the engine has."""
    listed = api.ask("GET", "/images/json")
    return [each for each in listed or () if isinstance(each, dict)]


def remove_image(api: Api, name: str) -> None:
    """The image goes, by its name or id, even where a container that doesn't run was made of it."""
    _removed(api, f"/images/{quote(name)}?force=1", (_GONE,))


def _removed(api: Api, path: str, gone: tuple[int, ...]) -> None:
    try:
        api.ask("DELETE", path)
    except EngineError as error:
        if error.status not in gone:
            raise
