"""The scripts for a container's own shell, by each shell that may be /bin/sh there. They know no container: here they
look at this machine's processes."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from dockshell import inside
from dockshell.linux.process import Process
from tests.contract.watching import end_all, processes, unique, until

SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "zsh": ["zsh", "--emulate", "sh"],
}


_INSTALLED = [pytest.param(name, marks=pytest.mark.packages) for name in ("busybox", "zsh")]


@pytest.fixture(params=["dash", "bash", *_INSTALLED])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Each in turn, as far as this machine has it; dash and bash it has."""
    words = SHELLS[request.param]
    return words if shutil.which(words[0]) else SHELLS["bash"]


@contextlib.contextmanager
def _session(script: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A session of its own that runs the script, which says `begun`; `@` in it is replaced by a number to know its
    processes by."""
    number = unique()
    argv = ["sh", "-c", script.replace("@", number)]
    environment = {**os.environ, **(env or {})}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True, env=environment) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"begun\n"
            yield process, number
        finally:
            end_all(number)


def _once(shell: list[str], *arguments: str) -> tuple[int, str]:
    """What the script does as this shell: its exit code, and what it says."""
    _, *words = inside.once(("/bin/sh",), *arguments)
    done = subprocess.run([*shell, *words], capture_output=True, timeout=20, check=False)
    assert done.stderr == b"" or shell[0] == "dash", done
    return done.returncode, done.stdout.decode()


def _known(pid: int) -> tuple[str, str]:
    return str(pid), Process(pid).ticks()


def test_a_signal_goes_to_the_process_group(shell: list[str]) -> None:
    """To the command and its group, and what is said is who that was; SIGPIPE to the command alone."""
    with _session(
        "trap 'echo pipe' PIPE; trap 'echo caught; exit 7' TERM; sleep @ & echo begun; while :; do sleep 0.05; done"
    ) as (
        process,
        number,
    ):
        who = _known(process.pid)
        assert _once(shell, "13", *who) == (0, f"{who[0]} {who[1]}\n")
        assert process.stdout and process.stdout.readline() == b"pipe\n"
        until(lambda: processes(f"sleep\0{number}"))
        assert _once(shell, "15", *who) == (0, f"{who[0]} {who[1]}\n")
        assert process.stdout.readline() == b"caught\n"
        assert process.wait(60) == 7
        until(lambda: not processes(number), 30)


def test_a_session_is_ended_whole(shell: list[str]) -> None:
    """The stubborn and the stopped too, and soon (within the contract's two seconds where there are a container's
    processes to look at, not a whole machine's); another session of the same parent's stays."""
    script = (
        "sleep @ & sh -c 'trap \"\" HUP TERM; sleep @; :' & sh -c 'kill -STOP $$; : @' & "
        "setsid sh -c 'while :; do sleep 0.05; done; : other@' & trap '' HUP; echo begun; while :; do sleep 0.1; done"
    )
    with _session(script) as (process, number):
        until(lambda: len(processes(number)) >= 6)
        # The script's own shell leads a session, too, and has that word among its.
        until(lambda: any(os.getsid(pid) == pid != process.pid for pid in processes("other" + number)))
        before = time.monotonic()
        code, _ = _once(shell, "end", *_known(process.pid))
        assert code == 0 and time.monotonic() - before < 8
        process.wait(60)
        until(lambda: set(processes(number)) == set(processes("other" + number)) != set())


def test_a_number_that_means_another_now_is_left_alone(shell: list[str]) -> None:
    """The same number with another beginning is nobody we know; nor is one that is gone."""
    with _session("echo begun; sleep @; :") as (process, number):
        pid, ticks = _known(process.pid)
        assert _once(shell, "end", pid, str(int(ticks) - 1))[0] == inside.GONE
        assert _once(shell, "15", "0", ticks)[0] == inside.GONE
        assert _once(shell, "15")[0] == inside.GONE
        assert processes(number)


def test_a_mark_finds_the_one_who_carries_it(shell: list[str]) -> None:
    """The oldest leader with it in its environment, wherever in there; neither its children nor its daemons."""
    mark = f"{inside.MARK}={unique()}"
    name, _, value = mark.partition("=")
    env = {"AAA": "two\nlines", name: value, "ZZZ": "more"}
    with _session("setsid sleep @ & sleep @ & echo begun; wait", env) as (process, number):
        until(lambda: len(processes(number)) >= 3)
        code, said = _once(shell, "end", "", "", mark)
        assert (code, said.split()[0]) == (0, str(process.pid))
        process.wait(60)
        until(lambda: len(processes(number)) == 1)
        assert _once(shell, "end", "", "", mark + "0")[0] == inside.GONE


@pytest.mark.parametrize("late", ["", "sleep 0.3; "], ids=["marked", "not yet marked"])
def test_an_attendant_whose_parent_is_gone_ends_the_command(shell: list[str], late: str) -> None:
    """On a busy machine what served the connection has ended before its attendant has started, or before the command
    has become what the connection's name is known of."""
    mark = f"127.0.0.1 {unique()} 127.0.0.1 22"
    attendant = f'while kill -0 $$; do sleep 0.01; done 2>&-; exec {shlex.join(shell)} -c "$ATTEND"'
    command = f"echo there; {late}exec env SSH_CONNECTION='{mark}' sh -c 'sleep @; :'"
    script = f"echo begun; ({attendant}) <&- & exec env -u SSH_CONNECTION setsid --fork sh -c {shlex.quote(command)}"
    with _session(script, {"SSH_CONNECTION": mark, "ATTEND": inside.ATTEND}) as (process, number):
        process.wait(30)
        assert process.stdout and b"there\n" in process.stdout.read()  # to its end, which comes when all are gone
        assert not processes(number)


@pytest.mark.parametrize("name", ["a) S 1 1 1", "x\ny) Z 0", "* $(x) `", ") ) )"])
def test_a_process_may_call_itself_anything(shell: list[str], name: str) -> None:
    """What stands in its name is no field, no pattern and no command."""
    with (
        _session("sleep @ & echo begun; wait") as (process, number),
        _session("printf '%s' \"$NAME\" > /proc/$$/comm; echo begun; sleep @; :", {"NAME": name}) as (odd, other),
    ):
        until(lambda: processes(number) and processes(other))
        assert _once(shell, "end", *_known(process.pid))[0] == 0
        assert processes(other) and not processes(number)
        if "\n" not in name:
            assert _once(shell, "15", *_known(odd.pid))[0] == 0
            odd.wait(60)
