"""What could not run is said at the end of every run, with its reason; where CI is true it fails the run.

`--again FILE` is for the run of what failed before: the tests that pass now are written to the end of FILE, a line
each, with where and how they failed before. Where CI is true they fail the run, but for those that flaky.py gives a
reason for."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.world import flaky

_FAILED = "dockshell/failed"  # in pytest's cache
COULD_NOT_RUN, ONLY_AGAIN = 6, 7  # exit codes that pytest itself doesn't have


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--again", metavar="FILE", help="what failed before is run again: what passes now goes into FILE")


def in_ci() -> bool:
    """CI=true, as every build service sets it."""
    return os.environ.get("CI") == "true"


def _reasons(reporter: pytest.TerminalReporter) -> Counter[str]:
    found: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found[reason.removeprefix("Skipped: ")] += 1
    return found


def _passed(reporter: pytest.TerminalReporter) -> list[str]:
    """The node ids of what passed, or failed as it is expected to, in all its phases."""
    named = {
        verdict: [report.nodeid for report in reporter.stats.get(verdict, ())]
        for verdict in ("passed", "xfailed", "failed", "error")
    }
    return [test for test in named["passed"] + named["xfailed"] if test not in named["failed"] + named["error"]]


def _failed(reporter: pytest.TerminalReporter) -> dict[str, str]:
    """Where and how each failed, by its node id: the line of the test, and the beginning of what went wrong there."""
    found = {}
    for report in reporter.stats.get("failed", []) + reporter.stats.get("error", []):
        crash = getattr(report.longrepr, "reprcrash", None)
        entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", [])
        places = [entry.reprfileloc for entry in entries if getattr(entry, "reprfileloc", None)]
        where = f"{os.path.basename(places[0].path)}:{places[0].lineno}: " if places else ""
        found[report.nodeid] = (where + (crash.message if crash else str(report.longrepr))).replace("\n", " ")[:300]
    return found


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if not reporter:
        return
    cache = getattr(session.config, "cache", None)
    before = cache.get(_FAILED, {}) if cache else {}
    if cache:
        cache.set(_FAILED, _failed(reporter))
    if file := session.config.getoption("again"):
        passed = {test: flaky.reason(test) for test in _passed(reporter)}
        with open(file, "a", encoding="utf-8") as out:
            for test, why in passed.items():
                how = f"    {before[test]}\n" if test in before else ""
                out.write(f"  {test}{why and f' (known: {why})'}\n{how}")
        if in_ci() and not all(passed.values()) and session.exitstatus == 0:
            session.exitstatus = ONLY_AGAIN
    if in_ci() and _reasons(reporter):
        session.exitstatus = COULD_NOT_RUN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reasons := _reasons(terminalreporter):
        verdict = "; with CI=true that fails the run" if in_ci() else ""
        terminalreporter.section(f"could not run{verdict}", yellow=True)
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:4}  {reason}")
