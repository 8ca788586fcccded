"""The suite in parts. `--part unit` comes first: unit tests that need no more than a checkout and its .venv, and beside
them the fuzzers (tests/fuzz), for which the other parts would leave no processor. Then three that can run side by side:
`--part contract`, `--part docker` and `--part others`. Most of a test's time is spent waiting for an engine, so three
at a time take little more than a third as long. Each part has a World of its own, and as far as can be starts other
engines in it than the others do.

`--part vm` is tests/vm, in a virtual machine: ten minutes, which no other run takes.

`@pytest.mark.packages` is for a unit test that needs a system package, which `./dev test` installs after the first
part."""

from __future__ import annotations

import pytest

_PARTS = ("unit", "contract", "docker", "others", "vm")
# With these the parts take about as long.
_BEGINNINGS = (
    "tests/contract/",
    "tests/bridge/",
    "tests/test_env.py",
    "tests/test_image",
    "tests/test_login.py",
    "tests/test_services.py",
    "tests/test_ssh_config.py",
    "tests/test_ssh_keys_inside.py",
    "tests/test_ssh_service.py",
)
_OTHERS = ("podman", "nsenter-docker26", "toolbox-docker26")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=_PARTS, help="runs one part of the tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "packages: a unit test that needs a system package")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("part")
    left_out = [item for item in items if (_part(item) != wanted if wanted else _part(item) == "vm")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _part(item: pytest.Item) -> str:
    """By its parameters: those of a cell, of the fixture `engine` and the like."""
    parameters = getattr(item, "callspec", None)
    named = parameters.id if parameters else ""
    if item.nodeid.startswith("tests/vm/"):
        return "vm"
    if item.nodeid.startswith(("tests/unit/", "tests/fuzz/")):
        return "others" if item.get_closest_marker("packages") else "unit"
    if any(word in named for word in _OTHERS) or item.nodeid.startswith("tests/test_first_command.py"):
        return "others"
    if item.nodeid.startswith(_BEGINNINGS):
        return "contract"
    return "others" if "docker26" in named else "docker"
