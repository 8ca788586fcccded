"""What a process's memory shows of how it was started: proc_pid_cmdline(5), proc_pid_environ(5)."""

from __future__ import annotations

import ctypes

__all__ = ["wipe_arguments"]


def wipe_arguments() -> None:
    """Overwrites the calling process's arguments and environment, as the kernel shows them to others, with zeros. The
    interpreter has copies of both; the C library's getenv(3) finds nothing any more. Needs our own /proc. Raises
    OSError."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    for first in 45, 47:  # arg_start and arg_end, env_start and env_end: proc_pid_stat(5), fields 48 to 51
        start, end = map(int, fields[first : first + 2])
        ctypes.memset(start, 0, end - start)
