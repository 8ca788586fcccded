"""What the script tells of a container's services: all of it is the container's to say."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.commands.services import _Lines
from dockshell.errors import Refused
from dockshell.services.finding import SUPERVISORS, _Trial, understood
from dockshell.services.service import Service, State
from dockshell.services.stamps import readable

_STATES = {"running", "down", "starting", "stopping", "restarting", "failed", "paused", "absent"}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("run: /s/a: (pid 17) 3s; run: log: (pid 16) 9s", State("running", 17, 3)),
        ("run: /s/a: (pid 17) 3s, normally down", State("running", 17, 3)),
        ("run: /s/a: (pid 17) 3s, want down, got TERM", State("stopping", 17, 3)),
        ("run: /s/a: (pid 17) 3s, got TERM", State("running", 17, 3)),
        ("run: /s/a: (pid 17) 3s, paused; down: log: 1s, normally up", State("paused", 17, 3)),
        ("down: /s/a: 1s, normally up, want up; run: log: (pid 16) 9s", State("restarting", 0, 1)),
        ("down: /s/a: 70s", State("down", 0, 70)),
        ("down: /s/a: 70s, normally up", State("down", 0, 70)),
        ("finish: /s/a: (pid 18) 0s", State("restarting", 18, 0)),
        ("finish: /s/a: (pid 18) 0s, want down", State("stopping", 18, 0)),
        ("fail: /s/a: runsv not running", State("failed", why="runsv not running")),
        ("fail: /s/b: runsv not running", State(why="fail: /s/b: runsv not running")),
    ],
)
def test_runit(status: str, state: State) -> None:
    """What sv(8) says, with what is said of the logger left out."""
    assert SUPERVISORS["runit"].understood("/s/a", status) == state


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("42 5 true false -1 NA", State("running", 42, 5)),
        ("42 5 false false -1 NA", State("stopping", 42, 5)),
        ("42 5 true true -1 NA", State("paused", 42, 5)),
        ("-1 0 true false 4 NA", State("restarting", 0, 0, "ended with 4")),
        ("-1 0 true false -1 SIGSEGV", State("restarting", 0, 0, "ended by SIGSEGV")),
        ("-1 9 false false 0 NA", State("down", 0, 9)),
        ("s6-svstat: fatal: unable to read status", State("failed", why="s6-svstat: fatal: unable to read status")),
        ("42 5 yes no -1 NA", State(why="42 5 yes no -1 NA")),
    ],
)
def test_s6(status: str, state: State) -> None:
    """What s6-svstat -o says."""
    assert SUPERVISORS["s6"].understood("/s/a", status) == state


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("RUNNING 42 5 pid 42, uptime 0:00:05", State("running", 42, 5)),
        ("STARTING 42 0 ", State("starting", 42, 0)),
        ("BACKOFF 0 1 Exited too quickly", State("restarting", 0, 1, "Exited too quickly")),
        ("FATAL 0 1 Exited too quickly", State("failed", 0, 1, "Exited too quickly")),
        ("STOPPED 0 - Not started", State("down")),
        ("GONE 0 - x", State(why="GONE 0 - x")),
    ],
)
def test_supervisord(status: str, state: State) -> None:
    """What getProcessInfo says."""
    assert SUPERVISORS["supervisord"].understood("a", status) == state


def test_facts() -> None:
    """Each service with what was said of it; what is said of none, or cut off, is not taken for one."""
    told = (
        b"status lost\nservice runit 7 /s/web\nstatus run: /s/web: (pid 17) 3s\nlog /l/current\n"
        b"last @400000006b0a8044267f861c \x1b[31m\xff\nservice upstart 1 /s/x\nwords container\n"
        b"service s6 8 /s/web\nwords container\nlacks supervisord: no answer\nend\n"
    )
    found = understood(told)
    web, other = found.services
    assert (web.name, web.supervisor, web.owner, web.state) == ("web", "runit", 7, State("running", 17, 3))
    assert (web.logs, web.last, web.words) == (("/l/current",), "\x1b[31m\ufffd", "")
    assert (other.supervisor, other.words) == ("s6", "container")
    assert found.lacking == ("supervisord: no answer",)
    assert understood(b"other systemd\nother svscan /srv\nother systemd\nend\n").others == (
        ("systemd", ""),
        ("svscan", "/srv"),
    )
    with pytest.raises(Refused):
        understood(told.removesuffix(b"end\n"))


def _watched(before: State, *looks: tuple[float, State], restarted: bool = True) -> str:
    """What is known of a service by that look at it: `up`, `loop` or, at the end of them all, `open`."""
    trial = _Trial(Service("web", "runit", 1, "/s/web", before), restarted=restarted)
    for moment, state in looks:
        if trial.passed(state, moment):
            return "up"
        if trial.failed(state, moment):
            return "loop"
    return "open"


def test_what_stays_up() -> None:
    """A restart is one once the new process has run for two seconds, or five where the old one was new, too; one that
    ended once may come up yet, and what ends again after that doesn't."""
    old, new = State("running", 7, 900), State("running", 8, 1)
    down, again = State("restarting", 0, 0), State("running", 9, 0)
    assert _watched(old, (1.0, old), (2.0, new), (3.9, new)) == "open"
    assert _watched(old, (1.0, old), (2.0, new), (4.0, new)) == "up"
    assert _watched(State("running", 7, 1), (2.0, new), (6.9, new)) == "open"
    assert _watched(State("running", 7, 1), (2.0, new), (7.0, new)) == "up"
    assert _watched(old, (1.0, old), restarted=False) == "up"
    assert _watched(old, (2.0, new), (3.5, down), (4.5, again), (9.4, again)) == "open"
    assert _watched(old, (2.0, new), (3.5, down), (4.5, again), (9.5, again)) == "up"
    assert _watched(old, (2.0, new), (3.5, again), (6.6, State("running", 10, 0))) == "loop"
    assert _watched(down, (1.0, down), (4.0, down)) == "open"
    assert _watched(down, (1.0, down), (4.1, down)) == "loop"


@pytest.mark.parametrize(
    ("line", "tai", "shown"),
    [
        (b"@400000006b0d94d11f90cec1 s6 talks", True, b"2026-11-30T15:22:20.529583809Z s6 talks"),
        (b"@400000006b0d94d11f90cec1 svlogd", False, b"2026-11-30T15:22:47.529583809Z svlogd"),
        (b"@400000006b0d94d11f90cec1", True, b""),
        (b"@400000006b0d94d13b9aca00 a billion nanoseconds", True, b""),
        (b"@4fffffffffffffff00000000 an age", True, b""),
        (b"@400000004b0d94d11f90cec1 before the last leap second", True, b""),
        (b"@3fffffff6b0d94d11f90cec1 before 1970", False, b""),
        (b"words @400000006b0d94d11f90cec1 ", True, b""),
    ],
)
def test_times(line: bytes, tai: bool, shown: bytes) -> None:
    """TAI64N, as s6 and as others count; what is none is left as it is."""
    assert readable(line, tai=tai) == (shown or line)


_LINES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.tuples(
            st.sampled_from([b"service", b"status", b"log", b"last", b"words", b"lacks", b"other"]),
            st.sampled_from([b"", b"runit", b"s6", b"supervisord", b"run:", b"RUNNING", b"-1"]),
            st.sampled_from([b"", b"1", b"9" * 5000, b"/s/a:", b"\xff"]),
            st.binary(max_size=40),
        ).map(b" ".join),
    ),
    max_size=30,
)


@given(_LINES)
def test_any_bytes_are_facts(lines: list[bytes]) -> None:
    """Nothing that a container says brings it down."""
    for service in understood(b"\n".join([*lines, b"end", b""])).services:
        assert service.supervisor in SUPERVISORS and service.name
        assert service.state.name in _STATES and 0 <= service.state.pid < 10**10


@given(st.sampled_from(sorted(SUPERVISORS)), st.text(max_size=20), st.text(max_size=80))
def test_any_status_is_a_state(kind: str, where: str, status: str) -> None:
    """Whatever a supervisor's tool prints."""
    assert SUPERVISORS[kind].understood(where, status).name in _STATES


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_a_log_drives_no_terminal(pieces: list[bytes]) -> None:
    """However its bytes come, nothing but printable text, tabs and newlines is printed, as many lines as there are."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        lines = _Lines()
        for piece in pieces:
            lines.take(piece)
        lines.end()
    text = printed.getvalue()
    assert all(c.isprintable() or c in "\t\n" for c in text)
    whole = b"".join(pieces)
    assert text.count("\n") == whole.count(b"\n") + bool(whole and not whole.endswith(b"\n"))


def test_a_line_without_an_end_is_not_held() -> None:
    """What never ends its line is printed in pieces, and so takes no more and more memory."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        _Lines().take(b"x" * (1 << 17))
    assert printed.getvalue() == "x" * (1 << 17) + "\n"
