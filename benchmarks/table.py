"""The table, as plain aligned text: a line as soon as a row was measured."""

from __future__ import annotations

from benchmarks.rows import Outcome, Row

__all__ = ["HEADING", "holds", "measured", "unmeasured"]

_FORM = "{:<19} {:<47} {:>7}  {:<38} {:>7} {:>5} {:>8} {:>11} {:>6}  {}"
HEADING = _FORM.format(
    "row", "dockshell", "ms", "instead of", "ms", "times", "figure", "middle half", "limit", ""
).rstrip()


def holds(row: Row, outcome: Outcome) -> bool:
    """Is the limit kept? Also where there is none."""
    return row.limit is None or outcome.figure <= row.limit


def measured(name: str, row: Row, outcome: Outcome) -> str:
    middle = f"{row.spelled(outcome.low)}-{row.spelled(outcome.high)}"
    limit = "" if row.limit is None else row.spelled(row.limit)
    verdict = "" if row.limit is None else "holds" if holds(row, outcome) else "MISSED"
    return _FORM.format(
        name, outcome.ours, _ms(outcome.seconds), outcome.peer, _ms(outcome.peers_seconds), outcome.times,
        row.spelled(outcome.figure) + row.unit, middle, limit, verdict,
    ).rstrip()  # fmt: skip


def unmeasured(name: str, row: Row, reason: str) -> str:
    missing = "not measured" if row.limit is None else f"not measured, limit {row.spelled(row.limit)}{row.unit}"
    return f"{name:<19} {missing}: {reason}"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f}"
