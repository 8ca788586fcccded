"""tcp:// with TLS, carried by a thread between the engine and one end of a socketpair(2).

Why a thread: poll(2) can't see bytes that the TLS layer already holds, and a session polls. And why not ssl.SSLSocket:
its unwrap() fails, and loses data, where the engine writes while we say that we won't. Here close_notify goes out at a
moment when nothing has come in that isn't read yet, and reading goes on after it: TLS closes each direction by itself
(RFC 8446, 6.1), and Go's TLS, in the engine, takes close_notify as the end of file, so that a half-close is the same as
over TCP.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading

from dockshell.engines.dial import Connection
from dockshell.engines.where import Tls
from dockshell.errors import EngineError, printable

__all__ = ["connect"]

_CHUNK = 1 << 16


def connect(connected: socket.socket, address: str, host: str, tls: Tls) -> Connection:
    """The handshake over a connected socket, then a connection that carries plain bytes. Raises EngineError."""
    layer = _Layer(connected, _context(tls), host)
    try:
        layer.shake_hands()
    except ssl.SSLCertVerificationError as error:
        raise EngineError(
            f"the engine at {printable(address)} shows a certificate that can't be trusted "
            f"({printable(error.verify_message)}): check ca.pem, and the host's name in the address"
        ) from error
    except OSError as error:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else _words(error)
        raise EngineError(
            f"no TLS with the engine at {printable(address)} ({reason}): check the port and the certificates"
        ) from error
    ours, theirs = socket.socketpair()
    ours.settimeout(connected.gettimeout())
    carrier = _Carrier(layer, theirs)
    carrier.start()
    return Connection(ours, carrier)


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert or tls.key:
            # A key with a passphrase is refused: there is nobody to ask here.
            context.load_cert_chain(tls.cert, tls.key or None, password="")
    except OSError as error:
        files = ", ".join(printable(each) for each in (tls.ca, tls.cert, tls.key) if each)
        raise EngineError(f"the certificates for TLS can't be used ({_words(error)}): check {files}") from error
    return context


def _words(error: OSError) -> str:
    return printable(str(getattr(error, "reason", None) or error.strerror or error)).lower().replace("_", " ")


class _Layer:
    """TLS over a socket, with what came in and what is to go out in memory, so that nothing waits unseen."""

    def __init__(self, wire: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self.wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self.unsent = b""
        self.ended = False  # nothing more will come in
        self.why = ""
        self._half_closed = False

    def shake_hands(self) -> None:
        """Blocks, for as long as the socket's timeout lets it. Raises OSError, of which SSLError is one."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.wire.sendall(self._out.read())
                self.take_in()
            else:
                self.wire.sendall(self._out.read())
                return

    def take_in(self) -> None:
        """Moves bytes from the socket to where read() finds them."""
        if data := self.wire.recv(_CHUNK):
            self._in.write(data)
        else:
            self._in.write_eof()

    def read(self) -> bytes:
        """Plain bytes that have come in; empty where there are none, or none any more."""
        if self.ended:
            return b""
        try:
            if data := self._tls.read(_CHUNK):
                return data
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError as error:
            self.why = _words(error)
        self.ended = True
        return b""

    def write(self, data: bytes) -> None:
        """Plain bytes to go out."""
        while data:
            data = data[self._tls.write(data) :]

    def half_close(self) -> None:
        """Says, once, that no more will go out. Only where read() has just said that nothing is left."""
        if self._half_closed:
            return
        self._half_closed = True
        with contextlib.suppress(
            ssl.SSLError
        ):  # SSLWantReadError: the engine hasn't said the same yet, as it shouldn't have
            self._tls.unwrap()

    def flush(self) -> None:
        """Sends what the socket takes."""
        self.unsent += self._out.read()
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[self.wire.send(self.unsent) :]


class _Carrier(threading.Thread):
    """Moves bytes between the TLS layer and our end of the pair until either is closed."""

    def __init__(self, layer: _Layer, inner: socket.socket) -> None:
        super().__init__(name="dockshell-tls", daemon=True)
        self._layer = layer
        self._inner = inner
        self._arrived = b""  # plain bytes that the session hasn't taken yet
        self._finished = False  # the session has said that it sends no more
        layer.wire.setblocking(False)
        inner.setblocking(False)

    def why(self) -> str:
        self.join(1.0)
        return f"TLS: {self._layer.why}" if self._layer.why else ""

    def end(self) -> None:
        # The other end of the pair is closed by now, which ends the loop.
        if threading.current_thread() is not self:
            self.join()

    def run(self) -> None:
        with self._layer.wire, self._inner:
            try:
                while self._deliver():
                    self._layer.flush()
                    self._wait()
            except OSError as error:
                self._layer.why = self._layer.why or _words(error)
            # Input that nobody will take is read away, or closing would reset the pair and what the session hasn't read
            # yet (unix(7)).
            with contextlib.suppress(OSError):
                self._inner.shutdown(socket.SHUT_RDWR)
                while self._inner.recv(_CHUNK):
                    pass

    def _deliver(self) -> bool:
        """Gives the session what has come in. False where no more will."""
        while True:
            self._arrived = self._arrived or self._layer.read()
            if not self._arrived:
                break
            try:
                self._arrived = self._arrived[self._inner.send(self._arrived) :]
            except BlockingIOError:
                return True
        if self._finished:
            self._layer.half_close()
        return not self._layer.ended

    def _wait(self) -> None:
        poll = select.poll()
        wanted = (0 if self._arrived else select.POLLIN) | (select.POLLOUT if self._layer.unsent else 0)
        if wanted:  # else an engine that hung up would be reported over and over while the session is slow to read
            poll.register(self._layer.wire, wanted)
        takes = 0 if self._finished or self._layer.unsent else select.POLLIN
        poll.register(self._inner, takes | (select.POLLOUT if self._arrived else 0))
        for descriptor, events in poll.poll():
            if descriptor == self._layer.wire.fileno():
                if not self._arrived and events & ~select.POLLOUT:
                    self._layer.take_in()
            elif events & select.POLLHUP:
                raise ConnectionAbortedError("closed here")
            elif events & select.POLLIN:
                self._take()

    def _take(self) -> None:
        """Input from the session, or that there will be no more."""
        if data := self._inner.recv(_CHUNK):
            self._layer.write(data)
        else:
            self._finished = True
