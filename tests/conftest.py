"""The fixtures that everyone may use; what they build is in tests/world, what a run says at its end in
tests/world/reporting.py.

- `world`, `docker`, `podman`, and `engine`, which runs a test on each of the two: real engines (tests/world).
- `dockshell(*words, …)`: the real command, its output as bytes. `terminal(*words, …)`: the real command on a real pty
  (pexpect).
- `member`, `nobody`: somebody without any right but the socket's, and the real command as that person."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pexpect
import pytest

from tests.world import Peer, World
from tests.world.leaks import leaks
from tests.world.person import Person, let_in, person

pytest_plugins = [
    "tests.world.reporting",
    "tests.world.parts",
    "tests.world.bounds",
    "tests.world.serving",
    "tests.contract.table",
]

COMMAND = [os.path.join(os.path.dirname(sys.executable), "dockshell")]
if not os.path.exists(COMMAND[0]):
    COMMAND = [sys.executable, "-m", "dockshell"]
# As a person starts it. At the end of a process that leads a terminal's session the kernel takes the terminal from all
# that have it open, and nobody can restore it any more.
FROM_A_SHELL = ["/bin/sh", "-c", 'trap : INT; "$@"; exit $?', "sh", *COMMAND]
_NOBODY = 65534


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The engines of this run, started when first asked for."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text} ...", flush=True)

    with World(say) as built:
        yield built


@pytest.fixture
def docker(world: World) -> Peer:
    """Docker, or the test is skipped with the reason."""
    return world.docker


@pytest.fixture
def podman(world: World) -> Peer:
    """Podman, or the test is skipped with the reason."""
    return world.podman


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest, world: World) -> Peer:
    """Docker, then Podman: the test runs once on each."""
    peer: Peer = getattr(world, request.param)
    return peer


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A caller's environment with nothing in it of the person who runs the tests: an empty HOME (passwd's, too, for
    dockshell), no DOCKER_*, no agent."""
    home = tmp_path_factory.mktemp("home")
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.path.join(os.path.dirname(__file__), "world", "home"),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
    }


def _merged(
    environment: Mapping[str, str], engine: Peer | None, env: Mapping[str, str | None] | None
) -> dict[str, str]:
    merged: dict[str, str | None] = {**environment, **({"DOCKER_HOST": engine.url} if engine else {}), **(env or {})}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture
def dockshell(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """dockshell(*words, input=None, env=None, engine=None, timeout=120, cwd=None): runs the real command to its end.

    input: bytes for its stdin, None for an empty one. env: added to `environment`; None as a value takes a variable
    out. engine: the Peer that DOCKER_HOST names. cwd: the directory to run it in, None for this process's."""

    def run(
        *words: str | bytes,
        input: bytes | None = None,
        env: Mapping[str, str | None] | None = None,
        engine: Peer | None = None,
        timeout: float = 120,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        merged = _merged(environment, engine, env)
        return subprocess.run(
            [*COMMAND, *words],
            input=input or b"", env=merged, capture_output=True, timeout=timeout, check=False, cwd=cwd,
        )  # fmt: skip

    return run


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Callable[..., pexpect.spawn[bytes]]]:
    """terminal(*words, dimensions=(24, 80), env=None, engine=None, timeout=60, command=COMMAND): starts the real
    command on a new pty of that many (rows, columns) and returns the pexpect.spawn, which is closed after the test.
    Bytes go in and come out."""
    spawned: list[pexpect.spawn[bytes]] = []

    def start(
        *words: str,
        dimensions: tuple[int, int] = (24, 80),
        env: Mapping[str, str | None] | None = None,
        engine: Peer | None = None,
        timeout: float = 60,
        command: Sequence[str] = COMMAND,
    ) -> pexpect.spawn[bytes]:
        merged = _merged(environment, engine, env)
        child: pexpect.spawn[bytes] = pexpect.spawn(
            command[0], [*command[1:], *words], dimensions=dimensions, env=merged, timeout=timeout
        )
        child.delaybeforesend = None
        spawned.append(child)
        return child

    yield start
    for child in spawned:
        child.close(force=True)


@pytest.fixture
def member(world: World, docker: Peer) -> Iterator[Person]:
    """Somebody without any right but the socket's: a member of the docker group."""
    world.need_root()
    socket = docker.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    with person(_NOBODY, [_NOBODY, os.stat(socket).st_gid]) as somebody:
        yield somebody._replace(environment={**somebody.environment, "DOCKER_HOST": docker.url})


@pytest.fixture
def nobody(member: Person) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """nobody(*words, input=b""): runs dockshell as that person."""

    def run(*words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv, env = [*member.command, *words], member.environment
        return subprocess.run(argv, input=input, capture_output=True, env=env, cwd="/", check=False, timeout=120)

    return run


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test: the containers that it started are removed, and a process, thread or descriptor that it left
    behind in pytest fails it."""
    world = request.getfixturevalue("world") if "world" in request.fixturenames else None
    started = {peer: peer.started for peer in world.peers} if world else {}
    with leaks(lambda: world.pids if world else set()):
        yield
        for peer in world.peers if world else ():
            peer.remove_containers(started.get(peer, 0))
