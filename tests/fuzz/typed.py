"""What is typed, which may come from somebody else: a name of a container, a link with a host in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dockshell import options, target
from dockshell.config import keys
from dockshell.copy import words as copy_words
from dockshell.errors import UsageError
from dockshell.fleet import words as fleet_words
from dockshell.forward import words as forward_words
from dockshell.model import Container
from dockshell.ssh import forwards
from dockshell.ssh import words as ssh_words

__all__ = ["arguments"]

_CONTAINER = Container(id="a1" * 32, name="web", engine=None, labels={"com.docker.compose.service": "api"})  # type: ignore[arg-type]


def _target(text: str) -> None:
    found = target.parse(text)
    assert found.kind in ("name", "latest", "label", "pid")
    assert str(found).isprintable()
    for each in target.fits(found, [_CONTAINER]):
        target.rank(found, each)
        target.rule(found, each)


def _several(text: str) -> None:
    assert all(map(str, fleet_words.parse(text)))


def _forward(text: str) -> None:
    assert 0 <= forward_words.parse(text).listen.port < 1 << 16
    for kind in "LRD":
        forwards.parse(kind, text)


def _operand(text: str) -> None:
    found = copy_words.parse(text)
    assert b"\0" not in found.path and found.spoken.isprintable()


def _keys(text: str) -> None:
    try:
        assert keys.keys(text)
    except ValueError:
        pass  # it says so


def _line(text: str) -> None:
    ssh_words.quote(text.encode("utf-8", "surrogateescape"))


_EACH: list[Callable[[str], None]] = [_target, _several, _forward, _operand, _keys, _line]


def arguments(data: bytes) -> None:
    """What NULs part are the arguments of a command line, and each alone is what a single one may be: each is
    understood, or UsageError says what is wrong."""
    texts = data.decode("utf-8", "surrogateescape").split("\0")
    steps: list[Callable[[], object]] = [lambda: options.parse(texts), *(partial(each, texts[0]) for each in _EACH)]
    for step in steps:
        try:
            step()
        except UsageError as error:
            assert str(error).isprintable()
