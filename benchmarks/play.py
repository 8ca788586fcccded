"""Rows, one after another, on the engine of a World."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks import table
from benchmarks.rows import ROWS, Effort, Pair
from benchmarks.stage import Stage
from benchmarks.timing import Bounds, Broken
from tests.world import Unavailable, World

__all__ = ["play"]

# How often, and how much goes through a pipe.
_QUICK = (Effort(Bounds(10, 20), Bounds(3, 20, 1), 1), 100_000_000)
_FULL = (Effort(Bounds(40, 120), Bounds(10, 60, 1), 3), 1_000_000_000)


_AGAINST = 1.05  # of an earlier dockshell's time


def play(world: World, names: Sequence[str], *, quick: bool, times: int = 1, against: str = "") -> bool:
    """Prints the table of these ROWS, that many times → whether every limit among them was shown to hold each time.
    against: a checkout of an earlier dockshell to measure beside, in place of the peers."""
    effort, size = _QUICK if quick else _FULL
    missed: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="dockshell-bench-") as home:
        stage = Stage(world, home, size, against)
        try:
            print(stage.versions())
        except Unavailable as lack:
            print(f"nothing can be measured: {lack.msg}", flush=True)
            return False
        with contextlib.closing(stage):
            for _ in range(times):
                print(table.HEADING, flush=True)
                missed.update(name for name in names if not _row(name, stage, effort))
    if times > 1:
        limited = [name for name in names if against or ROWS[name].limit is not None]
        print(f"held {times} times in a row: {_listed(name for name in limited if name not in missed)}")
        print(f"missed at least once: {_listed(name for name in names if name in missed)}")
    return not missed


def _row(name: str, stage: Stage, effort: Effort) -> bool:
    """Measures and prints one → whether its limit was shown to hold. A row that has none fails only by a command that
    does."""
    row = ROWS[name]
    if stage.against and isinstance(row, Pair):
        row = replace(row, limit=_AGAINST)
    try:
        outcome = row.measure(stage, effort)
    except Broken as failure:
        print(table.unmeasured(name, row, str(failure)), flush=True)
        return False
    except Unavailable as lack:
        print(table.unmeasured(name, row, str(lack.msg)), flush=True)
        return row.limit is None
    print(table.measured(name, row, outcome), flush=True)
    return table.holds(row, outcome)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
