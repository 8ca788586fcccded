"""What stand-ins left of which both who used them and who was to remove them were killed."""

from __future__ import annotations

import time
from datetime import datetime

from dockshell.engines import containers
from dockshell.engines.docker import SIDECAR
from dockshell.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dockshell.engines import Api

__all__ = ["NAME", "quietly", "sweep"]

NAME = "dockshell-stopped"  # how the names of a stand-in, its image and its volume begin
_ABANDONED = 600.0  # seconds after which what no stand-in uses is nobody's


def sweep(api: Api) -> None:
    """Removes all of it that no stand-in uses, and that is too old to belong to one that is being made."""
    for each in (_containers, _images, _volumes):
        quietly(each, api)


def quietly(remove: Callable[..., None], *what: object) -> None:
    """Calls it. Where the engine refuses, what it was about stays for the next sweep."""
    try:
        remove(*what)
    except EngineError:
        pass


def _containers(api: Api) -> None:
    for each in api.containers(everything=True, filters={"label": [SIDECAR]}):
        idle = each.get("State") in ("created", "exited", "dead") and SIDECAR in (each.get("Labels") or {})
        if idle and _old(each.get("Created")) and any(map(_named, each.get("Names") or ())):
            quietly(containers.remove, api, str(each.get("Id")))


def _images(api: Api) -> None:
    used = {_hexadecimal(each.get("ImageID")) for each in api.containers(everything=True)}
    for each in containers.images(api):
        if _hexadecimal(each.get("Id")) not in used and _old(each.get("Created")):
            # By their names: should one have been kept, it goes on having the files.
            for name in each.get("RepoTags") or ():
                if str(name).rpartition("/")[2].startswith(f"{NAME}:"):
                    quietly(containers.remove_image, api, str(name))


def _volumes(api: Api) -> None:
    for each in containers.volumes(api, SIDECAR):
        if _named(each.get("Name")) and _old(datetime.fromisoformat(str(each.get("CreatedAt"))).timestamp()):
            quietly(containers.remove_volume, api, str(each.get("Name")))  # refused where one has it


def _named(name: Any) -> bool:
    """A label alone says nothing: an image may have it, and give it to a container of somebody else's."""
    return str(name).removeprefix("/").startswith(f"{NAME}-")


def _hexadecimal(id: Any) -> str:
    return str(id).removeprefix("sha256:")


def _old(created: Any) -> bool:
    """created: seconds since 1970 by the engine's clock, which may not be ours."""
    return time.time() - float(created or 0) > _ABANDONED
