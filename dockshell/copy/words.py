"""The words of `dockshell cp` → operands. Pure.

    OPERAND = "-"                   a tar: on stdin as SRC, on stdout as DST
            | TARGET ":" PATH       in a container (target.py has the grammar of TARGET)
            | PATH                  here: what begins with "/" or ".", or has no ":" in it

TARGET ends at the first ":" that isn't its own (of `docker://`, `label:`, `pid:`, or of a replica's number:
`web:2:/x`); that of a label, whose value may hold anything, at the first ":/" behind which no second "/" stands. PATH
is of bytes; in a container one that doesn't begin with "/" counts from its root, as in `docker cp`."""

from __future__ import annotations

import os

from dockshell.errors import UsageError, printable
from dockshell.model import noun
from dockshell.target import ENGINES
from dockshell.target import parse as parse_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Target

__all__ = ["Operand", "parse", "split"]


@noun(frozen=True)
class Operand:
    """target: the container, None for what is here; path: empty for a tar stream; words: as typed."""

    target: Target | None
    path: bytes
    words: str

    @property
    def stream(self) -> bool:
        """Is it a tar on stdin or stdout?"""
        return not self.path

    @property
    def spoken(self) -> str:
        """As messages name it."""
        return printable(self.words)


def parse(word: str) -> Operand:
    """Raises UsageError where it can't be an operand."""
    if not word:
        raise UsageError("an empty word names no file: give TARGET:PATH, a PATH or -")
    if "\0" in word:
        raise UsageError("a path can't hold a NUL: give another")
    if word == "-":
        return Operand(None, b"", word)
    if word[0] in "/." or ":" not in word:
        return Operand(None, os.fsencode(word), word)
    target, path = split(word)
    if not path:
        raise UsageError(f"{printable(word)} names no file in the container: put its path behind the colon")
    try:
        found = parse_target(target)
    except UsageError as error:
        raise UsageError(f"{error}; what is here and has a colon in its name begins with ./") from None
    return Operand(found, b"/" + os.fsencode(path).lstrip(b"/"), word)


def split(word: str) -> tuple[str, str]:
    """The words of the TARGET and the PATH, each as far as it is there."""
    engine, pinned, rest = word.partition("://")
    if not pinned or engine not in ENGINES:
        engine, pinned, rest = "", "", word
    if rest.startswith("label:"):
        at = rest.find(":/", len("label:"))
        while rest[at : at + 3] == "://":
            at = rest.find(":/", at + 1)
        name, path = (rest[:at], rest[at + 1 :]) if at >= 0 else (rest, "")
    else:
        name, _, path = rest.partition(":")
        number, colon, behind = path.partition(":")
        if name == "pid" or (colon and number.isascii() and number.isdigit()):
            name, path = f"{name}:{number}", behind
    return engine + pinned + name, path
