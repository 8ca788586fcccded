"""You, at a terminal or in a pipe, and a Session: bytes both ways, size, signals, until the command ends."""

from __future__ import annotations

import gc
import os
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, poll
from time import monotonic

from dockshell.errors import CommandNotFound, SessionLost
from dockshell.linux import terminals
from dockshell.linux.descriptors import widened
from dockshell.linux.signals import FORWARDED, release, signal
from dockshell.session import Late, Left, Undeliverable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType
    from typing import Any

    from dockshell.linux.lookahead import Lookahead
    from dockshell.session import Carrier, Session, Timed

__all__ = ["Alarm", "relay", "write_some"]

_CHUNK = 1 << 18
_MUCH = 1 << 16  # what a pipe holds as it is made: with as much at once, there is more to come
_MOST_TAKEN = 1 << 20  # more than an engine takes before it knows that there is no such command
_GONE = POLLHUP | POLLERR | POLLNVAL


def relay(
    session: Session,
    *,
    terminal: bool,
    input: bool,
    others: Mapping[int, Callable[[], None]] | None = None,
    first: bytes = b"",
    detach_key: bytes = b"",
    timeout: float = 0.0,
) -> int:
    """Drives the session with this process's own stdin, stdout and stderr until it ends → its exit code.

    terminal: the command has one, so that ours (if stdin is one) is put into raw mode for the time. input: whether
    stdin is read at all. others: descriptors to listen to besides, with what to call when they can be read; what those
    calls raise comes up from here. first: input that was read already. detach_key: what has to be typed at a terminal
    to leave the command to itself, the last byte of which doesn't reach it; empty for nothing. timeout: the seconds
    that the command is given, from now on; 0 for any number. Raises Left where the detach key was typed, Late where the
    time is over, Undeliverable, SessionLost and what else Session.receive() may raise."""
    driver = _Relay(session, terminal, input, others or {}, first)
    driver.detach_key = detach_key if terminal else b""
    driver.timeout = timeout
    try:
        return driver.run()
    except CommandNotFound as missing:
        missing.taken = driver.taken
        raise


class Alarm:
    """A descriptor that polls readable when a signal has come. Python's handlers run between two steps of the program,
    so without it one that comes just before poll() begins to wait would go unheard until something else happens."""

    def __init__(self) -> None:
        self.descriptor, self._other = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._other, warn_on_full_buffer=False)

    def silence(self) -> None:
        try:
            os.read(self.descriptor, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self.descriptor)
        os.close(self._other)


class _Relay:
    """taken: what was read of the input until the command first said something; None from then on."""

    def __init__(
        self, session: Session, terminal: bool, input: bool, others: Mapping[int, Callable[[], None]], first: bytes
    ) -> None:
        self.taken: bytes | None = first
        self.detach_key = b""
        self.timeout = 0.0
        self._typed = b""  # as far as it may be the beginning of that
        self._session = session
        self._others = others
        self._terminal = terminal
        self._reading = input
        self._pending = first
        self._lookahead: Lookahead | None = None
        self._carrier: Carrier | None = session if getattr(session, "carries", False) else None  # type: ignore[assignment]
        self._closed: set[int] = set()
        self._wide: set[int] = set()
        self._resized = False

    def run(self) -> int:
        session = self._session
        # From here on it may take long. What there is by now stays, and needn't be looked through.
        gc.freeze()
        gc.enable()
        self._alarm = Alarm()
        restore = self._listen()
        if self._reading and not self._pending and session.input is not None and session.unread() is not None:
            # A command that reads nothing takes nothing from the loop in a script that we may be in.
            from dockshell.linux.lookahead import lookahead

            self._lookahead = lookahead(0, session.unread, session.input, self._carrier is not None)
        try:
            release()
            if self._terminal and self._reading and os.isatty(0):
                with terminals.Raw(0):
                    # A change of size between the session's start and here would have gone unseen.
                    self._adopt_size()
                    return self._loop()
            return self._loop()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if self._lookahead:
                self._lookahead.close()
            for number, handler in restore:
                signal.signal(number, handler)
            self._alarm.close()

    def _loop(self) -> int:
        session = self._session
        while ready := session.ready:
            if self._resized:
                self._adopt_size()
            poller = poll()
            poller.register(self._alarm.descriptor, POLLIN)
            for descriptor in (*ready, *self._others):
                poller.register(descriptor, POLLIN)
            accepting, source, patience = session.input, -1, self._patience()
            if self._pending and accepting is not None:
                poller.register(accepting, POLLOUT | (POLLIN if accepting in ready else 0))
            elif self._reading and accepting is not None:
                source, patience = self._lookahead.descriptor if self._lookahead else (0, patience)
                if source >= 0:
                    poller.register(source, POLLIN)
            for descriptor, events in self._found(poller, source, patience):
                if descriptor == self._alarm.descriptor:
                    self._alarm.silence()
                if descriptor in self._others:
                    self._others[descriptor]()
                if descriptor == source and not self._pending and source not in ready:
                    self._read()
                if descriptor in ready and events & (POLLIN | _GONE):
                    if self._carrier and self._carrier.carry(descriptor):
                        continue
                    for stream, data in session.receive(descriptor):
                        self.taken = None
                        self._write(stream, data)
                if descriptor == accepting and events & (POLLOUT | _GONE) and self._pending:
                    self._pass_on()
        return session.wait()

    def _patience(self) -> int | None:
        """Milliseconds until the session has something to do; None for never. It does what is due."""
        timed: Timed = self._session  # type: ignore[assignment]
        while (due := getattr(timed, "due", None)) is not None:
            if (left := due - monotonic()) > 0:
                return int(left * 1000) + 1
            timed.tick()
        return None

    def _found(self, poller: Any, source: int, patience: int | None) -> list[tuple[int, int]]:
        """What poll() finds. Input that goes from pipe to pipe is carried until there is anything else. source: where
        to poll for input, -1 for nowhere; patience: milliseconds after which to look for it, None for never."""
        ahead = self._lookahead
        while True:
            found: list[tuple[int, int]] = poller.poll(patience)
            if not ahead or not ahead.carries or (source < 0 and patience is None):
                if not found and ahead:
                    self._read()
                return found
            if others := [each for each in found if each[0] != source]:
                return others
            if ahead.carry() == 0:
                self._reading = False
                self._session.end_input()
                return []
            before, (source, patience) = source, ahead.descriptor
            if before != source:
                if before >= 0:
                    poller.unregister(before)
                if source >= 0:
                    poller.register(source, POLLIN)

    def _read(self) -> None:
        try:
            data = self._lookahead.copy() if self._lookahead else os.read(0, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal that went away gives EIO, a closed stdin EBADF
        if data is None:
            return
        self._pending = data
        if data:
            if self.detach_key:
                self._look_for_leave()
            if self.taken is not None and not self._lookahead:
                self.taken = self.taken + self._pending if len(self.taken) < _MOST_TAKEN else None
            self._widen(0, self._pending)
            self._pass_on()
        else:
            self._reading = False
            if self._terminal and os.isatty(0):
                raise SessionLost("the terminal went away")
            self._session.end_input()

    def _look_for_leave(self) -> None:
        """Nothing is held back for it: of several keys all but the last are the command's as well."""
        typed = self._typed + self._pending
        before, found, _ = typed.partition(self.detach_key)
        if found:
            raise Left((before + found[:-1])[len(self._typed) :])
        self._typed = typed[len(typed) - len(self.detach_key) + 1 :]

    def _widen(self, descriptor: int, data: bytes) -> None:
        if len(data) >= _MUCH and descriptor not in self._wide:
            self._wide.add(widened(descriptor))

    def _pass_on(self) -> None:
        count = self._session.send(self._pending)
        self._pending = self._pending[count:]
        if self._lookahead:
            self._lookahead.sent(count)

    def _write(self, stream: int, data: bytes) -> None:
        if stream in self._closed:
            return
        self._widen(stream, data)
        try:
            while data:
                data = data[write_some(stream, data) :]
        except BrokenPipeError:
            # Whoever read our output left. A local command would now get SIGPIPE at its next write; so does this one.
            self._closed.add(stream)
            self._forward(signal.SIGPIPE)

    def _forward(self, number: int) -> None:
        """To the command; where this route can't, it is we who end, as any program would. Also called by handlers,
        which run between two steps of the loop and whose exceptions come up from there."""
        if not self._session.signal(number):
            raise Undeliverable(number, "this way in passes no such signal on")

    def _adopt_size(self) -> None:
        self._resized = False
        self._session.resize(terminals.size(0))

    def _listen(self) -> list[tuple[int, Any]]:
        """Forwards signals and sizes for as long as the session runs → what to restore."""

        def forward(number: int, frame: FrameType | None) -> None:
            self._forward(number)

        def adopt(number: int, frame: FrameType | None) -> None:
            self._resized = True  # not now: of two sizes under way the older could arrive last

        def end(number: int, frame: FrameType | None) -> None:
            raise Late

        wanted: list[tuple[int, Callable[[int, FrameType | None], None]]] = [(number, forward) for number in FORWARDED]
        if self._terminal:
            wanted.append((signal.SIGWINCH, adopt))
        # A signal that our own caller has us ignore (nohup, a shell's background job) stays ignored.
        wanted = [each for each in wanted if signal.getsignal(each[0]) is not signal.SIG_IGN]
        if self.timeout:
            # By a timer, not by poll(): we may be waiting for somebody who doesn't read what the command writes. It
            # follows the monotonic clock.
            wanted.append((signal.SIGALRM, end))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        before = [(number, signal.signal(number, handler)) for number, handler in wanted]
        signal.setitimer(signal.ITIMER_REAL, self.timeout)
        return before


def write_some(stream: int, data: bytes) -> int:
    """Writes to our own stdout or stderr, which somebody else may have made non-blocking."""
    try:
        return os.write(stream, data)
    except BlockingIOError:
        waiter = poll()
        waiter.register(stream, POLLOUT)
        waiter.poll()
        return 0
