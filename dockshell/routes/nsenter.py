"""The nsenter route: into the container's namespaces by our own system calls. No nsenter program, nothing needed
inside.

It is to be equal to the engine's exec, so it refuses wherever it can't be: without the rights, on another kernel, or
where something of the container's confinement can't be carried over."""

from __future__ import annotations

import os

from dockshell.errors import NoRoute, printable
from dockshell.linux.process import Process
from dockshell.routes import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Command, Container
    from dockshell.routes import Login
    from dockshell.routes.nsenter_facts import Facts
    from dockshell.routes.nsenter_session import Act
    from dockshell.session import Session

__all__ = ["ELSEWHERE", "Nsenter", "first_process", "route", "why_not"]

# Runtimes whose containers are processes of this kernel. Kata, gVisor (runsc) and the like run another; "oci" is what
# Podman's service says.
_SAME_KERNEL = ("", "runc", "crun", "docker-runc", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux", "oci")
ELSEWHERE = "the engine is on another machine"
_ROOT = "entering namespaces takes root: use sudo"


def route(login: Login) -> Nsenter:
    return Nsenter()


class Nsenter:
    """The `Route`."""

    def __init__(self) -> None:
        self._facts: Facts | None = None
        self._told: tuple[Container, Command, str | None] | None = None

    def refuses(self, container: Container, command: Command, *, asked: bool) -> str | None:
        """See Route. Asked the same again, it says what it said."""
        if self._told is None or self._told[0] is not container or self._told[1] is not command:
            self._told = (container, command, self._look(container, command))
        return self._told[2]

    def _look(self, container: Container, command: Command) -> str | None:
        try:
            first = first_process(container)
            # With the kernel's subjects and ctypes, 4 ms that who lacks root, and goes on to exec, doesn't wait for.
            from dockshell.routes.nsenter_facts import Facts

            self._facts = Facts(first)
            self._facts.check_addition(command.capabilities)
        except Refusal as refusal:
            return str(refusal)
        except OSError as error:
            return why_not(error)
        return None

    def open(self, container: Container, command: Command) -> Session:
        from dockshell.routes.nsenter_session import start

        return start(self.facts(container, command), container, command)

    def act(self, container: Container, command: Command, act: Act, held: tuple[int, ...] = ()) -> Session:
        """Does something of ours in there, confined as the command would be: who has no program inside has that. The
        command says as whom; its words are for messages. act() gives what is to be done, which must make system calls
        only (see linux/entrance.py), with the descriptors that are held for it. Raises DockshellError."""
        from dockshell.routes.nsenter_session import start

        return start(self.facts(container, command), container, command, act, held)

    def facts(self, container: Container, command: Command) -> Facts:
        """What refuses() gathered, for one start; for another it is gathered anew. Raises NoRoute."""
        reason = self.refuses(container, command, asked=True) if self._facts is None else None
        facts, self._facts, self._told = self._facts, None, None
        if facts is None:
            raise NoRoute(container.name, [("nsenter", reason or "it ended just now")])
        return facts


def why_not(error: OSError) -> str:
    """What it means when the kernel lets us not look at a container's process, or not enter."""
    if isinstance(error, ProcessLookupError):
        return "it ended just now"
    if isinstance(error, FileNotFoundError):
        return f"its process can't be seen from here ({error.strerror}): the engine may run in a virtual machine"
    if isinstance(error, PermissionError):
        return _ROOT if os.geteuid() else f"this process lacks a right that takes ({error.strerror})"
    return f"a fact about its process can't be read: {error.strerror}"


def first_process(container: Container) -> Process:
    """The container's first process, which is of this machine and proved to be the container's, and at which we may
    look. Raises Refusal, OSError."""
    if not container.local:
        raise Refusal(ELSEWHERE)
    if container.runtime not in _SAME_KERNEL:
        raise Refusal(f"runtime {printable(container.runtime)} may run it on another kernel")
    if not container.pid:
        raise Refusal("its engine tells no process of it")
    process = Process(container.pid)
    if not process.belongs_to(container.id, container.started, container.owner):
        raise Refusal(
            f"process {container.pid} is not proved to be the container's: the engine may run in a virtual machine"
        )
    process.look()
    # Without an engine it may be one that was only given another namespace of some kind.
    if container.engine.api and os.path.samefile(f"/proc/{process.pid}/ns/mnt", "/proc/self/ns/mnt"):
        raise Refusal(f"process {process.pid} is not in a container: its mount namespace is this process's own")
    return process
