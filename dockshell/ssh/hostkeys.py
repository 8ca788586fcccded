"""The container's own host keys, read out of it by its engine: what the sshd that answers has to show. Its files are
hostile text."""

from __future__ import annotations

import base64
import binascii
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Files

__all__ = ["ALGORITHMS", "public_line", "read"]

# Key type → the signature algorithms that prove it, cheapest to check first (RFC 8709, 5656, 8332). No DSA, and no RSA
# with SHA-1.
ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_FILE = re.compile(r"ssh_host_[a-z0-9]{1,20}_key\.pub")
_LARGEST = 16 << 10
# The latter in images of ours (image/layers/ssh) whose /etc can't be written. Like the former it is root's alone.
_DIRECTORIES = ("/etc/ssh", "/run/sshd")


def read(files: Files) -> dict[str, set[bytes]]:
    """Key type → the public keys (blobs, RFC 4253, 6.6) of that type in /etc/ssh/ssh_host_*_key.pub, and where there is
    none in /run/sshd, in ALGORITHMS' order. Empty where there is none that can be used."""
    found: dict[str, set[bytes]] = {}
    for directory in _DIRECTORIES:
        for name in files.names(directory) if not found else ():
            if _FILE.fullmatch(name) and (content := files.read(f"{directory}/{name}", _LARGEST)):
                parsed = public_line(content.split(b"\n", 1)[0])
                if parsed:
                    found.setdefault(parsed[0], set()).add(parsed[1])
    return {kind: found[kind] for kind in ALGORITHMS if kind in found}


def public_line(line: bytes) -> tuple[str, bytes] | None:
    """`TYPE BASE64 [comment]` → (type, blob), where the type is one of ALGORITHMS and the blob says the same of
    itself; else None."""
    fields = line.split(None, 2)
    if len(fields) < 2:
        return None
    try:
        kind = fields[0].decode("ascii")
        blob = base64.b64decode(fields[1], validate=True)
    except (UnicodeDecodeError, binascii.Error):
        return None
    inner = len(kind).to_bytes(4, "big") + kind.encode()
    return (kind, blob) if kind in ALGORITHMS and blob.startswith(inner) and len(blob) > len(inner) else None
