"""The files of an engine's image, as directories of this machine."""

from __future__ import annotations

import os
import shutil
from stat import S_IMODE

from dockshell.engines import containers
from dockshell.engines.docker import SIDECAR
from dockshell.errors import DockshellError, EngineError, printable
from dockshell.linux.guardian import Guardian
from dockshell.linux.trusted import below_foreign, passed_over
from dockshell.tools.busybox import NoTools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dockshell.engines import Api

__all__ = ["layers"]

_MOST_KEPT = 4  # images whose files are kept at a time
_HEX = frozenset("0123456789abcdef")


def layers(api: Api, image: str, tell: Callable[[int], None]) -> list[str]:
    """The directories that make the image's files together, the topmost first: the engine's own where they can be seen
    from here, else a copy in the person's cache, made once and known by the engine and the image's id: what one engine
    calls an image may not be what another has by that id. tell: gets the number of bytes so far, while a copy is made.
    Raises DockshellError."""
    facts = containers.image(api, image)
    if facts is None:
        raise NoTools(
            f"the engine at {api.address} has no image {printable(image)}: pull it first, or name a directory (./NAME)"
        )
    return _engines_own(api, facts) or [_copy(api, facts, tell)]


def _engines_own(api: Api, facts: dict[str, Any]) -> list[str]:
    """Empty where they aren't kept as plain directories, or not where we would see them. Only root's own engine is
    believed: what it names is mounted."""
    try:
        driver = facts.get("GraphDriver") or {}
        data = driver.get("Data") or {}
        if os.geteuid() or driver.get("Name") not in ("overlay2", "overlay") or not api.local or api.owner:
            return []
        found = [data.get("UpperDir", ""), *data.get("LowerDir", "").split(":")]
    except (OSError, AttributeError, TypeError):
        return []
    found = [each for each in found if each]
    plain = all(isinstance(each, str) and each.startswith("/") and os.path.isdir(each) for each in found)
    return found if plain else []


def _copy(api: Api, facts: dict[str, Any], tell: Callable[[int], None]) -> str:
    id = str(facts.get("Id", "")).removeprefix("sha256:")
    if len(id) != 64 or not _HEX.issuperset(id):
        raise EngineError(f"the engine at {api.address} has an image without an id: is it a container engine?")
    directory = _directory()
    place = os.path.join(directory, f"{_engine(api)}-{id}")
    if os.path.isdir(place):
        os.utime(place)  # the last that is forgotten
        return place
    unfinished = f"{place}.{os.getpid()}"
    try:
        os.mkdir(unfinished, 0o700)
        # Everything in it keeps its mode, and the user of the command may be anybody.
        os.mkdir(f"{unfinished}/files", 0o755)
        _unpack(api, facts, f"{unfinished}/files", tell)
        os.rename(f"{unfinished}/files", place)
    except FileExistsError:
        pass  # another has made the same meanwhile
    except OSError as error:
        if not os.path.isdir(place):
            raise NoTools(
                f"the files of the image can't be copied to {printable(directory)} ({error.strerror}): "
                "set XDG_CACHE_HOME to a directory with room"
            ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _forget(directory)
    return place


def _engine(api: Api) -> str:
    """A part of a file's name for that engine: for its address, and who listens there."""
    from hashlib import sha256

    return sha256(f"{api.owner} {api.address}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _unpack(api: Api, facts: dict[str, Any], place: str, tell: Callable[[int], None]) -> None:
    """By a container that never runs, for an engine hands out the files of nothing else; it is gone in the end, also
    where we are killed."""
    from dockshell.tools.unpacking import unpack

    name = f"dockshell-tools-{os.urandom(8).hex()}"
    guardian = Guardian(containers.Removal(api, name))
    try:
        body = {
            "Image": facts["Id"],
            "Entrypoint": ["-"],
            "Cmd": ["-"],
            "NetworkDisabled": True,
            "Labels": {SIDECAR: name},
            "HostConfig": {
                "NetworkMode": "none",
                # In the place of anonymous volumes, into which the engine would copy what the image has there.
                "Tmpfs": dict.fromkeys((facts.get("Config") or {}).get("Volumes") or {}, ""),
            },
        }
        made = containers.create(api, body, name)
        tar = api.download(made, "/")
        if tar is None:
            raise EngineError(f"the engine at {api.address} has an image without files: name another")
        try:
            unpack(tar, place, tell)
        finally:
            tar.close()
    finally:
        guardian.dismiss()
        guardian.close()
        containers.remove(api, name)


def _forget(directory: str) -> None:
    """Keeps their number bounded; what an interrupted copy left goes too."""
    known: list[tuple[float, str]] = []
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        _, dot, pid = name.partition(".")
        if not dot:
            known.append((os.stat(path).st_mtime, path))
        elif not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(path, ignore_errors=True)
    for _, path in sorted(known)[:-_MOST_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _directory() -> str:
    """Where the copies are, made with mode 0700 where it is missing. Raises DockshellError where it can't be, or
    others could put things there."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):  # a relative one doesn't count: XDG Base Directory Specification
        base = os.path.join(os.path.expanduser("~"), ".cache")
    path = os.path.join(base, "dockshell", "images")
    if others := below_foreign(path):
        raise DockshellError(
            f"{printable(others)} belongs to user {passed_over[others]}, and copies of images would be kept below it: "
            "set XDG_CACHE_HOME to a directory that is yours"
        )
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        facts = os.lstat(path)
    except OSError as error:
        raise DockshellError(
            f"{printable(path)}, where copies of images are kept, can't be used ({error.strerror}): "
            "set XDG_CACHE_HOME to a directory that is yours"
        ) from None
    if facts.st_uid != os.geteuid() or S_IMODE(facts.st_mode) & 0o077:
        raise DockshellError(
            f"{printable(path)}, where copies of images are kept, isn't yours alone: "
            "`chmod 700` it, or set XDG_CACHE_HOME to a directory that is yours"
        )
    return path
