"""Which connections `dockshell serve` drops where there are too many."""

from __future__ import annotations

import pytest

from dockshell.bridge.reception import Limits, neighbourhood, source, victim


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
