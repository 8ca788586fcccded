"""Input is read ahead of a command, and left where that has read to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockshell.linux import lookahead as subject
from dockshell.linux.descriptors import widened
from dockshell.linux.lookahead import Lookahead, lookahead

_FIONREAD = 0x541B
LINES = b"one\ntwo\nthree\n"


class Command:
    """Reads what it is given, from a pipe."""

    def __init__(self) -> None:
        self.stdin, self.pipe = os.pipe()

    def unread(self) -> int:
        return int.from_bytes(fcntl.ioctl(self.stdin, _FIONREAD, bytes(4)), "little")

    def close(self) -> None:
        os.close(self.stdin)
        os.close(self.pipe)


@pytest.fixture
def command() -> Iterator[Command]:
    """One, which has read nothing yet."""
    with contextlib.closing(Command()) as made:
        yield made


@pytest.fixture(params=["file", "pipe", "socket", "pipe-to-pipe"])
def stdin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """LINES, and their end."""
    if request.param == "file":
        (tmp_path / "lines").write_bytes(b"zero\n" + LINES)
        made = os.open(tmp_path / "lines", os.O_RDONLY)
        os.read(made, 5)
    elif request.param.startswith("pipe"):
        made, other = os.pipe()
        os.write(other, LINES)
        os.close(other)
    else:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(LINES)
        made = ours.detach()
    yield made
    os.close(made)


@pytest.fixture
def ahead(request: pytest.FixtureRequest, stdin: int, command: Command) -> Lookahead:
    """Of the former's for the latter; a pipe's also directly."""
    directly = "pipe-to-pipe" in request.node.name
    made = lookahead(stdin, command.unread, command.pipe, directly)
    assert made and made.carries == directly
    return made


def _send(ahead: Lookahead, command: Command) -> None:
    if ahead.carries:
        assert ahead.carry() == len(LINES)
        return
    data = ahead.copy()
    assert data is not None
    ahead.sent(os.write(command.pipe, data))


def test_what_is_not_read_stays(stdin: int, command: Command, ahead: Lookahead) -> None:
    """Nothing is taken before it is read at the other end, and no more than that."""
    _send(ahead, command)
    assert os.read(command.stdin, 4) == b"one\n"
    ahead.settle()
    assert os.read(command.stdin, 2) == b"tw"
    ahead.close()
    assert os.read(stdin, 100) == b"o\nthree\n"


def test_the_end_is_told(stdin: int, command: Command, ahead: Lookahead) -> None:
    """Once all was read; and what was written before, from elsewhere, doesn't count."""
    _send(ahead, command)
    assert os.read(command.stdin, 100) == LINES
    assert ahead.carry() == 0 if ahead.carries else ahead.copy() == b""
    ahead.close()
    assert os.read(stdin, 100) == b""


@pytest.mark.parametrize("directly", [True, False])
@pytest.mark.parametrize("signals", [True, False])
def test_it_is_told_when_something_was_read(
    command: Command, monkeypatch: pytest.MonkeyPatch, signals: bool, directly: bool
) -> None:
    """A megabyte through a pipe, by a reader in pieces: each wait ends, with signals or without."""
    if not signals:

        def refused(*anything: object) -> int:
            raise OSError("no signals for that")

        monkeypatch.setattr(subject, "fcntl", refused)
    source, other = os.pipe()
    data, got = os.urandom(1 << 20), bytearray()

    def write() -> None:
        rest = data
        while rest:
            rest = rest[os.write(other, rest) :]
        os.close(other)

    def read() -> None:
        while piece := os.read(command.stdin, 30_000):
            got.extend(piece)

    threads = [threading.Thread(target=each) for each in (write, read)]
    for each in threads:
        each.start()
    ahead = lookahead(source, command.unread, command.pipe, directly)
    assert ahead and ahead.carries == directly
    while True:
        waiting, patience = ahead.descriptor
        poller = select.poll()
        if waiting >= 0:
            poller.register(waiting, select.POLLIN)
        assert signals or waiting in (-1, source)
        poller.poll(patience)
        if directly:
            if ahead.carry() == 0:
                break
            continue
        piece = ahead.copy()
        if piece == b"":
            break
        while piece:
            count = os.write(command.pipe, piece)
            ahead.sent(count)
            piece = piece[count:]
    os.close(command.pipe)
    for each in threads:
        each.join()
    command.pipe = os.open(os.devnull, os.O_RDONLY)
    ahead._unread = lambda: 0
    ahead.close()
    os.close(source)
    assert got == data
    assert signal.SIGIO not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("stdin", ["pipe", "socket", "pipe-to-pipe"], indirect=True)
def test_a_read_wakes_us(command: Command, ahead: Lookahead) -> None:
    """And nothing else does, though more is there to be read: else we would be awake all the time."""
    _send(ahead, command)
    waiting, patience = ahead.descriptor
    assert waiting >= 0 and patience is not None
    poller = select.poll()
    poller.register(waiting, select.POLLIN)
    assert not poller.poll(0)
    os.read(command.stdin, 4)
    assert poller.poll(0) == [(waiting, select.POLLIN)]
    assert (ahead.carry() if ahead.carries else ahead.copy()) is None
    assert not poller.poll(0)
    ahead.close()
    assert signal.SIGIO not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_pipe_is_filled_up_again_before_it_is_empty(command: Command) -> None:
    """In order, and from where it was copied to; what is then left is still what the command hasn't read."""
    source, other = os.pipe()
    widened(source)
    data, got = os.urandom(900_000), bytearray()
    os.write(other, data[:600_000])
    ahead = lookahead(source, command.unread, command.pipe, True)
    assert ahead
    assert ahead.carry() == 65536 + (1 << 19) and ahead.carry() is None
    got += os.read(command.stdin, 400_001)
    assert ahead.carry() == 600_000 - 65536 - (1 << 19)
    os.write(other, data[600_000:])
    assert ahead.carry() == 300_000
    got += os.read(command.stdin, 200_001)
    ahead.close()
    assert got == data[: len(got)] and len(got) == 600_002
    assert os.read(source, 1 << 20) == os.read(command.stdin, 1 << 20) == data[len(got) :]
    os.close(source)
    os.close(other)


def test_a_file_that_somebody_else_has_moved_in(tmp_path: Path, command: Command) -> None:
    """Its offset belongs to all who have inherited the descriptor: where it is elsewhere by now, it stays there."""
    (tmp_path / "lines").write_bytes(LINES)
    with open(tmp_path / "lines", "rb", buffering=0) as file:
        ahead = lookahead(file.fileno(), command.unread, command.pipe)
        assert ahead
        _send(ahead, command)
        file.seek(8)
        os.read(command.stdin, 4)
        ahead.close()
        assert file.read() == b"three\n"


def test_what_can_only_be_read(command: Command, tmp_path: Path) -> None:
    """A device, a socket of packets, a file that is open for writing, a command whose pipe tells nothing."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with open("/dev/zero", "rb") as device, left, right, open(tmp_path / "out", "wb") as written:
        for each in (device, left, written):
            assert lookahead(each.fileno(), command.unread, command.pipe) is None
        assert lookahead(command.stdin, lambda: None, command.pipe) is None
