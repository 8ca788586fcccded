"""`ssh TARGET.dockshell`: the block in ~/.ssh/config, the key that it pins, and the modes of what is nobody else's.

Nothing is made here that wasn't there: keys come into being when they are first needed."""

from __future__ import annotations

import os
import shlex
from stat import S_IMODE

from dockshell.bridge import hostkey, ssh_config
from dockshell.doctor.finding import Finding
from dockshell.errors import DockshellError, printable
from dockshell.ssh import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["findings"]

_SUBJECT = "ssh"
_INSTALL = "dockshell ssh-config --install"
_LARGEST = 1 << 24
_GROUP_OR_OTHERS, _WRITTEN_BY_THEM = 0o077, 0o022


def findings() -> Iterator[Finding]:
    """What there is to say of them."""
    keys = list(_keys())
    yield from keys
    if not keys:
        yield from _block()
    yield from _insecure_key_file()


def _keys() -> Iterator[Finding]:
    """Dockshell's own, as far as they have been made."""
    for name in (own.CLIENT, own.HOST):
        if own.kept(name):
            try:
                own.key_file(name, "")
            except DockshellError as error:
                yield Finding(_SUBJECT, "wrong", str(error), _remedy(name))


def _remedy(name: str) -> str:
    path = own.path(name)
    folder = os.stat(os.path.dirname(path))
    if folder.st_uid == os.geteuid() and S_IMODE(folder.st_mode) & _WRITTEN_BY_THEM:
        return f"chmod go-w {shlex.quote(os.path.dirname(path))}"
    again = f" && {_INSTALL}" if name == own.HOST else ""  # the block's known_hosts has the other one
    return f"rm {shlex.quote(path)} {shlex.quote(path)}.pub{again}"


def _block() -> Iterator[Finding]:
    """Is the block in ~/.ssh/config, does it start a dockshell that is there, and does it say what it would today?"""
    path = own.ssh_file("config")
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            facts = os.fstat(file.fileno())
            content = file.read(_LARGEST)
    except FileNotFoundError:
        facts, content = None, b""
    except OSError as error:
        yield Finding(_SUBJECT, "wrong", f"{printable(path)} can't be read ({error.strerror}): see whose it is")
        return
    # readconf.c of OpenSSH: "Bad owner or permissions", and no ssh at all.
    if facts and S_IMODE(facts.st_mode) & _WRITTEN_BY_THEM:
        what = f"others may write to {printable(path)}, and ssh refuses to work with it"
        yield Finding(_SUBJECT, "wrong", what, f"chmod go-w {shlex.quote(path)}")
    try:
        found = ssh_config.found(content)
    except DockshellError as error:
        yield Finding(_SUBJECT, "wrong", f"{printable(path)}: {error}")
        return
    if found is None:
        what = "`ssh TARGET.dockshell` is not set up: ~/.ssh/config has no block for it"
        yield Finding(_SUBJECT, "note", what, _INSTALL)
        return
    try:
        yield _current(content, found)
    except (DockshellError, OSError) as error:
        yield Finding(_SUBJECT, "wrong", printable(str(error)))


def _current(content: bytes, found: ssh_config.Block) -> Finding:
    """Raises DockshellError, OSError."""
    program, place = ssh_config.starts(found)
    remedy = shlex.join(["dockshell", "ssh-config", *place, "--install"])
    if not program or not os.access(program[0], os.X_OK):
        what = f"`ssh TARGET.dockshell` would start {printable(' '.join(program)) or 'nothing'}, which is not there"
    elif not own.kept(own.HOST) or not hostkey.pinned():
        what = "`ssh TARGET.dockshell` can't prove who answers: its known_hosts does not hold our host key"
    elif ssh_config.installed(content, ssh_config.block(program, own.path("known_hosts"), place)) != content:
        what = "the block in ~/.ssh/config is not what this dockshell would put there"
    else:
        return Finding(_SUBJECT, "ok", "`ssh TARGET.dockshell` is set up in ~/.ssh/config, and its host key is pinned")
    return Finding(_SUBJECT, "wrong", what, remedy)


def _insecure_key_file() -> Iterator[Finding]:
    """It is no secret, but ssh(1) takes no private key that others may read (FILES, ~/.ssh/id_rsa)."""
    path = os.path.join(os.path.expanduser("~"), ".baseimage_docker_insecure_key")
    try:
        mode = S_IMODE(os.stat(path).st_mode)
    except OSError:
        return
    if mode & _GROUP_OR_OTHERS:
        what = "ssh refuses ~/.baseimage_docker_insecure_key, for others may read it"
        yield Finding(_SUBJECT, "wrong", what, f"chmod 600 {shlex.quote(path)}")
