"""What a process holds open, and how it lets go of it."""

from __future__ import annotations

import os

__all__ = ["close_all_but", "let_go", "widened"]

_WIDE = 1 << 20  # bytes: what a pipe may hold at most, for whoever isn't root: pipe(7)
_MOST = 1 << 20  # what fs.nr_open allows, proc_sys_fs(5); one close_range(2) from Linux 5.9 on


def let_go(but: set[int]) -> None:
    """Closes all that the calling process inherited, but these; stdin, stdout and stderr become /dev/null. A pipe's end
    held on to would keep others from seeing it closed."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in {0, 1, 2} - but:
        os.dup2(nothing, number)
    close_all_but({0, 1, 2, *but})


def close_all_but(keep: set[int]) -> None:
    """Closes every descriptor of the process but these."""
    start = 0
    for number in sorted(keep):
        if start < number:  # an empty range would reach close_range(2) as everything
            os.closerange(start, number)
        start = number + 1
    # Not up to our own limit alone: it may have been lowered when there were higher ones already (getrlimit(2)).
    os.closerange(start, max(_MOST, os.sysconf("SC_OPEN_MAX")))


def widened(descriptor: int) -> int:
    """The same; where it is a pipe, one that holds as much as anybody may ask for, for the two ends take turns as often
    as it is full or empty: fcntl(2), F_SETPIPE_SZ."""
    from fcntl import F_GETPIPE_SZ, F_SETPIPE_SZ, fcntl

    try:
        if fcntl(descriptor, F_GETPIPE_SZ) < _WIDE:
            fcntl(descriptor, F_SETPIPE_SZ, _WIDE)
    except OSError:
        pass  # no pipe, or its owner has as many wide ones as allowed: pipe(7)
    return descriptor
