"""`dockshell serve`: many SSH connections, each served by a process of its own (server.py), for people without an
account on this machine.

The reception only counts: it reads nothing that a client sends. Who may come in is decided by the admission
(admission.py, which has a picture of all of them)."""

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

from dockshell.bridge.admission import Admission, Asking
from dockshell.bridge.allowance import Allowance
from dockshell.bridge.journal import Bounded, Journal
from dockshell.bridge.server import serve
from dockshell.errors import DockshellError, Fault
from dockshell.linux import memory, open_files
from dockshell.linux.confinement import Nowhere, confine
from dockshell.linux.descriptors import let_go
from dockshell.linux.signals import gone
from dockshell.model import noun

__all__ = ["Limits", "Reception", "neighbourhood", "source", "victim"]

_FORGET = 10_000  # sources that are remembered at once
_FAILURE = 10.0  # a failed login counts as so many connections
_LET_GO = 2.0  # seconds for the servers to end when we are told to
_EACH, _ELSE = 1, 32  # descriptors: of a connection, and of all else that is held open
_NOBODY = 65534  # the user and group that own nothing: nobody and nogroup, or 16 bits of -2
_WEIGHED = 0.5  # seconds between two looks at how much memory the connections have in all
_PAUSE = 0.5  # seconds without new connections, where one could not even be taken
# Lines before any of SSH's own: RFC 4253, 4.2.
_BUSY = b"dockshell: too many connections, try again later\r\n"
_BROKEN = b"dockshell: the server is broken, ask whoever runs it to start it again\r\n"


@noun(frozen=True)
class Limits:
    """connections: how many at once; memory: how many bytes the processes of all of them may have. burst, rate: how
    many connections one source may begin at once, and for each second that passes."""

    connections: int = 200
    memory: int = 1 << 30
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
    """listeners: sockets that listen."""

    def __init__(self, listeners: list[socket.socket], admission: Admission, journal: Journal) -> None:
        self._listeners = listeners
        self._admission = admission
        self._journal = journal
        self._limits = Limits()
        self._guests: dict[int, _Guest] = {}  # by the number of the process
        self._allowances: dict[str, Allowance] = {}
        self._refusals = Bounded()
        self._count = 0
        self._files = 0  # how many may be open
        self._paused_until = self._weighed = 0.0
        self._nowhere = _nowhere()

    def limited(self, limits: Limits) -> Reception:
        """With these limits."""
        self._limits = limits
        return self

    def run(self) -> None:
        """Serves until TERM or INT; then ends all connections. Raises DockshellError where the admission is gone."""
        self._files = open_files.raise_limit()
        awake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        stopped: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: stopped.append(number))
        try:
            while not stopped:
                self._turn(awake)
        finally:
            signal.set_wakeup_fd(-1)
            self._close()

    def _turn(self, awake: int) -> None:
        poller = select.poll()
        paused = self._paused_until - time.monotonic()
        listening = [each.fileno() for each in self._listeners] if paused <= 0 else []
        for descriptor in (awake, self._admission.fileno(), *listening):
            poller.register(descriptor, select.POLLIN)
        for guest in self._guests.values():
            poller.register(guest.pidfd, select.POLLIN)
        waits = [paused] if paused > 0 else []
        waits += [_WEIGHED] if self._guests else []
        ready = {descriptor for descriptor, _ in poller.poll(int(min(waits) * 1000) + 1 if waits else None)}
        self._weigh()
        if self._admission.fileno() in ready:
            self._hear()
        for guest in list(self._guests.values()):
            if guest.pidfd in ready:
                os.waitpid(guest.pid, 0)
                guest.close()
                del self._guests[guest.pid]
        for listener in self._listeners:
            if listener.fileno() in ready:
                self._receive(listener)

    def _hear(self) -> None:
        try:
            events = self._admission.events()
        except OSError:
            raise DockshellError("what decides who comes in, or enters containers, ended: start serve again") from None
        for number, key in events:
            guest = next((each for each in self._guests.values() if each.number == number), None)
            if guest and key:
                guest.inside, guest.owner = True, key
            elif guest and not guest.dropped:
                self._allowance(guest.address).lose(_FAILURE)

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
            if not self._allowance(address).take():
                self._turn_away(connection, journal, "too many connections from this address")
                return
            if not self._make_room(address):
                self._turn_away(connection, journal, "too many connections")
                return
            try:
                if _ELSE + _EACH * (len(self._guests) + 1) > self._files:
                    raise OSError(EMFILE, os.strerror(EMFILE))
                self._fork(connection, peer)
            except OSError as error:
                short = open_files.shortage(error)
                why = short or f"what decides who comes in is gone: {error.strerror}"
                self._turn_away(connection, journal, why, busy=bool(short))

    def _make_room(self, address: str) -> bool:
        """Drops one that hasn't logged in, where there are too many → may whoever comes from there come in?"""
        waiting = {pid: guest.network for pid, guest in self._guests.items() if not (guest.inside or guest.dropped)}
        there = sum(not guest.dropped for guest in self._guests.values())
        if random.random() >= self._limits.drop_probability(len(waiting), there):
            return True
        if not waiting:
            return False  # all have logged in
        chosen = victim(neighbourhood(address), waiting)
        if chosen < 0:
            return False
        self._drop(self._guests[chosen], "it hadn't logged in when there were too many connections")
        return True

    def _weigh(self) -> None:
        """Ends one connection where all of them take too much memory."""
        if time.monotonic() < self._weighed + _WEIGHED:
            return
        self._weighed = time.monotonic()
        owners = {pid: guest.owner for pid, guest in self._guests.items() if not guest.dropped}
        if pid := memory.heaviest(owners, self._limits.memory):
            self._drop(self._guests[pid], "it took too much memory")

    def _drop(self, guest: _Guest, why: str) -> None:
        guest.dropped = True
        self._admission.dropped(guest.number, why)
        os.kill(guest.pid, signal.SIGKILL)

    def _turn_away(self, connection: socket.socket, journal: Journal, why: str, busy: bool = True) -> None:
        """busy: it will do later."""
        self._refusals.tell(journal, "refusal", why=why)
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(_BUSY if busy else _BROKEN)

    def _fork(self, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        """Raises OSError."""
        channel = self._admission.another(self._count, str(peer[0]), int(peer[1]))
        try:
            pid = os.fork()
            if pid == 0:
                self._serve(connection, peer, channel)
            try:
                self._guests[pid] = _Guest(pid, self._count, str(peer[0]))
            except OSError:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
        finally:
            channel.close()

    def _serve(self, connection: socket.socket, peer: tuple[Any, ...], channel: socket.socket) -> NoReturn:
        """In the process of one connection."""
        gate = Asking(channel, self._admission.public)
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._give_up_rights({connection.fileno(), channel.fileno()})
            try:
                serve(connection.fileno(), connection.fileno(), gate, peer)
            except OSError:
                pass  # the other side went away
        except Exception as error:
            gate.fault(str(Fault.of(error)))
        finally:
            os._exit(0)

    def _give_up_rights(self, but: set[int]) -> None:
        """All but these descriptors. Raises OSError."""
        let_go({*but, *(self._nowhere.descriptors if self._nowhere else ())})
        memory.first_to_go()
        confine(_NOBODY, _NOBODY, self._nowhere)

    def check(self) -> None:
        """Raises DockshellError where the servers' rights can't be given up, as in a user namespace without nobody."""
        pid = os.fork()
        if pid == 0:
            try:
                self._give_up_rights(set())
                os._exit(0)
            except OSError as error:
                os._exit(error.errno or 255)
            finally:
                os._exit(255)
        if code := os.waitstatus_to_exitcode(gone(pid)):
            why = os.strerror(code) if code > 0 else f"signal {-code}"
            raise DockshellError(
                f"what speaks SSH can't become nobody, user {_NOBODY} ({why}): start serve as a user without root, or "
                "in a user namespace that has that user"
            )

    def _allowance(self, address: str) -> Allowance:
        """How many connections its source may begin."""
        whose = source(address)
        # The one that was asked for last goes last.
        allowance = self._allowances.pop(whose, None) or Allowance(self._limits.burst, self._limits.rate)
        if len(self._allowances) >= _FORGET:
            del self._allowances[next(iter(self._allowances))]
        self._allowances[whose] = allowance
        return allowance

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
        self._guests.clear()
        self._admission.close()
        self._admission.wait(_LET_GO)


class _Guest:
    """A connection's process. number: the connection's; network: where it comes from; inside: whether somebody has
    logged in; owner: the key by which they have, else that network; dropped: whether it was ended to make room."""

    def __init__(self, pid: int, number: int, address: str) -> None:
        self.pid, self.number, self.address = pid, number, address
        self.pidfd = os.pidfd_open(pid)
        self.network = self.owner = neighbourhood(address)
        self.inside = self.dropped = False

    def close(self) -> None:
        os.close(self.pidfd)


def _nowhere() -> Nowhere | None:
    """None where no namespaces can be made: without root, or in a container."""
    try:
        return Nowhere() if os.geteuid() == 0 else None
    except OSError:
        return None
