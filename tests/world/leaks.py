"""Does a test leave something of its own in the process of pytest? Children, threads and descriptors are counted
before and after."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def leaks(allowed: Callable[[], set[int]], grace: float = 30.0) -> Iterator[None]:
    """Raises AssertionError where, after `grace` seconds, something is there at the end that was not at the
    beginning. allowed() gives the processes that may stay."""
    before = _held()
    yield
    until = time.monotonic() + grace
    while left := _left(before, allowed()):
        if time.monotonic() > until:
            raise AssertionError("the test left behind: " + "; ".join(left))
        gc.collect()
        time.sleep(0.02)


def _held() -> tuple[set[int], set[threading.Thread], dict[int, str]]:
    return _children(), set(threading.enumerate()), _descriptors()


def _left(before: tuple[set[int], set[threading.Thread], dict[int, str]], allowed: set[int]) -> list[str]:
    children, threads, descriptors = _held()
    return (
        [f"process {pid} ({_words(pid)})" for pid in sorted(children - before[0] - allowed)]
        + [f"thread {thread.name}" for thread in threads - before[1]]
        + [f"descriptor {n} ({what})" for n, what in descriptors.items() if n not in before[2]]
    )


def _children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
            found.update(map(int, file.read().split()))
    return found


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _words(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return (
                file.read().replace(b"\0", b" ").decode(errors="replace").strip() or "already ended, never waited for"
            )
    except OSError:
        return "gone"
