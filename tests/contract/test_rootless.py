"""A person without root and their own containers, in a user namespace that is theirs: the nsenter route without any
right on this machine. (What they can do by exec, and root by nsenter, are cells of their own.)"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.contract.test_confinement import LIMITS, PROBE
from tests.contract.watching import end_all, processes, unique, until
from tests.world import World, own_rootless_podman
from tests.world.person import Person, person


@pytest.fixture
def owner(world: World) -> Iterator[Person]:
    """Whom the rootless Podman belongs to, who has nothing else."""
    url = world.rootless_podman.url
    with person(own_rootless_podman.USER) as somebody:
        yield somebody._replace(environment={**somebody.environment, "DOCKER_HOST": url})


@pytest.fixture
def unfiltered(world: World) -> str:
    """A container of theirs without a seccomp filter, which only root may read."""
    options = ("--security-opt", "seccomp=unconfined")
    peer = world.rootless_podman
    return peer.kept("unfiltered", lambda: peer.run("busybox", options=options))


def _exec(owner: Person, *words: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    argv = [*owner.command, "exec", *words]
    return subprocess.run(argv, env=owner.environment, capture_output=True, timeout=60, check=False, **more)


def test_owner_enters_as_the_engine_does(world: World, owner: Person, unfiltered: str) -> None:
    """Without root, and field by field what the engine's own exec gives."""
    engines = world.rootless_podman.ask("exec", unfiltered, "sh", "-c", PROBE + LIMITS)
    done = _exec(owner, "-v", unfiltered, "sh", "-c", PROBE + LIMITS)
    assert b"dockshell: nsenter: taken\n" in done.stderr
    assert done.stdout.decode().splitlines() == engines.splitlines()


@pytest.mark.parametrize("user", ["app", "1000:2002", "4321"])
def test_owner_enters_as_another_user(world: World, owner: Person, unfiltered: str, user: str) -> None:
    """With a number that the user namespace gives them, and their rights."""
    script = "grep -E '^(Uid|Gid|Cap...):' /proc/self/status"
    engines = world.rootless_podman.ask("exec", "--user", user, unfiltered, "sh", "-c", script)
    done = _exec(owner, "--via", "nsenter", "-u", user, unfiltered, "sh", "-c", script)
    assert done.stdout.decode().splitlines() == engines.splitlines()


def test_owner_brings_tools_as_root_does(owner: Person, unfiltered: str, tmp_path: Path) -> None:
    """By the kernel, with the rights that they have in their user namespace alone: busybox, a directory's programs, and
    a capability for another user."""
    tmp_path.chmod(0o755)
    (tmp_path / "hello").write_text("#!/bin/sh\necho $PATH; grep ^CapEff /proc/self/status\n")
    (tmp_path / "hello").chmod(0o755)
    for directory in (tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(directory.stat().st_mode | 0o011)
    words = ("--tools", str(tmp_path), "--cap", "NET_ADMIN", "-u", "4321", unfiltered, "hello")
    done = _exec(owner, "-v", *words)
    assert b"dockshell: toolbox: taken\n" in done.stderr and b"beside" not in done.stderr.replace(b"besides", b"")
    assert done.stdout == b"/bin:/sbin:/usr/bin:/proc/fs/nfsd/bin\nCapEff:\t0000000000001000\n", done


def test_owner_has_a_terminal(owner: Person, unfiltered: str) -> None:
    """Of the container's own, and theirs who got in."""
    words = [*owner.command, "exec", "--via", "nsenter", "-u", "app", unfiltered]
    script = 'test -t 0 && stat -c "of-%U" $(tty) && : >/dev/tty && stty size'
    child: pexpect.spawn[bytes] = pexpect.spawn(
        words[0], [*words[1:], "sh", "-c", script], env=owner.environment, dimensions=(33, 101), timeout=60
    )
    try:
        child.expect_exact(b"of-app\r\n33 101\r\n")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_owner_leaves_no_orphans(owner: Person, unfiltered: str, number: signal.Signals) -> None:
    """A signal reaches the command, and when dockshell is killed it ends with all its session."""
    word = unique()
    script = f"sleep {word} & trap 'kill $!; exit 9' TERM; echo begun; wait"
    argv = [*owner.command, "exec", "--via", "nsenter", unfiltered, "sh", "-c", script]
    with subprocess.Popen(argv, env=owner.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"begun\n"
        until(lambda: len(processes(word)) == 2)
        process.send_signal(number)
        assert process.wait(60) == (9 if number == signal.SIGTERM else -number)
    try:
        until(lambda: not processes(word))
    finally:
        end_all(word)


def test_owner_takes_exec_where_there_is_a_filter(world: World, owner: Person) -> None:
    """The filter can't be carried over by who may not read it: nsenter refuses rather than be weaker, and exec is
    taken."""
    done = _exec(owner, "-v", world.rootless_podman.shared("busybox"), "grep", "^Seccomp:", "/proc/self/status")
    assert done.stdout == b"Seccomp:\t2\n"
    lines = done.stderr.decode().splitlines()
    assert lines[1].startswith("dockshell: nsenter: ") and "seccomp filter" in lines[1]
    assert lines[2] == "dockshell: exec: taken"
