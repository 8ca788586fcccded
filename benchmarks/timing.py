"""How long a command takes, from its start to its end, with as little of our own around it as can be.

Two commands are compared in pairs that take turns, A B, B A, A B …: a machine that is busy for a while is so for both,
and the median of the ratios within the pairs says more than two medians of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

__all__ = ["Bounds", "Broken", "Line", "Measured", "compare"]

_LEAST = 3  # pairs, however long they take
_PATIENCE = 120  # seconds for one command
_ZEROS = bytes(1 << 20)


class Broken(Exception):
    """A command that failed, or did not end; the sentence says which and why."""


@dataclass(frozen=True)
class Line:
    """A command to time. argv[0] is a path; shown is what one would type. out: so many bytes come from its stdout
    through a pipe; into: so many go to its stdin through one. With neither, both are the null device. env: what differs
    from the environment of all."""

    argv: tuple[str, ...]
    shown: str
    out: int = 0
    into: int = 0
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bounds:
    """When to stop: after so many pairs, or so many seconds. warm: rounds before any counts, until byte code is written
    and what is read is in memory."""

    pairs: int
    seconds: float
    warm: int = 3


@dataclass(frozen=True)
class Measured:
    """Seconds of each run, in pairs."""

    ours: Sequence[float]
    peers: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.peers, strict=True)]


def compare(ours: Line, peer: Line, env: Mapping[str, str], bounds: Bounds) -> Measured:
    """Times the two in turn. Raises Broken."""
    pair = (ours, peer)
    for _ in range(bounds.warm):
        for line in pair:
            _seconds(line, env)
    taken: tuple[list[float], list[float]] = ([], [])
    until = time.monotonic() + bounds.seconds
    for number in range(bounds.pairs):
        if number >= _LEAST and time.monotonic() > until:
            break
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            taken[which].append(_seconds(pair[which], env))
    return Measured(*taken)


def _seconds(line: Line, env: Mapping[str, str]) -> float:
    told_read, told_write = os.pipe2(os.O_CLOEXEC)
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(_PATIENCE)
    pid = 0
    moved = line.out or line.into
    try:
        began = time.perf_counter()
        pid, ours = _start(line, env, told_write)
        if line.into:
            moved = _feed(ours, line.into)
        elif line.out:
            moved = _drain(ours)
        status = os.waitpid(pid, 0)[1]
        taken = time.perf_counter() - began
        pid = 0
    except TimeoutError:
        raise Broken(f"`{line.shown}` did not end within {_PATIENCE} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        os.close(told_write)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.set_blocking(told_read, False)
        told = _told(told_read)
        os.close(told_read)
    if code := os.waitstatus_to_exitcode(status):
        raise Broken(f"`{line.shown}` ended with {code}: {told or 'it said nothing'}")
    if moved != (line.out or line.into):
        raise Broken(f"`{line.shown}` moved {moved} bytes instead of {line.out or line.into}: {told}")
    return taken


def _start(line: Line, env: Mapping[str, str], stderr: int) -> tuple[int, int]:
    """→ the process, and our end of the pipe (-1 where there is none)."""
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    ours = theirs = -1
    if line.into:
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        actions.append((os.POSIX_SPAWN_DUP2, theirs, 0))
    elif line.out:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        actions.append((os.POSIX_SPAWN_DUP2, theirs, 1))
    # Python ignores SIGPIPE, and what is ignored stays so in a child.
    pid = os.posix_spawn(
        line.argv[0], line.argv, {**env, **line.env}, file_actions=actions, setsigdef=(signal.SIGPIPE,)
    )
    if theirs >= 0:
        os.close(theirs)
    return pid, ours


def _feed(pipe: int, size: int) -> int:
    """Writes so many bytes and the end → how many were taken."""
    left = size
    try:
        while left:
            left -= os.write(pipe, _ZEROS[:left])
    except BrokenPipeError:
        pass
    finally:
        os.close(pipe)
    return size - left


def _drain(pipe: int) -> int:
    """Reads to the end → how many bytes came. By splice(2), so that the reader is nobody's bottleneck."""
    count = 0
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        while moved := os.splice(pipe, nothing, 1 << 20):
            count += moved
    finally:
        os.close(nothing)
        os.close(pipe)
    return count


def _told(pipe: int) -> str:
    """What stands in a pipe of a command's stderr, in one line."""
    try:
        return " ".join(os.read(pipe, 2000).decode(errors="replace").split())
    except BlockingIOError:
        return ""


def _late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError
