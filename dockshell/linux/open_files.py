"""How many files a process may hold open, and what is said when that, or anything else that the kernel gives out by
number, has come to its end. getrlimit(2), errno(3)."""

from __future__ import annotations

import os
import resource
from errno import EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM

__all__ = ["EXHAUSTED", "need", "raise_limit", "restore_limit", "shortage"]

EXHAUSTED = (EMFILE, ENFILE, ENOBUFS, ENOMEM)  # what accept(2) fails with where the fault is not the client's
_MOST = 1 << 20  # what fs.nr_open allows, proc_sys_fs(5)
_SENTENCES = {
    EMFILE: "no more files can be opened ({limit}): end some sessions, or start dockshell with a higher `ulimit -n`",
    ENFILE: "this machine has no more files to open (fs.file-max): end some sessions",
    EAGAIN: "no more processes can be started: end some sessions, or raise `ulimit -u` or the pids limit of its cgroup",
    ENOMEM: "there is no memory left for another process: end some sessions",
}

_before: tuple[int, int] | None = None


def raise_limit() -> int:
    """Lets the calling process, and what it forks, open as many files as it ever may → how many. For those of ours that
    hold many connections; whatever they execute is to have restore_limit() called first."""
    global _before
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        _before = _before or (soft, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else _MOST


def restore_limit() -> None:
    """Takes raise_limit() back, in a child that is to become, or to start, what is none of ours: programs that take
    select(2) can't use a descriptor beyond 1023."""
    if _before:
        resource.setrlimit(resource.RLIMIT_NOFILE, _before)


def need(count: int) -> None:
    """Raises OSError with EMFILE where fewer descriptors than that can still be opened. The process must have a
    stdin."""
    lowest = os.dup(0)  # the lowest number that is free: dup(2)
    os.close(lowest)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and lowest + count > limit:
        raise OSError(EMFILE, os.strerror(EMFILE))


def shortage(error: OSError) -> str:
    """The sentence for people where something has run out; empty for any other error."""
    sentence = _SENTENCES.get(error.errno or 0, "")
    return sentence.format(limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
