"""The toolbox through the engine's API alone: somebody without root, whom only the socket lets in, in containers with
nothing inside."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pexpect
import pytest

from dockshell.engines.docker import SIDECAR
from tests.contract.watching import end_all, processes, unique, until
from tests.world import Peer, World, own_rootless_podman
from tests.world.images import LOCKED
from tests.world.person import Person, let_in, person

NOBODY = 65534
CALLERS = ["docker", "rootless-podman"]
KINDS = {
    "scratch": (),
    "read-only": ("--read-only",),
    "locked": (*LOCKED, "--user", "65532"),
    "tmpfs": ("--tmpfs", "/data:mode=1777"),
}

MATRIX = [
    *(("docker", kind) for kind in KINDS),
    ("docker26", "locked"),
    *(("rootless-podman", kind) for kind in ("locked", "tmpfs")),
]


class Caller:
    """Who types, and what is typed. peer: whose containers."""

    def __init__(self, peer: Peer, somebody: Person) -> None:
        self.peer = peer
        self.command = somebody.command
        self.environment = {**somebody.environment, "DOCKER_HOST": peer.url}
        self.place = somebody.place

    def run(self, *words: str, input: bytes = b"", timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
        """dockshell with these words, to its end."""
        argv, env = [*self.command, *words], self.environment
        return subprocess.run(argv, input=input, env=env, capture_output=True, cwd="/", timeout=timeout, check=False)

    def started(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        """The same, left running."""
        return subprocess.Popen([*self.command, *words], env=self.environment, cwd="/", **more)

    def sidecars(self) -> list[str]:
        """Those that there are, running or not."""
        return self.peer.ask("ps", "--all", "--quiet", "--filter", f"label={SIDECAR}").split()


@pytest.fixture(scope="module")
def people(world: World) -> Iterator[dict[str, Person]]:
    """By engine: a member of its socket's group, or whom a rootless one belongs to."""
    world.need_root()
    with person(own_rootless_podman.USER) as owner:
        found = {"rootless-podman": owner}
        yield found


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest, world: World, people: dict[str, Person]) -> Iterator[Caller]:
    peer: Peer = getattr(world, request.param.replace("-", "_"))
    if request.param in people:
        yield Caller(peer, people[request.param])
        return
    socket = peer.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    with person(NOBODY, [NOBODY, os.stat(socket).st_gid]) as somebody:
        yield Caller(peer, somebody)


@pytest.mark.parametrize(("caller", "kind"), MATRIX, indirect=["caller"])
def test_a_command_where_there_is_nothing(caller: Caller, kind: str) -> None:
    """Its words, input, output, errors and exit code pass; it is in the container's root; PATH ends with the tools, and
    nothing is left of them."""
    name = caller.peer.run("static", options=KINDS[kind])
    before = caller.peer.ask("diff", name)
    script = 'cat; echo "$0" "$1" >&2; echo $PATH; ls /; exit 7'
    done = caller.run("exec", "--via", "toolbox", name, "--", "sh", "-c", script, "a  b", "c\nd", input=b"in\0\xff\n")
    path, *listed = done.stdout.removeprefix(b"in\0\xff\n").splitlines()
    assert (done.returncode, done.stderr) == (7, b"a  b c\nd\n")
    assert path.startswith(b"/:/proc/") and path.endswith(b"/bin")
    assert b"busybox" in listed and b".dockshell" not in listed
    assert caller.peer.ask("diff", name) == before
    assert caller.sidecars() == []


def test_auto_brings_tools_where_there_is_no_shell(caller: Caller) -> None:
    """Last of all: a shell, and a command that isn't there; -v tells; where a shell is, nothing is brought."""
    name = caller.peer.run("static")
    done = caller.run("-v", "shell", name, input=b"echo $0 $HOME; id -u; pwd; exit 3\n")
    assert done.returncode == 3, done
    assert done.stdout.splitlines()[0].endswith(b"/sh /") and done.stdout.splitlines()[1:] == [b"0", b"/"]
    assert b"toolbox: taken" in done.stderr
    assert caller.run("exec", name, "--", "cat", input=b"to the second attempt\n").stdout == b"to the second attempt\n"
    absent = caller.run("exec", name, "--", "no-such-tool")
    assert (absent.returncode, absent.stdout) == (127, b"") and absent.stderr.count(b"\n") == 1
    shelled = caller.run("-v", "exec", caller.peer.shared("busybox"), "--", "no-such-tool")
    assert shelled.returncode == 127 and b"toolbox: taken" not in shelled.stderr
    assert caller.sidecars() == []


def test_a_terminal(caller: Caller) -> None:
    """A pty of the container's own, with its size, and Ctrl-C."""
    name = caller.peer.run("static")
    words = ["shell", "--via", "toolbox", name]
    child: pexpect.spawn[bytes] = pexpect.spawn(
        caller.command[0], [*caller.command[1:], *words], env=caller.environment, dimensions=(33, 111), cwd="/"
    )
    try:
        child.sendline(b"stty size; tty; echo e''nd")
        child.expect(rb"33 111\r\n(/dev/\S+)\r\n", timeout=60)
        child.expect(rb"end\r\n")
        word = unique()
        child.sendline(f"sleep {word}; echo w''oken $?".encode())
        until(lambda: processes(f"sleep\0{word}"))
        child.sendintr()
        child.sendline(b"exit 9")
        child.expect(pexpect.EOF, timeout=60)
        child.wait()
    finally:
        child.close()
    assert child.exitstatus == 9
    assert caller.sidecars() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_death(caller: Caller, number: signal.Signals) -> None:
    """Killed in the middle, with a command that ignores whatever can be ignored, or told to end as the command is then:
    it and the sidecar go."""
    name = caller.peer.run("static")
    word = unique()
    stubborn = f"trap '' HUP TERM; echo begun; while :; do sleep {word}; done"
    script = stubborn if number == signal.SIGKILL else f"echo begun; exec sleep {word}"
    with caller.started(
        "exec", "--via", "toolbox", name, "--", "sh", "-c", script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout and child.stdout.readline() == b"begun\n"
            assert processes(word) and caller.sidecars()
            child.send_signal(number)
            until(lambda: not processes(word))
            until(lambda: not caller.sidecars())
            code = child.wait(60)
        finally:
            end_all(word)
            child.kill()
    assert code == (-number if number == signal.SIGKILL else 128 + number)


def test_who_one_is(caller: Caller) -> None:
    """-u names anybody, with a group or none, and the tools are for them."""
    name = caller.peer.run("static")
    for user, ids in (("1234", b"1234 0"), ("1234:77", b"1234 77"), ("0", b"0 0")):
        done = caller.run("exec", "--via", "toolbox", "-u", user, name, "--", "sh", "-c", "echo $(id -u) $(id -g)")
        assert done.stdout == ids + b"\n", done
    wrong = caller.run("exec", "--via", "toolbox", "-u", "nobody-there", name, "--", "id")
    assert (wrong.returncode, wrong.stderr.count(b"\n")) == (125, 1)


def test_tools_of_an_image(caller: Caller) -> None:
    """Dynamic programs, scripts and their children, in a container that has neither loader nor libraries."""
    name = caller.peer.run("static", options=KINDS["locked"])
    image = caller.peer.image("workshop")
    listing = "import json, os; print(json.dumps(sorted(os.listdir('/'))))"
    script = f'python3 -c "{listing}" && git --version && bash -c "git --version"'
    done = caller.run("exec", "--via", "toolbox", "--tools", image, name, "--", "bash", "-c", script, timeout=60)
    listed, version, again = done.stdout.splitlines()
    assert b'"busybox"' in listed and b'".dockshell"' not in listed
    assert version == again and version.startswith(b"git version")
    assert (done.returncode, caller.sidecars()) == (0, [])


def test_tools_of_a_directory(caller: Caller) -> None:
    """A directory of this machine is carried there."""
    directory = os.path.join(caller.place, "tools")
    os.mkdir(directory)
    try:
        for program, content in (("greet", "#!/bin/sh\necho greetings from $0 $*\n"), ("note", "")):
            with open(os.path.join(directory, program), "w", encoding="ascii") as file:
                file.write(content)
            os.chmod(file.name, 0o755 if content else 0o644)
        name = caller.peer.run("static")
        done = caller.run("exec", "--via", "toolbox", "--tools", directory, name, "--", "greet", "you", "all")
        assert done.stdout.startswith(b"greetings from /proc/") and done.stdout.endswith(b"/greet you all\n"), done
        assert caller.run("exec", "--via", "toolbox", "--tools", directory, name, "--", "note").returncode == 127
    finally:
        subprocess.run(["rm", "-r", directory], check=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-d",), b"leave it out, or use sudo"),
        (("--cap", "SYS_PTRACE"), b"sudo"),
        (("--tools", "no-such-image"), b"pull it"),
        (("--tools", "./no-such-directory"), b"no directory"),
    ],
    ids=["detached", "capability", "image", "directory"],
)
def test_what_can_not_be(caller: Caller, words: tuple[str, ...], said: bytes) -> None:
    """One sentence with the remedy, and nothing is left."""
    name = caller.peer.shared("static")
    done = caller.run("exec", "--via", "toolbox", *words, name, "--", "ls")
    assert done.returncode in (2, 125) and said in done.stderr and done.stderr.count(b"\n") == 1, done
    assert caller.sidecars() == []


def test_no_busybox_is_said(caller: Caller) -> None:
    """With how to get one."""
    name = caller.peer.shared("static")
    caller.environment["DOCKSHELL_BUSYBOX"] = "/bin/sh"
    done = caller.run("exec", "--via", "toolbox", name, "--", "ls")
    assert done.returncode == 125 and b"busybox-static" in done.stderr, done
