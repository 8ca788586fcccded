"""Signals for a command that an engine started, by the number that the engine tells."""

from __future__ import annotations

import os
import signal
import subprocess
from types import SimpleNamespace
from typing import Any

from dockshell.model import Container
from dockshell.routes.ward import Ward


def _ward(pid: int) -> Ward:
    facts = {"Running": True, "Pid": pid}
    api: Any = SimpleNamespace(exec_inspect=lambda exec_id: facts)
    api.anew = lambda: api
    container = Container("a" * 64, "web", engine=None, pid=os.getpid(), local=True)  # type: ignore[arg-type]
    return Ward(api, container, "b" * 64, "0", "")


def test_a_command_that_has_just_ended_needs_no_signal() -> None:
    """Though the engine says that it runs: its parent may have waited for it by now, or not yet."""
    with subprocess.Popen(["sleep", "60"]) as command:
        command.kill()
        os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOWAIT)
        assert _ward(command.pid).signal(signal.SIGTERM)
        command.wait()
        assert _ward(command.pid).signal(signal.SIGTERM)


def test_a_process_of_nobody_we_know_is_not_signalled() -> None:
    """One that the engine names and that isn't in the container."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            assert not _ward(stranger.pid).signal(signal.SIGTERM)
            assert stranger.poll() is None
        finally:
            stranger.kill()
