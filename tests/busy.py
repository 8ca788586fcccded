"""How busy this machine is, for the few promises that are about time."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

_WORK = "for _ in range(20): sum(range(100000))"


def slowdown() -> float:
    """How many times as long as by itself a program takes now, at least 1: the time that one took on the clock, by the
    time that it had a processor for."""
    began, used = time.monotonic(), _used()
    for _ in range(3):  # a scheduler is kind to who has just begun
        subprocess.run([sys.executable, "-ISc", _WORK], check=True, env=os.environ)
    return max(1.0, (time.monotonic() - began) / max(_used() - used, 0.01))


def _used() -> float:
    """Seconds of processor time that the children that have ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
