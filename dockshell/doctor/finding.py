"""What the doctor found."""

from __future__ import annotations

import os

from dockshell.model import noun

__all__ = ["GRADES", "Finding", "as_root", "is_bad"]

# ok: as it should be. note: good to know, or a pity. wrong: something that was asked for can't work. danger: somebody
# could get what isn't theirs.
GRADES = ("ok", "note", "wrong", "danger")


@noun(frozen=True)
class Finding:
    """subject: what it is about (`engines`, `kernel`, `tools`, `ssh`, `shell`, `danger`, `target`); grade: one of
    GRADES; what: a sentence; remedy: the words to type in a shell that mend it, empty where no command can. Both are
    text for people, and may hold what an engine or container told."""

    subject: str
    grade: str
    what: str
    remedy: str = ""


def as_root(command: str) -> str:
    """The command, so that root runs it."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def is_bad(finding: Finding) -> bool:
    """Is it something that should not stay as it is?"""
    return finding.grade in ("wrong", "danger")
