"""The bridge's own host key: made once for each person, and pinned by a known_hosts file of its own, so that there is
nothing to confirm and nothing to forget."""

from __future__ import annotations

import os

from dockshell.errors import DockshellError, printable
from dockshell.ssh import own

__all__ = ["ALIAS", "known_hosts", "pinned", "private", "public"]

ALIAS = "dockshell"  # the one name of every container (ssh_config(5), HostKeyAlias): it is the same server each time


def private() -> str:
    """The path of the private key, Ed25519 in OpenSSH's format with mode 0600. Made when first asked for. Raises
    DockshellError."""
    return own.key_file(own.HOST, "dockshell-bridge")


def known_hosts() -> str:
    """The path of the known_hosts file (sshd(8)) beside it, which holds that key and no other under ALIAS. Written,
    whole or not at all, where it is missing or says anything else. Raises DockshellError."""
    path = own.path("known_hosts")
    try:
        if not pinned():
            _write(path, _line())
    except OSError as error:
        raise DockshellError(
            f"{printable(path)} can't be written ({error.strerror}): see that its directory can be"
        ) from None
    return path


def pinned() -> bool:
    """Does that file hold that key? Raises DockshellError, OSError."""
    return _content(own.path("known_hosts")) == _line()


def _line() -> bytes:
    return f"{ALIAS} {public()}\n".encode("ascii")


def public() -> str:
    """`ssh-ed25519 AAAA…` of the private key itself; the .pub beside it may have been changed. Raises
    DockshellError."""
    path = private()
    from cryptography.hazmat.primitives import serialization as forms

    try:
        with open(path, "rb") as file:
            key = forms.load_ssh_private_key(file.read(), None)
    except OSError as error:
        raise DockshellError(f"the key {printable(path)} can't be read ({error.strerror}): see whose it is") from None
    except (ValueError, TypeError):
        raise DockshellError(f"{printable(path)} is no key of ours: remove it, and another is made") from None
    return key.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH).decode("ascii")


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path: str, content: bytes) -> None:
    unfinished = f"{path}.{os.getpid()}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    os.rename(unfinished, path)
