"""Starts the fuzzers when it is known which are asked for, so that they run beside the other tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fuzz.running import Outcome

_SECONDS = 10
_PATIENCE = 900  # seconds for all of them, on a machine that has much else to do


class _Fuzzers(NamedTuple):
    process: subprocess.Popen[bytes]
    outcomes: Path


_FUZZERS = pytest.StashKey[_Fuzzers]()


def _name(item: pytest.Item) -> str:
    """Which target that test is to wait for; empty for any other test."""
    parameters = getattr(item, "callspec", None)
    return str(parameters.params.get("fuzzed", "")) if parameters else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: bool(_name(item)))  # those come last


def pytest_collection_finish(session: pytest.Session) -> None:
    names = list(dict.fromkeys(filter(None, map(_name, session.items))))
    if names and not session.config.option.collectonly:
        outcomes = Path(tempfile.mkdtemp(prefix="dockshell-fuzz-"))
        argv = [sys.executable, "-P", "-m", "tests.fuzz", "--into", str(outcomes), *names, str(_SECONDS)]
        process = subprocess.Popen(argv, cwd=session.config.rootpath, start_new_session=True)
        session.config.stash[_FUZZERS] = _Fuzzers(process, outcomes)


def pytest_unconfigure(config: pytest.Config) -> None:
    if fuzzers := config.stash.get(_FUZZERS, None):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(fuzzers.process.pid, signal.SIGTERM)
        fuzzers.process.wait()
        for each in fuzzers.outcomes.iterdir():
            each.unlink()
        fuzzers.outcomes.rmdir()


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Of the target that the test's parameter names."""
    process, outcomes = request.config.stash[_FUZZERS]
    told = outcomes / _name(request.node)
    until = time.monotonic() + _PATIENCE
    while not told.exists():
        ended = process.poll() is not None
        if (ended or time.monotonic() > until) and not told.exists():
            pytest.fail("the fuzzers ended too early" if ended else "the fuzzers take too long")
        time.sleep(0.1)
    return Outcome.read(told)
