"""`dockshell image`: what it builds, what it writes, and how it says what went wrong. What is inside has tests of its
own (test_image_init.py, test_image_parts.py)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

_ODD = "a  \"b\" $HOME \\n 'c' `d` #e"
_LISTING = r"find /etc/service /etc/my_init.d /sbin/my_init /usr/sbin/enable_insecure_key -printf '%p %m %l\n' | sort"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A service's directory."""
    directory = tmp_path / "hello"
    directory.mkdir()
    (directory / "run").write_text("#!/bin/sh\nexec sleep 1000\n")
    return directory


def test_it_builds_what_was_asked_for(engine: Peer, dockshell: Run, service: Path, tmp_path: Path) -> None:
    """The image boots, with the service, the startup file and each variable in place; stdout is the name alone, stderr
    tells of each step, of the size, and never a variable's value."""
    (tmp_path / "10_hello").write_text("#!/bin/sh\necho begun >/run/begun\n")
    words = ("--service", str(service), "--startup", str(tmp_path / "10_hello"), "--env", f"ODD={_ODD}")
    lines = ("--env", "LINES=one\ntwo\n", "--env", "SECRET=dont-show")
    tag = engine.adopt(f"dockshell-test/image-{os.getpid()}")
    base = engine.image("slim")
    done = dockshell(
        "image", "build", "--from", base, *words, *lines, "-t", tag, engine=engine, timeout=120
    )  # fmt: skip
    assert (done.returncode, done.stdout.decode()) == (0, f"{tag}\n"), done.stderr.decode()
    said = done.stderr.decode()
    assert "RUN apt-get update" in said and f" MB more than {base}" in said and "dont-show" not in said
    name = engine.run(tag)
    told = ("exec", "--login", name, "sh", "-c", 'printf "%s|%s|" "$ODD" "$LINES"; cat /run/begun; pgrep -x sleep; :')
    until = time.monotonic() + 60
    while (output := dockshell(*told, engine=engine).stdout.decode()).count("begun") < 1 and time.monotonic() < until:
        time.sleep(0.1)
    assert output.startswith(f"{_ODD}|one\ntwo\n|begun\n")


def test_what_is_written_builds_the_same(docker: Peer, dockshell: Run, service: Path, tmp_path: Path) -> None:
    """`dockerfile -o DIR`, committed, checked out and built by the engine's own command, gives the same image as
    `build`; without -o the very same Dockerfile is printed."""
    words = ("--from", docker.image("slim"), "--ssh", "--cron", "--syslog", "--service", str(service))
    printed = dockshell("image", "dockerfile", *words, engine=docker)
    out = tmp_path / "out"
    done = dockshell("image", "dockerfile", *words, "-o", str(out), engine=docker)
    assert (printed.returncode, done.returncode, done.stdout, done.stderr) == (0, 0, b"", b"")
    assert (out / "Dockerfile").read_bytes() == printed.stdout
    for git in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *git], cwd=out, check=True, capture_output=True)
    subprocess.run(["git", "clone", "-q", str(out), str(tmp_path / "clone")], check=True)
    listings = []
    theirs = docker.build(
        f"dockshell-test/theirs-{os.getpid()}", (out / "Dockerfile").read_text(), str(tmp_path / "clone")
    )
    ours = docker.adopt(f"dockshell-test/ours-{os.getpid()}")
    built = dockshell("image", "build", *words, "-t", ours, engine=docker, timeout=120)
    assert built.returncode == 0, built.stderr
    for tag in (theirs, ours):
        listings.append(docker.ask("run", "--rm", tag, "sh", "-c", _LISTING))
    assert listings[0] == listings[1]
    assert "/etc/service/hello/run 755" in listings[0] and "/etc/service/sshd/down 644" in listings[0]
    keys = docker.ask("run", "--rm", ours, "sh", "-c", "ls /etc/ssh")
    assert "ssh_host" not in keys


def test_a_base_of_its_own_manner(docker: Peer, dockshell: Run) -> None:
    """A base whose user isn't root and which has an entrypoint is built on all the same."""
    base = docker.build(
        "dockshell-test/mannered", f'FROM {docker.image("slim")}\nUSER nobody\nENTRYPOINT ["echo", "no"]\n'
    )
    tag = docker.adopt(f"dockshell-test/mannered-{os.getpid()}")
    done = dockshell("image", "build", "--from", base, "-t", tag, engine=docker, timeout=120)
    assert done.returncode == 0, done.stderr
    assert docker.ask("run", "--rm", tag, "/sbin/my_init", "--quiet", "--", "id", "-u") == "0"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["build"], 2, "needs a name"),
        (["bild", "-t", "x"], 2, "image takes build or dockerfile"),
        (["build", "-t", "x", "--from", "a b"], 2, "--from takes an image's name"),
        (["build", "-t", "x", "-o", "x"], 2, "-o is for"),
        (["dockerfile", "-t", "x"], 2, "docker build -t NAME"),
        (["build", "-t", "x", "--env", "A"], 2, "--env takes K=V"),
        (["build", "-t", "x", "--service", "/nonexistent"], 2, "is none"),
        (["build", "-t", "x", "--startup", "/etc/passwd", "--no-python"], 2, "--startup takes my_init"),
        (["build", "-t", "x", "--env", "A=1\n2", "--no-python"], 2, "more than one line"),
        (["build", "-t", "UPPER/case", "--from", "dockshell-test/slim"], 125, "invalid"),
        (["build", "-t", "x", "--from", "dockshell-test/busybox"], 2, "takes Debian, Ubuntu or Alpine"),
    ],
)
def test_what_can_t_be_built(docker: Peer, dockshell: Run, words: list[str], code: int, says: str) -> None:
    """Refused in one clear sentence, before anything is made."""
    docker.image("slim"), docker.image("busybox")
    done = dockshell("image", *words, engine=docker, timeout=60)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (code, b""), lines
    assert says in lines[-1] and lines[-1].startswith("dockshell: ")
    assert "dockshell-image-" not in docker.ask("ps", "-a", "--format", "{{.Names}}")


def test_a_step_that_fails(docker: Peer, dockshell: Run) -> None:
    """What the step said at last is shown, and then that it failed; no image of that name is there."""
    base = docker.build("dockshell-test/broken", f"FROM {docker.image('slim')}\nRUN rm -rf /srv/mirror\n")
    done = dockshell("image", "build", "--from", base, "-t", "dockshell-test/never", engine=docker, timeout=120)
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (125, b"")
    assert "/srv/mirror" in said and "the image can't be built" in said.splitlines()[-1]
    assert "x1b" not in said and "\x1b" not in said  # Docker colors what a step writes to stderr
    assert docker.sh("image", "inspect", "dockshell-test/never", check=False).returncode != 0


def test_without_an_engine_a_dockerfile_is_written(dockshell: Run, tmp_path: Path) -> None:
    """By the base's name alone."""
    nowhere = f"unix://{tmp_path}/none.sock"
    done = dockshell("-H", nowhere, "image", "dockerfile", "--from", "alpine:3.20", "--ssh")
    assert done.returncode == 0 and b"apk add" in done.stdout, done.stderr
    done = dockshell("-H", nowhere, "image", "build", "--from", "alpine:3.20", "-t", "x")
    assert (done.returncode, done.stdout) == (125, b"") and b"no such socket" in done.stderr


def test_at_a_terminal_there_is_a_bar(docker: Peer, terminal: Terminal) -> None:
    """Where somebody looks, a line tells how far it is, and is gone at the end; Ctrl-C ends it, with no container
    left."""
    tag = docker.adopt(f"dockshell-test/bar-{os.getpid()}")
    docker.image("slim")
    child = terminal("image", "build", "--from", "dockshell-test/slim", "-t", tag, engine=docker, timeout=120)
    child.expect_exact(b"RUN apt-get update")
    child.expect_exact(b" MB more than")
    child.expect(pexpect.EOF)
    assert child.wait() == 0
    slow = docker.build("dockshell-test/slow", "FROM dockshell-test/slim\n"
                        'RUN printf \'APT::Update::Pre-Invoke {"sleep 600";};\' >/etc/apt/apt.conf.d/x\n')  # fmt: skip
    child = terminal("image", "build", "--from", slow, "-t", "dockshell-test/never", engine=docker, timeout=60)
    child.expect_exact(b"RUN apt-get update")
    child.kill(signal.SIGINT)
    child.expect(pexpect.EOF)
    assert child.wait() == 130
    until = time.monotonic() + 60
    while b"apt-get" in docker.sh("ps", "--no-trunc", "--format", "{{.Command}}").stdout:
        assert time.monotonic() < until
        time.sleep(0.1)
