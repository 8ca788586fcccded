"""The suite in two halves that can run side by side: `--half docker` and `--half others`. Most of a test's time is
spent waiting for an engine, so two at a time take little more than half as long. Each half has a World of its own, and
as far as can be starts other engines in it than the other half does."""

from __future__ import annotations

import pytest

_HALVES = ("docker", "others")
_ELSEWHERE = ("podman", "docker26")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--half", choices=_HALVES, help="runs one half of the tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("half")
    if wanted:
        left_out = [item for item in items if _half(item) != wanted]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _half(item) == wanted]


def _half(item: pytest.Item) -> str:
    """By its parameters: those of a cell, of the fixture `engine` and the like."""
    parameters = getattr(item, "callspec", None)
    if "tests/unit/" in item.nodeid or (parameters and any(name in parameters.id for name in _ELSEWHERE)):
        return "others"
    return "docker"
