"""How often something may happen: a token bucket."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

__all__ = ["Allowance"]


class Allowance:
    """So many at once, and so many more for each second that passes."""

    def __init__(self, burst: float, rate: float, clock: Callable[[], float] = monotonic) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._left, self._since = burst, clock()

    def take(self) -> bool:
        """Takes one → was there one? Whoever asks in vain, however often, loses nothing by it."""
        there = self._now() >= 1.0
        self._left -= there
        return there

    def lose(self, count: float) -> None:
        """Takes so many, or what there is."""
        self._left = max(0.0, self._now() - count)

    def _now(self) -> float:
        since, self._since = self._since, self._clock()
        self._left = min(self._burst, self._left + (self._since - since) * self._rate)
        return self._left
