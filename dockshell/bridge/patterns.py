"""Patterns of file names as a shell has them (`*`, `?`, `[…]`, a leading `~`), for a container without one.

A backslash takes a character's meaning away; so a word keeps what was quoted in it apart from what wasn't."""

from __future__ import annotations

from errno import E2BIG
from stat import S_ISDIR

from dockshell.bridge.tree import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.bridge.tree import Tree

__all__ = ["SPECIAL", "expanded", "fits"]

SPECIAL = b"*?[]~\\"

_MOST_FOUND = 1 << 16
_MANY = 1000  # entries that are looked at in one go

if TYPE_CHECKING:
    # What one character of a name may be: itself; None for any; a set of ranges, and whether it is the others.
    One = str | None | tuple[bool, tuple[tuple[str, str], ...]]

# Any number of any, known by its identity: as a set it would be one that nothing is in.
_STAR: tuple[bool, tuple[tuple[str, str], ...]] = (False, ())


def fits(name: bytes, pattern: bytes) -> bool:
    """Is it a name that the pattern means? A name that begins with a dot wants a pattern that does. A character is one
    of UTF-8, or a byte that isn't part of any."""
    parts = _parts(_text(pattern))
    text = _text(name)
    if text.startswith(".") and parts[:1] != ["."]:
        return False
    # Only the last star is ever gone back to: the time is that of the lengths' product, whatever the pattern.
    at = part = 0
    star = back = -1
    while at < len(text):
        if part < len(parts) and parts[part] is _STAR:
            star, back = part, at
            part += 1
        elif part < len(parts) and _is(text[at], parts[part]):
            at, part = at + 1, part + 1
        elif star >= 0:
            back += 1
            at, part = back, star + 1
        else:
            return False
    return all(each is _STAR for each in parts[part:])


def expanded(tree: Tree, word: bytes) -> list[bytes]:
    """The paths that a shell would make of the word, sorted, relative ones to be taken from the tree's home; the word
    itself, without its backslashes, where there is nothing that fits. Raises OSError where too much does."""
    start = b""
    if word == b"~" or word.startswith(b"~/"):
        start, word = tree.home(), word[1:].lstrip(b"/")
        if not word:
            return [start]
        start = start.rstrip(b"/") + b"/"
    places = [start]
    magic = False
    for name, slash in _names(word):
        if all(isinstance(each, str) for each in _parts(_text(name))):
            places = [place + _plain(name) + slash for place in places]
        else:
            magic = True
            places = [found + slash for place in places for found in _found(tree, place, name)]
            if len(places) > _MOST_FOUND:
                raise failure(E2BIG, f"more than {_MOST_FOUND} names fit: name the directory instead")
    if not magic:
        return places
    return [place for place in places if _exists(tree, place)] or [start + _plain(word)]


def _names(word: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names in a path, each with the slashes behind it."""
    while word:
        name, _, _ = word.partition(b"/")
        rest = word[len(name) :]
        word = rest.lstrip(b"/")
        yield name, rest[: len(rest) - len(word)]


def _found(tree: Tree, place: bytes, pattern: bytes) -> list[bytes]:
    path = _absolute(tree, place)
    try:
        if not S_ISDIR(tree.stat(path).st_mode):
            return []
        directory = tree.list(path)
    except OSError:
        return []
    found: list[bytes] = []
    try:
        while entries := directory.read(_MANY):
            found += [name for name, _ in entries if fits(name, pattern)]
            if len(found) > _MOST_FOUND:
                break
    finally:
        directory.close()
    return [place + name for name in sorted(found)]


def _exists(tree: Tree, path: bytes) -> bool:
    try:
        tree.stat(_absolute(tree, path), follow=False)
    except OSError:
        return False
    return True


def _absolute(tree: Tree, path: bytes) -> bytes:
    return path if path.startswith(b"/") else tree.home().rstrip(b"/") + b"/" + path


def _parts(pattern: str) -> list[One]:
    """The pattern, a part for each character that it stands for."""
    parts: list[One] = []
    at = 0
    while at < len(pattern):
        one = pattern[at]
        at += 1
        if one == "*":
            parts.append(_STAR)
        elif one == "?":
            parts.append(None)
        elif one == "[" and (end := _end_of_set(pattern, at)) > 0:
            parts.append(_set(pattern[at:end]))
            at = end + 1
        elif one == "\\" and at < len(pattern):
            parts.append(pattern[at])
            at += 1
        else:
            parts.append(one)
    return parts


def _end_of_set(pattern: str, at: int) -> int:
    """Where the `]` is that ends what begins there; -1 for none. One that comes first is a member."""
    first = at + 1 if pattern[at : at + 1] in ("!", "^") else at
    at = first
    while at < len(pattern):
        if pattern[at] == "]" and at > first:
            return at
        at += 2 if pattern[at] == "\\" else 1
    return -1


def _set(inside: str) -> One:
    others = inside[:1] in ("!", "^")
    members = list(_members(inside[1:] if others else inside))
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(members):
        if members[at + 1 : at + 2] == [("-", False)] and at + 2 < len(members):
            ranges.append((members[at][0], members[at + 2][0]))
            at += 3
        else:
            ranges.append((members[at][0], members[at][0]))
            at += 1
    return others, tuple(ranges)


def _members(inside: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it was quoted."""
    at = 0
    while at < len(inside):
        quoted = inside[at] == "\\" and at + 1 < len(inside)
        at += int(quoted)
        yield inside[at], quoted
        at += 1


def _is(character: str, part: One) -> bool:
    if part is None or isinstance(part, str):
        return part is None or part == character
    others, ranges = part
    return others != any(first <= character <= last for first, last in ranges)


def _plain(word: bytes) -> bytes:
    """Without the backslashes."""
    plain = b""
    while word:
        if word[:1] == b"\\" and len(word) > 1:
            word = word[1:]
        end = word.find(b"\\", 1)
        end = len(word) if end < 0 else end
        plain, word = plain + word[:end], word[end:]
    return plain


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
