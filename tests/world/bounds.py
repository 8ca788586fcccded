"""What a test may count on, and what it may take: a terminal's signals as they are by default, and five minutes."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest

_LONGEST = 300  # seconds


def pytest_configure() -> None:
    # A shell has what it starts in the background ignore these, and dockshell, which our tests start, goes by that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """A test that waits for what never comes fails, instead of keeping all others from running."""

    def end(*_: object) -> None:
        raise TimeoutError(f"the test took longer than {_LONGEST} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(_LONGEST)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
