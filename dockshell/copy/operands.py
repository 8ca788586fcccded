"""cp's rules: which sources go where. POSIX (cp) and GNU's manual, but that what is replaced is replaced and not
written into (copy is atomic), and that a link inside a destination is never written through.

    SRC is no directory, DST is one        DST/name
    SRC and DST are directories            DST/name, merged with what is there
    SRC is "DIR/." or "DIR/..", or "/"     what is in it, into DST
    DST is not there                       it becomes the copy; its directory must be there
    DST is a link, and SRC none            what it leads to
    SRC is a link                          what it leads to; with -r or -a, which are about nothing else here, the link
    several SRC                            DST must be a directory
"""

from __future__ import annotations

import os
from errno import EEXIST, ENOENT, ENOTDIR
from stat import S_ISDIR, S_ISLNK

from dockshell.copy.entry import failure
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dockshell.copy.entry import Side


__all__ = ["Landing", "expand", "land", "name_of"]

_MOST_LINKS = 40  # path_resolution(7)
_MAGIC = b"*?["


@noun(frozen=True)
class Landing:
    """Where copies go. directory: a path of one that is there; name: what the one copy is to be called in it, empty for
    its own name."""

    directory: bytes
    name: bytes


def land(side: Side, path: bytes, *, several: bool, mode: int) -> Landing:
    """The landing for that DST. several: of several sources; mode: that of the one source. Raises OSError."""
    directory = S_ISDIR(mode)
    facts = side.look(path)
    if facts is not None and S_ISDIR(facts.st_mode):
        return Landing(path, b"")
    if several:
        raise failure(ENOTDIR if facts else ENOENT, "it has to be a directory, for several are to go there")
    bare = path.rstrip(b"/")
    if facts is not None and directory:
        raise failure(EEXIST, "it is no directory, and can't be replaced by one")
    if bare != path and not directory:
        raise failure(ENOTDIR)
    where = bare if S_ISLNK(mode) else _followed(side, bare)  # a link replaces a link
    above, name = os.path.split(where)
    if name in (b"", b".", b".."):
        raise failure(ENOENT)
    parent = side.look(above or b".")
    if parent is None:
        raise failure(ENOENT, "there is no directory of that name to put it in")
    if not S_ISDIR(parent.st_mode):
        raise failure(ENOTDIR)
    return Landing(above or b".", name)


def _followed(side: Side, path: bytes) -> bytes:
    """Where the link at that path leads in the end."""
    for _ in range(_MOST_LINKS):
        facts = side.look(path, follow=False)
        if facts is None or not S_ISLNK(facts.st_mode):
            if facts is None and _ > 0:
                raise failure(ENOENT, "it is a link that leads nowhere")
            return path
        path = os.path.join(os.path.dirname(path), side.readlink(path))
    raise failure(ENOENT)


def name_of(path: bytes) -> bytes:
    """What a copy of that source is called in a directory; empty where what is in it goes there."""
    name = os.path.basename(path.rstrip(b"/"))
    return b"" if name in (b".", b"..") else name


def expand(side: Side, pattern: bytes) -> list[bytes]:
    """The paths that a pattern fits, sorted, as a shell has it (glob(7)): `*`, `?` and `[...]` stay within a name, and
    a leading dot has to be spelled. A path that is there is itself; a pattern that fits nothing is what it says. Raises
    OSError."""
    if not any(byte in pattern for byte in _MAGIC) or side.look(pattern, follow=False) is not None:
        return [pattern]
    found = sorted(_fitting(side, b"/" if pattern.startswith(b"/") else b"", pattern.strip(b"/").split(b"/")))
    ending = b"/" if pattern.endswith(b"/") else b""
    if not found:
        raise failure(ENOENT, "nothing fits that pattern")
    return [path + ending for path in found]


def _fitting(side: Side, begun: bytes, parts: list[bytes]) -> Iterator[bytes]:
    part, rest = parts[0], parts[1:]
    if any(byte in part for byte in _MAGIC):
        try:
            names = side.names(begun or b".")
        except OSError:
            return
        fits = _fits(part)
        names = [name for name in names if fits(name) and (part[:1] == b"." or name[:1] != b".")]
    else:
        names = [part]
    for name in names:
        path = os.path.join(begun, name)
        if rest:
            yield from _fitting(side, path, rest)
        elif side.look(path, follow=False) is not None:
            yield path


def _fits(pattern: bytes) -> Callable[[bytes], bool]:
    import re
    from fnmatch import translate

    # As Latin-1, in which every byte is a character.
    compiled = re.compile(translate(pattern.decode("latin-1")))
    return lambda name: compiled.match(name.decode("latin-1")) is not None
