"""Which tree of files an engine's API gives: by the container's own shell, or where it has none by the archive."""

from __future__ import annotations

import os

from dockshell import identity as identities
from dockshell.bridge.archive_tree import ArchiveTree
from dockshell.bridge.inner_shell import InnerShell
from dockshell.bridge.shell_tree import ShellTree
from dockshell.errors import DockshellError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.bridge.tree import Tree
    from dockshell.engines import Api
    from dockshell.identity import Identity
    from dockshell.model import Container

__all__ = ["engine_tree"]

_PROGRAMS = b"stat xargs cat rm mv ln mkdir rmdir chmod touch readlink"


def engine_tree(api: Api, container: Container, identity: Identity) -> Tree:
    """The files of a running container, as that user has them. Raises EngineError."""
    files = container.engine.files(container)
    passwd, group = files.read("/etc/passwd") or b"", files.read("/etc/group") or b""
    shell = InnerShell(api, container.id, _user(container, identity, passwd, group))
    try:
        code, _ = shell.ask(b"for each in %s; do command -v $each || exit 1; done" % _PROGRAMS)
    except DockshellError:
        code = 1  # no shell, and should it be the engine that fails, the archive's next answer says so
    if code == 0:
        home = os.fsencode(identity.home)
        return ShellTree(shell, home, identities.names(passwd), identities.names(group))
    shell.close()
    return ArchiveTree(api, container, identity)


def _user(container: Container, identity: Identity, passwd: bytes, group: bytes) -> str:
    """The user in the engine's words. A number alone has the engine look up the groups, too; one with a group would be
    without the others."""
    alone = str(identity.uid)
    try:
        looked_up = identities.resolve(alone, passwd, group, container.groups)
    except DockshellError:
        return f"{alone}:{identity.gid}"
    same = (looked_up.gid, set(looked_up.groups)) == (identity.gid, set(identity.groups))
    return alone if same else f"{alone}:{identity.gid}"
