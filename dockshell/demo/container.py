"""A container for the demonstration, in an engine that is there: made of a small image of this machine's own programs, removed with it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dockshell.demo.rootfs import tree, write_tar
from dockshell.errors import EngineError, printable

if TYPE_CHECKING:
    from dockshell.engines import Engine

__all__ = ["container"]

_NAME = "dockshell-demo"
_SHELLED = ("busybox", "alpine")  # small images that have all that is shown, for engines on which this machine's programs can't run
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's names and the engines'
_LIFETIME = "3600"  # seconds; should we be killed, it ends by itself


@contextlib.contextmanager
def container(engine: Engine) -> Iterator[str]:
    """Makes a container and starts it; gives its name. However the block is left, container and image are removed.

    Raises EngineError where the engine won't have it.
    """
    client = _client(engine)
    suffix = secrets.token_hex(3)
    name, image = f"{_NAME}-{suffix}", f"{_NAME}:{suffix}"
    try:
        try:
            found = _import(client, suffix) if _runs_ours(client) else _present(client)
            made = client.create_container(found, ["sleep", _LIFETIME], name=name, hostname=_NAME, environment={"PS1": _PROMPT})
            client.start(made["Id"])
        except EngineError:
            raise
        except Exception as problem:  # the SDK's and its transport's own, of which there are many kinds; all mean the same here
            raise EngineError(f"{engine.name} at {engine.address} made no container ({_reason(problem)}): see its log") from None
        yield name
    finally:
        _remove(client, name, image)


_PROMPT = r"\u@\h:\w\$ "


def _client(engine: Engine) -> Any:
    """The SDK's client of that engine."""
    from dockshell.engines.sdk import SdkApi

    api = engine.api if isinstance(engine.api, SdkApi) else SdkApi(engine.address, None)
    return api.client


def _runs_ours(client: Any) -> bool:
    """Can the engine run programs of this machine?"""
    about = client.version()
    return sys.platform == "linux" and about.get("Os") == "linux" and about.get("Arch") == _MACHINES.get(os.uname().machine, "")


def _import(client: Any, tag: str) -> str:
    """Makes the image → its id."""
    archive = io.BytesIO()
    write_tar(tree(), archive)
    answer = client.import_image_from_data(archive.getvalue(), repository=_NAME, tag=tag)
    last = json.loads(answer.strip().splitlines()[-1])
    if "error" in last:
        raise EngineError(f"the engine did not import the demonstration's image: {printable(str(last['error']))}")
    return str(last["status"]).strip()


def _present(client: Any) -> str:
    """An image that is there already and will do → its id."""
    for name in _SHELLED:
        if images := client.images(name):
            return str(images[0]["Id"])
    raise EngineError("the engine runs on another kind of machine and has no small image: `docker pull busybox` gets one")


def _reason(problem: Exception) -> str:
    return printable(str(getattr(problem, "explanation", None) or problem))


def _remove(client: Any, name: str, image: str) -> None:
    """Removes what may have been made, as far as it was. A signal that would end us has to wait for that."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT))
    try:
        with contextlib.suppress(Exception):
            client.remove_container(name, force=True, v=True)
        with contextlib.suppress(Exception):
            client.remove_image(image, force=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
