"""What a glance tells of each way in: refuses() in brief, for listings, which have hundreds of containers to judge and
ask neither their engine nor their files one by one."""

from __future__ import annotations

import os

from dockshell.errors import printable
from dockshell.linux.sockstat import tcp_in_use
from dockshell.routes import ROUTES, UNSEEN
from dockshell.routes.nsenter import ELSEWHERE, why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.engines import Files
    from dockshell.model import Container

__all__ = ["Glances"]


class Glances:
    """Made once for a listing: what is the same for all containers is found once."""

    def __init__(self) -> None:
        self._rights = _rights()
        self._tools = _tools()

    def at(self, container: Container, pid: int, files: Files | OSError | None) -> tuple[tuple[str, str | None], ...]:
        """For each of ROUTES, in their order, why it can't be taken; None where nothing that can be seen so speaks
        against it, UNSEEN where that isn't enough to tell. pid: a process of it, 0 where none is known; files: that
        one's, or why they can't be read, or None likewise."""
        if container.state != "running":
            return tuple((name, standing(container)) for name in ROUTES)
        entered = self._nsenter(container, files)
        told = {
            "ssh": _ssh(pid, files),
            "nsenter": entered,
            "exec": None if container.engine.api else UNSEEN,
            "toolbox": self._tools or (None if container.engine.api else entered),
        }
        return tuple((name, told.get(name, UNSEEN)) for name in ROUTES)

    def _nsenter(self, container: Container, files: Files | OSError | None) -> str | None:
        if not container.local:
            return ELSEWHERE
        if files is None:
            return UNSEEN
        return why_not(files) if isinstance(files, OSError) else self._rights


def standing(container: Container) -> str:
    """Why nothing can be entered that doesn't run."""
    return f"the container is {printable(container.state)}: start or unpause it first"


def _ssh(pid: int, files: Files | OSError | None) -> str | None:
    if files is None:
        return UNSEEN
    if not isinstance(files, OSError) and not any(name.startswith("ssh_host_") for name in files.names("/etc/ssh")):
        return "no sshd's host keys are in /etc/ssh inside: start one that has them there"
    if tcp_in_use(pid) == 0:
        return "no sshd listens inside on port 22: start one, or name its port with --port"
    return UNSEEN  # what it is that listens, and whether it takes a key of ours, is for refuses() to find out


def _rights() -> str | None:
    """Whether this process may enter what it may look at."""
    from dockshell.linux.credentials import NEEDED, lacking
    from dockshell.linux.process import Process

    missing = lacking(int(Process(os.getpid()).status()["CapEff"], 16), NEEDED)
    if not missing:
        return None
    # Who lacks root but made the container's user namespace has every right in it.
    return UNSEEN if os.geteuid() else f"this process lacks the capability {missing[0]}"


def _tools() -> str | None:
    from dockshell.tools.busybox import NoTools, static_busybox

    try:
        static_busybox()
    except NoTools as lack:
        return str(lack)
    return None
