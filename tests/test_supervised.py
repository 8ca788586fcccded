"""Started by a supervisor, or used by a program, that ignores SIGCHLD, which execve(2) hands on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from dockshell import connect
from tests.conftest import COMMAND
from tests.world import Peer, World


def _run(argv: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    return subprocess.run(argv, env=env, preexec_fn=ignore, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("via", ["nsenter", "exec", "toolbox", "ssh"])
def test_ignored_sigchld(docker: Peer, environment: dict[str, str], world: World, via: str) -> None:
    """By each way in the exit code is the command's, and that finds nothing ignored."""
    world.need_root()
    container = docker.shared("baseimage") if via == "ssh" else docker.shared("busybox")
    argv = [*COMMAND, "exec", "--via", via, container, "sh", "-c", "grep SigIgn /proc/self/status; exit 7"]
    done = _run(argv, {**environment, "DOCKER_HOST": docker.url})
    assert (done.returncode, done.stderr) == (7, b"")
    assert not int(done.stdout.split()[1], 16) & 1 << signal.SIGCHLD - 1


def test_ignored_sigchld_elsewhere(docker: Peer, environment: dict[str, str], world: World) -> None:
    """In several containers at once, in a stand-in, and by a drop-in."""
    world.need_root()
    container, env = docker.shared("busybox"), {**environment, "DOCKER_HOST": docker.url}
    dropin = os.path.join(os.path.dirname(COMMAND[0]), "docker-bash")
    for words in (
        [*COMMAND, "exec", "-j2", f"{container},{container}*"],
        [*COMMAND, "exec", "--stopped", container],
        [dropin, container],
    ):
        assert _run([*words, "sh", "-c", "exit 7"], env).returncode == 7, words


@pytest.fixture(params=["ignored", "waited for"])
def children(request: pytest.FixtureRequest) -> Iterator[None]:
    """This program ignores SIGCHLD; or waits for every child by itself, as those do that once read how."""

    def wait_for_all(number: int, frame: object) -> None:
        # Not literally all: the engines are children of this program, too.
        for pid in open("/proc/thread-self/children", encoding="ascii").read().split():  # noqa: SIM115
            try:
                os.waitpid(int(pid), os.WNOHANG)
            except ChildProcessError:
                continue

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN if request.param == "ignored" else wait_for_all)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("via", ["nsenter", "exec", "toolbox"])
def test_library_in_a_program_that_has_its_own_way(docker: Peer, children: None, via: str) -> None:
    """The library leaves the program's handler alone, and does without it."""
    mine = signal.getsignal(signal.SIGCHLD)
    with connect(docker.shared("busybox"), host=docker.url, via=via) as container:
        assert container.run(["sh", "-c", "cat; sleep 0 & wait $!; exit 7"], b"through").stdout == b"through"
        assert container.run(["sh", "-c", "exit 7"]).code == 7
    assert signal.getsignal(signal.SIGCHLD) is mine
