"""One thread that waits for many descriptors at once: epoll(7), with timers and what other threads ask of it."""

from __future__ import annotations

import heapq
import itertools
import os
import socket
from collections import deque
from select import EPOLLIN, epoll
from time import monotonic

from dockshell.linux.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    Handler = Callable[[int], None]
    Action = Callable[[], None]

__all__ = ["Loop", "Timer"]


class Timer:
    """action: what is done when the time has come, None once it isn't to be."""

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None


class Loop:
    """run() calls everything, in the thread that calls it. Only post() may be called in another."""

    def __init__(self) -> None:
        self._epoll = epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._posted: deque[Action] = deque()
        self._result: int | None = None
        self._awake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._awake, EPOLLIN, lambda events: self._wake_up())

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Calls handler, with what epoll says, whenever one of the events is there."""
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        """To be called before the descriptor is closed."""
        if self._handlers.pop(descriptor, None):
            self._epoll.unregister(descriptor)

    def after(self, seconds: float, action: Action) -> Timer:
        """Calls it once, then."""
        timer = Timer(action)
        heapq.heappush(self._timers, (monotonic() + seconds, next(self._numbers), timer))
        return timer

    def soon(self, action: Action) -> None:
        """Calls it after what else is due."""
        self._posted.append(action)

    def post(self, action: Action) -> None:
        """soon(), for other threads."""
        self._posted.append(action)
        try:
            os.eventfd_write(self._awake, 1)
        except OSError:
            pass  # the loop was closed, and nothing is called any more

    def stop(self, result: int) -> None:
        """run() returns this."""
        self._result = result

    def run(self, ending: Iterable[int]) -> int:
        """Until stop() → its result; 0 when one of these signals comes."""
        arrived, notice = socket.socketpair()
        notice.setblocking(False)

        def end(number: int, frame: FrameType | None) -> None:
            self.stop(0)

        # A signal that our own caller has us ignore (nohup, a shell's background job) stays ignored.
        heeded = [number for number in ending if signal.getsignal(number) is not signal.SIG_IGN]
        before = [(number, signal.signal(number, end)) for number in heeded]
        # A handler of Python's runs between two steps, so that one just before epoll waits would go unheard.
        wakeup = signal.set_wakeup_fd(notice.fileno(), warn_on_full_buffer=False)
        self.watch(arrived.fileno(), EPOLLIN, lambda events: None)
        try:
            while self._result is None:
                self._turn()
            return self._result
        finally:
            self.forget(arrived.fileno())
            signal.set_wakeup_fd(wakeup)
            for number, handler in before:
                signal.signal(number, handler)
            arrived.close()
            notice.close()

    def close(self) -> None:
        self._epoll.close()
        os.close(self._awake)
        self._awake = -1

    def _turn(self) -> None:
        found = self._epoll.poll(self._patience(), 256)
        # By identity: a descriptor that one of these calls closes may be another's before its own turn comes.
        for descriptor, events, handler in [(each, events, self._handlers.get(each)) for each, events in found]:
            if handler and self._handlers.get(descriptor) is handler:
                handler(events)
        for _ in range(len(self._posted)):
            self._posted.popleft()()
        while self._timers and (self._timers[0][0] <= monotonic() or not self._timers[0][2].action):
            if action := heapq.heappop(self._timers)[2].action:
                action()

    def _patience(self) -> float:
        """Seconds to wait; -1 for as long as it takes."""
        if self._posted:
            return 0
        return max(0.0, self._timers[0][0] - monotonic()) if self._timers else -1

    def _wake_up(self) -> None:
        try:
            os.eventfd_read(self._awake)
        except BlockingIOError:
            pass
