"""Life and death: lines 11 to 14 of the contract."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from dockshell.demo.sandbox import sandbox
from tests.busy import slowdown
from tests.contract.cell import SANDBOX, Cell
from tests.contract.watching import end_all, leads, processes, unique, until

NAMES = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2")
SOON = 60.0  # what a busy machine may take, where no time was promised


def _number(name: str) -> signal.Signals:
    return signal.Signals[f"SIG{name}"]


@contextlib.contextmanager
def _running(cell: Cell, script: str, **more: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A script, `@` in it replaced by a number that its processes are known by, once it has said that it began →
    dockshell and the number. What is left of it in the end is killed."""
    number = unique()
    try:
        with cell.started("sh", "-c", script.replace("@", number), **more) as process:  # type: ignore[arg-type]
            assert process.stdout and process.stdout.readline() == b"begun\n", process.communicate(timeout=60)
            yield process, number
    finally:
        end_all(number)


@pytest.mark.line(11)
def test_signals_reach_the_command(cell: Cell) -> None:
    """INT, TERM, HUP, QUIT, USR1 and USR2 each arrive as what they are."""
    traps = "".join(f"trap 'echo {name}' {name}; " for name in NAMES)
    with _running(cell, traps + "echo begun; while :; do sleep 0.05; done; : @") as (process, _):
        assert process.stdout
        for name in NAMES:
            process.send_signal(_number(name))
            assert process.stdout.readline() == f"{name}\n".encode()


@pytest.mark.line(11)
@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_signal_reaches_the_process_group(cell: Cell, name: str) -> None:
    """What a script has put into the background is ended along with it."""
    with _running(cell, "sleep @ & echo begun; wait") as (process, number):
        until(lambda: processes(f"sleep\0{number}"))
        process.send_signal(_number(name))
        assert process.wait(30) == 128 + _number(name)
        until(lambda: not processes(number))


@pytest.mark.line(11)
@pytest.mark.parametrize("name", ["INT", "TERM", "USR1"])
def test_signal_ends_a_command_that_does_not_care(cell: Cell, name: str) -> None:
    """A command with no handler ends by the signal, and dockshell with 128 and its number."""
    with _running(cell, "echo begun; exec sleep @") as (process, number):
        process.send_signal(_number(name))
        assert process.wait(60) == 128 + _number(name)
        until(lambda: not processes(number), SOON)


@pytest.mark.line(11)
def test_signals_reach_a_command_with_a_terminal(cell: Cell) -> None:
    """With a terminal too, though its keys say the same."""
    child = cell.terminal("sh", "-c", "trap 'echo ca''ught' TERM USR1; echo be''gun; while :; do sleep 0.05; done")
    child.expect_exact(b"begun")
    for name in ("TERM", "USR1"):
        os.kill(child.pid, _number(name))
        child.expect_exact(b"caught", timeout=60)


@pytest.mark.line(11)
def test_ignored_signal_stays_ignored(cell: Cell) -> None:
    """Who starts dockshell with nohup doesn't want the command to be hung up."""
    words = "trap '' HUP; exec \"$@\""
    number = unique()
    script = f"trap 'echo hung up' HUP; trap 'exit 3' TERM; echo begun; while :; do sleep 0.05; done; : {number}"
    argv = ["sh", "-c", words, "sh", *cell.argv("sh", "-c", script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=cell.environment()) as process:
        assert process.stdout and process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b""
        assert process.wait(60) == 3


STUBBORN = "trap '' HUP TERM INT; sh -c 'trap \"\" HUP TERM; sleep @; : ' & echo begun; while :; do sleep @; done"


@pytest.mark.line(12)
def test_no_orphans(cell: Cell) -> None:
    """dockshell dies, and within two seconds the command, its children and theirs are gone."""
    with _running(cell, "sleep @ & sh -c 'sleep @ & sleep @' & echo begun; sleep @; : ") as (process, number):
        until(lambda: len(processes(number)) >= 3, SOON)
        process.kill()
        process.wait(60)
        until(lambda: not processes(number), SOON)


@pytest.mark.line(12)
@pytest.mark.parametrize("name", ["SEGV", "ABRT", "ALRM"])
def test_no_orphans_whatever_it_dies_of(cell: Cell, name: str) -> None:
    """A crash, or a signal that it doesn't pass on: the same."""
    with _running(cell, "echo begun; sleep @; : ") as (process, number):
        process.send_signal(_number(name))
        process.wait(60)
        until(lambda: not processes(number), SOON)


@pytest.mark.line(12)
def test_no_orphans_of_a_login_shell(cell: Cell) -> None:
    """At a terminal, where a shell makes a process group of each job: none in the background, in the foreground or
    stopped stays."""
    number = unique()
    child = cell.terminal()
    child.send(f"PS1='pro''mpt '; sleep {number} & sleep {number}\r".encode())
    until(lambda: len(processes(number)) == 2, SOON)
    child.send(b"\x1a")
    child.expect(rb"(?i)stopped")
    child.send(f"sleep {number}\r".encode())
    try:
        until(lambda: len(processes(number)) == 3, SOON)
        child.kill(signal.SIGKILL)
        child.wait()
        until(lambda: not processes(number), SOON)
    finally:
        end_all(number)


@pytest.mark.line(12)
def test_no_orphans_of_the_stubborn_kind(cell: Cell) -> None:
    """What ignores HUP and TERM gets KILL."""
    with _running(cell, STUBBORN) as (process, number):
        process.kill()
        began = time.monotonic()
        until(lambda: not processes(number), SOON)
        # The contract's two seconds, and what a busy machine adds until everything has been noticed.
        took = time.monotonic() - began
        assert took < 3 * slowdown(), took


@pytest.mark.line(12)
def test_no_orphans_in_the_order_of_signals(cell: Cell) -> None:
    """HUP comes first, so that a shell can save its history and an editor its file."""
    place = f"/tmp/{unique()}"
    traps = f"trap 'echo HUP >> {place}; exit' HUP; trap 'echo TERM >> {place}' TERM"
    # dash tells of a child that was hung up, and with nobody there to read it would be ended by that.
    script = traps + "; exec 2>/dev/null; echo begun; while :; do sleep 0.05; done; : @"
    with _running(cell, script) as (process, number):
        process.kill()
        process.wait(60)
        until(lambda: not processes(number), SOON)
    assert cell.ask("cat", place).strip() == "HUP"
    cell.ask("rm", place)


@pytest.mark.line(12)
def test_no_orphans_when_the_terminal_goes_away(cell: Cell) -> None:
    """A window that is closed, a connection that drops: the same."""
    number = unique()
    child = cell.terminal("sh", "-c", f"sleep {number} & echo be''gun; sleep {number}; : ")
    child.expect_exact(b"begun")
    until(lambda: len(processes(number)) >= 2, SOON)
    child.ptyproc.fileobj.close()
    child.ptyproc.closed, child.ptyproc.fd = True, -1
    until(lambda: not processes(number), SOON)
    until(lambda: not child.isalive(), SOON)


@pytest.mark.line(12)
def test_timeout_ends_the_session(cell: Cell) -> None:
    """--timeout: what was written by then has arrived, all of the command is gone, and one line says why."""
    number = unique()
    done = cell.sh(f"sleep {number} & echo begun; wait", options=["--timeout", "0.4"])
    assert (done.returncode, done.stdout) == (124, b"begun\n")
    assert done.stderr.startswith(b"dockshell: sh took longer than 0.4 s ") and done.stderr.count(b"\n") == 1
    until(lambda: not processes(number))


@pytest.mark.line(12)
def test_daemon_outlives_dockshell(cell: Cell) -> None:
    """What made itself a session of its own lives on when dockshell is killed."""
    daemon = unique()
    script = f"setsid sleep {daemon} </dev/null >/dev/null 2>&1 & echo begun; sleep @; : "
    try:
        with _running(cell, script) as (process, number):
            until(lambda: leads(daemon), SOON)
            process.kill()
            process.wait(60)
            until(lambda: not processes(number), SOON)
            assert processes(daemon)
    finally:
        end_all(daemon)


@pytest.mark.line(12)
def test_everything_lives_on_when_the_command_ends_by_itself(cell: Cell) -> None:
    """A child in the background, even of the same session, is nobody's to end then."""
    number = unique()
    done = cell.sh(f"sleep {number} </dev/null >/dev/null 2>&1 & echo started")
    try:
        assert (done.returncode, done.stdout) == (0, b"started\n")
        time.sleep(0.3)
        assert processes(number)
    finally:
        end_all(number)


@contextlib.contextmanager
def _doomed(cell: Cell) -> Iterator[Cell]:
    """The cell with a home of its own, which may be ended."""
    if cell.home == SANDBOX:
        with sandbox() as pid:
            yield cell.at(SANDBOX, pid)
    elif cell.route == "ssh":
        yield cell.at(cell.peer.baseimage())
    else:
        yield cell.at(cell.peer.run("busybox"))


@pytest.mark.line(13)
def test_container_that_stops_ends_the_session(cell: Cell) -> None:
    """At once, with 137."""
    with _doomed(cell) as doomed, _running(doomed, "echo begun; sleep @; : ") as (process, _):
        doomed.end()
        before = time.monotonic()
        assert process.wait(60) == 137
        took = time.monotonic() - before
        assert took < 3 * slowdown(), took


@pytest.mark.line(13)
def test_container_that_stops_is_told(cell: Cell) -> None:
    """A line says why the session ended."""
    with _doomed(cell) as doomed, _running(doomed, "echo begun; sleep @; : ") as (process, _):
        doomed.end()
        process.wait(60)
        assert process.stderr
        said = process.stderr.read().decode()
        assert said.count("\n") == 1 and said.startswith(cell.speaker) and "stopped" in said, said


@pytest.mark.line(13)
def test_container_that_stops_at_a_terminal(cell: Cell) -> None:
    """The same there: 137, the line, and a terminal that is in order again."""
    with _doomed(cell) as doomed:
        child = doomed.terminal("sh", "-c", "echo be''gun; sleep 100; : ")
        child.expect_exact(b"begun")
        doomed.end()
        said = child.read().decode()
        assert cell.speaker in said and "stopped" in said, said
        assert termios.tcgetattr(child.child_fd)[3] & termios.ECHO
        child.close()
        assert child.exitstatus == 137


@pytest.mark.line(14)
def test_command_is_seen_and_killed_from_inside(cell: Cell) -> None:
    """ps inside shows it, and kill inside ends it, with dockshell's exit code to tell."""
    with _running(cell, "echo begun; exec sleep @") as (process, number):
        line = next(line for line in cell.ask("ps", "ax").splitlines() if f"sleep {number}" in line)
        cell.ask("kill", "-TERM", line.split()[0])
        assert process.wait(60) == 143


@pytest.mark.line(14)
def test_nothing_else_of_the_session_is_seen_inside(cell: Cell) -> None:
    """Of dockshell's own nothing runs in there."""
    with _running(cell, "echo begun; exec sleep @"):
        # The baseimage's own process 1 is a Python's.
        listing = "\n".join(line for line in cell.ask("ps", "ax").splitlines() if "/sbin/my_init" not in line)
        assert "python" not in listing and "dockshell" not in listing
