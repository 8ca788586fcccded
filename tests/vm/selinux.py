"""Checks under SELinux, first where its policy is only reported (permissive), then where it is enforced."""

from __future__ import annotations

from tests.vm.engines import (
    ENGINES,
    Checks,
    container,
    dockshell_exec,
    engine_exec,
    first_process,
    from_outside,
    run,
)
from tests.vm.ways import add_ways, as_by_exec, expected

CHECKS = Checks()
check = CHECKS


@check()
def kernel() -> None:
    """The machine is what the other checks think it is."""
    with open("/sys/kernel/security/lsm", encoding="ascii") as file:
        assert "selinux" in file.read().split(",")
    with open("/sys/fs/selinux/enforce", encoding="ascii") as file:
        assert file.read() == "0"
    for engine in ENGINES.values():
        label = from_outside(first_process(engine, container(engine))).label
        assert label.startswith("system_u:system_r:container_t:s0:c"), (engine.name, label)


add_ways(CHECKS)


@check(*ENGINES)
def type_of_ones_own(engine: str) -> None:
    """A type and a level that were named for the container."""
    name = container(ENGINES[engine], "--security-opt", "label=level:s0:c7,c9")
    assert ":s0:c7,c9" in expected(ENGINES[engine], name)
    as_by_exec(ENGINES[engine], name, "nsenter")


@check(*ENGINES)
def container_without_a_label(engine: str) -> None:
    name = container(ENGINES[engine], "--security-opt", "label=disable")
    as_by_exec(ENGINES[engine], name, "nsenter")


@check(*ENGINES)
def privileged_container(engine: str) -> None:
    as_by_exec(ENGINES[engine], container(ENGINES[engine], "--privileged"), "nsenter")


@check(*ENGINES)
def enforced(engine: str) -> None:
    """Where the policy is enforced, nobody here may go over to a container's type, for the engines have no domain of
    their own without systemd: nsenter gets no further than the engine's exec."""
    name = container(ENGINES[engine])
    _enforce("1")
    try:
        by_exec = run(*engine_exec(ENGINES[engine], name), "true")
        done = run(*dockshell_exec(ENGINES[engine], name, "--via", "nsenter"), "true")
        assert by_exec.returncode and b"ermission denied" in by_exec.stderr, by_exec
        assert done.returncode and not done.stdout, done
    finally:
        _enforce("0")


def _enforce(setting: str) -> None:
    with open("/sys/fs/selinux/enforce", "w", encoding="ascii") as file:
        file.write(setting)
