"""What the process that speaks SSH asks of the one that enters containers (steward.py): a noun, and how it is spelled
between them. Pure."""

from __future__ import annotations

from dockshell.engines.json import decode, encode
from dockshell.model import noun

__all__ = ["Errand", "pack", "unpack"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@noun(frozen=True)
class Errand:
    """what: a name in errands.py. target: whose container, as typed; admitted: the globs that its name must
    fit, none for any container that an engine names; None for any at all; user: as whom, empty for the container's own.

    For a command: line, empty for a login shell; terminal: its columns and rows, empty for none; env: pairs.
    For files: words of scp's old protocol, empty for sftp. For sockets: host and port, or a path inside."""

    what: str
    target: str
    admitted: tuple[str, ...] | None = None
    user: str = ""
    line: bytes = b""
    terminal: tuple[int, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    words: tuple[bytes, ...] = ()
    host: str = ""
    port: int = 0
    path: bytes = b""


_BYTES = ("line", "path")


def pack(errand: Errand) -> bytes:
    """As one message."""
    fields: dict[str, Any] = dict(errand.__dict__)
    # JSON holds text: each byte becomes the character of its number.
    for name in _BYTES:
        fields[name] = fields[name].decode("latin-1")
    fields["words"] = [word.decode("latin-1") for word in errand.words]
    return encode(fields)


def unpack(content: bytes) -> Errand:
    """The opposite."""
    fields = decode(content)
    for name in _BYTES:
        fields[name] = fields[name].encode("latin-1")
    fields["words"] = tuple(word.encode("latin-1") for word in fields["words"])
    fields["terminal"] = tuple(fields["terminal"])
    fields["env"] = tuple((name, value) for name, value in fields["env"])
    fields["admitted"] = None if fields["admitted"] is None else tuple(fields["admitted"])
    return Errand(**fields)
