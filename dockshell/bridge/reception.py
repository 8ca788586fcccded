"""`dockshell serve`: many SSH connections, each served by a process of its own (server.py), for people without an
account on this machine.

    ──▶ reception ──fork──▶ server, one for each connection ──▶ steward (one for all)

The reception only counts: it reads nothing that a client sends."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable
from errno import EMFILE
from typing import Any, NoReturn

from dockshell.bridge import authorized
from dockshell.bridge.conversation import Allowed
from dockshell.bridge.journal import Journal
from dockshell.bridge.server import serve
from dockshell.bridge.steward import Steward
from dockshell.errors import DockshellError, Fault
from dockshell.linux import open_files
from dockshell.model import noun
from dockshell.ssh.keys import fingerprint

__all__ = ["Limits", "Reception", "neighbourhood", "source", "victim"]

_FORGET = 10_000  # sources that are remembered at once
_FAILURE = 10.0  # a failed login counts as so many connections
_LET_GO = 2.0  # seconds for the servers to end when we are told to
_EACH, _ELSE = 2, 32  # descriptors: of a connection, and of all else that is held open
_REFUSALS = ""  # in place of an address: the lines that the journal has of refusals
_PAUSE = 0.5  # seconds without new connections, where one could not even be taken
# Lines before any of SSH's own: RFC 4253, 4.2.
_BUSY = b"dockshell: too many connections, try again later\r\n"
_BROKEN = b"dockshell: the server is broken, ask whoever runs it to start it again\r\n"


@noun(frozen=True)
class Limits:
    """connections: how many at once. burst, rate: how many connections one source may begin at once, and for each
    second that passes."""

    connections: int = 200
    burst: int = 100
    rate: float = 5.0

    def drop_probability(self, unauthenticated: int, connections: int) -> float:
        """How likely one more connection is to cost one that hasn't logged in, where there are so many of those, and so
        many in all: sshd_config(5), MaxStartups start:rate:full, with 30:30:50 for 100 connections, and no less than 10
        for both numbers."""
        start, rate, full = max(10.0, 0.3 * self.connections), 0.3, max(10.0, 0.5 * self.connections)
        if unauthenticated < start:
            return float(connections >= self.connections)
        if unauthenticated >= full or connections >= self.connections:
            return 1.0
        return rate + (1 - rate) * (unauthenticated - start) / (full - start)


def source(address: str) -> str:
    """Whose connections are counted together at a rate: an IPv4 address, or an IPv6 network of 64 bits, of which
    whoever has one address has all."""
    return _network(address, 32, 64)


def neighbourhood(address: str) -> str:
    """Whose connections share the places of those that haven't logged in: a network that one party may well have
    whole."""
    return _network(address, 24, 48)


def _network(address: str, bits4: int, bits6: int) -> str:
    parsed = ipaddress.ip_address(address.partition("%")[0])  # what follows is the interface: RFC 4007, 11
    bits = bits4 if parsed.version == 4 else bits6
    return str(ipaddress.ip_network((parsed, bits), strict=False))


def victim(newcomer: str, waiting: dict[int, str], choose: Callable[[list[int]], int] = random.choice) -> int:
    """Which connection is dropped where one has to be → its key in `waiting`, or -1 for the newcomer. newcomer: its
    network; waiting: the networks of those that haven't logged in. At random among those of the network that has most
    of them: so nobody can keep others out by holding places, and who holds them loses them first."""
    everyone = {**waiting, -1: newcomer}
    counts: dict[str, int] = {}
    for network in everyone.values():
        counts[network] = counts.get(network, 0) + 1
    most = max(counts.values())
    return choose([number for number, network in everyone.items() if counts[network] == most])


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
        self._untold = 0  # refusals that no line was written for
        self._files = 0  # how many may be open
        self._paused_until = 0.0

    def limited(self, limits: Limits) -> Reception:
        """With these limits."""
        self._limits = limits
        return self

    def run(self) -> None:
        """Serves until TERM or INT; then ends all connections."""
        self._files = open_files.raise_limit()
        awake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        stopped: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: stopped.append(number))
        while not stopped:
            poller = select.poll()
            paused = self._paused_until - time.monotonic()
            listening = [each.fileno() for each in self._listeners] if paused <= 0 else []
            for descriptor in (awake, *listening):
                poller.register(descriptor, select.POLLIN)
            for guest in self._guests.values():
                for descriptor in guest.descriptors:
                    poller.register(descriptor, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll(int(paused * 1000) + 1 if paused > 0 else None)}
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
        except OSError as error:
            if error.errno in open_files.EXHAUSTED:
                self._paused_until = time.monotonic() + _PAUSE  # it is still there, and would wake us at once
                self._journal.tell("refusal", why=open_files.shortage(error) or error.strerror)
            return  # else it hung up already
        address = str(peer[0])
        self._count += 1
        journal = self._journal.about(connection=self._count, peer=f"{address}:{peer[1]}")
        with connection:
            if not self._spend(address, 1.0):
                self._turn_away(connection, journal, "too many connections from this address")
                return
            if not self._make_room(address):
                self._turn_away(connection, journal, "too many connections")
                return
            try:
                if _ELSE + _EACH * (len(self._guests) + 1) > self._files:
                    raise OSError(EMFILE, os.strerror(EMFILE))
                self._fork(connection, peer, journal)
            except OSError as error:
                short = open_files.shortage(error)
                why = short or f"what enters containers is gone: {error.strerror}"
                self._turn_away(connection, journal, why, busy=bool(short))

    def _make_room(self, address: str) -> bool:
        """Drops one that hasn't logged in, where there are too many → may whoever comes from there come in?"""
        waiting = {
            pid: neighbourhood(guest.address)
            for pid, guest in self._guests.items()
            if not (guest.inside or guest.dropped)
        }
        there = sum(not guest.dropped for guest in self._guests.values())
        if random.random() >= self._limits.drop_probability(len(waiting), there):
            return True
        if not waiting:
            return False  # all have logged in
        chosen = victim(neighbourhood(address), waiting)
        if chosen < 0:
            return False
        self._guests[chosen].drop()
        return True

    def _turn_away(self, connection: socket.socket, journal: Journal, why: str, busy: bool = True) -> None:
        """busy: it will do later."""
        if self._spend(_REFUSALS, 1.0):
            more, self._untold = self._untold, 0
            journal.tell("refusal", why=why, more=more or None)
        else:
            self._untold += 1  # who floods us is not to fill the disk too
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(_BUSY if busy else _BROKEN)

    def _fork(self, connection: socket.socket, peer: tuple[Any, ...], journal: Journal) -> None:
        """Raises OSError."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            word, their_word = os.pipe2(os.O_CLOEXEC)
            theirs.callback(os.close, their_word)
            ours.callback(os.close, word)
            handle = self._steward.another()
            theirs.callback(handle.close)
            pid = os.fork()
            if pid == 0:
                try:
                    self._serve(connection, peer, handle, their_word, journal)
                except Exception as error:
                    if not isinstance(error, OSError):  # the other side went away
                        os.write(2, f"dockshell: {Fault.of(error)}\n".encode())
                finally:
                    os._exit(1)
            try:
                self._guests[pid] = _Guest(pid, word, str(peer[0]), journal)
            except OSError:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
            ours.pop_all()

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
        """Takes so much of a source's allowance (a token bucket) → was there enough?"""
        if address != _REFUSALS:
            address = source(address)
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
        self.inside = self.dropped = False

    def drop(self) -> None:
        """Ends it, to make room."""
        self.dropped = True
        os.kill(self.pid, signal.SIGKILL)
        self.journal.tell("refusal", why="it hadn't logged in when there were too many connections")

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

    def exhausted(self, kind: str, why: str) -> None:
        self._journal.tell("refusal", kind=kind, why=why)


def _write(descriptor: int, told: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, told)
