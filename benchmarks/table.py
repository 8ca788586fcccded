"""The table, as plain aligned text: a line as soon as a row was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.rows import Row
from benchmarks.timing import Line, Measured

__all__ = ["HEADING", "holds", "measured", "unmeasured"]

_FORM = "{:<19} {:<40} {:>7}  {:<37} {:>7} {:>6} {:>6} {:>11} {:>6}  {}"
HEADING = _FORM.format(
    "row", "dockshell", "ms", "instead of", "ms", "pairs", "ratio", "middle half", "limit", ""
).rstrip()


def holds(row: Row, result: Measured) -> bool:
    """Is the limit kept? Also where there is none."""
    return row.limit is None or result.ratio <= row.limit


def measured(name: str, row: Row, lines: tuple[Line, Line], result: Measured) -> str:
    ours, peer = lines
    low, high = result.middle_half
    return _FORM.format(
        name, ours.shown, _ms(result.ours), peer.shown, _ms(result.peers), len(result.ratios), f"{result.ratio:.2f}",
        f"{low:.2f}-{high:.2f}", _limit(row), _mark(row, result),
    ).rstrip()  # fmt: skip


def unmeasured(name: str, row: Row, reason: str) -> str:
    missing = f"not measured, limit {row.limit}" if row.limit is not None else "not measured"
    return f"{name:<19} {missing}: {reason}"


def _ms(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f}"


def _limit(row: Row) -> str:
    return "" if row.limit is None else f"{row.limit:.1f}"


def _mark(row: Row, result: Measured) -> str:
    if row.limit is None:
        return ""
    return "holds" if holds(row, result) else "MISSED"
