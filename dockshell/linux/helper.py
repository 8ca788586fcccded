"""A forked process of ours that does a part of the work, and for nobody else."""

from __future__ import annotations

import os

from dockshell.linux.libc import prctl
from dockshell.linux.signals import FORWARDED, release, signal

__all__ = ["settle"]

_PR_SET_PDEATHSIG = 1


def settle(parent: int) -> None:
    """Called by the new process: from here on it has no terminal, whose keys are for the parent, and no input; signals
    don't reach it but KILL, which the kernel sends when the parent dies (prctl(2), PR_SET_PDEATHSIG). parent: that
    one's number, as it was before the fork."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.set_wakeup_fd(-1)
    for number in FORWARDED:
        signal.signal(number, signal.SIG_IGN)
    release()
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
