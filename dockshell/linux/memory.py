"""How much memory there is, what processes of ours take of it, and which of them is to end where it is too much.
proc_meminfo(5), proc_pid_statm(5), proc_pid_oom_score_adj(5)."""

from __future__ import annotations

import os

from dockshell.linux.cgroup_limits import most_memory
from dockshell.linux.limits import set_oom_score

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["first_to_go", "heaviest", "private", "total"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_FIRST = 500  # of 1000: whom the kernel ends first where memory is short


def total() -> int:
    """The bytes that this machine has, or that our cgroup may have."""
    with open("/proc/meminfo", encoding="ascii") as file:
        there = int(file.readline().split()[1]) * 1024
    return min(there, most_memory(os.getpid()) or there)


def private(pid: int) -> int:
    """The bytes that a process has without a file behind them, those included that it still shares with the one that
    forked it; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0
    return max(0, int(resident) - int(shared)) * _PAGE


def heaviest(owners: Mapping[int, str], most: int) -> int:
    """Which of these processes is to end, where all of them together take more than so many bytes besides what we have
    ourselves: the largest of the owner whose processes take most. 0 for none. owners: by the processes' numbers."""
    own = private(os.getpid())
    sizes = {pid: max(0, private(pid) - own) for pid in owners}
    if sum(sizes.values()) <= most:
        return 0
    shares: dict[str, int] = {}
    for pid, owner in owners.items():
        shares[owner] = shares.get(owner, 0) + sizes[pid]
    return max(owners, key=lambda pid: (shares[owners[pid]], sizes[pid]))


def first_to_go() -> None:
    """Has the kernel end the calling process before others where memory is short, if it may choose that again."""
    if os.geteuid() == 0:  # whoever isn't could not take it back for what is executed
        try:
            set_oom_score(os.getpid(), _FIRST)
        except OSError:
            pass  # /proc can't be written everywhere
