"""What an SSH client forwards: connections into the container (-L, -D) and out of it (-R, the agent), by TCP and by
Unix sockets. An errand makes the socket inside; from then on asyncssh's forwarders carry its bytes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import asyncssh
from asyncssh.forward import SSHLocalPathForwarder, SSHLocalPortForwarder

from dockshell.bridge.conversation import SPARE
from dockshell.bridge.errand import Errand
from dockshell.engines.json import decode, encode
from dockshell.errors import DockshellError, printable
from dockshell.linux import open_files, passing

__all__ = ["Exhausted", "Flow", "Listener", "ask", "connect"]

_PATIENCE = 30.0  # seconds for an errand to bring a socket
_REFUSED = asyncssh.OPEN_CONNECT_FAILED


class Exhausted(DockshellError):
    """Something has run out here, descriptors or processes."""


class Flow(asyncssh.SSHForwarder):
    """One end of what is forwarded: the socket's."""

    def __init__(self, *arguments: Any, ended: Callable[[Flow], None] | None = None) -> None:
        super().__init__(*arguments)
        self._ended = ended
        self._full = self._jammed = False

    def pause_reading(self) -> None:
        self._full = True
        super().pause_reading()

    def resume_reading(self) -> None:
        self._full = False
        if not self._jammed:
            super().resume_reading()

    def jam(self, jammed: bool) -> None:
        """Nothing goes out on the whole connection; or it does again."""
        self._jammed = jammed
        if self._transport and not self._full:
            (super().pause_reading if jammed else super().resume_reading)()

    def write_eof(self) -> None:
        """Ends this direction; where the other has ended too, closes the connection. asyncssh leaves that to the
        client, and `ssh -W` leaves it to the server."""
        super().write_eof()
        if self._transport and self.was_eof_received():
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._ended:
            self._ended(self)
            self._ended = None


async def ask(
    send: Callable[[Errand, list[int]], Any], errand: Errand, given: list[int]
) -> tuple[Any, dict[str, Any], int]:
    """Has the errand done → its control socket, what it told, and the descriptor that came with it, -1 for none. Raises
    DockshellError with its reason. Closes what was given."""
    loop = asyncio.get_running_loop()
    try:
        open_files.need(SPARE)
        control = send(errand, given)
    except OSError as error:
        if short := open_files.shortage(error):
            raise Exhausted(short) from None
        raise DockshellError("what enters containers for this connection is gone: connect anew") from None
    finally:
        for descriptor in given:
            os.close(descriptor)
    told: asyncio.Future[tuple[bytes, list[int]]] = loop.create_future()

    def hear() -> None:
        try:
            found = passing.receive(control)
        except BlockingIOError:
            return
        except OSError as error:
            short = open_files.shortage(error)
            found = encode({"error": short, "exhausted": True}) if short else b"", []
        loop.remove_reader(control.fileno())
        if not told.done():
            told.set_result(found)

    loop.add_reader(control.fileno(), hear)
    try:
        content, descriptors = await asyncio.wait_for(told, _PATIENCE)
    except BaseException as error:
        loop.remove_reader(control.fileno())
        control.close()
        if isinstance(error, TimeoutError):
            raise DockshellError("it took too long") from None
        raise
    word = decode(content) if content else {"error": "it ended before it began"}
    if "error" in word:
        control.close()
        raise (Exhausted if word.get("exhausted") else DockshellError)(str(word["error"]))
    return control, word, descriptors[0] if descriptors else -1


async def connect(
    send: Callable[[Errand, list[int]], Any], errand: Errand, ended: Callable[[Flow], None]
) -> tuple[Flow, asyncssh.SSHForwarder]:
    """A connection inside → its own end, and the end for the channel. Raises ChannelOpenError, Exhausted."""
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise Exhausted(open_files.shortage(error) or str(error)) from None
    try:
        control, word, descriptor = await ask(send, errand, [theirs.detach()])
    except Exhausted:
        ours.close()
        raise
    except DockshellError as error:
        ours.close()
        raise asyncssh.ChannelOpenError(_REFUSED, printable(str(error))) from None
    except BaseException:
        ours.close()
        raise
    if descriptor >= 0:
        ours.close()
        ours = socket.socket(fileno=descriptor)
    elif "carried" not in word:
        ours.close()
        control.close()
        raise asyncssh.ChannelOpenError(_REFUSED, "no connection came of it")

    def done(flow: Flow) -> None:
        control.close()  # ends the program that carried it, if one did
        ended(flow)

    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    _, flow = await loop.create_connection(lambda: Flow(ended=done), sock=ours)
    return flow, asyncssh.SSHForwarder(flow)


class Listener(asyncssh.SSHListener):
    """A socket that listens inside; its connections become channels to the client. control: of the errand that made it,
    which removes it when that is closed."""

    def __init__(self, control: Any, port: int) -> None:
        super().__init__()
        self._control = control
        self._port = port
        self._server: asyncio.Server | None = None

    @classmethod
    async def begin(
        cls, connection: Any, opening: Callable[..., Any], made: socket.socket, control: Any, port: int = 0
    ) -> Listener:
        """opening: opens the channel for one connection, as asyncssh's local forwarders call it."""
        self = cls(control, port)
        made.setblocking(False)
        loop = asyncio.get_running_loop()
        if made.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(lambda: SSHLocalPathForwarder(connection, opening), sock=made)
        else:
            self._server = await loop.create_server(lambda: SSHLocalPortForwarder(connection, opening), sock=made)
        return self

    @property
    def listens(self) -> bool:
        """Does it still? Clients end one by a request of its own (RFC 4254, 7.1)."""
        return self._server is not None

    def get_port(self) -> int:
        return self._port

    def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        self._control.close()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""
