"""`./dev demo`, the README's first command, on a machine as a stranger has it (tests/world/stranger.py): an unused
checkout, a Debian's own Python, no engine, no busybox, no shell but /bin/sh."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import pexpect
import pytest

from tests.world import World
from tests.world.stranger import SUITES, Machine, make_machine

PROMPT = r"root@sandbox:\S+[$#] "


@pytest.fixture(scope="module", params=SUITES)
def machine(request: pytest.FixtureRequest, world: World) -> Iterator[Machine]:
    """One of each Debian. The first `./dev demo` there is the one in which .venv is made."""
    world.need_root()
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text} ...", flush=True)

    yield make_machine(request.param, os.path.join(world.scratch, f"stranger-{request.param}"), world.scratch, say)


@pytest.mark.parametrize("who", ["stranger", "root"])
def test_in_a_pipe(machine: Machine, who: str) -> None:
    """It shows the sandbox by a few commands, with what that Debian has, and nothing fails."""
    words = machine.words(who, "sh", "-c", "! command -v bash busybox docker podman ps && exec ./dev demo")
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("No container engine listens here"), done.stdout
    assert re.search(r"\$ dockshell -v exec kernel://(sandbox|pid:\d+) id\nuid=0\(root\)", done.stdout)
    assert re.search(r"\$ dockshell exec \S+ hostname\nsandbox\n", done.stdout)
    assert re.search(r"\$ dockshell exec \S+ cat /proc/1/comm\nsandbox\n", done.stdout)
    assert "tr a-z A-Z\nHELLO FROM OUTSIDE\n" in done.stdout
    assert done.stdout.endswith("; echo $?\n7\n")
    assert "nsenter: taken" in done.stderr


@pytest.mark.parametrize("who", ["stranger", "root"])
def test_at_a_terminal(machine: Machine, who: str) -> None:
    """It ends in a login shell, the sandbox's own /bin/sh, whose prompt says where one is."""
    program, *words = machine.words(who, "./dev", "demo")
    child = pexpect.spawn(program, words, encoding="utf-8", timeout=280)
    try:
        child.expect(PROMPT)
        child.sendline("ls -l /proc/$$/exe; exit 3")
        child.expect(r" -> /bin/sh\r\n")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert child.exitstatus == 0, "what was typed in the shell is no failure of the demonstration"
