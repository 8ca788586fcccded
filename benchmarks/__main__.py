"""The command: measures the rows that are named, all where none is, and prints the table."""

from __future__ import annotations

import argparse
import sys
import tempfile

from benchmarks import table
from benchmarks.rows import ROWS, Row
from benchmarks.stage import Stage
from benchmarks.timing import Bounds, Broken, compare
from tests.world import Unavailable, World

_QUICK = (Bounds(10, 20), Bounds(3, 30), 100_000_000)
_FULL = (Bounds(40, 120), Bounds(10, 90), 1_000_000_000)


def main() -> int:
    """→ 0; 1 where --check is given and a limit was not shown to hold, or a command failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="10 pairs and 100 MB instead of 40 and 1 GB")
    parser.add_argument("--check", action="store_true", help="exit code 1 where a limit is not reached")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.rows) - set(ROWS)):
        parser.error(f"no row is called {', '.join(unknown)}: there are {', '.join(ROWS)}")
    many, few, size = _QUICK if asked.quick else _FULL
    reached = True
    with World(_say) as world, tempfile.TemporaryDirectory(prefix="dockshell-bench-") as home:
        stage = Stage(world, home, size)
        try:
            print(stage.versions())
        except Unavailable as reason:
            print(f"nothing can be measured: {reason.msg}", file=sys.stderr)
            return 1
        print(table.HEADING, flush=True)
        for name in asked.rows or ROWS:
            row = ROWS[name]
            reached = _row(name, row, stage, few if row.heavy else many) and reached
    return 0 if reached or not asked.check else 1


def _row(name: str, row: Row, stage: Stage, bounds: Bounds) -> bool:
    """Measures and prints one → whether its limit was shown to hold."""
    try:
        lines = row.lines(stage)
        result = compare(*lines, stage.env, bounds)
    except (Unavailable, Broken) as reason:
        text = reason.msg if isinstance(reason, Unavailable) else str(reason)
        print(table.unmeasured(name, row, text), flush=True)
        return row.limit is None and isinstance(reason, Unavailable)
    print(table.measured(name, row, lines, result), flush=True)
    return table.holds(row, result)


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
