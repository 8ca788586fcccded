"""All containers of a fleet, so many at a time: one thread and one poll loop."""

from __future__ import annotations

from select import POLLIN, poll
from time import monotonic

from dockshell.fleet.worker import Result, Task, Worker, get_ready
from dockshell.linux.signals import FORWARDED, hold, release, signal
from dockshell.relay import Alarm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Protocol

    from dockshell.fleet.board import Board
else:
    Protocol = object

__all__ = ["Report", "Run"]

_LAST = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # after which nothing more is begun
_TICK = 200  # milliseconds between two looks at a bar, or at the clock
_PATIENCE = 1.0  # seconds for an engine that doesn't answer, after a signal that ends it all


class Report(Protocol):
    """What is told of each, which is known by its place in the list of containers."""

    def wrote(self, number: int, stream: int, data: bytes) -> None:
        """It wrote that to its stdout (1) or stderr (2)."""

    def ended(self, number: int, result: Result, seconds: float) -> None:
        """It ended, after so many seconds, and writes no more."""


class Run:
    """results: what became of those that were begun, by their places. told: the signal that ended it all early, 0 for
    none."""

    def __init__(self, task: Task, report: Report) -> None:
        self.results: dict[int, Result] = {}
        self.told = 0
        self._last = 0.0  # when who still waits for an engine is given up
        self._task = task
        self._report = report
        self._busy: dict[int, Worker] = {}
        self._idle: list[Worker] = []
        self._begun: list[float] = []
        self._poller = poll()
        self._whose: dict[int, int] = {}  # by descriptor

    def run(self, jobs: int, board: Board) -> None:
        """Runs the command in each, so many at a time, and returns when all that were begun have ended. It passes on
        the signals that a session does. board: where the bar is drawn. Raises BrokenPipeError where nobody reads what
        is told; then, as at our death, the commands are ended."""
        get_ready()
        alarm = Alarm()
        self._poller.register(alarm.descriptor, POLLIN)
        restore = self._listen()
        try:
            while self._begin(jobs):
                for descriptor, _ in self._poller.poll(_TICK if board.draws or self.told else None):
                    if descriptor == alarm.descriptor:
                        alarm.silence()
                    elif descriptor in self._whose:
                        self._hear(descriptor)
                if self.told and monotonic() > self._last:
                    for worker in self._busy.values():
                        worker.give_up(self.told)
                board.show(len(self.results), [self._task.containers[number].name for number in self._busy])
        finally:
            for number, handler in restore:
                signal.signal(number, handler)
            for worker in self._busy.values():
                worker.kill()
            alarm.close()

    def _begin(self, jobs: int) -> bool:
        """Begins as many as may be → does anything run?"""
        while len(self._busy) < jobs and len(self._begun) < len(self._task.containers) and not self.told:
            number = len(self._begun)
            self._begun.append(monotonic())
            hold()  # a signal is for this one, too, or for none that begins
            worker = self._idle.pop() if self._idle else Worker(self._task, self._busy.values())
            worker.begin(number)
            self._busy[number] = worker
            release()
            for descriptor in (*worker.outputs, worker.control):
                self._whose[descriptor] = number
                self._poller.register(descriptor, POLLIN)
        while self._idle:
            self._idle.pop().dismiss()
        return bool(self._busy)

    def _hear(self, descriptor: int) -> None:
        number = self._whose[descriptor]
        worker = self._busy[number]
        if descriptor == worker.control:
            if result := worker.hear():
                self._end(number, worker, result)
            return
        stream = worker.outputs[descriptor]
        if data := worker.read(descriptor):
            self._report.wrote(number, stream, data)
        elif descriptor not in worker.outputs:
            self._forget(descriptor)

    def _end(self, number: int, worker: Worker, result: Result) -> None:
        for descriptor in (*worker.outputs, worker.control):
            self._forget(descriptor)
        for stream, data in worker.rest():
            self._report.wrote(number, stream, data)
        del self._busy[number]
        if worker.alive:
            self._idle.append(worker)
        else:
            worker.dismiss()
        self.results[number] = result
        self._report.ended(number, result, monotonic() - self._begun[number])

    def _forget(self, descriptor: int) -> None:
        del self._whose[descriptor]
        self._poller.unregister(descriptor)

    def _listen(self) -> list[tuple[int, Any]]:
        """Passes signals on for as long as it runs → what to restore. One that our own caller has us ignore stays
        ignored."""

        def forward(number: int, frame: FrameType | None) -> None:
            if number in _LAST:
                self.told = number
                self._last = monotonic() + _PATIENCE
            for worker in list(self._busy.values()):
                worker.signal(number)

        return [(n, signal.signal(n, forward)) for n in FORWARDED if signal.getsignal(n) is not signal.SIG_IGN]
