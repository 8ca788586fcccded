"""What a container's processes were started with: read by this kernel where it lets us, else by the engine's exec."""

from __future__ import annotations

import os

from dockshell.engines.aside import LATE, aside
from dockshell.errors import DockshellError, EngineError, printable
from dockshell.linux.process import Process, host_container
from dockshell.routes import Refusal
from dockshell.routes.nsenter import first_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Container

__all__ = ["Processes"]

_MUCH = 8 << 20  # bytes; execve(2) takes less than 6 MiB of words and variables
_CANNOT_START = (126, 127)
_OWN = ("", "private")  # the engines' words for a pid namespace of the container's own


class Processes:
    """Those of that container. Numbers are those that are seen inside, and each is proved to be the container's while
    its pidfd is held, or by being in a pid namespace that is the container's alone.

    Without the right to look at a process (root has it) the container's own `cat` reads for us, as root in there and
    then as the process's user, for root in there may lack CAP_SYS_PTRACE: proc_pid_environ(5)."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._name = printable(container.name)

    def first(self) -> bytes:
        """The environment of process 1, as the kernel has it: K=V texts, each with a NUL. Raises DockshellError."""
        first = self._first()
        if first is None:
            return self._told(1, proved=False)
        found = self._read(first)
        return self._told(_numbers(first)[-1], proved=True) if found is None else found

    def numbered(self, number: int) -> bytes:
        """The same of the process with that number. Raises DockshellError where it is none of the container's."""
        first = self._first()
        if first is None:
            return self._told(number, proved=False)
        try:
            process = self._find(first, number)
        except PermissionError:
            return self._told(number, proved=False)
        if process is None:
            raise self._absent(number)
        found = self._read(process)
        return self._told(number, proved=True) if found is None else found

    def _first(self) -> Process | None:
        """The first one, proved to be the container's; None where that can't be told by this kernel."""
        try:
            return first_process(self._container)
        except PermissionError:
            pass  # its files are not ours to read, but whose it is everybody may see
        except (Refusal, OSError):
            return None
        try:
            first = Process(self._container.pid)
            return (
                first if first.belongs_to(self._container.id, self._container.started, self._container.owner) else None
            )
        except OSError:
            return None

    def _find(self, first: Process, number: int) -> Process | None:
        """The process with that number in the first one's pid namespace. Raises PermissionError where whose it is can't
        be told."""
        depth = len(_numbers(first)) - 1
        by_cgroup = first.container() == self._container.id
        namespace = "" if by_cgroup else os.readlink(f"/proc/{first.pid}/ns/pid")
        if namespace and namespace == os.readlink("/proc/self/ns/pid"):
            return first if number == first.pid else None  # nothing but its cgroup could tell the others apart
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            try:
                process = Process(int(name))
                if _numbers(process)[depth : depth + 1] != [number]:
                    continue
                if self._is_in_cgroup(process) if by_cgroup else os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    return process
            except OSError:
                continue  # gone meanwhile, or another's
        return None

    def _is_in_cgroup(self, process: Process) -> bool:
        # A Podman under systemd has its monitor in a scope of its own that carries the id, too.
        return process.container() == self._container.id and "-conmon-" not in process.read("cgroup")

    def _read(self, process: Process) -> bytes | None:
        """Its environment by this kernel; None where we may not look."""
        try:
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                found = file.read(_MUCH)
        except PermissionError:
            return None
        except OSError:
            found = b""
        if not process.alive():  # then what was read may be another's, who got its number
            raise DockshellError(f"process {process.pid} of {self._name} ended just now: try again")
        return found

    def _told(self, number: int, *, proved: bool) -> bytes:
        """The environment as the engine's exec reads it. proved: is the process known to be the container's?"""
        if not proved:
            self._check_namespace(number)
        code, status, found = self._cat(number, "0")
        user = f"{_word(status, b'Uid')}:{_word(status, b'Gid')}"
        if code and status and user != "0:0":
            code, status, found = self._cat(number, user)
        if not status:
            raise self._absent(number)
        if code:
            raise self._unreadable(number)
        return found

    def _cat(self, number: int, user: str) -> tuple[int, bytes, bytes]:
        """The exit code, and what is in /proc/NUMBER/status and in its environ, with a word between that nobody in
        there could have known."""
        api = self._container.engine.api
        if api is None:
            raise self._unreadable(number)
        between = os.urandom(16).hex().encode()
        argv = ["cat", f"/proc/{number}/status", "-", f"/proc/{number}/environ"]
        try:
            code, said, _ = aside(api, self._container.id, argv, user, input=between, limit=_MUCH)
        except EngineError as error:
            if not error.status:
                raise
            code, said = _CANNOT_START[0], b""
        if code in _CANNOT_START:
            raise self._unreadable(number)
        status, found, environment = said.partition(between)
        if code == LATE or not found:
            raise DockshellError(f"reading process {number} of {self._name} took too long: is it stopped or stuck?")
        return code, status, environment

    def _check_namespace(self, number: int) -> None:
        """Raises DockshellError where the number may be that of another's process."""
        api = self._container.engine.api
        if api is None:
            raise self._unreadable(number)
        facts = api.inspect(self._container.id)
        host = facts.get("HostConfig") if isinstance(facts, dict) else None
        if not isinstance(host, dict) or host.get("PidMode", "") not in _OWN:
            raise DockshellError(
                f"{self._name} shares its process numbers with others, so that {number} is not proved to be its own: "
                "use sudo on its machine"
            )

    def _unreadable(self, number: int) -> DockshellError:
        return DockshellError(
            f"process {number} of {self._name} may be read by root alone, on its machine: use sudo there"
        )

    def _absent(self, number: int) -> DockshellError:
        inside = ""
        if self._container.local and host_container(number) == self._container.id:
            try:
                inside = f" inside, where the {number} of this machine is {_numbers(Process(number))[-1]}"
            except (OSError, IndexError):
                pass
        return DockshellError(
            f"{self._name} has no process {number}{inside}: `dockshell exec {self._name} ps` shows those that it has"
        )


def _numbers(process: Process) -> list[int]:
    """The process's numbers in our pid namespace and in each below, down to its own: NSpid of proc_pid_status(5)."""
    return [int(number) for number in process.status().get("NSpid", "").split()]


def _word(status: bytes, name: bytes) -> str:
    """The first number behind that name in a /proc/PID/status that somebody else read; 0 for none."""
    for line in status.split(b"\n"):
        key, _, value = line.partition(b":")
        first = value.split()[:1]
        if key == name and first and first[0].isdigit():
            return str(int(first[0][:10]))
    return "0"
