"""`dockshell image` on an Alpine: its own apk, shell, crond and syslogd; Python, runit, sshd and tini are a Debian's
there (tests/world/alpine.py)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def _eventually(look: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_all_parts_on_alpine(docker: Peer, dockshell: Run) -> None:
    """It builds, boots and stops; login shells have the environment; sshd takes a login, syslogd a line, crond runs."""
    base = docker.image("alpine")
    tag = docker.adopt(f"dockshell-test/alpine-{os.getpid()}")
    words = ("--ssh", "--cron", "--syslog", "--env", 'GREETING=it\'s "so"')
    done = dockshell("image", "build", "--from", base, *words, "-t", tag, engine=docker, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert b"apk add --no-cache" in done.stderr
    name = docker.run(tag, options=("-e", "LATER=two\nlines"))

    def inside(*command: str) -> bytes:
        return dockshell("exec", "--login", name, *command, engine=docker).stdout

    assert inside("sh", "-c", 'echo "$GREETING|$LATER"; cat /etc/alpine-release').startswith(
        b'it\'s "so"|two\nlines\n3.'
    )
    assert dockshell("ssh", "enable", name, engine=docker, timeout=60).returncode == 0
    done = dockshell("exec", "--via", "ssh", name, "sh", "-c", "id -un; exit 3", engine=docker, timeout=60)
    assert (done.returncode, done.stdout) == (3, b"root\n"), done.stderr
    _eventually(lambda: inside("sh", "-c", "logger seen; grep -c seen /var/log/syslog").strip() not in (b"", b"0"))
    _eventually(lambda: b"seen" in docker.sh("logs", name).stdout + docker.sh("logs", name).stderr)
    running = dockshell("services", name, engine=docker).stdout
    for service in (b"cron", b"sshd", b"syslog"):
        assert [row.split()[1] for row in running.splitlines() if row.split()[:1] == [service]] == [b"running"], running
    assert b"crond" in inside("ps")
    docker.sh("stop", "--time", "60", name, timeout=120)
    assert docker.inspect(name)["State"]["ExitCode"] == 0  # with KILL it is 137


def test_my_init_and_setuser_on_alpine(docker: Peer, dockshell: Run) -> None:
    """A command's exit code, a signal's, and a user's words, by musl's own passwd."""
    base = docker.image("alpine")
    tag = docker.adopt(f"dockshell-test/alpine-init-{os.getpid()}")
    assert dockshell("image", "build", "--from", base, "-t", tag, engine=docker, timeout=120).returncode == 0
    for script, code in (("exit 7", 7), ("kill -TERM $$", 143)):
        assert docker.sh("run", "--rm", tag, "/sbin/my_init", "--", "sh", "-c", script, check=False).returncode == code
    told = docker.ask("run", "--rm", tag, "/sbin/setuser", "guest", "sh", "-c", "id -un; echo $HOME $USER $SHELL")
    assert told == "guest\n/dev/null guest /sbin/nologin"


def test_without_python_on_alpine(docker: Peer, dockshell: Run) -> None:
    """tini and runit alone: services run, and the stop takes no KILL."""
    base = docker.image("alpine")
    tag = docker.adopt(f"dockshell-test/alpine-bare-{os.getpid()}")
    words = ("image", "build", "--from", base, "--no-python", "--syslog", "-t", tag)
    assert dockshell(*words, engine=docker, timeout=120).returncode == 0
    name = docker.run(tag)
    _eventually(lambda: b"syslogd" in docker.sh("exec", name, "ps").stdout)
    docker.sh("stop", name)
    assert docker.inspect(name)["State"]["ExitCode"] != 137
