"""The contract suite: each line of the session contract on each route and engine, by the real `dockshell`.

A test says which line it is about (`@pytest.mark.line(4)`) and takes the fixture `cell` (cell.py): it runs once in
each. What a cell can't keep is in exceptions.py, and nowhere else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dockshell.demo.sandbox import sandbox
from tests.conftest import COMMAND
from tests.contract.cell import CELLS, KIND, Cell
from tests.contract.exceptions import EXCEPTIONS
from tests.world import Peer, World, own_rootless_podman
from tests.world.person import Person, let_in, person

_NOBODY = 65534
_PEERS = {"docker-group": "docker", "kernel": "docker", "rootless-podman": "rootless_podman"}
_CALLERS = {"docker-group": "member", "rootless-podman": "owner"}


@pytest.fixture(scope="session")
def sandbox_pid(world: World) -> Iterator[int]:
    """The first process of the project's own sandbox, which the `kernel` engine finds."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(sandbox())


@pytest.fixture(scope="session")
def member(world: World) -> Iterator[Person]:
    """Somebody who may do nothing but ask Docker."""
    world.need_root()
    socket = world.docker.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    with person(_NOBODY, [_NOBODY, os.stat(socket).st_gid]) as somebody:
        yield somebody


@pytest.fixture(scope="session")
def owner(world: World) -> Iterator[Person]:
    """Whom the rootless Podman belongs to."""
    world.need_root()
    with person(own_rootless_podman.USER) as somebody:
        yield somebody


@pytest.fixture(params=CELLS, ids="-".join)
def cell(
    request: pytest.FixtureRequest,
    world: World,
    sandbox_pid: int,
    environment: dict[str, str],
    terminal: Callable[..., Any],
    tmp_path: Path,
) -> Cell:
    """Each cell in turn."""
    route, engine = request.param
    peer: Peer = getattr(world, _PEERS.get(engine, engine))
    caller = Person(COMMAND, environment, str(tmp_path))
    if route == "exec" and engine in _CALLERS:
        caller = request.getfixturevalue(_CALLERS[engine])
    if route in ("nsenter", "toolbox"):
        world.need_root()
    kind = request.config.stash.get(KIND, Cell)
    if kind is Cell:
        _mark(request, peer)
    made = kind((route, engine), peer, sandbox_pid, caller, terminal)
    assert made.home  # started here, so that no test pays for it
    return made


def _mark(request: pytest.FixtureRequest, peer: Peer) -> None:
    """Declares the test as one that must fail in this cell, where the table says so."""
    item = request.node
    assert item.get_closest_marker("line"), f"{item.nodeid} does not say which line of the contract it is about"
    cell = "-".join(request.param)
    parameters = item.name.partition("[")[2].rstrip("]").replace(cell, "").strip("-")
    names = (item.originalname, f"{item.originalname}[{parameters}]")
    for each in EXCEPTIONS:
        if not (each.test in names and each.covers(*request.param)):
            continue
        if each.below_api is None or _api(peer) < each.below_api:
            if not each.run:
                pytest.xfail(f"not tried: {each.reason}")
            request.applymarker(pytest.mark.xfail(strict=each.sure, reason=each.reason))


def _api(peer: Peer) -> tuple[int, ...]:
    """The version of Docker's API that the engine speaks."""
    if "podman" in peer.name:
        return (1, 40)
    return tuple(map(int, peer.ask("version", "--format", "{{.Server.APIVersion}}").split(".")))
