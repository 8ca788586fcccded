"""Which connections `dockshell serve` drops where there are too many."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dockshell.bridge.allowance import Allowance
from dockshell.bridge.journal import Bounded, Journal
from dockshell.bridge.reception import Limits, neighbourhood, source, victim
from dockshell.linux import memory


def test_who_is_dropped() -> None:
    """One of those from where most come: never the only one of a network while another has two."""
    waiting = {1: "a", 2: "a", 3: "b"}
    assert {victim("c", waiting) for _ in range(100)} == {1, 2}
    assert {victim("a", waiting) for _ in range(100)} == {1, 2, -1}
    assert victim("a", {}) == -1
    assert {victim("b", waiting) for _ in range(200)} == {1, 2, 3, -1}


def test_how_likely_one_is_dropped() -> None:
    """As MaxStartups has it; and always where there are as many connections as there may be."""
    limits = Limits(connections=100)
    assert limits.drop_probability(29, 29) == 0.0
    assert limits.drop_probability(30, 30) == pytest.approx(0.3)
    assert limits.drop_probability(40, 40) == pytest.approx(0.65)
    assert limits.drop_probability(50, 50) == 1.0
    assert limits.drop_probability(0, 100) == limits.drop_probability(31, 100) == 1.0
    assert Limits(connections=2).drop_probability(1, 1) == 0.0
    assert Limits(connections=2).drop_probability(2, 2) == 1.0


def test_sources() -> None:
    """Who has one address of an IPv6 network has all of them."""
    assert source("192.0.2.1") != source("192.0.2.2")
    assert source("2001:db8::1%eth0") == source("2001:db8::2")
    assert source("2001:db8::1") != source("2001:db8:0:1::1")
    assert neighbourhood("192.0.2.1") == neighbourhood("192.0.2.2") != neighbourhood("192.0.3.1")
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8:0:1::1") != neighbourhood("2001:db8:1::1")


def test_an_allowance() -> None:
    """So many at once, then as time passes, however often it is asked for in vain."""
    now = [0.0]
    allowance = Allowance(3, 2.0, lambda: now[0])
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 1.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    taken = 0
    for _ in range(1000):
        now[0] += 0.01
        taken += allowance.take()
    assert 19 <= taken <= 20
    now[0] = 100.0
    allowance.lose(2)
    assert allowance.take() and not allowance.take()


def test_lines_without_end(tmp_path: Path) -> None:
    """A bounded number is written, and how many were not."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    lines = Bounded(2, 1000.0)
    for _ in range(50):
        lines.tell(Journal(descriptor), "refusal")
    while sum(1 + json.loads(line).get("more", 0) for line in (tmp_path / "log").read_text().splitlines()) < 50:
        lines.tell(Journal(descriptor), "refusal")
    os.close(descriptor)
    assert 2 <= len((tmp_path / "log").read_text().splitlines()) < 50


def test_who_takes_most_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest process of whoever takes most in all, and only where all of them take too much."""
    sizes = {os.getpid(): 10, 1: 40, 2: 40, 3: 70, 4: 12}
    monkeypatch.setattr(memory, "private", sizes.__getitem__)
    owners = {1: "ann", 2: "ann", 3: "bob", 4: "bob"}
    assert memory.heaviest(owners, 1000) == 0
    assert memory.heaviest(owners, 100) == 3
    assert memory.heaviest({**owners, 4: "eve"}, 100) == 3
    sizes[2] = 50
    assert memory.heaviest({**owners, 4: "eve"}, 100) == 2
    assert memory.heaviest({}, 0) == 0


def test_there_is_memory() -> None:
    """… and a process that is gone has none."""
    assert memory.total() > 1 << 26
    assert memory.private(os.getpid()) > 0 and memory.private(1 << 30) == 0
