"""The bridge by the clients that people have: OpenSSH's and others, none of them ours. `way` is where they go in: each
engine, as root and as a member of the engine's group."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import COMMAND
from tests.world import Peer, World
from tests.world.person import Person, let_in, person

WAYS = (("docker", "root"), ("podman", "root"), ("docker", "group"))
_NOBODY = 65534


class Way:
    """peer: the engine; who: `root`, or `group` for somebody who may do nothing but ask the engine. config: the path of
    a configuration for ssh, as `dockshell ssh-config` prints it, with the proxy of that person in it."""

    def __init__(self, peer: Peer, who: str, caller: Person, config: Path) -> None:
        self.peer, self.who, self.caller = peer, who, caller
        self.config = str(config)
        self.environment = {**caller.environment, "HOME": str(config.parent), "PATH": os.environ["PATH"]}

    def argv(self, program: str, *words: str, options: Sequence[str] = ()) -> list[str]:
        """What is typed: ssh, scp or sftp with the configuration."""
        return [program, "-F", self.config, "-o", "BatchMode=yes", *options, *words]

    def run(
        self, program: str, *words: str, options: Sequence[str] = (), input: bytes = b"", timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs it to its end."""
        argv = self.argv(program, *words, options=options)
        return subprocess.run(
            argv, input=input, env=self.environment, capture_output=True, timeout=timeout, check=False
        )

    def ssh(self, target: str, *words: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """`ssh TARGET.dockshell WORDS`."""
        user, at, name = target.rpartition("@")
        return self.run("ssh", f"{user}{at}{name}.dockshell", *words, **more)

    def started(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        """ssh with these words, left running."""
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(self.argv("ssh", *words), env=self.environment, **{**pipes, **more})


def _configure(directory: Path, caller: Person, url: str) -> Path:
    """What `dockshell ssh-config` prints, with the proxy started as that person, wherever ssh is started."""
    env = {**caller.environment, "DOCKER_HOST": url}
    argv = [*caller.command, "ssh-config"]
    block = subprocess.run(argv, env=env, capture_output=True, check=True, cwd="/").stdout.decode()
    pairs = [f"{name}={value}" for name, value in env.items()]
    proxy = shlex.join(["env", "-i", "-C", "/", *pairs, *caller.command]).replace("%", "%%")
    lines = [
        f"  ProxyCommand {proxy} proxy -- '%n %h'" if line.strip().startswith("ProxyCommand ") else line
        for line in block.splitlines()
    ]
    assert lines != block.splitlines()
    path = directory / "config"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def member(world: World) -> Iterator[Person]:
    """Somebody who may do nothing but ask Docker."""
    world.need_root()
    socket = world.docker.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    with person(_NOBODY, [_NOBODY, os.stat(socket).st_gid], guests=("asyncssh", "dns")) as somebody:
        yield somebody


@pytest.fixture(scope="session")
def ways(
    world: World, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str, str], Way]:
    """ways(engine, who): that way, made when it is first asked for."""
    made: dict[tuple[str, str], Way] = {}

    def get(engine: str, who: str) -> Way:
        world.need_program("ssh")
        if (engine, who) not in made:
            peer: Peer = getattr(world, engine)
            directory = tmp_path_factory.mktemp(f"{engine}-{who}")
            environment = {"HOME": str(directory), "PATH": os.environ["PATH"], "TERM": "xterm-256color"}
            root = Person(COMMAND, environment, str(directory))
            caller = request.getfixturevalue("member") if who == "group" else root
            made[engine, who] = Way(peer, who, caller, _configure(directory, caller, peer.url))
        return made[engine, who]

    return get


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest, ways: Callable[[str, str], Way]) -> Way:
    """Each way in turn."""
    return ways(*request.param)


@pytest.fixture(params=["docker", "podman"])
def each_rooted(request: pytest.FixtureRequest, ways: Callable[[str, str], Way]) -> Way:
    """Docker, then Podman, as root."""
    return ways(request.param, "root")


@pytest.fixture
def rooted(ways: Callable[[str, str], Way]) -> Way:
    """Docker, as root: for what doesn't depend on the way."""
    return ways("docker", "root")


@pytest.fixture
def at_terminal(terminal: Callable[..., Any]) -> Callable[..., pexpect.spawn[bytes]]:
    """at_terminal(way, *words): ssh with these words on a new pty."""

    def start(way: Way, *words: str, **more: Any) -> pexpect.spawn[bytes]:
        child: pexpect.spawn[bytes] = terminal(command=way.argv("ssh", *words), env=way.environment, **more)
        return child

    return start
