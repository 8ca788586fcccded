"""Rows, one after another, on the engine of a World."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

from benchmarks import table
from benchmarks.rows import ROWS
from benchmarks.stage import Stage
from benchmarks.timing import Bounds, Broken, compare
from tests.world import Unavailable, World

__all__ = ["play"]

# For most rows, for the heavy ones, and how much goes through a pipe.
_QUICK = (Bounds(10, 20), Bounds(3, 20, 1), 100_000_000)
_FULL = (Bounds(40, 120), Bounds(10, 60, 1), 1_000_000_000)


def play(world: World, names: Sequence[str], *, quick: bool) -> bool:
    """Prints the table of these ROWS → whether every limit among them was shown to hold."""
    many, few, size = _QUICK if quick else _FULL
    with tempfile.TemporaryDirectory(prefix="dockshell-bench-") as home:
        stage = Stage(world, home, size)
        try:
            print(stage.versions())
        except Unavailable as lack:
            print(f"nothing can be measured: {lack.msg}", flush=True)
            return False
        print(table.HEADING, flush=True)
        held = [_row(name, stage, few if ROWS[name].heavy else many) for name in names]
    return all(held)


def _row(name: str, stage: Stage, bounds: Bounds) -> bool:
    """Measures and prints one → whether its limit was shown to hold. A row that has none fails only by a command that
    does."""
    row = ROWS[name]
    try:
        lines = row.lines(stage)
        result = compare(*lines, stage.env, bounds)
    except Broken as failure:
        print(table.unmeasured(name, row, str(failure)), flush=True)
        return False
    except Unavailable as lack:
        print(table.unmeasured(name, row, str(lack.msg)), flush=True)
        return row.limit is None
    print(table.measured(name, row, lines, result), flush=True)
    return table.holds(row, result)
