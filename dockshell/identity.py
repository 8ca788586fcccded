"""Who a command runs as: -u's words and the container's own passwd and group → ids and names. Pure; the files' bytes
are hostile.

The rules are those of `docker exec` (libcontainer's GetExecUser): a name must have an entry, a number need not;
supplementary groups are those that list the user's name, unless a group was given in so many words."""

from __future__ import annotations

from dockshell.errors import UserError, printable
from dockshell.model import noun

__all__ = ["Identity", "resolve"]

_MOST = (1 << 32) - 2  # (uid_t) -1 means "unchanged" to setresuid(2), so it is no id


@noun(frozen=True)
class Identity:
    """uid, gid and supplementary groups are the kernel's numbers inside the container; name is empty where passwd has
    none; shell is what passwd says, empty for nothing."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    shell: str


def resolve(words: str, passwd: bytes, group: bytes, extra: tuple[str, ...] = ()) -> Identity:
    """words: `NAME|UID[:GROUP|GID]`, empty for root. passwd, group: the files' content. extra: groups that the
    container was configured with on top. Raises UserError where a name isn't in there."""
    user, colon, wanted = (words or "0").partition(":")
    user = user or "0"
    number = _id(user)
    uid, gid, name, home, shell = number, 0, "", "/", ""
    for fields in _lines(passwd, 7):
        if fields[0] == user or (number is not None and _id(fields[2]) == number):
            entry_uid, entry_gid = _id(fields[2]), _id(fields[3])
            if entry_uid is None or entry_gid is None:
                continue
            uid, gid, name, home, shell = entry_uid, entry_gid, fields[0], fields[5] or "/", fields[6]
            break
    if uid is None:
        raise UserError(f"no user {printable(user)!r} inside: a number works without an entry in its /etc/passwd")
    groups: list[int] = []
    entries = list(_lines(group, 3))
    if colon and wanted:
        gid = _group(wanted, entries)
    elif name:
        for fields in entries:
            listed = _id(fields[2])
            if listed is not None and len(fields) > 3 and name in fields[3].split(","):
                groups.append(listed)
    groups = [gid, *groups, *(_group(each, entries) for each in extra)]  # the own one among them: CVE-2022-36109
    return Identity(uid, gid, tuple(dict.fromkeys(groups)), name, home, shell)


def _group(words: str, entries: list[list[str]]) -> int:
    number = _id(words)
    for fields in entries:
        listed = _id(fields[2])
        if listed is not None and (fields[0] == words or listed == number):
            return listed
    if number is None:
        raise UserError(f"no group {printable(words)!r} inside: a number works without an entry in its /etc/group")
    return number


def _id(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text) if int(text) <= _MOST else None


def _lines(content: bytes, least: int) -> list[list[str]]:
    rows = (
        line.split(":")
        for line in content.decode("utf-8", "surrogateescape").split("\n")
        if line and not line.startswith("#")
    )
    return [[field.strip() for field in row] + [""] * (least - len(row)) for row in rows if len(row) >= 3]
