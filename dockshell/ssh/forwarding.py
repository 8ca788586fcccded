"""What is carried beside a session by its own connection: -L, -R, -D and the agent. It begins before the command does,
and ends with the session."""

from __future__ import annotations

import os
import socket
import threading
import time
from select import POLLIN, poll

from dockshell.errors import DockshellError, printable
from dockshell.ssh import library, requests
from dockshell.ssh.carrying import Carrier
from dockshell.ssh.connect import PATIENCE
from dockshell.ssh.forwards import Forward, Spot
from dockshell.ssh.socks import Nonsense, Socks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramiko import Channel, Transport

    from dockshell.voice import Voice

__all__ = ["Forwarding"]

_MOST = 256  # connections at once, so that neither side can have us make threads without end
_BACKLOG = 128
_OWNER_ONLY = 0o177  # the umask for a Unix socket, as ssh has it: ssh_config(5), StreamLocalBindMask
_LIMIT = 1.0  # seconds for a thread to end


class Forwarding:
    """agent: the socket of the agent to pass on, empty for none. Listens here from the start; raises DockshellError
    where that can't be, and then nothing listens."""

    def __init__(self, forwards: Sequence[Forward], agent: str, voice: Voice) -> None:
        self._forwards = forwards
        self._agent = agent
        self._voice = voice
        self._listeners: dict[int, tuple[socket.socket, Forward]] = {}
        self._paths: list[str] = []
        self._remote: dict[tuple[str, int], Forward] = {}
        self._carriers: set[Carrier] = set()
        self._starting: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._acceptor: threading.Thread | None = None
        self._transport: Transport | None = None
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            if agent:
                self._to_agent().close()
            for forward in forwards:
                if forward.kind != "R":
                    self._listen(forward)
        except BaseException:
            self.close()
            raise

    def begin(self, transport: Transport, channel: Channel) -> None:
        """Of the command in that channel, which is yet to start. Raises DockshellError where the other side refuses."""
        self._transport = transport
        if self._agent:
            channel.request_forward_agent(lambda arrived: self._arrived(arrived, self._to_agent))
        for forward in self._forwards:
            if forward.kind == "R":
                self._have_listened(forward, transport)
        if self._listeners:
            self._acceptor = threading.Thread(target=self._accept, daemon=True)
            self._acceptor.start()

    def close(self) -> None:
        """Nothing listens any more, and every connection is broken off."""
        if self._stop < 0:
            return
        with self._lock:
            self._closed = True
            carriers, starting = list(self._carriers), list(self._starting)
        os.eventfd_write(self._stop, 1)
        if self._acceptor:
            self._acceptor.join(_LIMIT)
        for listener, _ in self._listeners.values():
            listener.close()
        for path in self._paths:
            try:
                os.unlink(path)
            except OSError:
                continue  # somebody has taken it away already
        for carrier in carriers:
            carrier.close()
        for carrier in carriers:
            carrier.join(_LIMIT)
        for thread in starting:
            thread.join(_LIMIT)
        os.close(self._stop)
        self._stop = -1

    # Here.

    def _listen(self, forward: Forward) -> None:
        spot = forward.listen
        try:
            if spot.path:
                self._add(_unix_listener(spot.path), forward)
                self._paths.append(spot.path)
                return
            for family, address in _addresses(spot):
                try:
                    self._add(_listener(family, address), forward)
                except OSError as error:
                    # A machine without IPv6 has no ::1; there the other address has to do.
                    if family != socket.AF_INET6 or spot.host not in ("", "*") or not _lacks(error):
                        raise
        except OSError as error:
            other = "path" if spot.path else "port"
            raise DockshellError(
                f"nothing can listen here at {printable(str(spot))} for -{forward.kind} "
                f"({(error.strerror or str(error)).lower()}): name another {other}"
            ) from None

    def _add(self, listener: socket.socket, forward: Forward) -> None:
        listener.setblocking(False)
        self._listeners[listener.fileno()] = listener, forward

    def _accept(self) -> None:
        waiter = poll()
        for descriptor in (self._stop, *self._listeners):
            waiter.register(descriptor, POLLIN)
        while True:
            for descriptor, _ in waiter.poll():
                if descriptor == self._stop:
                    return
                listener, forward = self._listeners[descriptor]
                try:
                    ours, _ = listener.accept()
                except BlockingIOError:
                    continue
                except OSError:
                    time.sleep(0.1)  # no descriptor is left; one of those that are open may end
                    continue
                self._start(lambda ours=ours, forward=forward: self._inward(ours, forward), ours)  # type: ignore[misc]

    def _inward(self, ours: socket.socket, forward: Forward) -> None:
        """One connection that came here, to be carried inside. Raises OSError, EOFError, SSHException."""
        ours.settimeout(PATIENCE)
        spot, socks, early = forward.to, None, b""
        if spot is None:
            socks = _ask(ours)
            assert socks.target
            spot, early = Spot(*socks.target), socks.rest
        assert self._transport
        try:
            channel = requests.open_unix(self._transport, spot.path) if spot.path else self._open(spot, ours)
        except Exception:
            if socks:
                ours.sendall(socks.answer(False))
            raise
        if socks:
            ours.sendall(socks.answer(True))
        if early:
            channel.sendall(early)
        self._carry(ours, channel)

    def _open(self, spot: Spot, ours: socket.socket) -> Channel:
        assert self._transport
        peer = ours.getpeername() if ours.family != socket.AF_UNIX else ("127.0.0.1", 0)
        return self._transport.open_channel("direct-tcpip", (spot.host, spot.port), peer[:2], timeout=PATIENCE)

    # Inside.

    def _have_listened(self, forward: Forward, transport: Transport) -> None:
        spot = forward.listen
        try:
            if spot.path:
                requests.listen_unix(transport, spot.path, self._dispatch)
                self._remote[spot.path, 0] = forward
                return
            host = {"": "localhost", "*": ""}.get(spot.host, spot.host)  # RFC 4254, 7.1
            port = transport.request_port_forward(host, spot.port, self._dispatch)
        except (library.load().SSHException, OSError, EOFError):
            raise DockshellError(
                f"the sshd inside doesn't listen at {printable(str(spot))} for -R: that is taken there, or its "
                "configuration forbids forwarding; name another, or see its log"
            ) from None
        self._remote[host, port] = forward
        if not spot.port:
            self._voice.say(f"-R: port {port} inside leads to {printable(str(forward.to))}")

    def _dispatch(self, channel: Channel, origin: tuple[str, int], server: tuple[str, int]) -> None:
        """Called by paramiko's own thread, which must not wait."""
        forward = self._remote.get(server)
        if forward is None or forward.to is None:
            channel.close()  # nobody has asked for that
            return
        spot = forward.to
        self._arrived(channel, lambda: _connect(spot))

    def _arrived(self, channel: Channel, connect: Callable[[], socket.socket]) -> None:
        self._start(lambda: self._carry(connect(), channel), channel)

    def _to_agent(self) -> socket.socket:
        try:
            return _connect(Spot(path=self._agent))
        except OSError as error:
            raise DockshellError(
                f"no agent answers at {printable(self._agent)} ({(error.strerror or str(error)).lower()}): start one "
                "with ssh-agent, or leave out -A"
            ) from None

    # Both.

    def _start(self, begin: Callable[[], None], end: socket.socket | Channel) -> None:
        """begin, in a thread of its own; where that fails, the end that we have is closed, and -v tells why."""

        def run() -> None:
            try:
                begin()
            except (OSError, EOFError, DockshellError, Nonsense, library.load().SSHException) as error:
                end.close()
                if not self._closed:
                    self._voice.tell(f"ssh: a forwarded connection came to nothing: {printable(str(error))}")
            finally:
                with self._lock:
                    self._starting.discard(threading.current_thread())

        thread = threading.Thread(target=run, daemon=True)
        with self._lock:
            if self._closed or len(self._carriers) + len(self._starting) >= _MOST:
                end.close()
                return
            self._starting.add(thread)
        thread.start()

    def _carry(self, ours: socket.socket, channel: Channel) -> None:
        with self._lock:
            if self._closed:
                ours.close()
                channel.close()
                return
            # Under the lock, so that it is among the others before it can have ended.
            self._carriers.add(Carrier(ours, channel, self._forget))

    def _forget(self, carrier: Carrier) -> None:
        with self._lock:
            self._carriers.discard(carrier)


def _addresses(spot: Spot) -> list[tuple[int, tuple[str, int]]]:
    """Where to listen for what was said: the family, and the address. Raises OSError."""
    if spot.host in ("", "*"):
        four, six = ("127.0.0.1", "::1") if not spot.host else ("0.0.0.0", "::")
        return [(socket.AF_INET, (four, spot.port)), (socket.AF_INET6, (six, spot.port))]
    found = socket.getaddrinfo(spot.host, spot.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, (str(address[0]), spot.port)) for family, _, _, _, address in found]


def _listener(family: int, address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _unix_listener(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_OWNER_ONLY)
    try:
        listener.bind(path)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _lacks(error: OSError) -> bool:
    """Is there no such address on this machine?"""
    import errno

    return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _connect(spot: Spot) -> socket.socket:
    """Raises OSError."""
    if not spot.path:
        return socket.create_connection((spot.host, spot.port), PATIENCE)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(PATIENCE)
        connected.connect(spot.path)
    except BaseException:
        connected.close()
        raise
    return connected


def _ask(ours: socket.socket) -> Socks:
    """The whole of a client's request. Raises OSError, EOFError, Nonsense."""
    socks = Socks()
    try:
        while socks.target is None:
            data = ours.recv(1 << 10)
            if not data:
                raise EOFError("it hung up before it said where to")
            if reply := socks.feed(data):
                ours.sendall(reply)
    except Nonsense as error:
        ours.sendall(error.reply)
        raise
    return socks
