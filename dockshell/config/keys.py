"""Keys by name → what a terminal sends for them, in docker's notation: `ctrl-]`, `ctrl-p,ctrl-q`, `a`."""

from __future__ import annotations

__all__ = ["keys"]

_CONTROLLED = "@abcdefghijklmnopqrstuvwxyz[\\]^_"  # in the order of the bytes from 0 on: ascii(7)


def keys(words: str) -> bytes:
    """The bytes, one for each key. Raises ValueError with what would be right."""
    return bytes(_key(word) for word in words.split(","))


def _key(word: str) -> int:
    control, name = word[:5].lower() == "ctrl-", word[5:].lower()
    if control and len(name) == 1 and name in _CONTROLLED:
        return _CONTROLLED.index(name)
    if len(word) == 1 and word.isascii() and word.isprintable():
        return ord(word)
    raise ValueError(f"{word!r} is not a key: a key is one character, or ctrl- and one of a to z @ [ \\ ] ^ _")
