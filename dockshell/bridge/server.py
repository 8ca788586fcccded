"""One SSH connection, as a server: who comes in, and what they ask for. A process serves one connection, and ends with
it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from errno import EPIPE
from typing import Any, Protocol

import asyncssh

import dockshell
from dockshell.bridge.channel import (
    NONSENSE,
    SIGNATURES,
    WINDOW,
    Channel,
    decided_by,
    key_exchanges,
    open_agent,
    truncatable,
)
from dockshell.bridge.conversation import SPARE, Conversation, Host
from dockshell.bridge.errand import Allowed, Errand
from dockshell.bridge.forwarding import Exhausted, Flow, Listener, ask, connect
from dockshell.bridge.steward import Steward
from dockshell.bridge.wire import Wire
from dockshell.errors import DockshellError, printable
from dockshell.linux import open_files

__all__ = ["OWN_USER", "Gate", "Open", "serve"]

OWN_USER = "."  # the name by which a client, which has to send one, asks for the container's own user
_LOGGING_IN = 60.0  # seconds, in which one may have to type a passphrase or touch a key
_UNKNOWN = 20.0  # seconds until a key has been shown that is let in
_KEEPALIVE = 15.0  # seconds after which a silent client is asked whether it is there; three times
_MOST_SESSIONS = 100
_MOST_FORWARDED = 1000  # connections at once
_MOST_CONNECTING = 8  # … that are being made, each by an errand; the others wait
_MOST_LISTENERS = 50
_MOST_TRIES = 20  # of keys
# What is sound and cheap for us: finite fields are neither, since they let a client that does little make a server do
# much (CVE-2002-20001). Of each kind the cheapest comes first; the client's order counts before ours.
_KEY_EXCHANGES = (
    "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
)  # fmt: skip
_POST_QUANTUM = "mlkem768x25519-sha256"  # where the cryptography library knows it
_CIPHERS = (
    "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr", "aes192-ctr",
    "aes256-ctr",
)  # fmt: skip
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")


class Gate(Protocol):
    """Who may come in, and our own host key."""

    host_key: asyncssh.SSHKeyPair

    def open_to(self, name: str) -> tuple[Allowed, Steward] | None:
        """What somebody of that name may do without showing a key, and who does it for them; None where a key is asked
        for. Raises OSError where nobody does."""

    def knows(self, key: bytes) -> bool:
        """May whoever holds that public key (RFC 4253, 6.6) come in?"""

    def lets_in(self, request: bytes, signature: bytes) -> tuple[Allowed, Steward] | None:
        """What whoever signed that request to log in (RFC 4252, 7) may do, and who does it for them; None for
        nothing."""

    def refused(self, name: str, why: str) -> None:
        """They are not."""

    def began(self, kind: str) -> None:
        """A session began: `shell`, `exec`, `sftp`, `scp`, `connect`, `listen`, `agent`."""

    def ended(self, kind: str, code: int | None) -> None:
        """… and ended; None where its command didn't come to an end, or none ran."""

    def exhausted(self, kind: str, why: str) -> None:
        """One could not begin, for something has run out here: the sentence that the client is told."""


class Open:
    """The `Gate` for whoever started this process: who may do that may enter the container too."""

    def __init__(self, target: str, steward: Steward, host_key: str) -> None:
        """host_key: the path of the private key."""
        self._target = target
        self._steward = steward
        self.host_key = asyncssh.load_keypairs(host_key)[0]

    def open_to(self, name: str) -> tuple[Allowed, Steward] | None:
        allowed = Allowed(self._target, "" if name == OWN_USER else name)
        return allowed, self._steward.another(allowed)

    def knows(self, key: bytes) -> bool:
        return False

    def lets_in(self, request: bytes, signature: bytes) -> tuple[Allowed, Steward] | None:
        return None

    def refused(self, name: str, why: str) -> None:
        pass

    def began(self, kind: str) -> None:
        pass

    def ended(self, kind: str, code: int | None) -> None:
        pass

    def exhausted(self, kind: str, why: str) -> None:
        pass  # the client sees it


def serve(source: int, sink: int, gate: Gate, peer: tuple[Any, ...] = ()) -> None:
    """Serves the one SSH connection over these descriptors (pipes, or twice the same socket), to its end. peer: the
    other side's address and port, if it has one. Raises DockshellError where the other side speaks no SSH."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)  # typed at the terminal of the client, whose business it is
    # Not asyncio.run(), which starts a thread to end its executor. What is left in the loop ends with the process.
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_InPlace())
    loop.run_until_complete(_serve(source, sink, gate, peer))


class _InPlace(ThreadPoolExecutor):
    """Does at once what is asked of it. asyncssh makes a connection's options in a thread, and there may be none left
    where processes are bounded: setrlimit(2), RLIMIT_NPROC."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


async def _serve(source: int, sink: int, gate: Gate, peer: tuple[Any, ...]) -> None:
    door = _Door(gate)
    asyncio.get_running_loop().set_exception_handler(door.erred)
    try:
        wire = Wire(source, sink, door.jam, peer)
        connection = await asyncssh.connect_reverse(
            "client",
            tunnel=wire,  # what it asks of one is create_connection()
            config=None,
            server_factory=lambda: door,
            server_host_keys=[gate.host_key],
            server_version=f"dockshell_{dockshell.__version__}",
            kex_algs=[*key_exchanges(_POST_QUANTUM), *_KEY_EXCHANGES],
            encryption_algs=_CIPHERS,
            mac_algs=_MACS,
            compression_algs=None,
            signature_algs=SIGNATURES,
            encoding=None,
            line_editor=False,
            x11_forwarding=False,
            agent_forwarding=False,  # asyncssh's own
            gss_host=None,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            login_timeout=_LOGGING_IN,
            keepalive_interval=_KEEPALIVE,
            window=WINDOW,
        )
        await connection.wait_closed()
    except (asyncssh.Error, OSError, EOFError, *NONSENSE) as error:
        door.failed(error)
    finally:
        door.close()


class _Door(asyncssh.SSHServer, Host):
    """The connection, as asyncssh tells of it."""

    def __init__(self, gate: Gate) -> None:
        self.allowed = Allowed("")
        self._gate = gate
        self._steward: Steward | None = None
        self._connection: Any = None
        self._name = ""
        self._tries = 0
        self._in = False
        self._conversations: dict[Conversation, str] = {}
        self._flows: set[Flow] = set()
        self._flowing = 0
        self._connecting = asyncio.Semaphore(_MOST_CONNECTING)
        self._listeners: list[Listener] = []
        self._jammed = False
        self._known = False  # has a key been shown that is let in?

    def connection_made(self, conn: Any) -> None:
        self._connection = conn
        decided_by(conn, self._decide)
        asyncio.get_running_loop().call_later(_UNKNOWN, self._give_up)

    def _give_up(self) -> None:
        if not (self._known or self._in):
            self._connection.connection_lost(
                asyncssh.ConnectionLost("it took too long")
            )  # as at the end of login_timeout

    def begin_auth(self, username: str) -> bool:
        if truncatable(self._connection):
            raise asyncssh.KeyExchangeFailed("this cipher takes a client with strict key exchange, or aes128-gcm")
        self._name = username
        try:
            found = self._gate.open_to(username)
        except OSError:
            raise asyncssh.ConnectionLost("what enters containers is gone") from None
        return not self._let_in(found)

    def _let_in(self, found: tuple[Allowed, Steward] | None) -> bool:
        if found:
            self.allowed, self._steward = found
            self._in = True
        return self._in

    def public_key_auth_supported(self) -> bool:
        return True

    def _decide(self, key: bytes, request: bytes, signature: bytes) -> bool:
        """Does that key do; or where a request is signed with it, does that let them in?"""
        self._tries += 1
        if self._tries > _MOST_TRIES:
            raise asyncssh.PermissionDenied("too many keys")
        if request:
            return self._let_in(self._gate.lets_in(request, signature))
        known = self._gate.knows(key)
        self._known = self._known or known
        return known

    def failed(self, error: BaseException) -> None:
        """The connection ended, or never came about."""
        if not self._in:
            hung_up = isinstance(error, asyncssh.ConnectionLost)
            said = "it sent what is no SSH" if isinstance(error, NONSENSE) else str(error)
            why = f"none of {self._tries} keys gets in" if self._tries else "it hung up" if hung_up else said
            self._gate.refused(printable(self._name), printable(why))

    def erred(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody waits for. Where a listener has no descriptor left for a connection, asyncio tries again
        after a second, and whoever connects waits."""
        error = context.get("exception")
        if isinstance(error, OSError) and (short := open_files.shortage(error)):
            self.exhausted("listen", short)
        else:
            loop.default_exception_handler(context)

    def exhausted(self, kind: str, why: str) -> None:
        self._gate.exhausted(kind, why)

    def send(self, errand: Errand, descriptors: list[int]) -> Any:
        if self._steward is None:
            raise OSError(EPIPE, "nobody is in")
        return self._steward.send(errand, descriptors)

    def began(self, conversation: Conversation, kind: str) -> None:
        self._conversations[conversation] = kind
        self._gate.began(kind)

    def ended(self, conversation: Conversation, code: int | None) -> None:
        kind = self._conversations.pop(conversation, "")
        if kind:
            self._gate.ended(kind, code)

    def jam(self, jammed: bool) -> None:
        """The client takes no more for now, or does again: then what would only fill memory waits."""
        self._jammed = jammed
        for conversation in self._conversations:
            conversation.jam(jammed)
        for flow in self._flows:
            flow.jam(jammed)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        for conversation in list(self._conversations):
            conversation.connection_lost(None)

    def session_requested(self) -> Any:
        if len(self._conversations) >= _MOST_SESSIONS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, f"{_MOST_SESSIONS} sessions are enough")
        conversation = Conversation(self)
        self._conversations[conversation] = ""
        agent = self._offer_agent if self.allowed.agent else None
        return Channel(self._connection, agent, self.allowed.terminals), conversation

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        return self._connected(self._errand("connect", host=dest_host, port=dest_port))

    def unix_connection_requested(self, dest_path: str) -> Any:
        return self._connected(self._errand("connect-path", path=dest_path.encode()))

    def _errand(self, what: str, **fields: Any) -> Errand:
        if not self.allowed.forwarding:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "your key forwards nothing")
        return Errand(what, **fields)

    async def _connected(self, errand: Errand) -> Any:
        if self._flowing >= _MOST_FORWARDED:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_RESOURCE_SHORTAGE, f"{_MOST_FORWARDED} connections are enough"
            )
        self._flowing += 1
        try:
            async with self._connecting:
                flow, other = await connect(self.send, errand, self._flowed)
        except BaseException as error:
            self._flowing -= 1
            if isinstance(error, Exhausted):
                self.exhausted("connect", str(error))
                raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, str(error)) from None
            raise
        self._flows.add(flow)
        flow.jam(self._jammed)
        self._gate.began("connect")
        return other

    def _flowed(self, flow: Flow) -> None:
        self._flowing -= 1
        self._flows.discard(flow)
        self._gate.ended("connect", None)

    def server_requested(self, listen_host: str, listen_port: int) -> Any:
        if not self._may_listen():
            return False
        return self._listening(
            self._errand("listen", host=listen_host, port=listen_port),
            lambda port: self._tcp_opening(listen_host, port),
        )

    def unix_server_requested(self, listen_path: str) -> Any:
        if not self._may_listen():
            return False
        errand = self._errand("listen-path", path=listen_path.encode())
        return self._listening(errand, lambda port: self._path_opening(listen_path))

    def _may_listen(self) -> bool:
        self._listeners = [each for each in self._listeners if each.listens]
        return self.allowed.forwarding and len(self._listeners) < _MOST_LISTENERS

    def _tcp_opening(self, host: str, port: int) -> Callable[..., Any]:
        async def opening(factory: Any, orig_host: str, orig_port: int) -> Any:
            self._need_room()
            return await self._connection.create_connection(factory, host, port, orig_host, orig_port)

        return opening

    def _path_opening(self, path: str) -> Callable[..., Any]:
        async def opening(factory: Any) -> Any:
            self._need_room()
            return await self._connection.create_unix_connection(factory, path)

        return opening

    def _need_room(self) -> None:
        """For one more connection to a listener, which has come in already. Raises ChannelOpenError, which ends it."""
        try:
            open_files.need(SPARE)
        except OSError as error:
            why = open_files.shortage(error)
            self.exhausted("connect", why)
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, why) from None

    async def _listening(self, errand: Errand, opening: Callable[[int], Callable[..., Any]]) -> Listener | bool:
        try:
            control, word, descriptor = await ask(self.send, errand, [])
        except DockshellError as error:
            if isinstance(error, Exhausted):
                self.exhausted("listen", str(error))
            self._connection.send_debug(f"dockshell: {printable(str(error))}")
            return False
        port = int(word.get("port", 0))
        made = socket.socket(fileno=descriptor)
        listener = await Listener.begin(self._connection, opening(port), made, control, port)
        self._listeners.append(listener)
        self._gate.began(errand.what.partition("-")[0])
        return listener

    async def _offer_agent(self) -> bool:
        if self.agent_path:
            return True
        try:
            control, word, descriptor = await ask(self.send, Errand("agent"), [])
        except DockshellError as error:
            if isinstance(error, Exhausted):
                self.exhausted("agent", str(error))
            return False
        made = socket.socket(fileno=descriptor)

        async def opening(factory: Any) -> Any:
            self._need_room()
            return await open_agent(self._connection, factory)

        self._listeners.append(await Listener.begin(self._connection, opening, made, control))
        self.agent_path = str(word["path"]).encode("latin-1")
        self._gate.began("agent")
        return True
