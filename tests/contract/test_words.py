"""Words and codes: lines 1 to 3 of the contract."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.cell import Cell
from tests.contract.watching import until

WORDS = (
    "two words", "it's", '"quoted"', "back\\slash", "line\nbreak", "newline last\n", "$HOME $$ ${x}", "`id` $(id)",
    "*", "/b?n [a-z]*", "", "~", "!", "#no comment", "a;b|c&d<e>f(g)", "tab\t", "-n", "--", "=", "%s", "żółw 🐢",
)  # fmt: skip
BYTES = (b"\xff\xfe", b"caf\xe9 \x80\n", b"'\xc3\x28'", b"plain", b"", b"100%\xff\\n")


@pytest.mark.line(1)
def test_arguments_arrive_as_given(cell: Cell) -> None:
    """No shell, and nothing else, changes a word: printf gets each as it was."""
    done = cell.run("printf", "%s\\0", *WORDS)
    assert done.stdout.decode().split("\0") == [*WORDS, ""]


@pytest.mark.line(1)
def test_arguments_need_not_be_text(cell: Cell) -> None:
    """Bytes that are not UTF-8 arrive too."""
    done = cell.run("printf", "%s\\0", *BYTES)
    assert done.stdout.split(b"\0") == [*BYTES, b""]


@pytest.mark.line(1)
def test_first_word_is_a_program_whatever_it_looks_like(cell: Cell) -> None:
    """A first word that a shell would take for an assignment or a keyword is a program that isn't there."""
    for word in ("name=value", "if", "-x"):
        done = cell.run(word, "x")
        assert (done.returncode, done.stdout) == (127, b""), (word, done)


@pytest.mark.line(2)
def test_exit_code_is_the_commands(cell: Cell) -> None:
    """From 0 to 255, those that dockshell itself has a meaning for too."""
    codes = (0, 1, 2, 42, 125, 126, 127, 128, 137, 255)
    with ThreadPoolExecutor(3) as pool:
        ended = pool.map(lambda code: cell.sh(f"exit {code}"), codes)
    for code, done in zip(codes, ended, strict=True):
        assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@pytest.mark.line(2)
def test_ended_by_a_signal_is_128_and_more(cell: Cell) -> None:
    """A command that a signal ended gives 128 + its number."""
    numbers = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV, signal.SIGUSR1)
    with ThreadPoolExecutor(3) as pool:
        ended = pool.map(lambda number: cell.sh(f"kill -{int(number)} $$"), numbers)
    for number, done in zip(numbers, ended, strict=True):
        assert done.returncode == 128 + number, (number, done)


@pytest.mark.line(2)
def test_ended_by_a_signal_at_a_terminal(cell: Cell) -> None:
    """The same with a terminal."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        child = cell.terminal("sh", "-c", f"kill -{int(number)} $$")
        child.read()
        child.close()
        assert child.exitstatus == 128 + number


def _told(done: subprocess.CompletedProcess[bytes]) -> str:
    """What it had to say, wherever."""
    return (done.stdout + done.stderr).decode()


@pytest.mark.line(2)
@pytest.mark.parametrize("word", ["/nowhere/program", "no-such-program"])
def test_what_is_not_there_is_127(cell: Cell, word: str) -> None:
    """127, and its name is told."""
    done = cell.run(word)
    assert done.returncode == 127, done
    assert word in _told(done)


@pytest.mark.line(2)
@pytest.mark.parametrize("word", ["/etc/passwd", "/etc"])
def test_what_cannot_be_executed_is_126(cell: Cell, word: str) -> None:
    """126, and its name is told: a file without the execute bit, a directory."""
    done = cell.run(word)
    assert done.returncode == 126, done
    assert word in _told(done)


@pytest.mark.line(2)
def test_what_was_never_entered_is_125(cell: Cell) -> None:
    """125, and its name is told: no such container."""
    done = _typed(cell, cell.argv("true", target=_nowhere(cell)))
    assert done.returncode == 125, done
    assert "no-such-container" in _told(done)


def _nowhere(cell: Cell) -> str:
    return f"{'kernel://' if cell.engine == 'kernel' else ''}no-such-container"


@pytest.mark.line(2)
def test_what_does_not_run_is_125(cell: Cell) -> None:
    """125, and what is wrong: a container that has stopped."""
    container = cell.peer.run("busybox")
    argv = cell.argv("true", target=cell.target(container))
    cell.peer.sh("kill", container)
    until(lambda: not cell.peer.inspect(container)["State"]["Running"])
    done = _typed(cell, argv)
    assert done.returncode == 125, done
    assert "running" in _told(done) or cell.engine == "kernel", done


@pytest.mark.line(2)
def test_what_is_wrongly_put_is_2(cell: Cell) -> None:
    """2: an option that doesn't exist, a command that is missing."""
    for words in (("exec", "--nonsense", "x", "true"), ("exec", cell.target())):
        done = _typed(cell, [*cell.caller.command, "--via", cell.route, *words])
        assert (done.returncode, done.stdout) == (2, b""), done
        assert done.stderr.count(b"\n") == 1, done


def _typed(cell: Cell, argv: Sequence[str | bytes]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, env=cell.environment(), capture_output=True, check=False, timeout=60)


WRONG: dict[str, Callable[[Cell], list[str | bytes]]] = {
    "missing": lambda cell: cell.argv("no-such-program"),
    "unexecutable": lambda cell: cell.argv("/etc/passwd"),
    "directory": lambda cell: cell.argv("true", options=["-w", "/nowhere"]),
    "container": lambda cell: cell.argv("true", target=_nowhere(cell)),
}


@pytest.mark.line(3)
@pytest.mark.parametrize("wrong", WRONG)
def test_errors_are_one_line_on_stderr(cell: Cell, wrong: str) -> None:
    """Whatever is wrong: a program that isn't there or is none, a directory, a container. No traceback."""
    done = _typed(cell, WRONG[wrong](cell))
    assert done.returncode and done.stdout == b"", done
    assert done.stderr.startswith(cell.speaker.encode()) and done.stderr.endswith(b"\n"), done
    assert done.stderr.count(b"\n") == 1 and b"Traceback" not in done.stderr, done


@pytest.mark.line(3)
def test_stdout_is_the_commands_alone(cell: Cell) -> None:
    """What dockshell tells under -v is on stderr, line by line its own; stdout has the command's bytes."""
    done = cell.run("echo", "hello", options=["-v"])
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    lines = done.stderr.decode().splitlines()
    assert lines and all(line.startswith("dockshell: ") for line in lines), lines
    assert f"dockshell: {cell.route}: taken" in lines


@pytest.mark.line(3)
def test_only_debug_shows_a_traceback(cell: Cell) -> None:
    """--debug shows where an error came from."""
    quiet, loud = (cell.run("no-such-program", options=options) for options in ((), ("--debug",)))
    assert b"Traceback" not in quiet.stderr
    if cell.route != "ssh":  # there it is the container's shell that finds out, and an exit code like any other
        assert b"Traceback" in loud.stderr
    assert quiet.stdout == loud.stdout == b""
