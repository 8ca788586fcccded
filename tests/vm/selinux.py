"""Checks under SELinux, first where its policy is only reported (permissive), then where it is enforced."""

from __future__ import annotations

from tests.vm.engines import (
    ENGINES,
    Checks,
    container,
    dockshell,
    dockshell_exec,
    engine_exec,
    first_process,
    from_outside,
    run,
    same,
)
from tests.vm.ways import PROBES, add_ways, as_by_exec, expected, labels_of_sftp

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
    """Where the policy is enforced, too: a command by nsenter has what it has by exec; and files are served by nobody
    without the label."""
    name = container(ENGINES[engine])
    label = from_outside(first_process(ENGINES[engine], name)).label
    _enforce("1")
    try:
        by_exec = run(*engine_exec(ENGINES[engine], name), "sh", "-c", PROBES[engine])
        done = run(*dockshell_exec(ENGINES[engine], name, "--via", "nsenter"), "sh", "-c", PROBES[engine])
        assert bool(done.returncode) is bool(by_exec.returncode), (done, by_exec)
        same(done.stdout.decode(), by_exec.stdout.decode())
        assert by_exec.returncode == 0, by_exec
        assert (found := labels_of_sftp(dockshell(ENGINES[engine], "proxy"), ENGINES[engine], name)) == {label}, found
    finally:
        _enforce("0")


def _enforce(setting: str) -> None:
    with open("/sys/fs/selinux/enforce", "w", encoding="ascii") as file:
        file.write(setting)
