"""The contract's table, line by cell: printed at the end of each run that has the suite in it, and in
docs/contract.md.

That page's half about dockshell is not copied from a run, but made of CELLS, the tests and EXCEPTIONS: the tests of a
run prove each entry of these (xfail, strict), and tests/test_docs.py that the page says the same. The other half, about
what one would type instead (peers.py), is what was measured last: `./dev contract --peers --page` measures it anew.
Where an exception came or went, `.venv/bin/python -m tests.contract.table` writes the first half.

In a run a test is known by what it carries in its report's user_properties, which travel between processes too."""

from __future__ import annotations

import importlib
import json
import os
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import pytest

from tests.contract.exceptions import EXCEPTIONS

__all__ = ["LINES", "markdown", "suite", "with_table"]

LINES = {
    1: "words arrive as given",
    2: "exit codes",
    3: "stdout is the command's alone",
    4: "bytes unchanged, at any size",
    5: "input, and its end",
    6: "nothing is lost at the end",
    7: "a terminal, the container's own",
    8: "the terminal's size and kind",
    9: "every key gets through at once",
    10: "your terminal is left as it was",
    11: "signals reach the process group",
    12: "no orphans when the client dies",
    13: "a stopped container ends it: 137",
    14: "seen by ps, killed from inside",
    15: "user, groups, HOME",
    16: "environment",
    17: "working directory",
    18: "the user's own login shell",
    19: "confined as by the engine",
    20: "nothing of the host's gets in",
    21: "hostile files and names",
    22: "no other process is entered",
}
_PAGE = "docs/contract.md"
_PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), _PAGE)
_BEGIN, _END = "<!-- written by ./dev contract --page -->", "<!-- as far as here -->"
_MEASURED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.json")
_FILES = ("words", "bytes", "terminal", "life", "identity", "confinement")
_WIDTH = 120
# Heads that leave room for all columns.
_SHORT = {
    "docker": "dock",
    "docker26": "dock 26",
    "docker-group": "dock grp",
    "podman": "podm",
    "rootless-podman": "podm rtls",
    "kernel": "kern",
}
_LEGEND = """yes: kept; a number: kept but for that exception; -: no test of it was run there
dock: the Docker at hand; 26: Docker 26; grp: as one of Docker's group; podm: Podman; rtls: rootless; kern: no engine"""


def suite() -> Iterator[tuple[int, str, Any]]:
    """All tests about the session contract: line, name, function."""
    for file in _FILES:
        module = importlib.import_module(f"tests.contract.test_{file}")
        for name, test in vars(module).items():
            if name.startswith("test_"):
                marks = {mark.name: mark.args for mark in test.pytestmark}
                yield int(marks["line"][0]), name, test


def _cells_of(test: Any) -> Sequence[tuple[str, str]]:
    """The cells in which it runs."""
    from tests.contract.cell import CELLS

    chosen = (mark.args for mark in test.pytestmark if mark.name == "parametrize")
    return next((cells for names, cells in chosen if names == "cell"), CELLS)


# The run's table.


class Told(NamedTuple):
    """What a run told of a line in a cell: how many tests were kept, of how many; the reasons of those that are
    exempt."""

    kept: int = 0
    all: int = 0
    exempt: frozenset[str] = frozenset()

    @property
    def broken(self) -> bool:
        return self.kept < self.all


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("the session contract")
    group.addoption("--peers", action="store_true", help="tests what one would type instead of dockshell")
    group.addoption("--page", action="store_true", help=f"writes the table in {_PAGE}, once all has passed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "line(number): the line of the session contract that a test is about")
    if config.getoption("peers"):
        config.pluginmanager.import_plugin("tests.contract.peers")


def pytest_itemcollected(item: pytest.Item) -> None:
    line = item.get_closest_marker("line")
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if line and "cell" in parameters:
        item.user_properties.append(("contract", (line.args[0], "-".join(parameters["cell"]))))


def _told(stats: Mapping[str, Sequence[pytest.TestReport]], peers: bool) -> dict[tuple[int, str], Told]:
    """By line and cell. A peer has no exceptions: what it doesn't keep is broken (peers.py makes an xfail of it)."""
    found: dict[tuple[int, str], Told] = defaultdict(Told)
    for outcome in ("passed", "failed", "error", "xfailed", "xpassed"):
        for report in stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):  # what could not be collected has none
                if name == "contract":
                    line, cell = cast("tuple[int, str]", value)
                    kept, every, exempt = found[line, cell]
                    if outcome == "xfailed" and not peers:
                        exempt |= {report.wasxfail.removeprefix("reason: ").removeprefix("not tried: ")}
                    found[line, cell] = Told(
                        kept + (outcome in ("passed", "xpassed") or (outcome == "xfailed" and not peers)),
                        every + 1,
                        exempt,
                    )
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    peers = config.getoption("peers")
    told = _told(terminalreporter.stats, peers)
    if told:
        what = "what one would type instead, line by line" if peers else "the session contract, as far as it was run"
        terminalreporter.section(what)
        terminalreporter.line("\n".join(_plain(told, peers)))
    if config.getoption("page"):
        terminalreporter.line(_written(told, exitstatus, peers))


def _plain(told: Mapping[tuple[int, str], Told], peers: bool) -> Iterator[str]:
    """The table as text: those lines and cells alone that the run was about."""
    heads = {cell: head for cell, head in _columns(peers).items() if any(each == cell for _, each in told)}
    lines = [line for line in LINES if any((line, cell) in told for cell in heads)]
    titles = ["", "", *(f"{line:2}  {LINES[line]}" for line in lines)]
    columns = [titles]
    top, place, above = "", max(map(len, titles)) + 1, ""
    for cell, head in heads.items():
        # A route's name stands over the first of its columns, and may be longer than that is wide.
        if head[0] != above:
            top, above = f"{top:{place}}{head[0]} ", head[0]
        column = [*(*head[1:], "", "")[:2], *(_mark(told.get((line, cell)), peers) for line in lines)]
        place += max(map(len, column)) + 1
        columns.append(column)
    yield top.rstrip()
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        if any(row):
            yield " ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True)).rstrip()
    yield "yes: kept; 2 of 3: as many tests passed" if peers else _LEGEND
    for number, reason in enumerate(_reasons(), 1):
        if any(reason in each.exempt for each in told.values()):
            yield from textwrap.wrap(reason, _WIDTH, initial_indent=f"{number:2}  ", subsequent_indent="    ")


def _mark(told: Told | None, peers: bool) -> str:
    if told is None:
        return "-"
    if not told.broken:
        return ",".join(map(str, _numbers(told.exempt))) or "yes"
    return _measure(told.kept, told.all) if peers else "FAIL"


def _columns(peers: bool) -> dict[str, tuple[str, ...]]:
    """Cell → the head of its column, word below word."""
    from tests.contract.cell import CELLS
    from tests.contract.peers import PEERS

    if peers:
        return {"-".join(cell): tuple(name.split()) for cell, name in PEERS.items()}
    return {"-".join(cell): (cell[0], *_SHORT.get(cell[1], cell[1]).split()) for cell in CELLS}


# The page's.


def _reasons() -> list[str]:
    """Each once, in the order of the lines: their numbers are those of the notes."""
    return list(dict.fromkeys(each.reason for each in sorted(EXCEPTIONS, key=lambda each: each.line)))


def _numbers(reasons: Iterable[str]) -> list[int]:
    return sorted(_reasons().index(reason) + 1 for reason in reasons)


def markdown() -> str:
    """The page's table and the notes to it."""
    with open(_MEASURED, encoding="utf-8") as file:
        measured: dict[str, dict[str, Any]] = json.load(file)
    routes = ("ssh", "nsenter", "exec", "toolbox")
    heads = ["", *routes, *(f"`{name}`" for name in measured)]
    rows = [heads, ["---"] * len(heads)]
    for line, text in LINES.items():
        theirs = (_measure(*each["kept"].get(str(line), (0, 0))) for each in measured.values())
        rows.append([f"{line} {text}", *(_kept(line, route) for route in routes), *theirs])
    notes = [f"{number}. {_where(reason)}: {reason}" for number, reason in enumerate(_reasons(), 1)]
    versions = "; ".join(f"`{name}`: {each['version']}" for name, each in measured.items())
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", *notes, "", f"Measured with {versions}."])


def _kept(line: int, route: str) -> str:
    """dockshell's own word for a line on a route."""
    cells = {cell for number, _, test in suite() if number == line for cell in _cells_of(test) if cell[0] == route}
    exempt = {each.reason for each in EXCEPTIONS if each.line == line and any(each.covers(*cell) for cell in cells)}
    if not cells:
        return "-"
    return f"but {', '.join(map(str, _numbers(exempt)))}" if exempt else "yes"


def _where(reason: str) -> str:
    """What a note is about."""
    found = [each for each in EXCEPTIONS if each.reason == reason]
    places = {", ".join((*each.routes, *each.engines)) or "everywhere" for each in found}
    below = {f" below API {'.'.join(map(str, each.below_api))}" for each in found if each.below_api}
    return " and ".join(sorted(places)) + "".join(below)


def _measure(kept: int, every: int) -> str:
    """A peer's word for a line: - where it has no test that is comparable."""
    if kept == every:
        return "yes" if every else "-"
    return f"{kept} of {every}" if kept else "no"


def with_table(text: str) -> str:
    """The page's text with the table as it should be."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{markdown()}\n{_END}{after}"


def _written(told: Mapping[tuple[int, str], Told], exitstatus: int, peers: bool) -> str:
    """Writes the page's table → what has become of it. A peer's half needs the whole of a run."""
    if exitstatus:
        return f"{_PAGE} stays as it was: not all has passed"
    if peers:
        from tests.contract.peers import PEERS, versions

        if any((line, cell) not in told for line in LINES if line != 3 for cell in _columns(True)):
            return f"{_PAGE} stays as it was: not all was run"
        measured = {
            name: {
                "version": versions()[name],
                "kept": {
                    line: told[line, "-".join(cell)][:2] for line in LINES if (line, "-".join(cell)) in told
                },
            }
            for cell, name in PEERS.items()
        }  # fmt: skip
        with open(_MEASURED, "w", encoding="utf-8") as file:
            file.write(re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", json.dumps(measured, indent=2)) + "\n")
    write()
    return f"{_PAGE} has the table"


def write() -> None:
    """Puts the table into its page."""
    with open(_PATH, encoding="utf-8") as file:
        text = file.read()
    with open(_PATH, "w", encoding="utf-8") as file:
        file.write(with_table(text))


if __name__ == "__main__":
    write()
