"""Input that a command inside doesn't read stays whose it was: beyond what the contract suite has in
tests/contract/test_bytes.py::test_a_loop_keeps_its_input."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.contract.watching import memory
from tests.world import Peer, World

LINES = b"one\ntwo\nthree\n"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(params=["nsenter", "toolbox"])
def start(request: pytest.FixtureRequest, docker: Peer, environment: dict[str, str], world: World) -> Start:
    """start(stdin, script, *options): runs it by the container's shell."""
    world.need_root()
    container, env = docker.shared("busybox"), {**environment, "DOCKER_HOST": docker.url}

    def started(stdin: int, script: str, *options: str) -> subprocess.Popen[bytes]:
        argv = [*COMMAND, "exec", "--via", request.param, *options, container, "sh", "-c", script]
        return subprocess.Popen(argv, env=env, stdin=stdin, stdout=subprocess.PIPE)

    return started


def test_of_a_socket(start: Start) -> None:
    """As the stdin of what an sshd or inetd starts."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(LINES)
        with start(theirs.fileno(), "read a; read b; echo $b") as process:
            assert process.communicate(timeout=60)[0] == b"two\n"
        assert theirs.recv(100) == b"three\n"


def test_of_a_pipe_that_does_not_block(start: Start) -> None:
    """As programs leave theirs that serve many at once: few commands can read such a one."""
    ours, theirs = os.pipe2(os.O_NONBLOCK)
    with start(ours, "echo up; cat") as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        os.write(theirs, LINES)
        os.close(theirs)
        assert process.communicate(timeout=60)[0] == LINES
    os.close(ours)


def test_of_a_pipe_that_is_recorded(start: Start, tmp_path: Path) -> None:
    """It can't be the command's own then."""
    ours, theirs = os.pipe()
    os.write(theirs, LINES)
    with start(ours, "read a; read b; echo $b", "--record", str(tmp_path / "it.cast")) as process:
        assert process.communicate(timeout=60)[0] == b"two\n"
    assert os.read(ours, 100) == b"three\n"
    os.close(ours)
    os.close(theirs)


def test_more_comes_later(start: Start) -> None:
    """Of a socket: what is written while the command waits arrives at once, and so does the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs, start(theirs.fileno(), "while read a; do echo $a; done; echo end") as process:
        theirs.close()
        assert process.stdout
        for line in LINES.splitlines(keepends=True):
            ours.sendall(line)
            assert process.stdout.readline() == line
        ours.shutdown(socket.SHUT_WR)
        assert process.communicate(timeout=60)[0] == b"end\n"


@pytest.mark.parametrize(
    ("script", "rest"),
    [
        ("exit 3", LINES),
        ("head -n 1 | cat; exit 3", b""),  # it has read on, as it does anywhere
        ("exec <&-; sleep 0.2; exit 3", LINES),
        ("cat; exit 3", b""),
    ],
)
def test_of_a_file(start: Start, tmp_path: Path, script: str, rest: bytes) -> None:
    """What wasn't read inside is there for the next, whatever the command did with its input."""
    (tmp_path / "list").write_bytes(LINES)
    with open(tmp_path / "list", "rb", buffering=0) as file:
        with start(file.fileno(), script) as process:
            process.communicate(timeout=60)
        assert (process.returncode, file.read()) == (3, rest)


def test_of_a_file_when_a_signal_ends_it(start: Start, tmp_path: Path) -> None:
    """The same."""
    (tmp_path / "list").write_bytes(LINES)
    with open(tmp_path / "list", "rb", buffering=0) as file:
        with start(file.fileno(), "read a; echo $a; sleep 60") as process:
            assert process.stdout and process.stdout.readline() == b"one\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
        assert file.read() == b"two\nthree\n"


def test_of_a_file_that_is_large(start: Start, tmp_path: Path) -> None:
    """In constant memory; what is behind the first half stays."""
    size = 256 << 20
    with open(tmp_path / "hole", "w+b", buffering=0) as file:
        file.truncate(size)
        script = f"dd bs=65536 count={size >> 17} of=/dev/null 2>/dev/null; echo half; sleep 60"
        with start(file.fileno(), script) as process:
            assert process.stdout and process.stdout.readline() == b"half\n"
            assert 0 < memory(process.pid) < 60 << 20
            process.terminate()
        assert file.tell() == size // 2
