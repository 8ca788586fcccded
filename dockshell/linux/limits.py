"""Resource limits, and the kernel's choice of whom to kill when memory is short. getrlimit(2),
proc_pid_oom_score_adj(5)."""

from __future__ import annotations

import resource
from struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.linux.calls import Calls

__all__ = ["apply", "beyond_reach", "parse", "set_oom_score"]

# /proc/PID/limits names them so.
_NAMES = {
    "Max cpu time": resource.RLIMIT_CPU,
    "Max file size": resource.RLIMIT_FSIZE,
    "Max data size": resource.RLIMIT_DATA,
    "Max stack size": resource.RLIMIT_STACK,
    "Max core file size": resource.RLIMIT_CORE,
    "Max resident set": resource.RLIMIT_RSS,
    "Max processes": resource.RLIMIT_NPROC,
    "Max open files": resource.RLIMIT_NOFILE,
    "Max locked memory": resource.RLIMIT_MEMLOCK,
    "Max address space": resource.RLIMIT_AS,
    "Max file locks": 10,  # RLIMIT_LOCKS, which Python has no name for
    "Max pending signals": resource.RLIMIT_SIGPENDING,
    "Max msgqueue size": resource.RLIMIT_MSGQUEUE,
    "Max nice priority": resource.RLIMIT_NICE,
    "Max realtime priority": resource.RLIMIT_RTPRIO,
    "Max realtime timeout": resource.RLIMIT_RTTIME,
}


def parse(text: str) -> dict[int, tuple[int, int]]:
    """The text of /proc/PID/limits → (soft, hard) by resource. prlimit(2) would want CAP_SYS_RESOURCE for a process of
    another user."""
    found = {}
    for line in text.splitlines()[1:]:
        number = _NAMES.get(line[:26].strip())
        values = line[26:].split()
        if number is not None and len(values) >= 2:
            soft, hard = (resource.RLIM_INFINITY if value == "unlimited" else int(value) for value in values[:2])
            found[number] = (soft, hard)
    return found


def beyond_reach(limits: dict[int, tuple[int, int]]) -> list[str]:
    """The names of those limits whose hard value is above our own, so that only CAP_SYS_RESOURCE can set them."""
    ours = {number: resource.getrlimit(number)[1] for number in limits}
    return [name for name, number in _NAMES.items() if number in limits and _above(limits[number][1], ours[number])]


def apply(calls: Calls, limits: dict[int, tuple[int, int]]) -> None:
    """Adds the calls that set those of a process's limits that differ from our own, which it has."""
    for number, pair in limits.items():
        if resource.getrlimit(number) != pair:
            calls.add("prlimit64", 0, number, pack("=2q", *pair))


def set_oom_score(pid: int, adjustment: int) -> None:
    """Sets a process's oom_score_adj. Raises PermissionError where it may not be lowered that far."""
    path = f"/proc/{pid}/oom_score_adj"
    with open(path, encoding="ascii") as file:
        if int(file.read()) == adjustment:
            return  # that much everybody may find out; the files of a process that isn't dumpable are root's to write
    with open(path, "w", encoding="ascii") as file:
        file.write(str(adjustment))


def _above(theirs: int, ours: int) -> bool:
    return ours != resource.RLIM_INFINITY and (theirs == resource.RLIM_INFINITY or theirs > ours)
