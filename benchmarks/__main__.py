"""Measures the rows that are named, all where none is, and prints the table."""

from __future__ import annotations

import argparse
import sys

from benchmarks.play import play
from benchmarks.rows import ROWS
from tests.world import World


def main() -> int:
    """The command → 0; 1 where --check is given and a limit was not shown to hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="10 pairs and 100 MB instead of 40 and 1 GB")
    parser.add_argument("--check", action="store_true", help="exit code 1 where a limit is not reached")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="the table N times, and what held in all")
    parser.add_argument("--against", default="", metavar="DIR", help="an earlier checkout takes the peers' place")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.rows) - set(ROWS)):
        parser.error(f"no row is called {', '.join(unknown)}: there are {', '.join(ROWS)}")
    with World(_say) as world:
        reached = play(world, asked.rows or list(ROWS), quick=asked.quick, times=asked.times, against=asked.against)
    return 0 if reached or not asked.check else 1


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
