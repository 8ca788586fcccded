"""What may be offered at all.

What engines and containers tell is hostile, and completion puts it on a command line. So words are of two kinds: those
of _SAFE's characters, in which no shell finds anything to expand or to run; and paths inside, which may be of any
characters that can be seen, and which the scripts spell as their shells want it."""

from __future__ import annotations

__all__ = ["FILES", "OPEN", "plain", "safe", "visible"]

FILES = ":files"  # in a candidate's place: names of files here
OPEN = (":", "/", "=")  # what ends in one of these goes on, with no blank behind it
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_SAFE = _LETTERS | frozenset("_.:/@=-")
_LONGEST = 200


def safe(word: str) -> bool:
    """Does it mean itself to every shell, and is no option?"""
    return word[:1] in _LETTERS and bool(word) and _SAFE.issuperset(word) and len(word) <= _LONGEST


def visible(name: str) -> bool:
    """Is it a file's name that shows as what it is, and takes one line?"""
    return name.isprintable() and len(name) <= _LONGEST


def plain(text: str) -> str:
    """The beginning of what is said of a candidate, without the characters that aren't plain."""
    return "".join(c for c in text[:60] if c in _SAFE or c == " ")
