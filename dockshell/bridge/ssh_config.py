"""The block in ~/.ssh/config (ssh_config(5)) that makes `ssh TARGET.dockshell` work: what it says, and how it gets into
a file and out again. Pure.

    # dockshell: begin
    Host *.dockshell "!*'*"
      ...
    # For all hosts again.
    Host *
    # dockshell: end

It is put at the top, for ssh takes the first value that it finds. What stood there before the first Host or Match holds
for all hosts, and would be the block's own if it weren't ended by another Host."""

from __future__ import annotations

import re
import shlex

from dockshell.bridge.hostkey import ALIAS
from dockshell.errors import DockshellError, printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Block", "block", "found", "installed", "made_for_it", "removed", "starts"]

_BEGIN = "# dockshell: begin"
_END = "# dockshell: end"
_MADE = "# This file was made for these lines, and goes with them."
# What no line can hold, or what not every ssh undoes alike: quotes and backslashes (OpenSSH 8.7 began to), ${NAME}.
_UNSPEAKABLE = re.compile(r'["\\]|\$\{')


@noun(frozen=True)
class Block:
    """Where the block is in a file's content, from its first byte to the one after its last; text: what it says."""

    start: int
    end: int
    text: bytes


def block(program: Sequence[str], known_hosts: str, place: Sequence[str] = ()) -> str:
    """The block. program: the words that start dockshell; known_hosts: the path of the bridge's; place: what says where
    containers are to be looked for (`-H`, `unix://…`). Raises DockshellError for a path that ssh can't be told of.

    ssh hands ProxyCommand to the person's shell, and before OpenSSH 9.6 with whatever characters the name has
    (CVE-2023-51385): a link in a web page or in a git submodule can choose that. So %n stands in single quotes,
    within which no shell finds anything but the next one, and a name with one isn't ours. `--`, for a name may begin
    with a `-`. %h is for who knows no %n, as paramiko: the same, in small letters by some; in one word with it, for a
    name that ends in a backslash would take the quotes of two apart (fish)."""
    words = " ".join(shlex.quote(word) for word in (*program, *place, "proxy"))
    if not words.isprintable():
        raise DockshellError(f"ssh can't be told to run {printable(words)}: it holds characters that no line can have")
    lines = [
        _BEGIN,
        'Host *.dockshell "!*\'*"',
        "  User .",  # ssh always sends a name; this one is the container's own user
        f"  ProxyCommand {words.replace('%', '%%')} -- '%n %h'",
        f"  HostKeyAlias {ALIAS}",
        f"  UserKnownHostsFile {_path(known_hosts)}",
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  UpdateHostKeys no",
        "  CheckHostIP no",
        "  Ciphers ^aes128-gcm@openssh.com",
        "  ForwardX11 no",
        "# For all hosts again.",
        "Host *",
        _END,
    ]
    return "\n".join(lines) + "\n"


def _path(path: str) -> str:
    if _UNSPEAKABLE.search(path) or not path.isprintable():
        raise DockshellError(
            f"ssh can't be told of the path {printable(path)}: set XDG_DATA_HOME to one without quotes and backslashes"
        )
    escaped = path.replace("%", "%%")
    return escaped if re.fullmatch(r"[\w./%@+,:-]+", escaped) else f'"{escaped}"'


def found(content: bytes) -> Block | None:
    """The block in a configuration; None where there is none. Raises DockshellError where its two marks don't fit."""
    begins, ends = [], []
    position = 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+", content):  # nothing else ends a line for ssh
        mark = line.strip()
        if mark == _BEGIN.encode():
            begins.append(position)
        elif mark == _END.encode():
            ends.append(position + len(line))
        position += len(line)
    if not begins and not ends:
        return None
    if len(begins) > 1 or len(ends) > 1:
        raise DockshellError(f"{_BEGIN!r} or {_END!r} stands there more than once: take out by hand what is too much")
    if not begins or not ends or ends[0] <= begins[0]:
        missing, there = (_END, _BEGIN) if begins and not ends else (_BEGIN, _END)
        raise DockshellError(f"{there!r} stands there without {missing!r} where it should be: put that in by hand")
    return Block(begins[0], ends[0], content[begins[0] : ends[0]])


def starts(block: Block) -> tuple[list[str], list[str]]:
    """The two parts of what a block's ProxyCommand was made of: the words that start dockshell, and those that say
    where containers are looked for. Both are empty where it was changed beyond recognition."""
    line = re.search(rb"^\s*ProxyCommand (.*)$", block.text, re.MULTILINE)
    try:
        words = shlex.split(line[1].decode().replace("%%", "%")) if line else []
        words = words[: words.index("proxy")]
    except ValueError:
        return [], []
    count = 4 if words[1:4] == ["-P", "-m", "dockshell"] else 1
    return words[:count], words[count:]


def installed(content: bytes | None, wanted: str) -> bytes:
    """The file's content, None for no file, with the block that is wanted: in the place of the one that is there, else
    at the top. Raises DockshellError as found() does."""
    if content is None:
        return _made(wanted)
    old = found(content)
    if old is None:
        return wanted.encode() + content
    new = _made(wanted) if made_for_it(old) else wanted.encode()
    return content[: old.start] + new + content[old.end :]


def removed(content: bytes) -> bytes:
    """The file's content without the block, byte for byte what it was. Raises DockshellError as found() does."""
    old = found(content)
    return content if old is None else content[: old.start] + content[old.end :]


def made_for_it(block: Block) -> bool:
    """Was the file made for that block?"""
    return _MADE.encode() in block.text


def _made(wanted: str) -> bytes:
    return wanted.replace(_BEGIN, f"{_BEGIN}\n{_MADE}", 1).encode()
