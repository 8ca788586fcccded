"""What an SSH client sends once it has logged in, and what a server that was taken over asks of the others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from dockshell.bridge.library import load

load()

import asyncssh  # noqa: E402

from dockshell.bridge import server  # noqa: E402
from dockshell.bridge.channel import NONSENSE  # noqa: E402
from dockshell.bridge.errand import Allowed, Errand, pack, permitted, unpack  # noqa: E402
from dockshell.engines.json import encode  # noqa: E402
from dockshell.errors import DockshellError  # noqa: E402
from dockshell.linux import passing  # noqa: E402

__all__ = ["errand", "handshake", "ssh"]

_Found = TypeVar("_Found")
_HOST_KEY = asyncssh.load_keypairs(asyncssh.generate_private_key("ssh-ed25519"))[0]
_ALLOWED = Allowed("web")
_TURNS = 8  # of the loop, after which a packet has been answered
_MOST_PACKETS = 50


class _Plain:
    """In place of a cipher."""

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        return header + packet, b""

    def decrypt_header(self, seq: int, first: bytes, header: int) -> tuple[bytes, bytes]:
        return first, first[:header]

    def decrypt_packet(self, seq: int, first: bytes, rest: bytes, header: int, mac: bytes) -> bytes:
        return first[header:] + rest


class _Steward:
    """Has each errand done at once: a command ends with 3, a shell and sftp go on, sockets are there."""

    def __init__(self) -> None:
        self._kept: list[socket.socket] = []

    def send(self, errand: Errand, descriptors: list[int]) -> socket.socket:
        permitted(unpack(pack(errand)), _ALLOWED)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._kept.append(theirs)
        word: dict[str, Any] = {"code": 3, "port": 22, "path": "/agent", "carried": True}
        given = []
        if errand.what in ("listen", "listen-path", "agent"):
            listening = socket.socket(socket.AF_UNIX)
            listening.bind("")
            listening.listen()
            self._kept.append(listening)
            given = [listening.fileno()]
        if errand.what != "files" and (errand.what != "command" or errand.line):
            passing.send(theirs, encode(word), given)
        ours.setblocking(False)
        return ours

    def close(self) -> None:
        for each in self._kept:
            each.close()


class _Gate:
    """The `Gate` through which everybody has come."""

    host_key = _HOST_KEY

    def open_to(self, name: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def _attempt(sent: list[bytes], errors: list[BaseException]) -> bytes:
    ours, theirs = socket.socketpair()
    steward = _Steward()
    loop = asyncio.get_running_loop()
    logged_in: asyncio.Future[None] = loop.create_future()

    async def succeed(connection: Any) -> None:
        await connection.send_userauth_success()
        logged_in.set_result(None)

    def log_in(connection: Any, door: Any) -> None:
        """As after a key exchange and a login: only the cipher isn't one."""
        loop.set_exception_handler(lambda loop, context: errors.append(context.get("exception") or Exception(context)))
        connection.internal_error = lambda exc_info=None, error_logger=None: _failed(connection, exc_info, errors)
        connection._send_encryption = connection._recv_encryption = _Plain()
        connection._client_version, connection._session_id = b"SSH-2.0-x", b"s" * 32
        connection._kex_complete = True
        connection._rekey_bytes, connection._rekey_seconds = 1 << 40, 0
        connection._recv_handler = connection._recv_pkthdr
        door._let_in((_ALLOWED, steward))
        connection.create_task(succeed(connection))

    class Door(server._Door):
        def connection_made(self, conn: Any) -> None:
            super().connection_made(conn)
            loop.call_soon(log_in, conn, self)

    usual, server._Door = server._Door, Door  # type: ignore[misc]
    try:
        serving = loop.create_task(server._serve(ours.fileno(), ours.fileno(), _Gate(), ()))
        await logged_in
        theirs.setblocking(False)
        for packet in sent[:_MOST_PACKETS]:
            with contextlib.suppress(OSError):  # the server has ended it
                theirs.sendall(packet)
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        try:
            said = theirs.recv(1 << 20)
        except OSError:
            said = b""
        theirs.close()
        await serving
        return said
    finally:
        server._Door = usual  # type: ignore[misc]
        steward.close()
        ours.close()


def _failed(connection: Any, info: Any, errors: list[BaseException]) -> None:
    error = cast(BaseException, (info or sys.exc_info())[1])
    errors.append(error)
    connection._force_close(error)


def ssh(data: bytes) -> bytes:
    """Packets, each with two bytes of length in front → what the server says. The connection ends, and nothing is
    raised but errors of the protocol, which asyncssh tells the client of."""
    errors: list[BaseException] = []
    said = _run(_attempt(_packets(data), errors))
    for error in errors:
        if not (isinstance(error, asyncssh.Error) or (isinstance(error, NONSENSE) and _is_asyncsshs(error))):
            raise error
    return said


def _is_asyncsshs(error: BaseException) -> bool:
    """Was it raised by asyncssh itself?"""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("asyncssh.")


async def _greet(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        await server._serve(ours.fileno(), ours.fileno(), _Gate(), ())


def handshake(data: bytes) -> None:
    """A version's line, and packets, each with two bytes of length in front, of somebody who hasn't logged in: the
    connection ends, and nothing is raised."""
    version, newline, rest = data.partition(b"\n")
    _run(_greet(version + newline + b"".join(_packets(rest))))


def _run(attempt: Coroutine[Any, Any, _Found]) -> _Found:
    """In a loop of its own, of which nothing stays."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(server._InPlace())
    try:
        found = loop.run_until_complete(attempt)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        return found
    finally:
        loop.close()


def _packets(data: bytes) -> list[bytes]:
    """RFC 4253, 6."""
    found = []
    while len(data) > 2:
        length = int.from_bytes(data[:2], "big")
        payload, data = data[2 : 2 + length], data[2 + length :]
        padding = 4 + -(len(payload) + 9) % 8
        found.append((len(payload) + padding + 1).to_bytes(4, "big") + bytes((padding,)) + payload + bytes(padding))
    return found


def errand(data: bytes) -> None:
    """A byte, and what the process that speaks SSH asks of the one that enters containers: an errand that what its key
    allows permits, or one of the two errors that are told of."""
    allowed = (_ALLOWED, Allowed("web", line=b"true", forwarding=False, agent=False, terminals=False))
    chosen = allowed[data[0] & 1 if data else 0]
    try:
        own = permitted(unpack(data[1:]), chosen)
    except (ValueError, DockshellError):
        return
    assert own.target == chosen.target and own.user == chosen.user and own.admitted == chosen.admitted
    assert chosen.line is None or own.what not in ("command", "files") or own.line == chosen.line
    assert chosen.forwarding or own.what in ("command", "files")
    assert unpack(pack(own)) == own
