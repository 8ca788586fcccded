"""The terminal: lines 7 to 10 of the contract."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import termios
from collections.abc import Iterator
from struct import unpack

import pexpect
import pytest

from tests.busy import slowdown
from tests.contract.cell import Cell
from tests.contract.watching import children, unique

_TIOCGPTN = 0x80045430  # ioctl_tty(2): the number of the pty whose master it is
# Prints a word that no echo of what was typed can be taken for.
RAW = "stty raw -echo; printf 're%s' ady; "


def _other_end(child: pexpect.spawn[bytes]) -> str:
    """The path of the caller's own terminal."""
    number: int = unpack("I", fcntl.ioctl(child.child_fd, _TIOCGPTN, bytes(4)))[0]
    return f"/dev/pts/{number}"


def _finished(child: pexpect.spawn[bytes]) -> int:
    """Its exit code."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None, f"ended by signal {child.signalstatus}"
    return child.exitstatus


@pytest.mark.line(7)
def test_terminal_is_one_that_the_container_knows(cell: Cell) -> None:
    """tty names a device that is there inside, all three descriptors are it, and it is the controlling terminal."""
    script = 'test -c "$(tty)" && test -t 0 && test -t 1 && test -t 2 && : 3<>/dev/tty && echo o-k "$(tty)"'
    child = cell.terminal("sh", "-c", script)
    child.expect(rb"o-k (/dev/\S+)\r\n")
    assert re.fullmatch(rb"/dev/(pts/\d+|console)", child.match.group(1))
    assert _finished(child) == 0


@pytest.mark.line(7)
def test_terminal_is_never_the_callers_own(cell: Cell) -> None:
    """No descriptor of the command is the caller's terminal."""
    script = "for n in 0 1 2; do stat -L -c 'is %d:%i:%t' /proc/self/fd/$n; done"
    child = cell.terminal("sh", "-c", script)
    own = os.stat(_other_end(child))
    for _ in range(3):
        child.expect(rb"is (\d+):(\d+):\w+\r\n")
        assert (int(child.match.group(1)), int(child.match.group(2))) != (own.st_dev, own.st_ino)
    assert _finished(child) == 0


@pytest.mark.line(7)
def test_terminal_only_where_both_ends_are_one(cell: Cell) -> None:
    """None in a pipe, one there with -t; none on a terminal with -T; none where stdout is no terminal."""
    script = "if test -t 0 || test -t 1 || test -t 2; then echo one; else echo none; fi"
    assert cell.sh(script).stdout == b"none\n"
    assert cell.sh(script, options=["-t"]).stdout.replace(b"\r", b"") == b"one\n"
    child = cell.terminal("sh", "-c", script, options=["-T"])
    child.expect(b"none")
    assert _finished(child) == 0


@pytest.mark.line(7)
def test_no_terminal_where_output_goes_elsewhere(cell: Cell) -> None:
    """As in `dockshell exec web ls > file`, typed at a terminal: no \\r gets into the file."""
    ours, theirs = os.openpty()
    with cell.started("sh", "-c", "test -t 1 || echo none", stdin=theirs) as process:
        assert process.stdout and process.stdout.read() == b"none\n"
    os.close(ours)
    os.close(theirs)


@pytest.mark.line(8)
def test_size_is_right_from_the_first_byte(cell: Cell) -> None:
    """A command that reads a line and then looks sees the caller's size."""
    for _ in range(3):
        child = cell.terminal("sh", "-c", "read -r _; stty size", dimensions=(33, 101))
        child.send(b"\r")
        child.expect(rb"(\d+ \d+)\r\n")
        assert child.match.group(1) == b"33 101"
        assert _finished(child) == 0


@pytest.mark.line(8)
def test_size_is_right_at_the_start(cell: Cell) -> None:
    """Even a command that looks at once sees the caller's size."""
    for _ in range(5):
        child = cell.terminal("stty", "size", dimensions=(33, 101))
        child.expect(rb"(\d+ \d+)\r\n")
        assert child.match.group(1) == b"33 101"
        assert _finished(child) == 0


@pytest.mark.line(8)
def test_size_follows_every_change(cell: Cell) -> None:
    """Whoever looks after a change sees it, and whoever waits for one gets SIGWINCH."""
    script = 'trap \'printf "<%s>" "$(stty size)"\' WINCH; echo be-gun; while :; do sleep 0.05; done'
    child = cell.terminal("sh", "-c", script)
    child.expect(b"be-gun")
    for rows, columns in ((40, 132), (10, 20), (50, 200)):
        child.setwinsize(rows, columns)
        child.expect_exact(f"<{rows} {columns}>".encode(), timeout=60)


@pytest.mark.line(8)
def test_the_last_of_many_changes_counts(cell: Cell) -> None:
    """As by a window's border that is dragged."""
    child = cell.terminal("sh", "-c", "echo be-gun; while :; do stty size; sleep 0.1; done")
    child.expect(b"be-gun")
    for columns in range(100, 140):
        child.setwinsize(30, columns)
    child.expect_exact(b"30 139\r\n", timeout=60)
    child.setwinsize(20, 60)
    child.expect_exact(b"20 60\r\n", timeout=60)


@pytest.mark.line(8)
def test_kind_of_terminal_comes_along(cell: Cell) -> None:
    """TERM and COLORTERM are the caller's where there is a terminal, and stay outside where there is none."""
    env = {"TERM": "screen-256color", "COLORTERM": "truecolor"}
    script = 'echo "<$TERM> <$COLORTERM>"'
    child = cell.terminal("sh", "-c", script, env=env)
    child.expect_exact(b"<screen-256color> <truecolor>")
    assert _finished(child) == 0
    said = cell.sh(script, env=env).stdout
    assert b"screen" not in said and said.endswith(b" <>\n")


def _echoes(cell: Cell) -> pexpect.spawn[bytes]:
    """A command that tells of each byte as it comes, in hexadecimal."""
    loop = "while :; do printf '<%s>' $(dd bs=1 count=1 2>/dev/null | od -An -tx1); done"
    child = cell.terminal("sh", "-c", RAW + loop)
    child.expect_exact(b"ready")
    return child


@pytest.mark.line(9)
def test_keys_get_through_at_once(cell: Cell) -> None:
    """Each key alone, Ctrl-P and Ctrl-Q (Docker's own detach keys) among them, without another having to follow."""
    child = _echoes(cell)
    for key in (b"\x10", b"\x10", b"\x11", b"\x03", b"\x04", b"\x1a", b"\x1c", b"\x1d", b"\x13", b"~", b"\r", b"\x7f"):
        child.send(key)
        child.expect_exact(b"<%02x>" % key[0], timeout=60)


@pytest.mark.line(9)
def test_ctrl_caret_gets_through_at_once(cell: Cell) -> None:
    """The one key that is hardest to reach."""
    child = _echoes(cell)
    child.send(b"\x1e")
    child.expect_exact(b"<1e>", timeout=2 * slowdown())


@pytest.mark.line(9)
def test_there_are_no_escape_sequences(cell: Cell) -> None:
    """Neither Docker's Ctrl-P Ctrl-Q, nor ssh's Enter ~. leaves the session."""
    child = _echoes(cell)
    for keys in (b"\x10\x11", b"\r~.", b"\x1d"):
        child.send(keys)
        for key in keys:
            child.expect_exact(b"<%02x>" % key, timeout=60)
    assert child.isalive()


@pytest.mark.line(9)
def test_ctrl_c_interrupts(cell: Cell) -> None:
    """Ctrl-C ends what is in the foreground, and what is in the foreground alone."""
    child = cell.terminal("sh", "-c", "trap 'echo caug-ht; exit 9' INT; echo be-gun; while :; do sleep 0.05; done")
    child.expect_exact(b"be-gun")
    child.send(b"\x03")
    child.expect_exact(b"caug-ht", timeout=60)
    assert _finished(child) == 9


@pytest.mark.line(9)
def test_ctrl_z_and_ctrl_d_mean_what_they_do(cell: Cell) -> None:
    """In a login shell Ctrl-Z stops the job, fg goes on with it, Ctrl-D ends its input and then the shell itself."""
    child = cell.terminal()
    child.send(b"PS1='pro''mpt '\r")
    child.expect_exact(b"prompt ")
    child.send(b"sh -c 'echo be''gun; while read -r l; do echo \"<$l>\"; done; echo en''ded'\r")
    child.expect_exact(b"begun\r\n")
    child.send(b"a line\r")
    child.expect_exact(b"<a line>\r\n")
    child.send(b"\x1a")
    child.expect(rb"(?i)stopped")
    child.expect_exact(b"prompt ")
    child.send(b"fg\r")
    child.expect(rb"ded['\"]\s*\r\n")  # the shell names the job; what is typed before, it may take for itself
    child.send(b"another\r")
    child.expect_exact(b"<another>\r\n")
    child.send(b"\x04")
    child.expect_exact(b"ended\r\n")
    child.expect_exact(b"prompt ")
    child.send(b"(exit 5)\r")
    child.expect_exact(b"prompt ")
    child.send(b"\x04")
    assert _finished(child) == 5


@contextlib.contextmanager
def _from_a_shell(cell: Cell, *words: str, container: str = "") -> Iterator[tuple[pexpect.spawn[bytes], int]]:
    """The command as a person starts it, from a shell that says how the terminal was set before and is set after →
    the shell, and the process of dockshell once the command has printed `be-gun`. Who is killed can't wait for whoever
    tidies up after it, so after a KILL the shell looks a moment later, as a person does."""
    argv = cell.argv(*words, container=container, terminal=True)
    script = 'stty -g; "$@"; code=$?; [ $code != 137 ] || sleep 0.5; stty -g; echo "left-with $code"; sleep 100000'
    child: pexpect.spawn[bytes] = pexpect.spawn(
        "/bin/sh", ["-c", script, "sh", *argv], env=cell.environment(), timeout=60
    )
    try:
        child.expect_exact(b"be-gun")
        yield child, children(child.pid)[0]
    finally:
        child.close(force=True)


def _left_as_it_was(child: pexpect.spawn[bytes]) -> int:
    """Waits for the session's end → its exit code. Raises AssertionError where the terminal is not as it was."""
    before = re.search(rb"^([0-9a-f:]{40,})\r\n", child.before)
    assert before, child.before
    child.expect(rb"([0-9a-f:]{40,})\r?\n", timeout=60)
    after = child.match.group(1)
    child.expect(rb"left-with (\d+)")
    assert after == before.group(1)
    flags = termios.tcgetattr(child.child_fd)
    assert (
        flags[3] & termios.ECHO and flags[3] & termios.ICANON and flags[3] & termios.ISIG and flags[1] & termios.OPOST
    )
    return int(child.match.group(1))


@pytest.mark.line(10)
@pytest.mark.parametrize("ending", ["exit", "TERM", "HUP", "QUIT"])
def test_terminal_is_restored(cell: Cell, ending: str) -> None:
    """Whether the command ends by itself, even with its own terminal in disorder, or dockshell is told to."""
    script = "stty raw -echo; echo be-gun; read -r _; exit 4" if ending == "exit" else "echo be-gun; exec sleep 100"
    with _from_a_shell(cell, "sh", "-c", script) as (child, pid):
        if ending == "exit":
            child.send(b"\n")
        else:
            os.kill(pid, getattr(signal, f"SIG{ending}"))
        code = _left_as_it_was(child)
        assert code == 4 if ending == "exit" else code > 128


@pytest.mark.line(10)
def test_terminal_is_restored_after_kill(cell: Cell) -> None:
    """Even if dockshell is killed."""
    with _from_a_shell(cell, "sh", "-c", "echo be-gun; exec sleep 100") as (child, pid):
        os.kill(pid, signal.SIGKILL)
        assert _left_as_it_was(child) == 137


@pytest.mark.line(10)
def test_terminal_is_restored_after_stop_and_continue(cell: Cell) -> None:
    """A session that was stopped from outside and goes on is still in order."""
    with _from_a_shell(cell, "sh", "-c", "echo be-gun; read -r _; exit 6") as (child, pid):
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGCONT)
        child.send(b"\r")
        assert _left_as_it_was(child) == 6


@pytest.mark.line(8)
def test_tmux_runs_inside(cell: Cell) -> None:
    """A program that opens its terminal by name and draws on all of it works, in the size that there is."""
    container = cell.peer.shared("baseimage")
    name = unique()
    child = cell.terminal("tmux", "-L", name, "new", "echo si''ze $(stty size); sleep 100", container=container)
    child.expect(rb"size 23 80", timeout=60)
    cell.peer.sh("exec", container, "tmux", "-L", name, "kill-server")
    child.expect_exact(b"[server exited]")
