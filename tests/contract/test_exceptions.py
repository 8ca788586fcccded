"""The suite itself: no line without a test, no exception without one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.cell import Cell
from tests.contract.exceptions import EXCEPTIONS

FILES = ("words", "bytes", "terminal", "life", "identity", "confinement")


def _tests() -> Iterator[tuple[str, Any]]:
    for name in FILES:
        module = importlib.import_module(f"tests.contract.test_{name}")
        yield from ((name, each) for name, each in vars(module).items() if name.startswith("test_"))


def _line(test: Any) -> int:
    return next(int(mark.args[0]) for mark in test.pytestmark if mark.name == "line")


def test_every_line_has_a_test() -> None:
    """From 1 to 22."""
    assert {_line(test) for _, test in _tests()} == set(range(1, 23))


def test_every_exception_is_about_a_test() -> None:
    """Of its own line, with a reason; and no test says it all by itself."""
    lines = {name: _line(test) for name, test in _tests()}
    for each in EXCEPTIONS:
        assert lines[each.test.partition("[")[0]] == each.line
        assert each.reason
    for _, test in _tests():
        assert not {"skip", "skipif", "xfail"} & {mark.name for mark in test.pytestmark}
        assert test.__doc__


@pytest.mark.line(2)
@pytest.mark.parametrize("cell", [("ssh", "docker"), ("ssh", "podman")], ids="-".join, indirect=True)
def test_ssh_needs_an_sshd(cell: Cell) -> None:
    """Why the tests of other images leave ssh out: it refuses them, with the reason, and never gets in."""
    for image in ("busybox", "app", "locked", "static"):
        done = cell.run("echo", "ran", container=cell.peer.shared(image))
        assert (done.returncode, done.stdout) == (125, b"")
        assert b"ssh: " in done.stderr
