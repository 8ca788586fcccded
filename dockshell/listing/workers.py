"""Many containers asked at once.

By processes, for most of it is waiting for the engine and the kernel; not by threads, for a tracer is one thread
(linux/seccomp.py), and what is entered is entered by a whole process. Each takes the next container until there is
none, so that a slow one holds up nobody else."""

from __future__ import annotations

import os
from select import POLLIN, poll

from dockshell.engines.docker import DockerEngine
from dockshell.engines.json import decode, encode
from dockshell.linux.helper import settle
from dockshell.linux.signals import signal
from dockshell.listing.rows import asked
from dockshell.model import replace
from dockshell.routes import ROUTES, UNSEEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from dockshell.listing.rows import Row

__all__ = ["all_asked"]

_JOBS = 8
_FEWEST = 4  # rows for which a process pays
_TICK = 200  # milliseconds between two looks at what is done
_NUMBER = 4  # bytes
_CHUNK = 1 << 16


def all_asked(rows: Sequence[Row], show: Callable[[int], None]) -> tuple[Row, ...]:
    """asked() of each. show: told again and again how many are done."""
    answers: dict[int, Row] = {}
    if len(rows) >= _FEWEST:
        for module in ROUTES.values():
            __import__(module)  # once, and not in each process
        for number, answer in _answers(rows, lambda: show(len(answers))):
            answers[number] = _told(rows[number], answer)
    # Those of a process that somebody killed, or that there could not be: here, where an error is seen.
    return tuple(answers[number] if number in answers else asked(row) for number, row in enumerate(rows))


def _answers(rows: Sequence[Row], tick: Callable[[], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(place, answer) of each row, as they come."""
    numbers = os.memfd_create("rows", os.MFD_CLOEXEC)  # its place is all the processes' in common: fork(2)
    os.write(numbers, b"".join(number.to_bytes(_NUMBER, "little") for number in range(len(rows))))
    os.lseek(numbers, 0, os.SEEK_SET)
    workers: dict[int, int] = {}  # descriptor of what it writes: its process
    rest: dict[int, bytes] = {}
    poller = poll()
    try:
        for _ in range(min(_JOBS, len(rows) // 2)):
            try:
                ours, pid = _start(rows, numbers)
            except OSError:
                break  # so many processes may not be
            workers[ours], rest[ours] = pid, b""
            poller.register(ours, POLLIN)
        while workers:
            for descriptor, _ in poller.poll(_TICK):
                data = os.read(descriptor, _CHUNK)
                *lines, rest[descriptor] = (rest[descriptor] + data).split(b"\n")
                for line in lines:
                    answer = decode(line)
                    yield answer["number"], answer
                if not data:
                    poller.unregister(descriptor)
                    os.close(descriptor)
                    os.waitpid(workers.pop(descriptor), 0)
            tick()
    finally:
        os.close(numbers)
        for descriptor, pid in workers.items():
            os.close(descriptor)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _start(rows: Sequence[Row], numbers: int) -> tuple[int, int]:
    """A process that asks → (descriptor of what it writes, its number). Raises OSError."""
    ours, theirs = os.pipe()
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        os.close(ours)
        raise
    finally:
        if os.getpid() == parent:
            os.close(theirs)
    if pid:
        return ours, pid
    try:
        settle(parent)
        _work(rows, numbers, theirs)
    finally:
        os._exit(0)


def _work(rows: Sequence[Row], numbers: int, output: int) -> None:
    """The process's own side."""
    engines: dict[str, DockerEngine] = {}
    while taken := os.read(numbers, _NUMBER):
        number = int.from_bytes(taken, "little")
        row = rows[number]
        if api := row.container.engine.api:
            if api.address not in engines:
                engines[api.address] = DockerEngine(api.anew())
                if engines[api.address].refuses():
                    return  # the parent's connection may have taken a password that only a person could type
            row = replace(row, container=replace(row.container, engine=engines[api.address]))
        try:
            found = asked(row)
        except Exception:
            continue  # the parent asks that one itself
        answer = {"number": number, "state": found.container.state, "shell": found.shell, "ways": found.ways}
        data = encode(answer) + b"\n"
        while data:
            data = data[os.write(output, data) :]


def _told(row: Row, answer: dict[str, Any]) -> Row:
    return replace(
        row,
        container=replace(row.container, state=answer["state"]),
        shell=_word(answer["shell"]),
        ways=tuple((name, _word(why)) for name, why in answer["ways"]),
    )


def _word(said: Any) -> Any:
    """Others ask whether it `is` UNSEEN, which it no longer is after its way through JSON."""
    return UNSEEN if said == UNSEEN else said
