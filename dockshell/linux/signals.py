"""Signals without their names' enums: the C half of Python's `signal`. The other half's import takes the hot path 6
ms."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["FORWARDED", "gone", "hold", "release", "signal"]

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def hold() -> None:
    """Has the signals that a command is to get wait, from before it begins until somebody is there who passes them
    on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)


def release() -> None:
    """Lets them come, those first that have waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)


def gone(pid: int) -> int:
    """Returns when that child is gone → its status, as wait(2) has it. Where the program that we are part of ignores
    SIGCHLD, or waits for every child of its own accord, nothing is left to wait for by then (ECHILD), and the status is
    0."""
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return 0
