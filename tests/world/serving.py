"""A running `dockshell serve`, and its clients: the fixtures `keys` and `serve`."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.contract.watching import until
from tests.world import Peer, World
from tests.world.person import Person

__all__ = ["Serve", "Server"]


class Server:
    """A running `dockshell serve`, and how one gets in."""

    def __init__(self, process: subprocess.Popen[bytes], journal: Path, directory: Path) -> None:
        self.process, self._journal, self._directory = process, journal, directory
        self.port = 0

    def journal(self, event: str = "") -> list[dict[str, Any]]:
        """What it has told so far."""
        lines = [json.loads(line) for line in self._journal.read_text().splitlines()]
        return [line for line in lines if not event or line["event"] == event]

    def argv(self, name: str, *words: str, key: str = "key", options: Sequence[str] = ()) -> list[str]:
        fixed = [
            "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
        ]  # fmt: skip
        set_up = [word for each in fixed for word in ("-o", each)]
        identity = ["-i", str(self._directory / key)]
        return ["ssh", "-F", "none", *options, *set_up, *identity, "-p", str(self.port), f"{name}@127.0.0.1", *words]

    def ssh(self, name: str, *words: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """`ssh NAME@127.0.0.1 -p PORT WORDS`."""
        input = more.pop("input", b"")
        argv = self.argv(name, *words, **more)
        return subprocess.run(argv, input=input, capture_output=True, check=False, timeout=60)

    def client(self, name: str, key: str = "key", **options: Any) -> Any:
        """A connection by asyncssh: `async with`. options: connect()'s own; sock: one that leads there already."""
        import asyncssh

        place: dict[str, Any] = {} if "sock" in options else {"host": "127.0.0.1", "port": self.port}
        fixed = {"known_hosts": None, "config": None, "login_timeout": 120}
        keys = [str(self._directory / key)]
        return asyncssh.connect(**place, username=name, client_keys=keys, **{**fixed, **options})


_numbers = itertools.count(1)
Serve = Callable[..., contextlib.AbstractContextManager[Server]]


@pytest.fixture
def keys(world: World, tmp_path: Path) -> Callable[..., Path]:
    """keys(*lines): authorized keys, `{key}` and `{other}` in them being two key pairs that are here."""
    for name in ("key", "other"):
        argv = [world.need_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", f"the {name}"]
        subprocess.run([*argv, "-f", str(tmp_path / name)], check=True)
    halves = {name: (tmp_path / f"{name}.pub").read_text().strip() for name in ("key", "other")}

    def write(*lines: str) -> Path:
        path = tmp_path / "authorized"
        path.write_text("".join(line.format(**halves) + "\n" for line in lines))
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def serve(environment: dict[str, str], tmp_path: Path) -> Serve:
    """serve(peer, keys, *options, before=(), caller=None, command=None, listen="127.0.0.1"): a server at a port of its
    own, stopped at the block's end. before: words that start it. caller: as whom, else as root. command: what is run in
    place of dockshell. listen: the address."""

    @contextlib.contextmanager
    def start(
        peer: Peer,
        keys: Path,
        *options: str,
        before: Sequence[str] = (),
        caller: Person | None = None,
        command: Sequence[str] = (),
        listen: str = "127.0.0.1",
    ) -> Iterator[Server]:
        from tests.conftest import COMMAND

        someone = caller or Person(COMMAND, environment, str(tmp_path))
        journal = Path(someone.place) / f"journal-{next(_numbers)}"
        argv = [*before, *(command or someone.command), "serve", "--listen", f"{listen}:0"]
        argv += ["--authorized-keys", str(keys), "--log", str(journal), *options]
        env = {**someone.environment, "DOCKER_HOST": peer.url}
        process = subprocess.Popen(argv, env=env, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        server = Server(process, journal, tmp_path)
        try:
            until(lambda: (journal.exists() and server.journal("listening")) or process.poll() is not None)
            assert process.poll() is None, process.stderr and process.stderr.read()
            server.port = server.journal("listening")[0]["port"]
            yield server
        finally:
            process.terminate()
            said = process.communicate(timeout=60)[1]
        assert b"Traceback" not in said, said

    return start
