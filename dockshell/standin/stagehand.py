"""Who makes a stand-in and takes it away again, as a deputy's errand.

A stand-in is a container of an image that is committed for it alone. Its first process is our busybox, from a volume of
its own (an engine lets nobody write into a read-only root, and what is in a volume is committed by none). That process
reads its input and ends with it, and the input is a connection of ours: should even the deputy be killed, the engine
removes the container. What an engine doesn't remove by itself then (an image, on Podman the volume) the next stand-in's
stagehand does."""

from __future__ import annotations

import io
import os
import tarfile

from dockshell.engines import containers
from dockshell.engines.docker import SIDECAR
from dockshell.errors import EngineError, printable
from dockshell.standin import likeness as like
from dockshell.standin.leftovers import NAME, quietly, sweep
from dockshell.tools.busybox import static_busybox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dockshell.engines import Api, Stream

__all__ = ["KEEP", "MAKE", "Stagehand"]

MAKE, KEEP = 1, 2  # what it is told
_PATIENCE = 3600.0  # seconds: an engine commits some 100 MB of them
_COMMENT = "of a container that did not run, by dockshell"


class Stagehand:
    """The deputy's `Errand`. facts: the engine's, of the container that is stood in for; kept: the image's name should
    it be kept. MAKE tells the stand-in's id, KEEP the image's name, empty where nothing was changed."""

    def __init__(self, api: Api, facts: dict[str, Any], kept: str) -> None:
        self._shared_api = api
        self._facts = facts
        self._kept = kept
        self._token = os.urandom(6).hex()
        self._image = self._container = self._volume = ""
        self._link: Stream | None = None
        self._before: list[tuple[int, str]] = []

    def do(self, number: int) -> str:
        if number == KEEP:
            return self._keep()
        self._api = self._shared_api.anew(_PATIENCE)
        self._podman = self._api.server() == "podman"
        sweep(self._api)
        busybox = static_busybox()
        try:
            containers.commit(self._api, self._facts["Id"], self._tag, _COMMENT)
            self._image = self._tag
        except EngineError as error:
            raise EngineError(
                f"{self._name}'s files can't be had, which takes all of its image: {error}", error.status
            ) from error
        try:
            return self._make(busybox)
        except EngineError as error:
            raise EngineError(f"nothing can stand in for {self._name}: {self._why(error)}", error.status) from error

    def _make(self, busybox: str) -> str:
        if self._podman and (gone := self._gone()):  # it would make a directory there
            raise EngineError(gone)
        mine = {SIDECAR: str(self._facts["Id"])}  # no listing of ours shows it
        body = like.likeness(self._facts, self._image, self._podman)
        body["Labels"].update(mine)
        if self._podman:  # which leaves an anonymous one behind, and in an image that it commits
            self._volume = containers.create_volume(self._api, f"{NAME}-{self._token}", mine)
            body["HostConfig"]["Mounts"][-1]["Source"] = self._volume
        self._container = containers.create(self._api, body, f"{NAME}-{self._name[:40]}-{self._token}")
        tar = _tar(busybox)
        self._api.upload(self._container, like.place(self._facts), iter([tar]), len(tar))
        for network in like.networks(self._facts, self._podman)[1:]:
            containers.join_network(self._api, self._container, network)
        self._link = self._api.attach(self._container)
        if not self._podman and not self._kept:
            # A container that doesn't run yet doesn't hold it; without it there is nothing to commit. Podman would
            # remove both.
            containers.remove_image(self._api, self._image)
            self._image = ""
        containers.start(self._api, self._container)
        self._before = containers.changes(self._api, self._container) if self._kept else []
        return self._container

    @property
    def _tag(self) -> str:
        return f"{NAME}:{self._token}"

    @property
    def _name(self) -> str:
        return printable(str(self._facts.get("Name") or "").removeprefix("/"))

    def _keep(self) -> str:
        try:
            if containers.changes(self._api, self._container) == self._before:
                return ""
        except EngineError as error:
            raise EngineError(
                f"what was changed can't be kept, for the stand-in for {self._name} has ended: {error}", error.status
            ) from error
        labels = {**like.blanked(self._facts.get("Config") or {}), **self._image_labels(), SIDECAR: ""}
        config = None if self._podman else like.kept_config(self._facts, labels)
        changes = like.kept_changes(self._facts, labels) if self._podman else ()
        containers.commit(self._api, self._container, self._kept, "", config, changes)
        return self._kept

    def _image_labels(self) -> dict[str, str]:
        """Those of the container's image: its own (Compose's) are of this one container."""
        found = containers.image(self._api, str(self._facts.get("Image") or "")) or {}
        return dict((found.get("Config") or {}).get("Labels") or {})

    def end(self) -> None:
        if self._container:
            quietly(lambda: containers.remove(self._api, self._container, volumes=not self._podman))
        if self._link is not None:
            self._link.close()
        if self._image:
            # By its name: what was kept goes on having its files.
            quietly(containers.remove_image, self._api, self._image)
        if self._volume:
            quietly(containers.remove_volume, self._api, self._volume)

    def _why(self, error: EngineError) -> str:
        """The reason, as a look at what it depends on shows it; else in the engine's words."""
        return (error.status and (self._asleep() or self._cut_off() or self._gone() or self._mapped())) or str(error)

    def _asleep(self) -> str:
        """Whose namespaces it shares, where that doesn't run."""
        for what in ("Network", "Pid", "Ipc"):
            kind, _, other = str((self._facts.get("HostConfig") or {}).get(f"{what}Mode") or "").partition(":")
            if kind == "container" and not self._runs(other):
                return (
                    f"it shares the {what.lower()} namespace of {printable(other[:12])}, which does not run: start that"
                )
        return ""

    def _cut_off(self) -> str:
        """Which network is gone."""
        for network in filter(like.named, like.networks(self._facts, self._podman)):
            if not containers.network_is_there(self._api, network):
                return f"its network {printable(network)} is gone: make that again"
        return ""

    def _gone(self) -> str:
        """Which directory of the host's is gone that is mounted in there, where the host is this machine, as its own
        files show."""
        upper = str(((self._facts.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir") or "")
        if self._api.local and upper and not _missing(upper):
            for source, target in like.binds(self._facts):
                if _missing(source):
                    return f"{printable(source)}, which is mounted at {printable(target)}, is gone: make it again"
        return ""

    def _mapped(self) -> str:
        """Podman tells that there is a mapping, and not which."""
        if self._podman and (self._facts.get("HostConfig") or {}).get("UsernsMode") == "private":
            return "its user namespace is its own, and Podman's API makes no other like it: `podman start` it instead"
        return ""

    def _runs(self, container: str) -> bool:
        try:
            return bool((self._api.inspect(container).get("State") or {}).get("Running"))
        except EngineError:
            return False


def _missing(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # who may not look can't tell
    return False


def _tar(busybox: str) -> bytes:
    file = io.BytesIO()
    with tarfile.TarFile(fileobj=file, mode="w") as tar, open(busybox, "rb") as program:
        member = tarfile.TarInfo("busybox")
        member.size, member.mode = os.fstat(program.fileno()).st_size, 0o755
        tar.addfile(member, program)
    return file.getvalue()
