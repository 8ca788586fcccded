"""A cell of the contract's table: one route on one engine, and the real `dockshell` driven through it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pexpect
import pytest

from tests.contract.watching import until
from tests.world import Peer
from tests.world.person import Person

__all__ = ["CELLS", "KIND", "SANDBOX", "Cell", "direct"]

CELLS = (
    ("ssh", "docker"),
    ("ssh", "docker26"),
    ("ssh", "podman"),
    ("exec", "docker"),
    ("exec", "docker-group"),
    ("exec", "docker26"),
    ("exec", "podman"),
    ("exec", "rootless-podman"),
    ("nsenter", "docker"),
    ("nsenter", "docker26"),
    ("nsenter", "podman"),
    ("nsenter", "rootless-podman"),
    ("nsenter", "kernel"),
    ("toolbox", "docker26"),
)
SANDBOX = "sandbox"
# For what is about containers that have no sshd in them: test_exceptions.py shows what ssh says to those.
direct = pytest.mark.parametrize("cell", [each for each in CELLS if each[0] != "ssh"], ids="-".join, indirect=True)
_HOMES = {"ssh": "baseimage", "kernel": SANDBOX}
# What makes the run's cells, where it isn't Cell: peers.py.
KIND = pytest.StashKey[Callable[..., "Cell"]]()


class Cell:
    """route, engine: the names that the table has. peer: the engine whose containers are entered, for `kernel` Docker,
    whose containers that engine knows like any other process. caller: who types: root, but for the exec route somebody
    whom only Docker's socket lets in (`docker-group`), and whom the rootless Podman belongs to. home: the container
    that most lines are tested in: baseimage where it takes an sshd, the project's own sandbox on `kernel`, else
    busybox."""

    speaker = "dockshell: "  # how a line begins that it has to say itself
    program = "python"  # what its own processes run

    def __init__(
        self,
        table: tuple[str, str],
        peer: Peer,
        sandbox: int,
        caller: Person,
        terminal: Callable[..., Any],
    ) -> None:
        self.route, self.engine = table
        self.peer = peer
        self.caller = caller
        self._sandbox = sandbox
        self._terminal = terminal
        self._home = ""

    def at(self, container: str, sandbox: int = 0) -> Cell:
        """The same cell with another home: that container, or that sandbox."""
        other = type(self)((self.route, self.engine), self.peer, sandbox or self._sandbox, self.caller, self._terminal)
        other._home = container
        return other

    def end(self) -> None:
        """Ends the home, from outside."""
        if self.home == SANDBOX:
            os.kill(self._sandbox, signal.SIGKILL)
        else:
            self.peer.sh("kill", self.home)

    @property
    def home(self) -> str:
        if self._home:
            return self._home
        image = _HOMES.get(self.engine) or _HOMES.get(self.route) or "busybox"
        return image if image == SANDBOX else self.peer.shared(image)

    @property
    def people(self) -> str:
        """A container that has users of its own, each of whom may log in: root, and app (1000), who is also in staff2
        (2001) and video2 (2002)."""
        if self.route != "ssh":
            return self.peer.shared("busybox")

        def make() -> str:
            name = self.peer.baseimage()
            copy = "cp -r /root/.ssh /home/app/ && chown -R app: /home/app/.ssh"
            self.peer.sh("exec", name, "sh", "-c", copy)
            return name

        return self.peer.kept("people", make)

    def with_options(self, image: str, *options: str, command: Sequence[str] = ()) -> str:
        """A container of the image with these options of `docker run` on top, which all tests share; once a command
        that ends in a sleep has come as far."""

        def make() -> str:
            name = self.peer.run(image, *command, options=options)
            if command:
                until(lambda: Path(f"/proc/{self.pid(name)}/comm").read_text() == "sleep\n")
            return name

        return self.peer.kept(" ".join((image, *options, *command)), make)

    def pid(self, container: str = "") -> int:
        """The host's number of the container's first process."""
        container = container or self.home
        return self._sandbox if container == SANDBOX else self.peer.pid(container)

    def target(self, container: str = "") -> str:
        """TARGET for a container of the peer's."""
        container = container or self.home
        return f"kernel://pid:{self.pid(container)}" if self.engine == "kernel" else container

    def believing(self, container: str, pid: int) -> str:
        """TARGET for a container that somebody says to be at that number: to dockshell an engine does, on its own."""
        return container

    def argv(
        self,
        *words: str | bytes,
        options: Sequence[str] = (),
        container: str = "",
        target: str = "",
        terminal: bool = False,
    ) -> list[str | bytes]:
        """What is typed to run a command, or with no words a login shell. target: as it is typed, in the container's
        place. terminal: whether it is typed at one, which dockshell sees for itself."""
        target = target or self.target(container)
        entering = [*self.caller.command, "exec" if words else "shell", "--via", self.route, *options, target]
        return [*entering, "--", *words] if words else [*entering]

    def refused(self, done: subprocess.CompletedProcess[bytes]) -> bool:
        """Was nothing run (which would have printed `ran`), for a reason of its own?"""
        return (done.returncode, done.stdout) == (125, b"")

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The caller's environment; None as a value takes a variable out."""
        merged = {**self.caller.environment, "DOCKER_HOST": self.peer.url, **(env or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def run(
        self,
        *words: str | bytes,
        options: Sequence[str] = (),
        container: str = "",
        input: bytes = b"",
        env: Mapping[str, str | None] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[bytes]:
        """`dockshell exec --via ROUTE OPTIONS CONTAINER -- WORDS`, to its end, with pipes."""
        argv = self.argv(*words, options=options, container=container)
        environment = self.environment(env)
        return subprocess.run(argv, input=input, env=environment, capture_output=True, timeout=timeout, check=False)

    def sh(self, script: str, *arguments: str | bytes, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """run() of a script by the container's sh."""
        return self.run("sh", "-c", script, "sh", *arguments, **more)

    def login(self, script: str, *, options: Sequence[str] = (), **more: Any) -> subprocess.CompletedProcess[bytes]:
        """`dockshell shell`: a login shell, which reads the script from its input."""
        container, env = more.get("container", ""), self.environment(more.get("env"))
        argv = self.argv(options=options, container=container)
        return subprocess.run(argv, input=script.encode(), env=env, capture_output=True, timeout=120, check=False)

    @contextlib.contextmanager
    def started(
        self, *words: str | bytes, options: Sequence[str] = (), container: str = "", **more: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The same command, left running, with pipes unless `more` (Popen's own) says otherwise; killed in the end."""
        more = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        argv = self.argv(*words, options=options, container=container)
        with subprocess.Popen(argv, env=self.environment(), **more) as process:
            try:
                yield process
            finally:
                process.kill()
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe:
                        with contextlib.suppress(BrokenPipeError):
                            pipe.close()

    def terminal(
        self, *words: str, options: Sequence[str] = (), container: str = "", **more: Any
    ) -> pexpect.spawn[bytes]:
        """`dockshell exec`, or with no words `dockshell shell`, on a new pty."""
        argv = self.argv(*words, options=options, container=container, terminal=True)
        more["env"] = {**self.environment(), **(more.get("env") or {})}
        child: pexpect.spawn[bytes] = self._terminal(command=argv, **more)
        return child

    @contextlib.contextmanager
    def watched(self, script: str, container: str) -> Iterator[IO[bytes]]:
        """Runs a script inside, by the engine's own exec, until the block is left → what it prints after `begun`."""
        argv = [*self.peer.cli, "exec", container, "sh", "-c", script]
        env = {**self.environment(), **self.peer.env}
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env) as process:
            try:
                assert process.stdout and process.stdout.readline() == b"begun\n"
                yield process.stdout
            finally:
                process.kill()

    def ask(self, *words: str, container: str = "") -> str:
        """What a program inside prints, by the engine's own exec; in the sandbox, which has none, by its shell's."""
        container = container or self.home
        if container != SANDBOX:
            return self.peer.ask("exec", container, *words)
        argv = ["nsenter", "--target", str(self._sandbox), "--all", "--root", *words]
        return subprocess.run(argv, capture_output=True, check=True, text=True, stdin=subprocess.DEVNULL).stdout
