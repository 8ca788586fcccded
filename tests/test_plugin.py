"""`docker shell`: Docker's real command with the plugin that `dockshell init docker` puts in place."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from dockshell.commands.plugin import words
from dockshell.errors import UsageError
from tests.contract.watching import unique
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]


@pytest.fixture
def plugin(environment: dict[str, str], dockshell: Run) -> Path:
    """The plugin, in place for the person whose environment it is."""
    done = dockshell("init", "docker")
    path = Path(environment["HOME"], ".docker", "cli-plugins", "docker-shell")
    assert (done.returncode, done.stdout) == (
        0,
        b"",
    ) and f"{path} is made: `docker shell` works now".encode() in done.stderr
    return path


@pytest.fixture
def typed(world: World, environment: dict[str, str]) -> Run:
    """typed(*words, input=b"", engine=None): Docker's own command."""
    client = world.need_program("docker")

    def run(*words: str, input: bytes = b"", engine: Peer | None = None) -> subprocess.CompletedProcess[bytes]:
        env = {**environment, **({"DOCKER_HOST": engine.url} if engine else {})}
        return subprocess.run([client, *words], input=input, env=env, capture_output=True, timeout=60, check=False)

    return run


def _recent(world: World) -> str:
    """The first of Docker's commands on the PATH that tells its plugins when to end: from version 25."""
    for folder in os.get_exec_path():
        client = shutil.which("docker", path=folder)
        told = (
            subprocess.run([client, "--version"], capture_output=True, text=True, check=False).stdout if client else ""
        )
        found = re.search(r"version (\d+)", told)
        if client and found and int(found[1]) >= 25:
            return client
    world.need(False, "no docker command of version 25 or newer is here")
    raise AssertionError


def _gone(docker: Peer, name: str, seconds: str, within: float = 60.0) -> bool:
    """Does the sleep of so many seconds end in that container within that time?"""
    until = time.monotonic() + within
    while f"sleep {seconds}" in docker.ask("top", name):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _runs(docker: Peer, name: str, seconds: str) -> None:
    until = time.monotonic() + 60
    while f"sleep {seconds}" not in docker.ask("top", name):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_put_in_place_and_taken_away(plugin: Path, dockshell: Run, typed: Run) -> None:
    """Docker's help lists it; again there is nothing to do, and what an older one left is made anew; --remove takes it
    away, and then there is nothing to take."""
    assert b"shell*" in typed("help").stdout
    assert b"is in place already" in dockshell("init", "docker").stderr
    plugin.write_text(plugin.read_text() + "# older\n")
    assert b"is made anew" in dockshell("init", "docker").stderr and "older" not in plugin.read_text()
    assert b"is removed" in dockshell("init", "docker", "--remove").stderr and not plugin.exists()
    done = dockshell("init", "docker", "--remove")
    assert (done.returncode, b"nothing to remove" in done.stderr) == (0, True)
    assert b"shell*" not in typed("help").stdout
    assert dockshell("init", "bash", "--remove").returncode == 2


@pytest.mark.parametrize("options", [[], ["--remove"]])
@pytest.mark.parametrize("link", [False, True])
def test_somebody_elses_plugin_is_left_alone(
    environment: dict[str, str], dockshell: Run, tmp_path: Path, options: list[str], link: bool
) -> None:
    """Whatever else is called docker-shell, a link too, stays as it is, and one is told what to do."""
    path = Path(environment["HOME"], ".docker", "cli-plugins", "docker-shell")
    path.parent.mkdir(parents=True)
    theirs = tmp_path / "theirs" if link else path
    theirs.write_text("#!/bin/sh\necho theirs\n")
    if link:
        path.symlink_to(theirs)
    done = dockshell("init", "docker", *options)
    assert done.returncode == 125 and b"was not put there by dockshell: move it away" in done.stderr
    assert path.read_text() == "#!/bin/sh\necho theirs\n" and path.is_symlink() == link


def test_docker_shell_is_dockshell(plugin: Path, docker: Peer, typed: Run) -> None:
    """`docker shell NAME` runs what is piped in and ends with its code; without a NAME it is in the newest;
    Docker's own -H, --context and --config say where, and its help is ours."""
    name = docker.run("busybox")
    hostname = docker.inspect(name)["Config"]["Hostname"].encode()
    done = typed("shell", "-u", "app", name, input=b"hostname; id -un; exit 7\n", engine=docker)
    assert (done.returncode, done.stdout, done.stderr) == (7, hostname + b"\napp\n", b"")
    assert typed("shell", input=b"hostname\n", engine=docker).stdout == hostname + b"\n"
    assert typed("-H", docker.url, "shell", name, input=b"hostname\n").stdout == hostname + b"\n"
    typed("context", "create", "there", "--docker", f"host={docker.url}")
    assert typed("--context", "there", "--debug", "shell", input=b"hostname\n").stdout == hostname + b"\n"
    moved = plugin.parent.parent.rename(plugin.parent.parent.with_name("elsewhere"))
    assert typed("--config", str(moved), "--context=there", "shell", input=b"hostname\n").stdout == hostname + b"\n"
    moved.rename(plugin.parent.parent)
    assert typed("shell", "--help").stdout.startswith(b"usage: dockshell shell [OPTIONS] [TARGET]\n")
    done = typed("shell", "no-such-container", engine=docker)
    assert done.returncode == 125 and b"dockshell: no container fits no-such-container" in done.stderr


def test_at_a_terminal(world: World, plugin: Path, docker: Peer, terminal: Terminal) -> None:
    """It has the caller's size and follows it, Ctrl-C is the command's, the exit code is the shell's, and the terminal
    is as it was before."""
    client = world.need_program("docker")
    name = docker.run("busybox")
    child = terminal("shell", name, command=[client], engine=docker, dimensions=(33, 101))
    before = termios.tcgetattr(child.child_fd)
    child.expect("#")
    child.send("stty size\r")
    child.expect_exact("33 101\r\n")
    child.setwinsize(20, 70)
    child.send("sleep 4701\r")
    _runs(docker, name, "4701")
    child.send("\x03")
    child.expect("#")
    child.send("stty size\r")
    child.expect_exact("20 70\r\n")
    child.send("exit 9\r")
    child.expect(pexpect.EOF)
    assert termios.tcgetattr(child.child_fd) == before
    child.close()
    assert child.exitstatus == 9


def test_when_docker_is_killed(world: World, plugin: Path, docker: Peer, terminal: Terminal) -> None:
    """The session ends with it within two seconds, and the terminal is as it was before."""
    name = docker.run("busybox")
    child = terminal("shell", name, command=[world.need_program("docker")], engine=docker)
    before = termios.tcgetattr(child.child_fd)
    child.expect("#")
    child.send("sleep 4702\r")
    _runs(docker, name, "4702")
    child.kill(signal.SIGKILL)
    assert _gone(docker, name, "4702")
    until = time.monotonic() + 60
    while termios.tcgetattr(child.child_fd) != before:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_when_docker_is_told_to_end(world: World, plugin: Path, docker: Peer, environment: dict[str, str]) -> None:
    """What is sent to Docker's command in a pipe reaches the command inside as a TERM, and the code is truthful."""
    name = docker.run("busybox")
    env = {**environment, "DOCKER_HOST": docker.url}
    with subprocess.Popen([_recent(world), "shell", name], stdin=subprocess.PIPE, env=env) as process:
        assert process.stdin
        process.stdin.write(b"exec sleep 4703\n")
        process.stdin.flush()
        _runs(docker, name, "4703")
        process.terminate()
        assert process.wait(60) == 143
    assert _gone(docker, name, "4703")


def test_when_dockshell_is_gone(plugin: Path, docker: Peer, typed: Run) -> None:
    """A plugin whose dockshell was removed says so, whether its Python went, too, or not."""
    script = plugin.read_text()
    assert script.count(sys.executable) == 1
    other = getattr(sys, "_base_executable", "")
    for python, said in (
        ("/nowhere/python", b"/nowhere/python, which this plugin takes, is gone"),
        (other, b"has it no more"),
    ):
        plugin.write_text(script.replace(sys.executable, python))
        done = typed("shell", engine=docker)
        assert done.returncode == 125 and said in done.stderr and done.stderr.count(b"\n") == 1


def test_completion(world: World, plugin: Path, docker: Peer, environment: dict[str, str]) -> None:
    """Docker's own completion offers the containers and the options."""
    name = docker.run("busybox", name=f"{unique()}-completed")
    env = {**environment, "DOCKER_HOST": docker.url}

    def told(*words: str) -> list[str]:
        line = [_recent(world), "__complete", "shell", *words]
        return subprocess.run(
            line, env=env, capture_output=True, text=True, timeout=60, check=False
        ).stdout.splitlines()

    assert [line.partition("\t")[0] for line in told(name[:-1])] == [name, ":4"]
    assert [line.partition("\t")[0] for line in told("--pri")] == ["--privileged", ":4"]
    assert told("--env-file", "") == [":0"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["shell"], ["shell"]),
        (["-D", "-linfo", "-H=unix:///a", "shell"], ["--debug", "--log-level", "info", "-H", "unix:///a", "shell"]),
        (["--tlsverify=1", "--tlskey", "k", "--config=d", "shell"],
         ["--tlsverify=1", "--tlskey", "k", "--config", "d", "shell"]),
        (["shell", "-D", "1080", "--tls"], ["shell", "-D", "1080", "--tls"]),
        (["-ctwo", "shell", "--", "web"], ["-c", "two", "shell", "--", "web"]),
        (["help", "shell"], ["shell", "--help"]),
        (["__complete", "-H", "x", "shell", ""], ["__complete-docker", "--", "dockshell", "-H", "x", "shell", ""]),
        (["--nonsense", "shell"], None),
        (["web"], None),
        ([], None),
    ],
)  # fmt: skip
def test_dockers_options(given: list[str], expected: list[str] | None) -> None:
    """Those in front of `shell` are Docker's, and taken as it means them; those behind it are ours."""
    if expected is not None:
        assert words(given) == expected
        return
    with pytest.raises(UsageError):
        words(given)
