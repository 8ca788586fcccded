"""The one table of what the contract promises and a cell doesn't keep, each with its reason.

Every entry is checked: it must name a test, and the test must fail there (xfail, strict). The first kind is in the
nature of a route; the second is work that is still to be done."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EXCEPTIONS", "Exempt"]


class Exempt(NamedTuple):
    """line: of the contract; test: the name of the test, with [parameters] if it is about some alone; routes, engines:
    the cells, empty for all; below_api: only where the engine speaks an older version of Docker's API than that."""

    line: int
    test: str
    reason: str
    routes: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    below_api: tuple[int, int] | None = None

    def covers(self, route: str, engine: str) -> bool:
        return (not self.routes or route in self.routes) and (not self.engines or engine in self.engines)


_NATURE = (
    Exempt(
        8,
        "test_size_is_right_at_the_start",
        "an engine takes the size of a terminal only once the command runs (ConsoleSize came with API 1.42)",
        ("exec",),
        below_api=(1, 42),
    ),
    Exempt(
        9,
        "test_ctrl_caret_gets_through_at_once",
        "an engine always holds back one key, and Ctrl-^ is the one that is least missed: it comes with the next key",
        ("exec",),
    ),
)

_TO_COME = (
    *(
        Exempt(12, test, f"issue: one contract on every route: {subject}", ("ssh", "exec"))
        for test, subject in (
            ("test_no_orphans", "no orphans when the client is killed"),
            ("test_no_orphans_of_the_stubborn_kind", "no orphans when the client is killed"),
            ("test_no_orphans_in_the_order_of_signals", "no orphans when the client is killed"),
            ("test_daemon_outlives_dockshell", "no orphans but daemons when the client is killed"),
        )
    ),
    Exempt(
        10,
        "test_terminal_is_restored_after_kill",
        "issue: one contract on every route: the caller's terminal when dockshell is killed",
    ),
)

EXCEPTIONS: tuple[Exempt, ...] = _NATURE + _TO_COME
