"""The one table of what the contract promises and a cell doesn't keep, each with its reason.

Every entry is checked: it must name a test, and the test must fail there (xfail, strict). The first kind is in the
nature of a route; the second is work that is still to be done."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EXCEPTIONS", "Exempt"]


class Exempt(NamedTuple):
    """line: of the contract; test: the name of the test, with [parameters] if it is about some alone; routes, engines: the
    cells, empty for all."""

    line: int
    test: str
    reason: str
    routes: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()

    def covers(self, route: str, engine: str) -> bool:
        return (not self.routes or route in self.routes) and (not self.engines or engine in self.engines)


_NATURE: tuple[Exempt, ...] = ()

_TO_COME: tuple[Exempt, ...] = ()

EXCEPTIONS = _NATURE + _TO_COME
