"""Shells and commands through the bridge, by OpenSSH's ssh: what whoever types `ssh web.dockshell` may expect."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.bridge.conftest import Way
from tests.contract.watching import processes, unique, until


def test_a_command(way: Way) -> None:
    """Its output, its errors and its exit code come as they are; the user's shell reads the line."""
    done = way.ssh(way.peer.shared("busybox"), "echo out; echo err >&2; cat; exit 7", input=b"in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\nin\n", b"err\n")


def test_a_container_with_nothing_inside(way: Way) -> None:
    """With no shell there, the line is plain words; where those are no program's, a shell is brought that reads it, and
    so is one for a login."""
    name = way.peer.shared("static")
    done = way.ssh(name, "/busybox echo 'two  words' \\$HOME")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"two  words $HOME\n", b"")
    done = way.ssh(name, "ls / | grep busybox; cat; exit 3", input=b"in\n")
    assert (done.returncode, done.stdout) == (3, b"busybox\nin\n"), done
    assert way.ssh(name, input=b"id -u\n").stdout == b"0\n"


@pytest.mark.parametrize(("user", "told"), [("", b"root /root"), ("app", b"app /home/app"), ("1000", b"app /home/app")])
def test_the_user(way: Way, user: str, told: bytes) -> None:
    """The name before the @ is the user inside; without one it is the container's own. It starts in their home, with
    their variables."""
    target = f"{user}@{way.peer.shared('busybox')}" if user else way.peer.shared("busybox")
    done = way.ssh(target, "echo $(id -un) $HOME; pwd; echo $USER $LOGNAME")
    name, home = told.split()
    assert done.stdout.split() == [name, home, home, name, name], done.stderr


def test_the_container_s_own_user(way: Way) -> None:
    """… which is the configured one, with its groups and environment."""
    done = way.ssh(way.peer.shared("app"), "id; echo $EQUALS $PLAIN")
    groups = b"uid=1000(app) gid=1000(app) groups=1000(app),2001(staff2),2002(video2)"
    assert done.stdout.splitlines() == [groups, b"a=b=c 1"], done.stderr


@pytest.mark.parametrize(
    ("target", "reason"),
    [("nobodyatall@{}", b"no user 'nobodyatall' inside"), ("nosuchcontainer", b"no container fits nosuchcontainer")],
)
def test_what_is_not_there_is_said(way: Way, target: str, reason: bytes) -> None:
    """One line with the reason, and 125."""
    done = way.ssh(target.format(way.peer.shared("busybox")), "echo ran")
    assert (done.returncode, done.stdout) == (125, b"")
    assert reason in done.stderr and done.stderr.count(b"\n") == 1


def test_bytes_of_a_command(rooted: Way) -> None:
    """A line that isn't UTF-8 gets there as it is."""
    argv = rooted.argv("ssh", rooted.peer.shared("busybox") + ".dockshell", "printf %s '\udcff\udcfe' | od -An -tx1")
    done = subprocess.run(
        [os.fsencode(word) for word in argv], env=rooted.environment, capture_output=True, check=False, timeout=60
    )
    assert done.stdout.split() == [b"ff", b"fe"], done.stderr


def test_environment(rooted: Way) -> None:
    """Of what a client sends only the language, for a login, and a few harmless names come through."""
    name = rooted.peer.shared("busybox")
    options = [f"-oSetEnv={pair}" for pair in ("SECRET=x", "PATH=/x", "LD_PRELOAD=x", "LC_ALL=tlh", "NO_COLOR=1")]
    # ssh takes the first SetEnv alone; all of them go into one.
    joined = "-oSetEnv=" + " ".join(each.removeprefix("-oSetEnv=") for each in options)
    told = rooted.ssh(name, "env", options=[joined]).stdout.decode()
    assert "NO_COLOR=1" in told and "PATH=/bin:/sbin:/usr/bin" in told
    assert not any(word in told for word in ("SECRET", "LD_PRELOAD", "LC_ALL", "SSH_"))
    assert b"LC_ALL=tlh" in rooted.ssh(name, options=[joined], input=b"env\n").stdout


def test_a_terminal(way: Way, at_terminal: Callable[..., Any]) -> None:
    """A login shell on a pty of the container's own, of the right size and kind, that follows every change; Ctrl-C is
    its own; the exit code comes out."""
    child = at_terminal(way, way.peer.shared("busybox") + ".dockshell", dimensions=(31, 97))
    child.send(b'echo "si""ze $(stty size) $(tty) $TERM $0"\r')
    child.expect(rb"size 31 97 /dev/pts/\d+ xterm-256color -?(/bin/)?sh\r\n")
    child.setwinsize(20, 61)
    child.send(b'until [ "$(stty size)" = "20 61" ]; do sleep 0.1; done; echo re"sized"\r')
    child.expect_exact(b"resized\r\n")
    word = unique()
    child.send(f"sleep {word}\r".encode())
    until(lambda: processes(f"sleep\0{word}"))
    child.send(b"\x03")
    child.send(b"echo go$((1))es; exit 5\r")
    child.expect_exact(b"go1es\r\n")
    child.expect(b"$")
    child.wait()
    assert child.exitstatus == 5


def test_a_command_at_a_terminal(way: Way) -> None:
    """`-tt` makes one, whatever ours is."""
    done = way.ssh(way.peer.shared("busybox"), "tty; exit 3", options=["-tt"])
    assert done.returncode == 3 and done.stdout.startswith(b"/dev/pts/")


def test_bytes_both_ways(way: Way) -> None:
    """Many, and any, and none is lost at the end."""
    name = way.peer.shared("busybox")
    content = os.urandom(5_000_000)
    done = way.ssh(name, "cat", input=content)
    assert done.returncode == 0 and done.stdout == content
    assert len(way.ssh(name, "head -c 20000000 /dev/zero").stdout) == 20_000_000


def test_a_command_that_reads_nothing(way: Way) -> None:
    """It ends all the same, however much is sent to it."""
    done = way.ssh(way.peer.shared("busybox"), "exit 4", input=bytes(3_000_000))
    assert done.returncode == 4


def test_a_background_process_keeps_nobody_waiting(rooted: Way) -> None:
    """A daemon that holds the command's output doesn't hold the connection."""
    word = unique()
    try:
        done = rooted.ssh(rooted.peer.shared("busybox"), f"setsid sleep {word} & echo done")
        assert done.stdout == b"done\n"
    finally:
        for pid in processes(f"sleep\0{word}"):
            os.kill(pid, signal.SIGKILL)


def test_an_exit_by_signal(rooted: Way) -> None:
    """A command that a signal ended says which."""
    done = rooted.ssh(rooted.peer.shared("busybox"), "kill -KILL $$", options=["-v"])
    assert done.returncode == 255 and b"exit-signal" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_that_vanishes(way: Way, number: int) -> None:
    """Whatever ends ssh, nothing of what it ran is left, however stubborn."""
    word = unique()
    script = f"trap '' HUP TERM; sleep {word} & sleep {word} & echo ready; wait; wait"
    process = way.started(way.peer.shared("busybox") + ".dockshell", script)
    try:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        until(lambda: processes(f"sleep\0{word}"))
    finally:
        process.send_signal(number)
        process.communicate()
    until(lambda: not processes(f"sleep\0{word}"))


def test_signals(ways: Callable[[str, str], Way]) -> None:
    """A `signal` request, which ssh itself never sends, reaches the command."""
    import asyncio

    import asyncssh

    rooted = ways("docker", "root")

    async def main() -> tuple[str, int | None]:
        async with asyncssh.connect(
            rooted.peer.shared("busybox") + ".dockshell", config=[rooted.config], known_hosts=None
        ) as connection:
            process = await connection.create_process(
                "trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.1; done"
            )
            assert await process.stdout.readline() == "ready\n"
            process.send_signal("USR1")
            told = await process.stdout.readline()
            await process.wait()
            return told, process.exit_status

    assert asyncio.run(main()) == ("got\n", 9)


def test_a_container_that_stops(rooted: Way) -> None:
    """The session ends at once, with 137 and a line that says so."""
    name = rooted.peer.run("busybox")
    process = rooted.started(f"{name}.dockshell", "echo ready; exec sleep 60")
    assert process.stdout and process.stdout.readline() == b"ready\n"
    rooted.peer.sh("kill", name)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (137, 255) and (b"stopped" in told or process.returncode == 255)


def test_many_sessions_in_one_connection(each_rooted: Way) -> None:
    """ControlMaster: the second one takes no new connection, and each is a process of its own."""
    name = each_rooted.peer.shared("busybox") + ".dockshell"
    path = f"/tmp/dsh-cm-{os.getpid()}"
    options = ["-o", f"ControlPath={path}"]
    master = each_rooted.started(*options, "-M", "-N", name)
    try:
        until(lambda: os.path.exists(path))
        done = [each_rooted.run("ssh", *options, name, f"echo {number}; exit {number}") for number in range(5)]
        assert [(each.returncode, each.stdout) for each in done] == [(n, b"%d\n" % n) for n in range(5)]
        assert b"mux_client" in each_rooted.run("ssh", *options, "-v", name, "true").stderr
    finally:
        each_rooted.run("ssh", *options, "-O", "exit", name)
        master.communicate(timeout=60)


def test_fifty_at_once(each_rooted: Way) -> None:
    """Each gets its own answer."""
    name = each_rooted.peer.shared("busybox") + ".dockshell"
    running = [each_rooted.started(name, f"echo {number}; cat") for number in range(50)]
    answers = [process.communicate(b"in", timeout=120) for process in running]
    assert [answer[0] for answer in answers] == [b"%d\nin" % number for number in range(50)], answers
    assert {process.returncode for process in running} == {0}


def test_a_proxy_at_a_terminal_says_what_it_is_for(rooted: Way, terminal: Callable[..., Any]) -> None:
    """Typed by somebody, it doesn't wait for SSH."""
    child = terminal("proxy", "web", engine=rooted.peer)
    child.expect_exact(b"dockshell ssh-config --install")
    child.expect(b"$")
    child.wait()
    assert child.exitstatus == 2
