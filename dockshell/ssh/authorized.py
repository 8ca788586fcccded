"""Which keys an sshd inside would take for a user, by the files that it reads itself (sshd(8), AUTHORIZED_KEYS FILE
FORMAT)."""

from __future__ import annotations

from dockshell.ssh.admission import MARK
from dockshell.ssh.hostkeys import ALGORITHMS, public_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Files

__all__ = ["keys", "parse"]

_NAMES = (".ssh/authorized_keys", ".ssh/authorized_keys2")  # sshd_config(5), AuthorizedKeysFile
# Options that leave the login what we want of it: a shell of one's own with a terminal. With any other (command=,
# from=, restrict, no-pty, cert-authority, expiry-time=, …) the login might fail or be something else, so such a line
# doesn't count.
_HARMLESS = frozenset(
    (
        "agent-forwarding",
        "no-agent-forwarding",
        "environment",
        "port-forwarding",
        "no-port-forwarding",
        "permitlisten",
        "permitopen",
        "no-touch-required",
        "pty",
        "tunnel",
        "user-rc",
        "no-user-rc",
        "x11-forwarding",
        "no-x11-forwarding",
    )
)
_LARGEST = 1 << 20


def keys(files: Files, home: str) -> set[bytes]:
    """The blobs of the public keys that stand in the authorized_keys of the user with that home."""
    found: set[bytes] = set()
    for name in _NAMES:
        found |= parse(files.read(f"{home.rstrip('/')}/{name}", _LARGEST) or b"")
    return found


def parse(content: bytes) -> set[bytes]:
    """The file's content → the blobs of those keys that give a full login."""
    found = set()
    for raw in content.split(b"\n"):
        line = raw.strip()
        if not line or line.startswith(b"#") or MARK in line:  # one of another login's may be gone before ours
            continue
        options, rest = (b"", line) if line.split(None, 1)[0].decode("latin-1") in ALGORITHMS else _options(line)
        parsed = public_line(rest)
        if parsed and _harmless(options):
            found.add(parsed[1])
    return found


def _options(line: bytes) -> tuple[bytes, bytes]:
    """A line that begins with options → them, and the rest. Blanks and commas within double quotes are part of an
    option."""
    quoted = False
    for place, byte in enumerate(line):
        if byte == 0x22 and line[place - 1 : place] != b"\\":
            quoted = not quoted
        elif byte in b" \t" and not quoted:
            return line[:place], line[place:].lstrip()
    return line, b""


def _harmless(options: bytes) -> bool:
    # What stands within quotes may look like options: a comma in there ends up as an unknown one, which is the safe
    # side.
    names = (option.partition("=")[0].strip().lower() for option in options.decode("latin-1").split(",") if option)
    return all(name in _HARMLESS for name in names)
