"""A person without root, whom the engine's socket lets in: the docker group's members."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.contract.watching import end_all, unique
from tests.world import Peer
from tests.world.person import Person


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


def test_what_cannot_be_promised_is_said(member: Person, docker: Peer) -> None:
    """In a container without a shell nothing passes a signal on for who lacks root: -v says so, and it is dockshell
    itself that ends by it."""
    number = unique()
    words = ["-v", "exec", docker.shared("static"), "/busybox", "sh", "-c", f"echo begun; exec /busybox sleep {number}"]
    with subprocess.Popen(
        [*member.command, *words], env=member.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout and process.stderr and process.stdout.readline() == b"begun\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
            said = process.stderr.read().decode().splitlines()
            assert said[-2].endswith("no /bin/sh inside that could: it gets no signals, and outlives a KILL of ours")
            assert said[-1].startswith("dockshell: signal 15: ") and "no /bin/sh inside" in said[-1]
        finally:
            end_all(number)


def test_ls_without_root(nobody: Callable[..., subprocess.CompletedProcess[bytes]], docker: Peer) -> None:
    """What can't be looked at is marked so, and not as refused; -v has the engine's word for it, with each reason."""
    name = docker.shared("busybox")
    this = f"id={docker.inspect(name)['Id']}"
    glance = nobody("ls", "-f", this).stdout.decode().splitlines()[1]
    assert glance.endswith("  ?      exec, toolbox")
    row, *reasons = nobody("ls", "-v", "-f", this).stdout.decode().splitlines()[1:]
    assert row.endswith("  sh     exec, toolbox")
    assert [line.split()[0] for line in reasons] == ["ssh:", "nsenter:"] and "takes root: use sudo" in reasons[1]
