"""The corpus of each fuzzed target, with every input that was a finding once; and that findings are found."""

from __future__ import annotations

import importlib.util
import resource
import time
from pathlib import Path
from typing import cast

import pytest

from tests import fuzz
from tests.fuzz import CORPUS, TARGETS, Excess, checked, running, seeds

_LONG = 1 << 17


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_corpus(name: str) -> None:
    """Each input does what it should, in bounded time and memory. No target is without any."""
    function = TARGETS[name].load(name)
    assert seeds(name)
    for seed in seeds(name):
        try:
            checked(function, seed.read_bytes())
        except Exception as error:
            error.add_note(f"the input is {seed}")
            raise
    for data in (b"", b"\0", b"\xff" * 100):
        checked(function, data)


# Their inputs go through the buffer of a socket, or are taken apart byte by byte.
_SHORT = {"asciicast", "engine", "facts", "handshake", "ssh"}


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - _SHORT))
def test_long_inputs(name: str) -> None:
    """What an input ends with, again and again, up to 128 KiB: the fuzzer's are too short to show where time grows
    faster than they do."""
    function = TARGETS[name].load(name)
    assert seeds(name)
    for seed in seeds(name):
        data = seed.read_bytes()
        for length in (7, 40):
            checked(function, data + (data[-length:] * _LONG)[:_LONG])


def test_what_takes_too_much_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time of the processor's, and memory."""

    def slow(data: bytes) -> None:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass

    def large(data: bytes) -> None:
        bytearray(b"x") * ((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) + (32 << 20))

    checked(slow, b"")
    monkeypatch.setattr(fuzz, "_MOST_SECONDS", 0.1)
    with pytest.raises(Excess, match=r"took \d+\.\d s"):
        checked(slow, b"")
    monkeypatch.setattr(fuzz, "_MOST_SECONDS", 60.0)
    monkeypatch.setattr(fuzz, "_MOST_MEMORY", 16 << 20)
    with pytest.raises(Excess, match=r"took \d+ MiB"):
        checked(large, b"")


def test_the_fuzzed_server_serves() -> None:
    """What stands in for a login and a cipher leads to where clients come: a session, and a connection inside."""
    ssh = TARGETS["ssh"].load("ssh")
    assert b"exit-status" in cast(bytes, ssh((CORPUS / "ssh" / "exec").read_bytes()))
    told = cast(bytes, ssh((CORPUS / "ssh" / "remote-forward").read_bytes()))
    assert b"Q\0\0\0\x16" in told  # SSH_MSG_REQUEST_SUCCESS, with the port: RFC 4254, 7.1


@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="there is no atheris for this machine")
def test_a_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hardly anybody would hit by chance: coverage leads there, byte by byte. The input is kept, and tried
    first the next time."""
    monkeypatch.setattr(running, "FOUND", tmp_path)
    outcome = running.fuzz("planted", 120)
    assert "LookupError: planted" in outcome.finding and outcome.executions > 20
    [kept] = (tmp_path / "planted").iterdir()
    assert kept.read_bytes().startswith(b"FUZZ") and str(kept) in outcome.finding
    assert running.fuzz("planted", 120).executions < 20
