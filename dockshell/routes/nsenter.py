"""The nsenter route: into the container's namespaces by our own system calls. No nsenter program, nothing needed
inside.

It is to be equal to the engine's exec, so it refuses wherever it can't be: without the rights, on another kernel, or
where something of the container's confinement can't be carried over."""

from __future__ import annotations

import os
import stat

from dockshell.environment import prepare
from dockshell.errors import CannotExecute, CommandNotFound, DockshellError, NoRoute, SessionLost, printable
from dockshell.linux import cgroup, limits, terminals
from dockshell.linux.credentials import NEEDED, Capabilities, lacking, last_capability
from dockshell.linux.entrance import Entrance, Failure
from dockshell.linux.keeper import Kept, Placement, keep
from dockshell.linux.labels import label_of
from dockshell.linux.namespaces import Namespaces
from dockshell.linux.process import Process
from dockshell.linux.rootfs import RootFiles
from dockshell.linux.seccomp import program_of
from dockshell.linux.signals import hold, release
from dockshell.session import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.environment import Start
    from dockshell.model import Command, Container, Size
    from dockshell.routes import Login
    from dockshell.session import Session

__all__ = ["Nsenter", "route"]

# Runtimes whose containers are processes of this kernel. Kata, gVisor (runsc) and the like run another; "oci" is what
# Podman's service says.
_SAME_KERNEL = ("", "runc", "crun", "docker-runc", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux", "oci")
_ROOT = "entering namespaces takes root: use sudo"


def route(login: Login) -> Nsenter:
    return Nsenter()


class _Refusal(Exception):
    pass


class _Facts:
    """What has to be known of the container's first process before it is joined. Raises _Refusal."""

    def __init__(self, container: Container) -> None:
        if not container.local:
            raise _Refusal("the engine is on another machine")
        if container.runtime not in _SAME_KERNEL:
            raise _Refusal(f"runtime {printable(container.runtime)} may run it on another kernel")
        if not container.pid:
            raise _Refusal("its engine tells no process of it")
        try:
            self.process = Process(container.pid)
            if not self.process.belongs_to(container.id, container.started):
                raise _Refusal(
                    f"process {container.pid} is not proved to be the container's: "
                    "the engine may run in a virtual machine"
                )
            self.namespaces = Namespaces(container.pid)
            self.files = RootFiles(container.pid)
            status = self.process.status()
            self.capabilities = Capabilities.of(status)
            self.last_capability = last_capability()
            self.limits = limits.parse(self.process.read("limits"))
            self._check_rights(status)
            self.no_new_privileges = status.get("NoNewPrivs") == "1"
            self.oom_score = int(self.process.read("oom_score_adj"))
            self.label = label_of(_optional(self.process, "attr/current"))
            own = Process(os.getpid())
            self.cgroups = cgroup.places(self.process.cgroups(), own.cgroups())
            self.sets_groups = _optional(self.process, "setgroups") != "deny\n" if "user" in self.namespaces else True
            self.filter = program_of(container.pid) if status.get("Seccomp") == "2" else b""
        except ProcessLookupError:
            raise _Refusal("it ended just now") from None
        except FileNotFoundError as error:
            raise _Refusal(
                f"its process can't be seen from here ({error.strerror}): the engine may run in a virtual machine"
            ) from None
        except PermissionError as error:
            raise _Refusal(
                _ROOT if os.geteuid() else f"this process lacks a right that takes ({error.strerror})"
            ) from None
        except OSError as error:
            raise _Refusal(f"a fact about its process can't be read: {error.strerror}") from None
        if not self.process.alive():
            raise _Refusal("it ended just now")

    def _check_rights(self, status: dict[str, str]) -> None:
        self.joins_user = False
        self.own = ours = int(Process(os.getpid()).status()["CapEff"], 16)
        missing = lacking(ours, NEEDED)
        if missing and self.namespaces.owned():
            self.joins_user = True  # whoever made a user namespace has every right in it
            return
        if missing:
            raise _Refusal(_ROOT if os.geteuid() else f"this process lacks the capability {missing[0]}")
        if "user" not in self.namespaces and self.capabilities.bounding & ~ours:
            raise _Refusal("the container has capabilities that this process lacks")
        high = limits.beyond_reach(self.limits)
        if high and lacking(ours, {24: "SYS_RESOURCE"}):
            raise _Refusal(
                f"its limit of {high[0].removeprefix('Max ')} is above ours, "
                "and this process lacks the capability SYS_RESOURCE"
            )
        if status.get("Seccomp") == "2" and Process(os.getpid()).status().get("Seccomp") != "0":
            raise _Refusal("its seccomp filter can't be read by a process that is under one itself")


class Nsenter:
    """The `Route`."""

    def __init__(self) -> None:
        self._facts: _Facts | None = None

    def refuses(self, container: Container, command: Command, *, asked: bool) -> str | None:
        try:
            self._facts = _Facts(container)
        except _Refusal as refusal:
            return str(refusal)
        return None

    def open(self, container: Container, command: Command) -> Session:
        facts = self._facts
        if facts is None:
            raise NoRoute(container.name, [("nsenter", "its facts were not gathered")])
        initial = facts.process.read("environ").split("\0") if command.environment_from == "init" else None
        start = prepare(container, command, facts.files, initial)
        ends = _Ends(facts.files, command)
        try:
            entrance = _entrance(facts, start, command, container.umask, ends)
            placement = Placement(facts.cgroups, facts.oom_score, facts.joins_user, command.detach)
            # With stdout of our own the command can be heard before the relay listens: it must not miss a signal then.
            hold()
            kept, failure = keep(entrance, placement)
        except BaseException:
            release()
            ends.close()
            raise
        finally:
            ends.close_theirs()
            facts.namespaces.close()
        if failure is not None:
            release()
            ends.close()
            raise _error(failure, container)
        return NsenterSession(kept, ends) if kept else Ended()


def _entrance(facts: _Facts, start: Start, command: Command, umask: int, ends: _Ends) -> Entrance:
    capabilities = facts.capabilities
    if command.privileged:
        everything = (2 << facts.last_capability) - 1
        if "user" not in facts.namespaces:
            everything &= facts.own  # where root itself lacks one there is no giving it
        capabilities = Capabilities(everything, capabilities.inheritable, capabilities.ambient)
    shell = start.shell
    return Entrance(
        namespaces=facts.namespaces,
        stdio=ends.theirs,
        pty=ends.pty,
        uid=start.identity.uid,
        gid=start.identity.gid,
        groups=start.identity.groups if facts.sets_groups else None,
        capabilities=capabilities,
        last_capability=facts.last_capability,
        no_new_privileges=facts.no_new_privileges,
        filter=facts.filter,
        label="" if command.privileged else facts.label,
        limits=facts.limits,
        umask=umask,
        program=shell,
        # A dash in front of its name tells a shell that it is a login shell: login(1).
        argv=(b"-" + os.path.basename(shell).encode(),) if shell else start.argv,
        environment={
            name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for name, value in start.environment
        },
        directories=start.directories,
        guarded=not command.detach,
    )


def _optional(process: Process, name: str) -> str:
    """A file of /proc that not every kernel has, or that can't be read where its subject is off."""
    try:
        return process.read(name)
    except OSError:
        return ""


def _error(failure: Failure, container: Container) -> DockshellError:
    subject, name, reason = printable(failure.subject), printable(container.name), os.strerror(failure.number)
    if failure.step == "execute" and failure.number in (2, 20):
        return CommandNotFound(
            f"{subject} is not there in {name}: look with `dockshell exec {name} ls`, or give its full path"
        )
    if failure.step == "execute":
        return CannotExecute(f"{subject} can't be executed in {name}: {reason}")
    if failure.step == "directory":
        return CannotExecute(f"{subject} can't be the directory to start in, in {name}: {reason}; name another with -w")
    return SessionLost(f"could not enter {name} ({failure.step}: {subject}): try --via exec")


class _Ends:
    """stdin, stdout and stderr of the command: a pty of the container's, or a pipe each. A pipe of the caller's own may
    go in as it is. Nothing else of his may: a file or a terminal could be opened anew, or typed into, through the
    descriptor."""

    def __init__(self, files: RootFiles, command: Command) -> None:
        self.pty = command.terminal is not None
        self.input = -1
        self.outputs: dict[int, int] = {}
        self._made: list[int] = []
        if command.terminal is not None:
            try:
                master, peer = terminals.new_pty(files.open, command.terminal)
            except OSError as error:
                raise CannotExecute(
                    f"the container has no terminals to give ({error.strerror} at /dev/pts): use -T"
                ) from None
            self.input, self.outputs, self.theirs = master, {master: 1}, (peer, peer, peer)
            self._made = [peer]
            return
        self.theirs = (self._stdin(command), self._output(1, command), self._output(2, command))

    def _stdin(self, command: Command) -> int:
        if command.detach or not command.input:
            return self._nothing()
        if command.share and _harmless(0):
            return 0
        theirs, self.input = os.pipe()
        os.set_blocking(self.input, False)
        self._made.append(theirs)
        return theirs

    def _output(self, number: int, command: Command) -> int:
        if command.detach:
            return self._nothing()
        if command.share and _harmless(number):
            return number
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self.outputs[ours] = number
        self._made.append(theirs)
        return theirs

    def _nothing(self) -> int:
        """/dev/null of our own, for the container may have none."""
        self._made.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        return self._made[-1]

    def close_theirs(self) -> None:
        """Closes the command's ends, which it has by now."""
        while self._made:
            os.close(self._made.pop())

    def end_input(self) -> None:
        if self.input >= 0 and not self.pty:
            os.close(self.input)
        self.input = -1

    def close(self) -> None:
        self.close_theirs()
        self.end_input()
        while self.outputs:
            os.close(self.outputs.popitem()[0])


def _harmless(descriptor: int) -> bool:
    """Is it a pipe, or the null device? What a container can do with one of these it could do anyway."""
    facts = os.fstat(descriptor)
    return stat.S_ISFIFO(facts.st_mode) or (stat.S_ISCHR(facts.st_mode) and facts.st_rdev == os.makedev(1, 3))


class NsenterSession:
    """The `Session` of a kept command."""

    def __init__(self, kept: Kept, ends: _Ends) -> None:
        self._kept = kept
        self._ends = ends
        self._code: int | None = None
        self._master = ends.input if ends.pty else -1

    @property
    def ready(self) -> Sequence[int]:
        if self._code is None:
            return (*self._ends.outputs, self._kept.control.fileno())
        return tuple(self._ends.outputs)

    def receive(self, descriptor: int) -> list[tuple[int, bytes]]:
        stream = self._ends.outputs.get(descriptor)
        if stream is not None:
            data = _read(descriptor)
            if data:
                return [(stream, data)]
            if data is not None:
                self._drop(descriptor)
            return []
        self._code = self._kept.status()
        # What it wrote before its end arrives; what others write who hold its pipes (a daemon it started) is no longer
        # ours to wait for.
        rest = []
        for ours, number in list(self._ends.outputs.items()):
            while data := _read(ours):
                rest.append((number, data))
            self._drop(ours)
        return rest

    @property
    def input(self) -> int | None:
        return self._ends.input if self._ends.input >= 0 and self._code is None else None

    def send(self, data: bytes) -> int:
        try:
            return os.write(self._ends.input, data)
        except BlockingIOError:
            return 0
        except OSError:
            self._ends.end_input()
            return len(data)

    def end_input(self) -> None:
        if self._ends.pty:
            self.send(terminals.END_OF_INPUT)
        else:
            self._ends.end_input()

    def resize(self, size: Size) -> None:
        if self._master >= 0 and self._code is None:
            terminals.resize(self._master, size)

    def signal(self, number: int) -> bool:
        return self._code is not None or self._kept.signal(number)

    def wait(self) -> int:
        return 137 if self._code is None else self._code

    def close(self) -> None:
        self._kept.close()
        self._ends.close()

    def _drop(self, descriptor: int) -> None:
        del self._ends.outputs[descriptor]
        if descriptor == self._master:
            self._ends.input = self._master = -1
        os.close(descriptor)


def _read(descriptor: int) -> bytes | None:
    """What can be read without waiting: nothing at its end, None where there is only nothing yet."""
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # a pty whose other end was closed says EIO
