"""Images pulled and built by an engine: POST /images/create and POST /build, which tell what they do as they go."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any

from dockshell.engines.sdk import SdkApi
from dockshell.errors import EngineError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dockshell.engines import Engine

__all__ = ["build", "builder", "pull"]

_LONGEST = 1 << 16
# What a terminal would obey: ECMA-48's control sequences and strings. Docker itself puts colors around stderr.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def builder(engine: Engine) -> SdkApi:
    """The engine, spoken to by the SDK: both requests answer in pieces, and take what a person's config.json says of
    registries and proxies."""
    return engine.api if isinstance(engine.api, SdkApi) else SdkApi(engine.address)


def pull(api: SdkApi, image: str) -> Iterator[str]:
    """The image from its registry; gives what the engine says meanwhile, line by line. image: NAME, NAME:TAG or
    NAME@DIGEST. Raises EngineError."""
    with api.translated():
        told = api.client.pull(image, tag=None if "@" in image or ":" in image.rpartition("/")[2] else "latest",
                               stream=True, decode=True)  # fmt: skip
        yield from _lines(told, f"{printable(image)} can't be pulled")


def build(api: SdkApi, context: IO[bytes], tag: str) -> Iterator[str]:
    """An image of that name, of a tar that holds a Dockerfile and what it copies; gives what the engine says meanwhile,
    line by line. A step may be silent for as long as it takes. Raises EngineError where a step fails."""
    with api.translated():
        told = api.client.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True)
        yield from _lines(told, "the image can't be built")


def _lines(told: Iterable[Any], failure: str) -> Iterator[str]:
    rest = ""
    for piece in told:
        said = piece if isinstance(piece, dict) else {}
        if said.get("error"):
            raise EngineError(f"{failure}: {printable(' '.join(_ESCAPES.sub('', str(said['error'])).split()))}")
        rest += str(said.get("stream") or "")
        *lines, rest = rest.split("\n")
        if len(rest) > _LONGEST:  # what runs in a step is the base's, and may never end its line
            lines, rest = [*lines, rest], ""
        yield from map(_plain, lines)
        if said.get("status"):
            yield _plain(str(said["status"]))
    if rest:
        yield _plain(rest)


def _plain(text: str) -> str:
    """Without escape sequences; of a line that was written anew again and again (`\\r`), what stands there at last."""
    return _ESCAPES.sub("", text).rstrip().rpartition("\r")[2]
