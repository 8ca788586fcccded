"""The contract suite: each line of the session contract on each route and engine, by the real `dockshell`.

A test says which line it is about (`@pytest.mark.line(4)`) and takes the fixture `cell` (cell.py): it runs once in
each. What a cell can't keep is in exceptions.py, and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dockshell.demo.sandbox import sandbox
from tests.contract.cell import CELLS, Cell
from tests.contract.exceptions import EXCEPTIONS, Exempt
from tests.world import World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "line(number): the line of the session contract that a test is about")


@pytest.fixture(scope="session")
def sandbox_pid(world: World) -> Iterator[int]:
    """The first process of the project's own sandbox, which the `kernel` engine finds."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(sandbox())


@pytest.fixture(params=CELLS, ids="-".join)
def cell(
    request: pytest.FixtureRequest,
    world: World,
    sandbox_pid: int,
    environment: dict[str, str],
    terminal: Callable[..., Any],
) -> Cell:
    """Each cell in turn."""
    route, engine = request.param
    peer = world.podman if engine == "podman" else world.docker
    if route == "nsenter":
        world.need_root()
    made = Cell(route, engine, peer, sandbox_pid, environment, terminal)
    assert made.home  # started here, so that no test pays for it
    return made


def _exempt(item: pytest.Item) -> Exempt | None:
    """The entry of the table that is about this test in this cell."""
    assert isinstance(item, pytest.Function)
    route, engine = item.callspec.params["cell"]
    parameters = item.name.partition("[")[2].rstrip("]").replace(f"{route}-{engine}", "").strip("-")
    names = (item.originalname, f"{item.originalname}[{parameters}]")
    found = [each for each in EXCEPTIONS if each.test in names and each.covers(route, engine)]
    assert len(found) < 2, f"{item.name} has two exceptions"
    return found[0] if found else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "cell" in item.callspec.params:
            if item.get_closest_marker("line") is None:
                raise pytest.UsageError(f"{item.nodeid} does not say which line of the contract it is about")
            if exempt := _exempt(item):
                item.add_marker(pytest.mark.xfail(strict=True, reason=exempt.reason))
