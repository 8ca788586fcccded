"""A person without root, whom the engine's socket lets in: the docker group's members."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.world import Peer, World

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOBODY = 65534
PYTHON = "/usr/bin/python3"  # nobody may not look into a home directory, where a version manager's Python often lies


@pytest.fixture
def nobody(world: World, docker: Peer) -> Iterator[Callable[..., subprocess.CompletedProcess[bytes]]]:
    """nobody(*words, input=b""): runs dockshell as a user without any right but the socket's."""
    world.need_root()
    new_enough = [PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    world.need(os.path.exists(PYTHON) and not subprocess.run(new_enough, check=False).returncode, "no Python for all")
    socket = docker.url.removeprefix("unix://")
    place = tempfile.mkdtemp()
    try:
        shutil.copytree(os.path.join(ROOT, "dockshell"), os.path.join(place, "dockshell"))
        os.chmod(place, 0o755)
        folder = os.path.dirname(socket)
        while folder.startswith(world.scratch):  # the tests' own engine
            os.chmod(folder, os.stat(folder).st_mode | 0o011)
            folder = os.path.dirname(folder)
        env = {"PYTHONPATH": place, "HOME": place, "DOCKER_HOST": docker.url, "PATH": os.environ["PATH"]}

        def run(*words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                [PYTHON, "-B", "-m", "dockshell", *words],
                input=input, capture_output=True, env=env, cwd="/", check=False, timeout=60,
                user=NOBODY, group=NOBODY, extra_groups=[os.stat(socket).st_gid],
            )  # fmt: skip

        yield run
    finally:
        shutil.rmtree(place)


def test_exec_takes_over_where_nsenter_takes_root(
    nobody: Callable[..., subprocess.CompletedProcess[bytes]], docker: Peer
) -> None:
    """auto tells why nsenter refuses, takes exec, and the command runs with its input, user and exit code."""
    done = nobody("-v", "exec", "-u", "app", docker.shared("busybox"), "sh", "-c", "cat; id -un; exit 5", input=b"in\n")
    assert (done.returncode, done.stdout) == (5, b"in\napp\n")
    lines = done.stderr.decode().splitlines()
    assert lines[1:] == ["dockshell: nsenter: entering namespaces takes root: use sudo", "dockshell: exec: taken"]


def test_a_login_shell_without_root(nobody: Callable[..., subprocess.CompletedProcess[bytes]], docker: Peer) -> None:
    """The files that a login needs are read through the engine then."""
    done = nobody(docker.shared("busybox"), input=b"echo $HOME $USER $0\n")
    assert done.stdout.split() == [b"/root", b"root", b"/bin/sh"]
    assert done.stderr == b""


@pytest.mark.parametrize(("words", "code"), [(["nope"], 127), (["/etc/passwd"], 126)])
def test_errors_without_root(
    nobody: Callable[..., subprocess.CompletedProcess[bytes]], docker: Peer, words: list[str], code: int
) -> None:
    """One line says what is wrong, and the codes are the same as for root."""
    done = nobody("exec", docker.shared("busybox"), *words)
    assert (done.returncode, done.stdout) == (code, b"")
    assert len(done.stderr.splitlines()) == 1


def test_nsenter_alone_says_what_it_takes(
    nobody: Callable[..., subprocess.CompletedProcess[bytes]], docker: Peer
) -> None:
    """`--via nsenter` without root is an error that names the remedy."""
    done = nobody("exec", "--via", "nsenter", docker.shared("busybox"), "true")
    assert done.returncode == 125
    assert b"use sudo" in done.stderr
