"""Who could log in without a key of their own: where the insecure key of baseimage-docker stands, which everybody has,
and which ports more than this machine reaches."""

from __future__ import annotations

import base64
import ipaddress

from dockshell.errors import UserError
from dockshell.identity import resolve
from dockshell.ssh.keys import INSECURE_BLOB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dockshell.engines import Files
    from dockshell.model import Port

__all__ = ["INSECURE_TAIL", "from_elsewhere", "insecure_key"]

_KEY_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")  # sshd_config(5), AuthorizedKeysFile
_INSECURE = base64.b64encode(INSECURE_BLOB)
# Enough of the key to know its line by.
INSECURE_TAIL = _INSECURE[-40:].decode("ascii")


def insecure_key(files: Files) -> str:
    """The file of root's inside in which the insecure key stands; empty for none."""
    try:
        home = resolve("root", files.read("/etc/passwd", 16 << 20) or b"", b"").home
    except UserError:
        home = "/root"
    for name in _KEY_FILES:
        path = f"{home.rstrip('/')}/{name}"
        lines = (files.read(path) or b"").split(b"\n")
        if any(_INSECURE in line and not line.lstrip().startswith(b"#") for line in lines):
            return path
    return ""


def from_elsewhere(published: Iterable[Port], inside: Iterable[int]) -> list[Port]:
    """Those of the published ports that lead to one of these inside, at an address beyond loopback."""
    wanted = set(inside)
    return [each for each in published if each.inside in wanted and not _is_loopback(each.address)]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address or "0.0.0.0").is_loopback
    except ValueError:
        return False
