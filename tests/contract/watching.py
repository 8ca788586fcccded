"""Watching processes from the host: a container's are among them."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["children", "end_all", "leads", "memory", "processes", "unique", "until"]

_numbers = itertools.count(1)
T = TypeVar("T")


def until(true: Callable[[], T], seconds: float = 60.0) -> T:
    """Waits for the condition, and gives what it came out as. Raises AssertionError when the time is over."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)
    return found


def unique() -> str:
    """A number that is nobody else's, to know a process by: `sleep NUMBER` sleeps for decades."""
    return f"9{os.getpid():07}{next(_numbers):03}"


def processes(word: str) -> list[int]:
    """The host's numbers of the live processes with that word among theirs, dockshell itself and its like excepted."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read()
            clients = b"dockshell" in words or b"\0exec\0" in words or words.startswith(b"nsenter\0")
            if word.encode() in words and not clients:
                found.append(int(name))
    return found


def leads(word: str) -> bool:
    """Has `setsid sleep WORD` made itself a session of its own? The shell that starts it leads one, too, and has the
    word in its script."""
    return any(os.getsid(pid) == pid for pid in processes(f"sleep\0{word}"))


def end_all(word: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Sends the signal to every one of processes(word)."""
    for pid in processes(word):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def memory(pid: int) -> int:
    """The most memory that a process ever held, in bytes: VmHWM of proc_pid_status(5)."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
