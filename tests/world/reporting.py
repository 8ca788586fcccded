"""What could not run is said at the end of every run, with its reason; where CI is true it fails the run."""

from __future__ import annotations

import os
from collections import Counter

import pytest

COULD_NOT_RUN = 6  # an exit code that pytest itself doesn't have


def in_ci() -> bool:
    """CI=true, as every build service sets it."""
    return os.environ.get("CI") == "true"


def _reasons(reporter: pytest.TerminalReporter) -> Counter[str]:
    found: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found[reason.removeprefix("Skipped: ")] += 1
    return found


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter and in_ci() and _reasons(reporter):
        session.exitstatus = COULD_NOT_RUN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reasons := _reasons(terminalreporter):
        verdict = "; with CI=true that fails the run" if in_ci() else ""
        terminalreporter.section(f"could not run{verdict}", yellow=True)
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:4}  {reason}")
