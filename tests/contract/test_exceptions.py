"""The suite itself: no line without a test, no exception without one."""

from __future__ import annotations

import pytest

from tests.contract.cell import Cell
from tests.contract.exceptions import EXCEPTIONS
from tests.contract.peers import NOT_COMPARABLE
from tests.contract.table import LINES, suite


def test_every_line_has_a_test() -> None:
    """From 1 to 22."""
    assert {line for line, _, _ in suite()} == set(LINES) == set(range(1, 23))


def test_every_exception_is_about_a_test() -> None:
    """Of its own line, with a reason; and no test says it all by itself."""
    lines = {name: line for line, name, _ in suite()}
    for each in EXCEPTIONS:
        assert lines[each.test.partition("[")[0]] == each.line
        assert each.reason
    for _, _, test in suite():
        assert not {"skip", "skipif", "xfail"} & {mark.name for mark in test.pytestmark}
        assert test.__doc__
    assert lines.keys() >= NOT_COMPARABLE.keys()


@pytest.mark.line(2)
@pytest.mark.parametrize("cell", [("ssh", "docker"), ("ssh", "podman")], ids="-".join, indirect=True)
def test_ssh_needs_an_sshd(cell: Cell) -> None:
    """Why the tests of other images leave ssh out: it refuses them, with the reason, and never gets in."""
    for image in ("busybox", "app", "locked", "static"):
        done = cell.run("echo", "ran", container=cell.peer.shared(image))
        assert (done.returncode, done.stdout) == (125, b"")
        assert b"ssh: " in done.stderr
