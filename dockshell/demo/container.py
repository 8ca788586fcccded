"""A container for the demonstration, in an engine that is there: made of a small image of this machine's own programs,
removed with it."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockshell.demo.rootfs import tree, write_tar
from dockshell.engines import containers
from dockshell.errors import EngineError

if TYPE_CHECKING:
    from dockshell.engines import Engine
    from dockshell.engines.sdk import SdkApi

__all__ = ["container"]

_NAME = "dockshell-demo"
# Small images that have all that is shown, for engines on which this machine's programs can't run.
_SHELLED = ("busybox", "alpine")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's names and the engines'
_LIFETIME = "3600"  # seconds; should we be killed, it ends by itself


@contextlib.contextmanager
def container(engine: Engine) -> Iterator[str]:
    """Makes a container and starts it; gives its name. However the block is left, container and image are removed.

    Raises EngineError where the engine won't have it.
    """
    from dockshell.engines.building import builder

    api = builder(engine)
    # The image has the same name, and no tag, for Podman 4 drops that of an imported one.
    name = image = f"{_NAME}-{secrets.token_hex(3)}"
    try:
        if _runs_ours(api):
            archive = io.BytesIO()
            write_tar(tree(), archive)
            api.import_image(io.BytesIO(archive.getvalue()), image)
            found = image
        else:
            found = _present(api)
        made = containers.create(api, {"Image": found, "Cmd": ["sleep", _LIFETIME], "Hostname": _NAME}, name)
        containers.start(api, made)
        yield name
    finally:
        _remove(api, name, image)


def _runs_ours(api: SdkApi) -> bool:
    """Can the engine run programs of this machine?"""
    with api.translated():
        about = api.client.version()
    ours = _MACHINES.get(os.uname().machine, "")
    return sys.platform == "linux" and (about.get("Os"), about.get("Arch")) == ("linux", ours)


def _present(api: SdkApi) -> str:
    """An image that is there already and will do → its id."""
    for name in _SHELLED:
        with api.translated():
            images = api.client.images(name)
        if images:
            return str(images[0]["Id"])
    raise EngineError(
        "the engine runs on another kind of machine and has no small image: `docker pull busybox` gets one"
    )


def _remove(api: SdkApi, name: str, image: str) -> None:
    """Removes what may have been made, as far as it was. A signal that would end us has to wait for that."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT))
    try:
        with contextlib.suppress(EngineError):
            containers.remove(api, name)
        with contextlib.suppress(EngineError):
            containers.remove_image(api, image)
        api.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
