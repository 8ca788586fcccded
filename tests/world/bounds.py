"""What a test may count on, and what it may take: a terminal's signals as they are by default, and five minutes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator, Iterator

import pytest

_LONGEST = 300  # seconds


def pytest_configure() -> None:
    # A shell has what it starts in the background ignore these, and dockshell, which our tests start, goes by that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@contextlib.contextmanager
def within(seconds: int, late: type[Exception] = TimeoutError) -> Iterator[None]:
    """Raises `late` in a block that takes longer. Blocks within others end those others' time."""

    def end(*_: object) -> None:
        raise late(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """A test that waits for what never comes fails, instead of keeping all others from running."""
    with within(_LONGEST):
        return (yield)
