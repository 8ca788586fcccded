"""Words → the one line that sshd hands to the user's login shell (RFC 4254, 6.5). Pure.

sshd runs `SHELL -c LINE`, whatever shell that is, so the line holds only what sh, bash, zsh, fish and csh read alike:
quoted words after `exec`. The shell that does more is /bin/sh, named in the line.
"""

from __future__ import annotations

import os
import re

from dockshell.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["compose", "quote"]

_PLAIN = re.compile(rb"[A-Za-z0-9_@%+:,./-]+")
# `exec "$@"` takes a first word with a = in it for what it is; so does env for what follows a word without one.
_ENTER = (
    b'cd -- "$1" 2>/dev/null || { printf "dockshell: the directory %s cannot be entered\\n" "$2" >&2; exit 126; }; '
    b'shift 2; exec "$@"'
)
_AS_IT_IS = b'exec "$@"'
# One argument of execve(2) can't be longer than 32 pages (MAX_ARG_STRLEN), and the line is one argument of the shell.
_LONGEST = (128 << 10) - 1


def quote(word: bytes) -> bytes:
    """The word so that any of those shells reads it as this one word, byte by byte.

    Quotes and backslashes stand outside the single quotes, for within them fish reads a backslash as an escape and the
    others don't.
    """
    if _PLAIN.fullmatch(word):
        return word
    # A lone pair of quotes for the empty word; between quotes and backslashes nothing is left to quote.
    parts = re.split(rb"(['\\])", word)
    return b"".join(b"\\" + p if p in (b"'", b"\\") else b"'" + p + b"'" for p in parts if p) or b"''"


def compose(argv: Sequence[bytes], directory: str, environment: Iterable[tuple[str, str]]) -> bytes:
    """The line that runs argv in the directory (empty: where sshd starts it) with the environment added to the
    session's own.

    argv takes the place of the shell: its exit code is the session's, 127 and 126 come from env(1) as from a shell,
    and 126 where the directory can't be entered. Raises UsageError for what no line can hold.
    """
    pairs = [os.fsencode(f"{name}={value}") for name, value in environment]
    words = list(argv)
    if pairs:
        if b"=" in words[0]:
            words = [b"/bin/sh", b"-c", _AS_IT_IS, b"sh", *words]
        words = [b"env", b"--", *pairs, *words]
    if directory:
        # Twice: as it is, to be entered, and as it can be shown.
        shown = printable(directory).encode()
        words = [b"/bin/sh", b"-c", _ENTER, b"sh", os.fsencode(directory), shown, *words]
    elif not pairs:
        words = [b"/bin/sh", b"-c", _AS_IT_IS, b"sh", *words]
    line = b" ".join([b"exec", *map(quote, words)])
    if len(line) > _LONGEST:
        raise UsageError(
            "the words are too long for ssh, which takes 128 KiB in all: "
            "send them through the input, or take --via exec"
        )
    return line
