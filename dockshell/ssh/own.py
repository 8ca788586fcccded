"""Where ssh has a person's own files; and key pairs of theirs, made once and kept in $XDG_DATA_HOME/dockshell (else
~/.local/share/dockshell)."""

from __future__ import annotations

import os
from stat import S_IMODE

from dockshell.errors import DockshellError, printable
from dockshell.linux.trusted import below_foreign, passed_over

__all__ = ["CLIENT", "HOST", "directory", "kept", "key_file", "path", "ssh_file"]

# The keys there are: to log in with, and the bridge's own host key.
CLIENT = "id_ed25519"
HOST = "host_ed25519"


def ssh_file(name: str) -> str:
    """The path of that file in the person's ~/.ssh as ssh(1) and sshd(8) look for it: in the home directory that passwd
    has, whatever HOME says."""
    import pwd

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # ssh refuses to work for who has no entry
        home = os.path.expanduser("~")
    return os.path.join(home, ".ssh", name)


def _directory() -> str:
    base = os.environ.get("XDG_DATA_HOME", "")
    if not base.startswith("/"):  # a relative one doesn't count: XDG Base Directory Specification
        base = os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(base, "dockshell")


def path(name: str) -> str:
    """Where the key of that name is, or will be."""
    return os.path.join(_directory(), name)


def kept(name: str) -> bool:
    """Has the key of that name been made already?"""
    return os.path.exists(path(name))


def directory() -> str:
    """The path of that directory, made with mode 0700 where it is missing. Raises DockshellError where it can't be, or
    others could put things there."""
    path = _directory()
    base = os.path.dirname(path)
    if others := below_foreign(path):
        raise DockshellError(
            f"{printable(others)} belongs to user {passed_over[others]}, and keys would be kept below it: "
            "set XDG_DATA_HOME to a directory that is yours"
        )
    try:
        os.makedirs(base, 0o700, exist_ok=True)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        facts = os.stat(path)
    except OSError as error:
        raise DockshellError(
            f"{printable(path)}, where keys are kept, can't be used ({error.strerror}): "
            "set XDG_DATA_HOME to a directory that is yours"
        ) from None
    if facts.st_uid != os.geteuid() or S_IMODE(facts.st_mode) & 0o022:
        raise DockshellError(
            f"{printable(path)}, where keys are kept, isn't yours alone: "
            "`chmod go-w` it, or set XDG_DATA_HOME to another"
        )
    return path


def key_file(name: str, comment: str) -> str:
    """The path of the Ed25519 private key of that name, in OpenSSH's format with mode 0600, its public half in NAME.pub
    beside it. Made when first asked for. Raises DockshellError."""
    path = os.path.join(directory(), name)
    try:
        if not os.path.exists(path):
            _make(path, comment)
        facts = os.stat(path)
    except OSError as error:
        raise DockshellError(
            f"the key {printable(path)} can't be made ({error.strerror}): see that its directory can be written"
        ) from None
    if facts.st_uid != os.geteuid() or S_IMODE(facts.st_mode) & 0o077:
        raise DockshellError(f"others could read the key {printable(path)}: remove it, and another is made")
    return path


def _make(path: str, comment: str) -> None:
    """Whole or not at all, whoever else makes the same one at the same time: the first one's stays."""
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption())
    public = key.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH)
    unfinished = f"{path}.{os.getpid()}"
    for content, suffix in ((public + f" {comment}\n".encode(), ".pub"), (private, "")):
        descriptor = os.open(unfinished + suffix, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
    try:
        os.link(unfinished, path)
        os.rename(unfinished + ".pub", path + ".pub")
    except FileExistsError:
        os.unlink(unfinished + ".pub")
    finally:
        os.unlink(unfinished)
