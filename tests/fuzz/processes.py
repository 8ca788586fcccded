"""What a process shows of itself, and what a script inside tells of processes."""

from __future__ import annotations

import io
import ipaddress
from typing import Any

from dockshell import executable
from dockshell.engines import kernel
from dockshell.errors import Refused
from dockshell.linux import cgroup, limits
from dockshell.linux.credentials import Capabilities
from dockshell.linux.process import Process, container_in, ids_in, rows_of
from dockshell.services import finding
from dockshell.ssh import listening
from dockshell.ssh import service as ssh_service
from dockshell.variables import processes as variable_processes
from dockshell.variables import sources

__all__ = ["executable_file", "inside", "mountinfo", "proc"]

_STATUS = """Umask:\t0022
State:\tS (sleeping)
CapInh:\t0000000000000000
CapBnd:\t00000000a80425fb
CapAmb:\t0000000000000000
"""
_REST = " S 1 2 2 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1\n"
_NUMBERS = ("unlimited", "0", "1024", str((1 << 63) - 1))


class _Shown(Process):
    """A process whose files have this in them."""

    def __init__(self, content: str) -> None:
        self.pid, self._content = 1, content

    def read(self, name: str) -> str:
        return self._content


def proc(data: bytes) -> None:
    """A process's own words where the kernel shows them: its name, its cgroup's path, its environment. Nothing is
    raised, and nothing else is believed for them."""
    text = data.decode("utf-8", "surrogateescape")
    name = text.replace("\0", "")[:15]
    assert _Shown(f"7 ({name}){_REST}").ticks() == "4711" and not _Shown(f"7 ({name}){_REST}").ending()
    spelled = name.replace("\\", "\\\\").replace("\n", "\\n")  # proc_task_name() of the kernel's array.c
    status = _Shown(f"Name:\t{spelled}\n{_STATUS}").status()
    assert status["Umask"] == "0022" and Capabilities.of(status).bounding == 0xA80425FB
    assert variable_processes._word(f"Name:\t{spelled}\nUid:\t7\t8\n".encode("utf-8", "surrogateescape"), b"Uid") == "7"
    path = text.replace("\n", "")
    ours = "a1" * 32
    rows = rows_of(f"0::/docker/{ours}/{path}\n1:memory:/{path}\n")
    assert rows == [("", f"/docker/{ours}/{path}"), ("memory", f"/{path}")]
    assert ids_in(f"0::/docker/{ours}/{path}\n", "")[0] == container_in(f"0::/docker/{ours}/{path}\n", "") == ours
    assert all("\0" not in each + value and each for each, value in sources._pairs(data).items())
    chosen = [_NUMBERS[byte & 3] for byte in data[:16]]
    lines = [f"{each:<26}{value:<21}{value:<21}units" for each, value in zip(limits._NAMES, chosen, strict=False)]
    assert len(limits.parse("\n".join(["heading", *lines, path]))) >= len(lines)


def mountinfo(data: bytes) -> None:
    """Mounts whose root, mount point, kind, source and options are what NULs part, as the kernel spells them: a
    hierarchy's place is one of theirs, or FileNotFoundError says that it isn't mounted."""
    fields = [_mangled(each.decode("utf-8", "surrogateescape")) or "x" for each in data.split(b"\0")]
    lines = [
        f"{30 + at} 1 0:{at} /{root} /{place} rw,relatime shared:1 - {kind} {source} rw,{options}\n"
        for at, (root, place, kind, source, options) in enumerate(zip(*[iter(fields)] * 5, strict=False))
    ]
    cgroup.open = lambda *_, **__: io.StringIO("".join(lines), newline="\n")  # type: ignore[attr-defined]
    try:
        found = cgroup.mounted_at({"", "memory", "cpu,cpuacct"})
        for root, at in found.values():
            assert any(f" {root} /" in line for line in lines) and at.startswith("/")
        cgroup.places([("", "/a"), ("memory", "/docker/b")], [("", "/a")])
    except FileNotFoundError:
        pass
    finally:
        del cgroup.open  # type: ignore[attr-defined]


def _mangled(text: str) -> str:
    """mangle() of the kernel's seq_file.c, with the characters of proc_namespace.c."""
    return "".join(f"\\{ord(each):03o}" if each in " \t\n\\#" else each for each in text)


def inside(data: bytes) -> None:
    """A byte, and what was told inside of services, of an sshd and its sockets, or of ids: facts in their bounds, or
    the error that says it is none."""
    kind, data = data[0] % 4 if data else 0, data[1:]
    text = data.decode("utf-8", "surrogateescape")
    if kind == 0:
        try:
            found = finding.understood(data)
        except Refused:
            return
        for each in found.services:
            assert each.supervisor in finding.SUPERVISORS and each.name and len(each.last) <= 1 << 12
            assert each.state is None or (each.state.pid >= 0 and (each.state.seconds or 0) >= 0)
    elif kind == 1:
        facts = ssh_service.understood(data.decode("utf-8", "replace"))
        assert facts.pid >= 0
        for port, address in facts.listening:
            assert 0 < port < 1 << 16 and ipaddress.ip_address(address)
    elif kind == 2:
        try:
            for port, address in listening.parse_table(text.splitlines()):
                assert type(port) is int and ipaddress.ip_address(address)
        except ValueError:
            pass
    else:
        numbers = [int.from_bytes(data[at : at + 5], "big") for at in range(0, len(data[:500]), 5)]
        mapping = "".join(f"{a:10} {b:10} {c:10}\n" for a, b, c in zip(*[iter(numbers)] * 3, strict=False))
        for number in numbers:
            assert 0 <= (kernel._inside(number, mapping) or 0) < (1 << 32) - 1


class _Files:
    """The `Files` of a container in which this is everywhere."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return lambda path: True

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        return self._content[:limit]


def executable_file(data: bytes) -> None:
    """The beginning of a program: what it needs, or that it is none; and why it can't be executed, in one line."""
    try:
        found = executable.program(data)
        assert b"\0" not in found.loader
    except ValueError:
        pass
    needed = executable.interpreter(data)
    assert b"\n" not in needed and b"\0" not in needed
    assert executable.what_is_missing(_Files(data), ["/bin/x", "/bin/y"]).isprintable()
