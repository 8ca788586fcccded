"""A container's files: by this kernel where they can be had so, else by its engine."""

from __future__ import annotations

import os

from dockshell.copy.destination import Owner
from dockshell.copy.tree import Tree
from dockshell.environment import identity_of
from dockshell.errors import NoRoute, NotRunning, printable
from dockshell.identity import resolve
from dockshell.linux.rootfs import open_root
from dockshell.model import Command
from dockshell.routes import Refusal
from dockshell.routes.nsenter import first_process, why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.copy.entry import Side
    from dockshell.model import Container
    from dockshell.voice import Voice


__all__ = ["inside", "owner_here", "owner_inside"]

_SAME_IDS = ["0", "0", str((1 << 32) - 1)]


def inside(container: Container, via: str, voice: Voice) -> Side:
    """The container's files. via: `auto`, `nsenter` (this kernel) or `exec` (the engine). voice: told which it was.
    Raises DockshellError."""
    refusals = []
    if via in ("auto", "nsenter"):
        try:
            found = Tree(_root(container))
            voice.tell("files: by this kernel, through its mount namespace")
            return found
        except (Refusal, OSError) as error:
            refusals.append(("nsenter", str(error) if isinstance(error, Refusal) else why_not(error)))
            voice.tell("{}: {}".format(*refusals[-1]))
    if via in ("auto", "exec"):
        if container.engine.api is not None:
            from dockshell.copy.remote import Remote

            voice.tell(f"files: by {container.engine.name} at {container.engine.address}")
            return Remote(container.engine.api, container)
        refusals.append(("exec", "there is no engine to ask"))
    if container.state not in ("running", "paused") and via == "nsenter":
        raise NotRunning(f"{printable(container.name)} is not running: --via exec copies by the engine")
    raise NoRoute(container.name, refusals)


def _root(container: Container) -> int:
    """A descriptor of the container's root. Raises Refusal, OSError."""
    if os.geteuid():
        raise Refusal("reaching a container's files takes root: use sudo")
    if not container.pid:
        raise Refusal("it doesn't run")
    process = first_process(container)
    # In a user namespace of its own what root out here makes could belong to nobody: user_namespaces(7).
    if process.read("uid_map").split() != _SAME_IDS:
        raise Refusal("it has a user namespace of its own")
    root = open_root(process.pid)
    if not process.alive():
        os.close(root)
        raise Refusal("it ended just now")
    return root


def owner_inside(container: Container, chown: str, *, everything: bool) -> Owner:
    """Whose a copy in that container becomes: chown's, else with `everything` the original's, else the container's own
    user's. Raises UserError."""
    if not chown and everything:
        return Owner(everything=True)
    files = container.engine.files(container)
    grouped = ":" in container.user  # else the group is the one that stands in passwd
    if not chown or chown.startswith(":"):
        usual = identity_of(container, Command(), files, names_only=not grouped)
        if not chown:
            return Owner(usual.uid, usual.gid)
    passwd, group = files.read("/etc/passwd") or b"", files.read("/etc/group") or b""
    found = resolve("0" + chown if chown.startswith(":") else chown, passwd, group)
    uid = found.uid if not chown.startswith(":") else -1 if everything else usual.uid
    return Owner(uid, found.gid, everything=everything)


def owner_here(chown: str, *, everything: bool) -> Owner:
    """The same for what is here, where without either it is the caller's. Raises UserError."""
    if not chown:
        return Owner(everything=everything)
    with open("/etc/passwd", "rb") as passwd, open("/etc/group", "rb") as group:
        found = resolve("0" + chown if chown.startswith(":") else chown, passwd.read(), group.read())
    return Owner(-1 if chown.startswith(":") else found.uid, found.gid, everything=everything)
