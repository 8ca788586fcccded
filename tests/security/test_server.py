"""`dockshell serve` against the network and against holders of keys. Each test has a control, which shows that the
attack works where nothing guards against it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.watching import until
from tests.world.serving import Serve, Server

_NO_ENGINE: Any = SimpleNamespace(url="unix:///nowhere/docker.sock")  # for what ends before a container is asked for


def _without(guard: str) -> list[str]:
    """What is run in place of `dockshell`: the same, once a guard has been taken out of it by this statement."""
    script = (
        "import sys; from dockshell.bridge import library; library.load();"
        f"{guard};"
        "from dockshell.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    return [sys.executable, "-P", "-c", script]


@contextlib.contextmanager
def _idle_connections(server: Server, address: str, count: int) -> Iterator[list[socket.socket]]:
    """So many connections from that address that say nothing; each that ends is begun anew at once."""
    held: list[socket.socket] = []
    over = threading.Event()

    def dial() -> socket.socket:
        made = socket.socket()
        made.bind((address, 0))
        made.connect(("127.0.0.1", server.port))
        return made

    def hold() -> None:
        while not over.wait(0.01):
            for each in list(held):
                each.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    ended = True
                    with contextlib.suppress(ConnectionError):
                        ended = not each.recv(100)
                    if ended:
                        each.close()
                        held.remove(each)
            while len(held) < count and not over.is_set():
                with contextlib.suppress(OSError):
                    held.append(dial())

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield held
    finally:
        over.set()
        thread.join()
        for each in held:
            each.close()


def _logins(server: Server, directory: Path, count: int, address: str) -> int:
    """How many of so many logins with a valid key succeed, two at a time, each tried once."""
    import asyncssh

    key = asyncssh.read_private_key(directory / "key")

    async def log_in() -> bool:
        try:
            async with asyncssh.connect(
                "127.0.0.1",
                server.port,
                username="any",
                client_keys=[key],
                known_hosts=None,
                config=None,
                local_addr=(address, 0),
                login_timeout=120,
            ):
                return True
        except (asyncssh.Error, OSError):
            return False

    async def main() -> int:
        succeeded = 0
        for _ in range(count // 2):
            succeeded += sum(await asyncio.gather(log_in(), log_in()))
        return succeeded

    return asyncio.run(main())


_NEWCOMERS_GO = "from dockshell.bridge import reception; reception.victim = lambda *_: -1"


@pytest.mark.parametrize(
    ("guard", "least", "most"), [("", 0.95, 1.0), (_NEWCOMERS_GO, 0.0, 0.5)], ids=["attack", "control"]
)
def test_idle_connections_keep_nobody_out(
    serve: Serve, keys: Callable[..., Path], tmp_path: Path, guard: str, least: float, most: float
) -> None:
    """Somebody holds more connections than there are places, from one address, without ever logging in: at most one
    valid login of twenty from elsewhere fails. (Control: the newcomer is the one that is dropped, as by sshd.)"""
    command = _without(guard) if guard else ()
    with (
        serve(_NO_ENGINE, keys("{key}"), "--most", "20", command=command) as server,
        _idle_connections(server, "127.0.1.7", 30),
    ):
        until(lambda: any("too many" in each["why"] for each in server.journal("refusal")))
        count = 20 if not guard else 6
        assert least <= _logins(server, tmp_path, count, "127.0.0.1") / count <= most


def test_a_log_is_not_filled_by_refusals(serve: Serve, keys: Callable[..., Path]) -> None:
    """Hundreds of connections that are turned away at once write a bounded number of lines, and a later line says how
    many there were. (Control: by that count, most were turned away.)"""
    with serve(_NO_ENGINE, keys("{key}"), "--most", "1") as server:

        def knock(times: int) -> None:
            for _ in range(times):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", server.port), 60).close()

        def counted() -> int:
            return sum(1 + each.get("more", 0) for each in server.journal("refusal"))

        knock(400)
        assert len(server.journal("refusal")) < 200
        until(lambda: knock(1) or counted() > 300)
