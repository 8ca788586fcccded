"""`exec --timeout`, beyond what the contract suite has: tests/contract/test_life.py::test_timeout_ends_the_session."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import COMMAND
from tests.contract.watching import processes, unique, until
from tests.world import Peer, World

Run = Callable[..., subprocess.CompletedProcess[bytes]]


def test_nobody_reads_what_it_writes(docker: Peer, environment: dict[str, str], world: World) -> None:
    """The time is over as well where dockshell waits for a reader that is stuck."""
    world.need_root()
    number = unique()
    argv = [*COMMAND, "exec", "--timeout", "1", docker.shared("busybox"), "sh", "-c", f"yes; : {number}"]
    env = {**environment, "DOCKER_HOST": docker.url}
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(60) == 124
    until(lambda: not processes(number), 30)


def test_stubborn_commands_get_kill(docker: Peer, dockshell: Run) -> None:
    """What ignores TERM is killed; time enough changes nothing, and 0 is no limit."""
    number, container = unique(), docker.shared("busybox")
    script = f"trap '' HUP TERM; while :; do sleep 0.1; done; : {number}"
    assert dockshell("exec", "--timeout=0.3s", container, "sh", "-c", script, engine=docker).returncode == 124
    assert not processes(number)
    for spelled in ("1m", "0", "1.5h"):
        done = dockshell("exec", "--timeout", spelled, container, "sh", "-c", "sleep 0.1; exit 3", engine=docker)
        assert (done.returncode, done.stderr) == (3, b"")


def test_in_a_stand_in(docker: Peer, dockshell: Run) -> None:
    """The stand-in goes with it."""
    done = dockshell("exec", "--stopped", "--timeout", "0.5", docker.shared("busybox"), "sleep", "60", engine=docker)
    assert done.returncode == 124 and b"sleep took longer than 0.5 s " in done.stderr


@pytest.mark.parametrize("said", ["x", "-1", "1w", "1.2.3", ".", "nan", "inf", "1e3", "m"])
def test_what_is_no_time(dockshell: Run, said: str) -> None:
    """Is refused before anything is looked for."""
    done = dockshell("exec", f"--timeout={said}", "web", "true")
    assert (done.returncode, done.stdout) == (2, b"") and b"--timeout takes a number of seconds" in done.stderr


def test_not_for_what_is_left_to_itself(dockshell: Run) -> None:
    """-d has nobody who would end it."""
    done = dockshell("exec", "-d", "--timeout", "5", "web", "true")
    assert done.returncode == 2 and b"leave out --timeout" in done.stderr
