"""An environment as bytes for programs. Each format has the variables that it can hold, and the names of those that it
can't."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_docker", "as_json", "as_sh"]

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_REST = _FIRST | frozenset("0123456789")
# What a shell keeps to itself: whoever sets it is refused, and the rest of the file not read (bash, ksh, zsh).
_KEPT = frozenset({
    "BASHOPTS", "BASH_COMPAT", "BASH_VERSINFO", "BASH_XTRACEFD", "EUID", "PPID", "SHELLOPTS", "UID", "GID",
    "EGID", "ARGC", "HISTCMD", "LINENO", "TTYIDLE", "ZSH_EVAL_CONTEXT", "ZSH_SUBSHELL", "argv", "cdpath",
    "fignore", "fpath", "mailpath", "manpath", "module_path", "path", "psvar", "signals", "status", "watch",
})  # fmt: skip
# What it takes a number for, and reckons: `a[$(command)]` would be executed then.
_NUMBERS = frozenset({
    "COLUMNS", "FUNCNEST", "HISTSIZE", "KEYTIMEOUT", "LINES", "LISTMAX", "LOGCHECK", "MAILCHECK", "OPTIND",
    "PGRP", "RANDOM", "SAVEHIST", "SECONDS", "SRANDOM", "TMOUT", "USER_ID",
})  # fmt: skip
_LONGEST_LINE = 64 << 10  # Docker's command reads an env-file by lines of less
_MOST_DIGITS = 9


def as_sh(variables: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """Lines for `.` of any POSIX sh, `export NAME='value'`: no byte in a value means anything to it."""
    kept = {name: value for name, value in variables.items() if _takes(name, value)}
    lines = "".join(f"export {name}='{_quoted(value)}'\n" for name, value in kept.items())
    return lines.encode("utf-8", "surrogateescape"), [name for name in variables if name not in kept]


def as_docker(variables: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """Lines for `--env-file`, which takes all behind the first = as it stands. A line holds no newline and UTF-8
    alone."""
    lines = {name: f"{name}={value}" for name, value in variables.items()}
    kept = {name: line for name, line in lines.items() if _lists(name, line)}
    return "".join(f"{line}\n" for line in kept.values()).encode(), [name for name in lines if name not in kept]


def as_json(variables: object) -> bytes:
    """JSON in ASCII. A byte that is not UTF-8 is the escape of a lone surrogate, \\udc80 to \\udcff."""
    return json.dumps(variables, indent=2).encode() + b"\n"


def _takes(name: str, value: str) -> bool:
    """May a shell be given that variable?"""
    if name[0] not in _FIRST or not _REST.issuperset(name) or name in _KEPT:
        return False
    number = value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS
    return name not in _NUMBERS or number


def _quoted(value: str) -> str:
    return value.replace("'", "'\\''")


def _lists(name: str, line: str) -> bool:
    """May a line of an env-file be that?"""
    if name.startswith(("#", "\ufeff")) or any(c.isspace() for c in name) or "\n" in line or line.endswith("\r"):
        return False
    try:
        return len(line.encode()) < _LONGEST_LINE - 1
    except UnicodeEncodeError:
        return False
