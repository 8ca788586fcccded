"""`python -m tests.world.roots`: makes what the tests' images are made of and the cache lacks, before a test asks for
it. `./dev test` has it run in the background; a test that comes first makes it itself, or waits (bootstrap.cached)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from tests.world.alpine import alpine_tarball
from tests.world.debian import slim_tarball, workshop_tarball
from tests.world.own_docker26 import docker26_tarball
from tests.world.scratch import make_scratch, remove_scratch
from tests.world.stranger import SUITES, wheels
from tests.world.unavailable import Unavailable

_PR_SET_PDEATHSIG = 1  # prctl(2)


def _say(text: str) -> None:
    print(f"{text} ...", flush=True)


def _make(kinds: Sequence[Callable[[], str]]) -> None:
    """One after the other. Why one can't be made here the test says that needs it."""
    for kind in kinds:
        try:
            print(kind(), flush=True)
        except (Unavailable, RuntimeError, OSError) as problem:
            print(problem, flush=True)


def main() -> None:
    """All of them, those that are needed first first, two at a time and beside them the downloads."""
    scratch = make_scratch()
    queues = (
        (
            lambda: slim_tarball("", scratch, _say),
            lambda: workshop_tarball(scratch, _say),
            lambda: alpine_tarball(scratch, _say),
        ),
        (lambda: docker26_tarball(scratch, _say), lambda: slim_tarball("trixie", scratch, _say)),
        [lambda python=python: wheels(python, scratch, _say) for python in SUITES.values()],
    )
    threads = [threading.Thread(target=_make, args=(queue,)) for queue in queues]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        remove_scratch(scratch)


def _end_with(parent: int) -> None:
    """Whatever ends the parent ends this process, and all that it has started."""

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        os._exit(128 + number)

    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, end)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    if os.geteuid() == 0:
        _end_with(os.getppid())
        main()
