"""A Plan, built by an engine."""

from __future__ import annotations

import re
import secrets
import tempfile
from typing import TYPE_CHECKING, Protocol

from dockshell.engines import building, containers
from dockshell.engines.archive import ArchiveFiles
from dockshell.engines.docker import SIDECAR
from dockshell.errors import UsageError, printable
from dockshell.image.context import entries, write_tar
from dockshell.image.family import Base, of
from dockshell.image.recipe import dockerfile
from dockshell.linux.guardian import Guardian
from dockshell.model import Container

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from dockshell.engines import Engine
    from dockshell.engines.sdk import SdkApi
    from dockshell.image.plan import Plan

__all__ = ["Making", "Progress"]

# `Step 2/7 : RUN ...` has it Docker's way, `STEP 2/7: RUN ...` Podman's.
_STEP = re.compile(r"step (\d{1,3})/(\d{1,3})\s?: (.*)", re.IGNORECASE)


class Progress(Protocol):
    """Who is told how it goes."""

    def step(self, number: int, total: int, words: str) -> None:
        """A step begins: the words are its line of the Dockerfile. 0 of 0: the base is pulled."""

    def line(self, text: str) -> None:
        """Something that a step said. Hostile."""


class Making:
    """An engine that makes images."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._api: SdkApi = building.builder(engine)

    def base(self, image: str) -> Base | None:
        """What counts of the image; None where the engine hasn't got it. Raises EngineError, and UsageError where it is
        none to build on."""
        facts = containers.image(self._api, image)
        if facts is None:
            return None
        release = self._release(facts)
        family = of(release)
        if family is None:
            named = next((line[12:].strip("\"' ") for line in release.splitlines() if line[:12] == "PRETTY_NAME="), "")
            raise UsageError(
                f"{printable(image)} is {f'of {printable(named)}' if named else 'no whole distribution'}, and what is "
                "added takes Debian, Ubuntu or Alpine: name another with --from"
            )
        config = facts.get("Config") or {}
        user = str(config.get("User") or "")
        return Base(family, "" if user in ("root", "0") else user, bool(config.get("Entrypoint")))

    def pull(self, image: str, progress: Progress) -> None:
        """Gets the image from its registry. Raises EngineError."""
        progress.step(0, 0, f"pulling {image}")
        self._follow(building.pull(self._api, image), progress)

    def make(self, plan: Plan, base: Base, tag: str, progress: Progress) -> None:
        """Builds the image of that name. Raises EngineError, UsageError."""
        with tempfile.TemporaryFile() as context:
            write_tar(context, entries(plan, dockerfile(plan, base, "dockshell image build")))
            context.seek(0)
            self._follow(building.build(self._api, context, tag), progress)

    def size(self, image: str) -> int:
        """The image's, in bytes, with what it is built on; 0 where nobody knows. Raises EngineError."""
        size = (containers.image(self._api, image) or {}).get("Size")
        return size if isinstance(size, int) else 0

    def _follow(self, lines: Iterable[str], progress: Progress) -> None:
        for line in lines:
            if begun := _STEP.fullmatch(line.strip()):
                progress.step(int(begun[1]), int(begun[2]), begun[3])
            elif line.strip():
                progress.line(line.rstrip())

    def _release(self, facts: dict[str, Any]) -> str:
        """The text of the image's /etc/os-release, by a container that never runs, for an engine hands out the files of
        nothing else; it goes in any case."""
        name = f"dockshell-image-{secrets.token_hex(8)}"
        guardian = Guardian(containers.Removal(self._api, name))
        try:
            body = {"Image": facts["Id"], "Entrypoint": ["-"], "Cmd": ["-"], "Labels": {SIDECAR: name}}
            made = containers.create(self._api, body, name)
            files = ArchiveFiles(self._api, Container(id=made, name=name, engine=self._engine))
            release = files.read("/etc/os-release", 1 << 14) or b""
        finally:
            guardian.dismiss()
            guardian.close()
            containers.remove(self._api, name)
        return release.decode("utf-8", "replace")
