"""Bytes: lines 4 to 6 of the contract."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.cell import Cell
from tests.contract.watching import memory, processes, unique, until

BIG = random.Random(1).randbytes(20_000_000)
MEMORY = 60 << 20


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.line(4)
def test_stdout_and_stderr_stay_apart(cell: Cell) -> None:
    """Without a terminal each stream arrives where it belongs."""
    done = cell.sh("echo out; echo err >&2; echo out again; printf 'no newline' >&2")
    assert (done.stdout, done.stderr) == (b"out\nout again\n", b"err\nno newline")


@pytest.mark.line(4)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_bytes_are_binary_safe_at_any_size(cell: Cell, stream: str) -> None:
    """20 MB of every byte there is, in and out again on either stream, unchanged."""
    done = cell.sh("cat" if stream == "stdout" else "cat >&2", input=BIG, timeout=60)
    assert done.returncode == 0
    assert _digest(getattr(done, stream)) == _digest(BIG)
    assert (done.stderr if stream == "stdout" else done.stdout) == b""


@pytest.mark.line(4)
def test_output_takes_constant_memory(cell: Cell) -> None:
    """128 MB to a reader that now and then makes a pause: dockshell's memory stays below 60 MB."""
    size, got, most = 128 << 20, 0, 0
    words = ("dd", "if=/dev/zero", "bs=1M", "count=128", "status=none")
    ours, theirs = socket.socketpair()  # no pipe, which the command could be handed as it is
    with ours, theirs, cell.started(*words, stdout=theirs) as process:
        theirs.close()
        while chunk := ours.recv(1 << 20):
            if got >> 25 != (got + len(chunk)) >> 25:
                time.sleep(0.1)
                most = max(most, memory(process.pid))
            got += len(chunk)
        assert process.wait(60) == 0
    assert got == size
    assert 0 < most < MEMORY


@pytest.mark.line(4)
def test_input_takes_constant_memory(cell: Cell) -> None:
    """80 MB to a command that takes its time before it reads: dockshell's memory stays below 60 MB."""
    ours, theirs = socket.socketpair()
    script = "sleep 0.5; wc -c; sleep 0.3"
    with ours, theirs, cell.started("sh", "-c", script, stdin=theirs) as process, ThreadPoolExecutor(1) as pool:
        theirs.close()
        sending = pool.submit(ours.sendall, bytes(80_000_000))
        sending.add_done_callback(lambda _: ours.shutdown(socket.SHUT_WR))
        assert process.stdout and process.stdout.readline().strip() == b"80000000"
        assert 0 < memory(process.pid) < MEMORY
        sending.result(60)


@pytest.mark.line(5)
@pytest.mark.parametrize("content", [b"", b"a line\n", b"half", bytes(70_000)], ids=["none", "line", "half", "much"])
def test_input_arrives_with_its_end(cell: Cell, content: bytes) -> None:
    """The command reads all that there is, then end of file."""
    done = cell.run("wc", "-c", input=content)
    assert (done.returncode, done.stdout.strip()) == (0, b"%d" % len(content))


@pytest.mark.line(5)
def test_no_input_is_an_empty_one(cell: Cell) -> None:
    """-n leaves the caller's input alone: it is still there for whoever reads next."""
    ours, theirs = os.pipe()
    os.write(theirs, b"for another\n")
    with cell.started("cat", options=["-n"], stdin=ours) as process:
        assert process.wait(60) == 0
        assert process.stdout and process.stdout.read() == b""
    assert os.read(ours, 100) == b"for another\n"
    os.close(ours)
    os.close(theirs)


@pytest.mark.line(5)
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_loop_keeps_its_input(cell: Cell, kind: str, tmp_path: Path) -> None:
    """As in `while read x; do dockshell exec web true; done <list`: the command takes what it reads, and no more."""
    (tmp_path / "list").write_text("one\ntwo\nthree\n")
    script = 'read a; "$@"; read c; echo "$a $c"'
    argv = ["sh", "-c", script, "sh", *cell.argv("sh", "-c", "read b; echo $b")]
    with open(tmp_path / "list", "rb") as file:
        given = {"stdin": file} if kind == "file" else {"input": file.read()}
        done = subprocess.run(argv, **given, env=cell.environment(), capture_output=True, timeout=60, check=False)  # type: ignore[call-overload]
    assert done.stdout == b"two\none three\n"


@pytest.mark.line(5)
def test_command_that_never_reads_does_not_hang(cell: Cell) -> None:
    """Neither with input without an end, nor with input that never comes."""
    with open("/dev/zero", "rb") as endless, cell.started("true", stdin=endless) as process:
        assert process.wait(60) == 0
    with cell.started("true") as process:
        assert process.wait(60) == 0
    with cell.started("sh", "-c", "exec <&-; sleep 0.2; exit 3", stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 3


@pytest.mark.line(5)
def test_reader_that_went_away_ends_it(cell: Cell) -> None:
    """As in `… | head -1`: who would write for ever ends, outside and inside."""
    word = unique()
    with cell.started("sh", "-c", f"while :; do echo {word}; done", stdin=subprocess.DEVNULL) as process:
        assert process.stdout and process.stdout.readline().strip() == word.encode()
        process.stdout.close()
        assert process.wait(60) in (141, 1)
    until(lambda: not processes(word))


@pytest.mark.line(6)
def test_what_was_written_last_arrives(cell: Cell) -> None:
    """Nothing is lost between the last write and the exit, in many runs."""
    script = "head -c 300000 /dev/zero; echo end; echo err >&2; exit 3"
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda _: cell.sh(script), range(12)):
            assert done.returncode == 3
            assert len(done.stdout) == 300_004 and done.stdout.endswith(b"end\n")
            assert done.stderr == b"err\n"


@pytest.mark.line(6)
def test_output_arrives_where_input_was_not_read(cell: Cell) -> None:
    """A command that leaves its input unread and ends at once is heard all the same."""
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda _: cell.sh("echo out; echo err >&2; exit 3", input=b"unread\n" * 100), range(16)):
            assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.line(6)
def test_what_was_written_last_arrives_at_a_terminal(cell: Cell) -> None:
    """The same on a terminal."""
    for _ in range(4):
        child = cell.terminal("sh", "-c", "head -c 30000 /dev/zero | tr '\\0' x; echo end; exit 3")
        child.expect(b"x{30000}end\r\n")
        child.read()
        child.close()
        assert child.exitstatus == 3
