"""`dockshell serve`: many SSH connections, each served by a process of its own (server.py), for people without an
account on this machine.

    ──▶ reception ──fork──▶ server, one for each connection ──▶ steward (one for all)

The reception only counts: it reads nothing that a client sends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from dockshell.bridge import authorized
from dockshell.bridge.conversation import Allowed
from dockshell.bridge.journal import Journal
from dockshell.bridge.server import serve
from dockshell.bridge.steward import Steward
from dockshell.errors import DockshellError
from dockshell.model import noun
from dockshell.ssh.keys import fingerprint

__all__ = ["Limits", "Reception"]

_BACKLOG = 128
_FORGET = 10_000  # addresses that are remembered at once
_FAILURE = 10.0  # a failed login counts as so many connections
_LET_GO = 2.0  # seconds for the servers to end when we are told to


@noun(frozen=True)
class Limits:
    """connections: how many at once; knocking: how many of them may not be logged in yet; burst, rate: how many
    connections one address may begin at once, and for each second that passes."""

    connections: int = 200
    knocking: int = 100
    burst: int = 100
    rate: float = 5.0


class Reception:
    """listeners: sockets that listen; keys: the path of the authorized keys, which is read anew for each connection."""

    def __init__(
        self, listeners: list[socket.socket], keys: str, steward: Steward, host_key: str, journal: Journal
    ) -> None:
        self._listeners = listeners
        self._keys = keys
        self._steward = steward
        self._host_key = host_key
        self._journal = journal
        self._limits = Limits()
        self._guests: dict[int, _Guest] = {}
        self._allowances: dict[str, tuple[float, float]] = {}
        self._count = 0

    def limited(self, limits: Limits) -> Reception:
        """With these limits."""
        self._limits = limits
        return self

    def run(self) -> None:
        """Serves until TERM or INT; then ends all connections."""
        awake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        stopped: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: stopped.append(number))
        while not stopped:
            poller = select.poll()
            for descriptor in (awake, *(each.fileno() for each in self._listeners)):
                poller.register(descriptor, select.POLLIN)
            for guest in self._guests.values():
                for descriptor in guest.descriptors:
                    poller.register(descriptor, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll()}
            for guest in list(self._guests.values()):
                self._look_after(guest, ready)
            for listener in self._listeners:
                if listener.fileno() in ready:
                    self._receive(listener)
        signal.set_wakeup_fd(-1)
        self._close()

    def _look_after(self, guest: _Guest, ready: set[int]) -> None:
        if guest.word in ready:
            told = os.read(guest.word, 64)
            guest.inside = guest.inside or b"in" in told
            if b"refused" in told:
                self._spend(guest.address, _FAILURE)
            if not told:
                guest.deaf()
        if guest.pidfd in ready:
            os.waitpid(guest.pid, 0)
            guest.close()
            del self._guests[guest.pid]
            guest.journal.tell("disconnect")

    def _receive(self, listener: socket.socket) -> None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return  # it hung up already, or we have no descriptor left
        address = str(peer[0])
        self._count += 1
        journal = self._journal.about(connection=self._count, peer=f"{address}:{peer[1]}")
        knocking = sum(not guest.inside for guest in self._guests.values())
        full = len(self._guests) >= self._limits.connections or knocking >= self._limits.knocking
        if full or not self._spend(address, 1.0):
            why = "too many connections" if full else "too many connections from this address"
            journal.tell("refusal", why=why)
            with contextlib.suppress(OSError):
                connection.setblocking(False)
                connection.send(b"dockshell: too many connections, try again later\r\n")  # RFC 4253, 4.2
            connection.close()
            return
        self._fork(connection, peer, journal)

    def _fork(self, connection: socket.socket, peer: tuple[Any, ...], journal: Journal) -> None:
        word, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            handle = self._steward.another()
        except OSError:
            journal.tell("refusal", why="what enters containers is gone")
            os.close(word)
            os.close(theirs)
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            try:
                self._serve(connection, peer, handle, theirs, journal)
            finally:
                os._exit(1)
        os.close(theirs)
        handle.close()
        connection.close()
        self._guests[pid] = _Guest(pid, word, str(peer[0]), journal)

    def _serve(
        self, connection: socket.socket, peer: tuple[Any, ...], handle: Steward, word: int, journal: Journal
    ) -> NoReturn:
        """In the process of one connection."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for listener in self._listeners:
            listener.close()
        for guest in self._guests.values():
            guest.close()
        self._steward.close()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            gate = _Keys(self._keys, peer, journal, lambda told: _write(word, told))
        except DockshellError as error:  # the file was changed since we began
            journal.tell("refusal", why=str(error))
            os._exit(1)
        serve(connection.fileno(), connection.fileno(), gate, handle, self._host_key, peer)
        os._exit(0)

    def _spend(self, address: str, cost: float) -> bool:
        """Takes so much of an address's allowance (a token bucket) → was there enough?"""
        now = time.monotonic()
        left, since = self._allowances.pop(address, (float(self._limits.burst), now))
        left = min(float(self._limits.burst), left + (now - since) * self._limits.rate)
        enough = left >= cost
        if len(self._allowances) >= _FORGET:
            del self._allowances[next(iter(self._allowances))]
        self._allowances[address] = (max(0.0, left - cost), now)
        return enough

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        for pid in self._guests:
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _LET_GO
        for pid, guest in self._guests.items():
            waiter = select.poll()
            waiter.register(guest.pidfd, select.POLLIN)
            if not waiter.poll(max(0, int((until - time.monotonic()) * 1000))):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            guest.close()
            guest.journal.tell("disconnect")
        self._guests.clear()


class _Guest:
    """A connection's process. word: a pipe by which it says that somebody logged in, or didn't."""

    def __init__(self, pid: int, word: int, address: str, journal: Journal) -> None:
        self.pid, self.word, self.address, self.journal = pid, word, address, journal
        self.pidfd = os.pidfd_open(pid)
        self.inside = False

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.pidfd,) if self.word < 0 else (self.pidfd, self.word)

    def deaf(self) -> None:
        """Nothing more is said."""
        if self.word >= 0:
            os.close(self.word)
        self.word = -1

    def close(self) -> None:
        self.deaf()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pidfd = -1


class _Keys:
    """The `Gate` of those whose public keys stand in a file. The name that they log in with is the container's."""

    def __init__(self, path: str, peer: tuple[Any, ...], journal: Journal, tell: Callable[[bytes], None]) -> None:
        self._entries = authorized.read(path)
        self._address = str(peer[0])
        self._journal = journal
        self._tell = tell
        self._shown = authorized.NOBODY

    def open_to(self, name: str) -> Allowed | None:
        return None

    def admits(self, name: str, blob: bytes) -> Allowed | None:
        now = time.time()
        fitting = (each for each in self._entries if each.blob == blob and each.valid(self._address, now))
        entry = next(fitting, None)
        if entry is None:
            return None
        self._shown = entry
        return Allowed(
            target=name,
            user=entry.user,
            admitted=entry.containers,
            line=entry.command,
            forwarding=entry.forwarding,
            agent=entry.agent,
            terminals=entry.pty,
        )

    def entered(self, name: str, key: bytes) -> None:
        self._tell(b"in")
        self._journal = self._journal.about(target=name)
        self._journal.tell("login", key=fingerprint(key), comment=self._shown.comment)

    def refused(self, name: str, why: str) -> None:
        self._tell(b"refused")
        self._journal.tell("refusal", target=name, why=why)

    def began(self, kind: str) -> None:
        self._journal.tell("session", kind=kind)

    def ended(self, kind: str, code: int | None) -> None:
        self._journal.tell("end", kind=kind, code=code)


def _write(descriptor: int, told: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, told)
