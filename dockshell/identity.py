"""Who a command runs as: -u's words and the container's own passwd and group → ids and names. Pure; the files' bytes
are hostile.

The rules are those of `docker exec` (libcontainer's GetExecUser): a name must have an entry, a number need not;
supplementary groups are those that list the user's name, unless a group was given in so many words."""

from __future__ import annotations

from dockshell.errors import UserError, printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Identity", "names", "resolve"]

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
    for fields in _entries(passwd, user if number is None else str(number), 7):
        if fields[0] == user or (number is not None and _id(fields[2]) == number):
            entry_uid, entry_gid = _id(fields[2]), _id(fields[3])
            if entry_uid is None or entry_gid is None:
                continue
            uid, gid, name, home, shell = entry_uid, entry_gid, fields[0], fields[5] or "/", fields[6]
            break
    if uid is None:
        raise UserError(f"no user {printable(user)!r} inside: a number works without an entry in its /etc/passwd")
    groups: list[int] = []
    if colon and wanted:
        gid = _group(wanted, group)
    elif name and "," not in name:
        for fields in _entries(group, name, 4):
            listed = _id(fields[2])
            if listed is not None and f",{name}," in f",{fields[3]},":
                groups.append(listed)
    groups = [gid, *groups, *(_group(each, group) for each in extra)]  # the own one among them: CVE-2022-36109
    return Identity(uid, gid, tuple(dict.fromkeys(groups)), name, home, shell)


def names(content: bytes) -> dict[int, bytes]:
    """A passwd's or group's content → the first name that each number has."""
    found: dict[int, bytes] = {}
    for line in content.split(b"\n"):
        fields = line.split(b":", 3)
        number = _id(fields[2].decode("ascii", "replace")) if len(fields) > 2 else None
        if number is not None and fields[0]:
            found.setdefault(number, fields[0])
    return found


def _group(words: str, content: bytes) -> int:
    number = _id(words)
    for fields in _entries(content, words if number is None else str(number), 4):
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


def _entries(content: bytes, word: str, count: int) -> Iterator[list[str]]:
    """The entries that have the word anywhere in them, each as its first `count` fields. No other line is looked at:
    there may be millions."""
    try:
        needle = word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return  # text that no bytes make: an engine's JSON can hold such
    at = content.find(needle)
    while at >= 0:
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        line = content[content.rfind(b"\n", 0, at) + 1 : end].decode("utf-8", "surrogateescape")
        row = line.split(":", count)[:count]
        if len(row) >= 3 and not line.startswith("#"):
            yield [field.strip() for field in row] + [""] * (count - len(row))
        at = content.find(needle, end + 1)
