"""A deputy does what it is told, answers, and undoes it whatever ends us."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from dockshell.errors import EngineError
from dockshell.standin import deputy
from dockshell.standin.deputy import Deputy
from dockshell.tools.busybox import NoTools
from tests.contract.watching import until

_SLOW, _REFUSED, _LACKING, _FAULTY = 1, 2, 3, 4


class _Errand:
    """Begins as soon as it does anything, and notes its end in a file."""

    def __init__(self, note: Path) -> None:
        self.note = note

    def do(self, number: int) -> str:
        if number == _SLOW:
            self.note.write_text("begun")
            time.sleep(0.3)
            return "done, at \x1b[ last\n"
        if number == _REFUSED:
            raise EngineError("refused: żółw", 409)
        if number == _LACKING:
            raise NoTools("nothing there: get it")
        raise ZeroDivisionError

    def end(self) -> None:
        self.note.write_text("ended")


def test_it_answers_and_undoes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it tells comes back as it is, a wait is told of once, errors keep their words and status, and leaving the
    block waits until all is undone."""
    monkeypatch.setattr(deputy, "_LONG", 0.1)
    note, heard = tmp_path / "note", []
    with Deputy(_Errand(note)) as it:
        assert it.do(_SLOW, lambda: heard.append(1)) == "done, at \x1b[ last\n"
        assert heard == [1]
        with pytest.raises(EngineError, match="refused: żółw") as refused:
            it.do(_REFUSED, lambda: None)
        assert refused.value.status == 409
        with pytest.raises(EngineError, match="nothing there: get it"):
            it.do(_LACKING, lambda: None)
        with pytest.raises(EngineError, match="ZeroDivisionError"):
            it.do(_FAULTY, lambda: None)
    assert note.read_text() == "ended"


def test_who_interrupts_does_not_wait(tmp_path: Path) -> None:
    """Ctrl-C leaves at once, and things are undone all the same."""
    note = tmp_path / "note"
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Deputy(_Errand(note)) as it:
        it._guardian.signal(_SLOW)
        until(note.exists)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 0.25
    until(lambda: note.read_text() == "ended")
    os.waitpid(it._guardian._pid, 0)


def test_killed_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """We by SIGKILL while it is at work: it finishes that, leaves others the time to end the command, and undoes it. It
    itself: an error, not a wait for ever."""
    monkeypatch.setattr(deputy, "_LAST", 0.5)
    note = tmp_path / "note"
    pid = os.fork()
    if pid == 0:
        try:
            Deputy(_Errand(note)).do(_SLOW, lambda: None)
        finally:
            os._exit(0)
    until(note.exists)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    time.sleep(0.6)
    assert note.read_text() == "begun"
    until(lambda: note.read_text() == "ended")
    with Deputy(_Errand(note)) as it:
        os.kill(it._guardian._pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="was killed"):
            it.do(_SLOW, lambda: None)
