"""What people type: the drop-ins, docker exec's own lines, commands left to themselves, and words that can't work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import pexpect
import pytest

from tests.conftest import COMMAND
from tests.world import Peer

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Terminal = Callable[..., "pexpect.spawn[bytes]"]
BIN = os.path.dirname(sys.executable)


@pytest.fixture
def dropin(environment: Mapping[str, str]) -> Run:
    """dropin(peer, program, *words, input=b""): runs docker-bash or docker-ssh."""

    def run(peer: Peer, program: str, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        env = {**environment, "DOCKER_HOST": peer.url}
        argv = [os.path.join(BIN, program), *words]
        return subprocess.run(argv, input=input, env=env, capture_output=True, check=False, timeout=60)

    return run


@pytest.mark.parametrize("program", ["docker-bash", "docker-ssh"])
def test_a_dropin_without_words_shows_its_usage(docker: Peer, dropin: Run, program: str) -> None:
    """On stdout and with 0, as the old ones do."""
    done = dropin(docker, program)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(f"usage: {program} [OPTIONS] CONTAINER [CMD...]".encode())


def test_docker_bash_is_bash(engine: Peer, dropin: Run) -> None:
    """A login bash where there is one, even for a user whose own shell is another; else the shell that is there."""
    assert dropin(engine, "docker-bash", engine.shared("baseimage"), input=b"echo $0\n").stdout.split()[-1] == b"-bash"
    assert dropin(engine, "docker-bash", engine.shared("busybox"), input=b"echo $0\n").stdout == b"-sh\n"


def test_docker_bash_passes_words_and_codes(engine: Peer, dropin: Run) -> None:
    """Arguments as they are, the command's exit code, and 125 for a container that isn't there."""
    done = dropin(engine, "docker-bash", engine.shared("busybox"), "sh", "-c", 'echo "$1"; exit 7', "sh", "a  b $HOME")
    assert (done.returncode, done.stdout) == (7, b"a  b $HOME\n")
    done = dropin(engine, "docker-bash", "no-such-container", "true")
    assert (done.returncode, done.stdout) == (125, b"")


def test_docker_ssh_goes_by_ssh_and_tells_the_truth(engine: Peer, dropin: Run) -> None:
    """The other side's shell reads the words, as with ssh; the exit code is the command's; the server's own process
    shows that it was ssh."""
    name = engine.shared("baseimage")
    done = dropin(engine, "docker-ssh", name, "echo", "$SSH_CONNECTION", "|", "wc", "-w;", "exit", "7")
    assert (done.returncode, done.stdout.strip()) == (7, b"4"), done


def test_docker_ssh_without_an_sshd_is_an_error(engine: Peer, dropin: Run) -> None:
    """Not 0, nothing on stdout, one line with a remedy."""
    done = dropin(engine, "docker-ssh", engine.shared("busybox"), "true")
    assert (done.returncode, done.stdout) == (125, b"")
    assert len(done.stderr.splitlines()) == 1 and b"no sshd listens inside" in done.stderr


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_a_detached_command_lives_on(engine: Peer, dockshell: Run, via: str) -> None:
    """-d returns with 0 as soon as the command runs, says nothing, and the command goes on to its end."""
    name, mark = engine.shared("busybox"), f"/tmp/detached-{via}"
    script = f"until [ -e {mark}.go ]; do sleep 0.1; done; echo done > {mark}"
    done = dockshell("exec", "-d", "--via", via, name, "sh", "-c", script, engine=engine)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    engine.sh("exec", name, "touch", f"{mark}.go")
    until = time.monotonic() + 60
    while engine.sh("exec", name, "cat", mark, check=False).stdout != b"done\n":
        assert time.monotonic() < until
        time.sleep(0.2)


_LINES = [
    ["-i", "@", "sh", "-c", "cat; pwd; id"],
    ["-u", "app", "-w", "/tmp", "@", "sh", "-c", "pwd; id; echo $HOME"],
    ["-uapp", "-e", "A=b c", "--env=B=", "@", "sh", "-c", "echo $A:$B; exit 3"],
    ["--interactive=true", "--user", "app:app", "--workdir=/etc", "@", "sh", "-c", "pwd; id; cat"],
    ["--tty=false", "-i", "@", "printf", "%s.", "a b", "", "*"],
]


@pytest.mark.parametrize("line", _LINES, ids=lambda line: line[0])
def test_docker_exec_lines_work_with_the_first_word_changed(docker: Peer, dockshell: Run, line: list[str]) -> None:
    """The same output and exit code as the engine's own command gives for the same words."""
    words = ["exec", *(docker.shared("busybox") if word == "@" else word for word in line)]
    ours = dockshell(*words, engine=docker, input=b"in\n")
    theirs = docker.sh(*words, check=False, input=b"in\n")
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)


def test_the_ladder_is_told(docker: Peer, dockshell: Run) -> None:
    """-v shows what was resolved, which way refused and why, and which was taken."""
    name = docker.shared("busybox")
    done = dockshell("-v", name, engine=docker, input=b"exit 4\n")
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 4
    assert lines[0].startswith(f"dockshell: container: {name} (") and f"docker at {docker.url}" in lines[0]
    assert lines[1].startswith("dockshell: ssh: no sshd listens inside on port 22")
    assert lines[2] == "dockshell: nsenter: taken"


def test_no_way_in_names_every_reason(docker: Peer, dockshell: Run) -> None:
    """When each way that may be tried refuses, the error lists them all."""
    done = dockshell("exec", "--via", "ssh", "--privileged", docker.shared("busybox"), "true", engine=docker)
    assert done.returncode == 125 and b"no way into" in done.stderr and b"ssh: " in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["exec", "nothing-like-it", "true"], 125, "no container fits nothing-like-it"),
        (["exec", "web"], 2, "usage: dockshell exec"),
        (["exec", "--via", "pigeon", "@", "true"], 2, "--via takes auto, ssh, nsenter, exec"),
        (["exec", "--env-from", "moon", "@", "true"], 2, "--env-from takes config or init"),
        (["exec", "--env-file", "/nowhere", "@", "true"], 2, "--env-file /nowhere can't be read"),
        (["exec", "-e", "=x", "@", "true"], 2, "sets no variable"),
        (["exec", "-u", "stranger", "@", "true"], 125, "no user 'stranger' inside"),
        (["exec", "--nope", "@", "true"], 2, "no option --nope"),
        (["a b"], 2, "can't be a container"),
        (["exec", "@", "", "x"], 127, "the name of the command is empty"),
        (["@", "ls"], 2, "a shell takes no command: `dockshell exec "),
        (["--port", "x", "@"], 2, "--port takes a number"),
        (["--via", "ssh", "--key", "/nowhere", "@"], 125, "no sshd"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_bad_words_get_one_clear_line(docker: Peer, dockshell: Run, words: list[str], code: int, says: str) -> None:
    """Exit code 2 or 125, nothing on stdout, one line, no traceback."""
    name = docker.shared("busybox")
    done = dockshell(*(name if word == "@" else word for word in words), engine=docker)
    assert (done.returncode, done.stdout) == (code, b""), done
    assert says in done.stderr.decode() and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_a_full_disk_is_one_clear_line(docker: Peer, environment: dict[str, str], via: str) -> None:
    """Where the output goes: what the kernel says of it, 1 as with `docker exec`, and the command ends."""
    name, env = docker.shared("busybox"), {**environment, "DOCKER_HOST": docker.url}
    for words in (("exec", "--via", via, name, "yes"), ("ls",), ("--help",)):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*COMMAND, *words], env=env, stdout=full, stderr=subprocess.PIPE, timeout=120)
        said = b"dockshell: the output could not be written: No space left on device\n"
        assert (done.returncode, done.stderr) == (1, said), words


def test_no_more_files_is_one_clear_line(docker: Peer, environment: dict[str, str]) -> None:
    """Where even the engine can't be asked."""
    line = 'ulimit -n 8 && exec "$@"'
    argv = ["sh", "-c", line, "sh", *COMMAND, "exec", docker.shared("busybox"), "true"]
    env = {**environment, "DOCKER_HOST": docker.url}
    done = subprocess.run(argv, env=env, capture_output=True, timeout=120, check=False)
    assert done.returncode == 125 and done.stderr.startswith(b"dockshell: no more files can be opened (8): "), done


def test_a_locale_that_lacks_a_character(docker: Peer, dockshell: Run) -> None:
    """It is spelled as an escape."""
    done = dockshell("env", docker.shared("app"), engine=docker, env={"PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, done.stderr) == (0, b"") and rb"\u017c\xf3" in done.stdout.replace(b"\xf3", rb"\xf3"), done


def test_at_a_terminal_lines_break_between_words(dockshell: Run, terminal: Terminal) -> None:
    """In a pipe the same sentence is one line."""
    words, env = ("ls", "--filter", "colour=red"), {"DOCKER_HOST": "unix:///nowhere.sock"}
    child = terminal(*words, dimensions=(24, 50), env=env)
    child.expect(pexpect.EOF)
    drawn = child.before.decode().split("\r\n")[:-1]
    told = dockshell(*words, env=env).stderr.decode()
    assert told.count("\n") == 1 and len(told) > 100
    assert len(drawn) > 2 and all(len(line.rstrip("\r")) <= 50 for line in drawn)
    assert " ".join(" ".join(drawn).split()) == told.rstrip("\n")


def test_containers_that_cannot_be_entered_say_why(docker: Peer, dockshell: Run) -> None:
    """Stopped, paused, and without any shell where tools can't be brought: each names the remedy."""
    stopped, paused = docker.run("busybox"), docker.run("busybox")
    docker.sh("kill", stopped)
    docker.sh("pause", paused)
    try:
        for name, remedy in ((stopped, f"docker start {stopped}"), (paused, f"docker unpause {paused}")):
            done = dockshell(name, engine=docker)
            assert (done.returncode, done.stdout) == (125, b"") and remedy in done.stderr.decode(), done
    finally:
        docker.sh("unpause", paused)
    for words, env in (("--via", "nsenter"), {}), ((), {"DOCKSHELL_BUSYBOX": "/bin/false"}):
        done = dockshell(*words, docker.shared("static"), engine=docker, env=env)
        assert done.returncode == 125 and b"no shell inside" in done.stderr and done.stderr.count(b"\n") == 1
        assert (b"--via toolbox" if words else b"apt install busybox-static") in done.stderr


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("unix:///nowhere/engine.sock", "no such socket"),
        ("pigeon://coop", "is no engine's address"),
        ("tcp://127.0.0.1:9", "127.0.0.1:9"),
        ("unix:///etc/passwd", "no socket"),
    ],
)
def test_a_wrong_docker_host_is_told(dockshell: Run, host: str, says: str) -> None:
    """Which place was meant, and what is wrong with it; 125."""
    done = dockshell("exec", "web", "true", env={"DOCKER_HOST": host})
    assert (done.returncode, done.stdout) == (125, b""), done
    assert says in done.stderr.decode() and len(done.stderr.splitlines()) == 1
