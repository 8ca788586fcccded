"""The virtual machine that the tests here are run in, booted once for each kind of kernel
(tests/world/virtual_machine.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.world import World
from tests.world.virtual_machine import VirtualMachine

# What the kernel is told; each has control groups of version 2 alone.
_KERNELS = {
    "apparmor": ("apparmor=1", "security=apparmor"),
    "selinux": ("selinux=1", "security=selinux"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--checks", default="", metavar="TEXT", help="in the virtual machine, only those with TEXT in their name"
    )


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def show(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", end="", flush=True)

    return show


@pytest.fixture(scope="session")
def machine(world: World, say: Callable[[str], None]) -> VirtualMachine:
    return VirtualMachine(world.scratch, say)


# Fixtures, since what a test itself does is ended after five minutes (tests/world/bounds.py).


@pytest.fixture(scope="session")
def apparmor_reports(booted: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """What came of the checks under AppArmor, by name: a reason, or nothing where it holds."""
    return booted("apparmor")


@pytest.fixture(scope="session")
def selinux_reports(booted: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """The same under SELinux."""
    return booted("selinux")


@pytest.fixture(scope="session")
def booted(
    machine: VirtualMachine, say: Callable[[str], None], request: pytest.FixtureRequest
) -> Callable[[str], dict[str, str]]:
    """booted(kind): boots once, for these reports."""
    only = request.config.getoption("checks")

    def boot(kind: str) -> dict[str, str]:
        say(f"a virtual machine boots, for {kind}")
        began, reports = time.monotonic(), {}
        for line in machine.boot(*_KERNELS[kind], f"DOCKSHELL_TEST={kind}", f"DOCKSHELL_CHECKS={only}"):
            say(f"{time.monotonic() - began:4.0f} s  {line}")
            verdict, _, rest = line.partition("ok ")
            name, _, reason = rest.partition(" ")
            if verdict in ("", "not "):
                reports[name] = json.loads(reason) if verdict else ""
        return reports

    return boot
