"""What is done with whole containers and images, through any engine's API: made, started, paused, removed.

Each function takes the `Api` first and raises EngineError with the engine's own reason. A container or image that is
gone already is no error to who removes it."""

from __future__ import annotations

from select import poll

from dockshell.engines.json import encode
from dockshell.engines.local import quote
from dockshell.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from dockshell.engines import Api

__all__ = [
    "Removal",
    "changes",
    "commit",
    "create",
    "create_volume",
    "image",
    "images",
    "join_network",
    "network_is_there",
    "pause",
    "remove",
    "remove_image",
    "remove_volume",
    "start",
    "unpause",
    "volumes",
]

_LATER = (0, 300, 1000, 3000)  # milliseconds between attempts to remove what may be in the making
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


def remove(api: Api, container: str, *, volumes: bool = True) -> None:
    """The container goes, even if it runs; volumes: with its anonymous volumes, which for Podman are also those that
    another container brought."""
    _removed(api, f"/containers/{quote(container)}?force=1&v={int(volumes)}", (_GONE, _GOING))


def commit(
    api: Api,
    container: str,
    name: str = "",
    comment: str = "",
    config: Mapping[str, Any] | None = None,
    changes: Iterable[str] = (),
) -> str:
    """A new image of the container's files, which needn't run and isn't stopped → the image's id. name: NAME or
    NAME:TAG, empty for an image that has none. config: the image's, to which Docker adds what it lacks of the
    container's; changes: lines of a Dockerfile, which is all that Podman heeds."""
    repository, _, tag = name.partition(":")
    words = {"container": container, "pause": "0", "comment": comment, "repo": repository, "tag": tag}
    said = [*words.items(), *(("changes", line) for line in changes)]
    query = "&".join(f"{word}={quote(value)}" for word, value in said if value)
    made = api.ask("POST", f"/commit?{query}", config or {})
    if not isinstance(made, dict) or not isinstance(made.get("Id"), str):
        raise EngineError(f"the engine at {api.address} made an image and sent no id: is it a container engine?")
    return str(made["Id"])


def changes(api: Api, container: str) -> list[tuple[int, str]]:
    """What differs in the container's files from its image's: (0 changed, 1 added or 2 deleted; path)."""
    told = api.ask("GET", f"/containers/{quote(container)}/changes") or []
    try:
        return [(int(each["Kind"]), str(each["Path"])) for each in told]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise EngineError(f"the engine at {api.address} listed changes in a way that makes no sense") from None


def join_network(api: Api, container: str, network: str) -> None:
    """Connects the container to one more network, under no name but its own."""
    api.ask("POST", f"/networks/{quote(network)}/connect", {"Container": container})


def network_is_there(api: Api, network: str) -> bool:
    """Is there a network of that name or id?"""
    try:
        api.ask("GET", f"/networks/{quote(network)}")
    except EngineError as error:
        if error.status == _GONE:
            return False
        raise
    return True


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
    return _objects(api.ask("GET", "/images/json"))


def remove_image(api: Api, name: str) -> None:
    """The image goes, by its name or id, even where a container that doesn't run was made of it. By its name it is that
    alone which goes where another image has its files."""
    _removed(api, f"/images/{quote(name)}?force=1", (_GONE,))


def create_volume(api: Api, name: str, labels: Mapping[str, str]) -> str:
    """A volume of that name, for which there is none yet → the name."""
    api.ask("POST", "/volumes/create", {"Name": name, "Labels": dict(labels)})
    return name


def volumes(api: Api, label: str) -> list[dict[str, Any]]:
    """GET /volumes: those that have that label."""
    told = api.ask("GET", f"/volumes?filters={quote(encode({'label': [label]}).decode())}")
    rows = _objects(told.get("Volumes") if isinstance(told, dict) else None)
    # Looked at once more, for Podman takes several filters for alternatives, and these may be removed by who asks.
    return [each for each in rows if isinstance(each.get("Labels"), dict) and label in each["Labels"]]


def remove_volume(api: Api, name: str) -> None:
    """The volume goes; raises EngineError while a container has it."""
    _removed(api, f"/volumes/{quote(name)}", (_GONE,))


class Removal:
    """A guardian's `Duty` (linux/guardian.py): containers go by their names, and an image, should we be gone. The
    engine may still be at making them."""

    def __init__(self, api: Api, *names: str, image: str = "") -> None:
        self._shared_api = api
        self._names = names
        self._image = image

    def signal(self, number: int) -> bool:
        return False

    def end(self) -> None:
        for pause in _LATER:
            poll().poll(pause)
            try:
                api = self._shared_api.anew()
                for name in self._names:
                    remove(api, name)
                if self._image:
                    remove_image(api, self._image)
            except EngineError:
                continue  # it may answer the next time


def _objects(listed: Any) -> list[dict[str, Any]]:
    """Those in a list; none where it is no list."""
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _removed(api: Api, path: str, gone: tuple[int, ...]) -> None:
    try:
        api.ask("DELETE", path)
    except EngineError as error:
        if error.status not in gone:
            raise
