"""Checks under AppArmor, with control groups of version 2 alone, and with settings of the kernel that nobody wants on
their own machine: Yama, and no program in memory."""

from __future__ import annotations

import functools
import os

from tests.vm.engines import (
    DOCKER,
    ENGINES,
    PODMAN,
    Checks,
    Engine,
    container,
    dockshell,
    dockshell_exec,
    engine_exec,
    first_process,
    from_outside,
    output,
    run,
    same,
)
from tests.vm.ways import PROBES, add_ways, as_by_exec, expected, unguarded

CHECKS = Checks()
check = CHECKS

# All is allowed but what is in /secret; that is denied aloud.
_PROFILE = """
profile dockshell-test flags=(attach_disconnected,mediate_deleted) {
    file, capability, network, mount, umount, signal, ptrace, unix,
    audit deny /secret/** rwklx,
}
profile dockshell-complain flags=(complain) {
    file,
}
"""
_SECRET = "/run/secret"


@check()
def kernel() -> None:
    """The machine is what the other checks think it is."""
    with open("/sys/kernel/security/lsm", encoding="ascii") as file:
        modules = file.read().split(",")
    assert "apparmor" in modules and "yama" in modules, modules
    with open("/proc/mounts", encoding="utf-8") as file:
        groups = [line.split()[1:3] for line in file if " cgroup" in line]
    assert groups == [["/sys/fs/cgroup", "cgroup2"]], groups
    with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as file:
        assert {"memory", "pids", "cpu"} <= set(file.read().split())
    same(label_of(DOCKER, container(DOCKER)), "docker-default (enforce)")
    assert label_of(PODMAN, container(PODMAN)).startswith("containers-default-")
    # As on a Debian with its profiles loaded, whatever is started by these has their label.
    profiles = [f"/etc/apparmor.d/{name}" for name in ("runc", "crun", "busybox")]
    output("apparmor_parser", "--replace", "--skip-cache", *profiles)


def label_of(engine: Engine, name: str) -> str:
    return from_outside(first_process(engine, name)).label


add_ways(CHECKS)


@check()
def limits_of_version_2() -> None:
    """Limits of processes and memory hold for a command by nsenter: the processes beyond are not made."""
    name = container(DOCKER, "--pids-limit", "20", "--memory", "64m")
    run(*dockshell_exec(DOCKER, name, "--via", "nsenter"), "sh", "-c", "for n in $(seq 40); do sleep 30 & done")
    cgroup = from_outside(first_process(DOCKER, name)).cgroup.strip().removeprefix("0::")
    with open(f"/sys/fs/cgroup{cgroup}/pids.peak", encoding="ascii") as file:
        assert int(file.read()) == 20


@check(*ENGINES)
def privileged_container(engine: str) -> None:
    """One that has no profile."""
    name = container(ENGINES[engine], "--privileged")
    assert "unconfined" in label_of(ENGINES[engine], name)
    for route in "nsenter", "toolbox":
        as_by_exec(ENGINES[engine], name, route)


@check()
def container_without_a_profile() -> None:
    name = container(DOCKER, "--security-opt", "apparmor=unconfined")
    assert "unconfined" in label_of(DOCKER, name)
    as_by_exec(DOCKER, name, "nsenter")


@check()
def nothing_was_denied() -> None:
    """By now AppArmor has denied nothing, to nobody."""
    assert not (denied := _denied()), "\n".join(denied)


def _denied() -> list[str]:
    return [line for line in output("dmesg").splitlines() if 'apparmor="DENIED"' in line]


@check()
def profile_of_ones_own() -> None:
    """A profile that was named for the container is enforced on what comes by nsenter, and one that only complains is
    that one."""
    _prepare()
    complains = container(DOCKER, "--security-opt", "apparmor=dockshell-complain")
    same(label_of(DOCKER, complains), "dockshell-complain (complain)")
    as_by_exec(DOCKER, complains, "nsenter")
    for route in "nsenter", "toolbox":
        as_by_exec(DOCKER, _guarded(), route)
        done = run(*dockshell_exec(DOCKER, _guarded(), "--via", route), "cat", "/secret/file")
        assert done.returncode == 1 and not done.stdout, done
    same(output(*dockshell_exec(DOCKER, _open(), "--via", "nsenter"), "cat", "/secret/file"), "secret\n")


@functools.cache
def _prepare() -> None:
    output("apparmor_parser", "--replace", "--skip-cache", input=_PROFILE.encode())
    os.makedirs(_SECRET)
    with open(f"{_SECRET}/file", "w", encoding="ascii") as file:
        file.write("secret\n")


def _guarded() -> str:
    _prepare()
    return container(DOCKER, "-v", f"{_SECRET}:/secret", "--security-opt", "apparmor=dockshell-test")


def _open() -> str:
    """The same without the profile."""
    _prepare()
    return container(DOCKER, "-v", f"{_SECRET}:/secret")


@check("sftp", "scp")
def files(program: str) -> None:
    """What serves files to an SSH client takes the profile on; without that it would read what the profile denies."""
    same(_fetched(program, dockshell(DOCKER, "proxy"), _open()), "secret\n")
    same(_fetched(program, dockshell(DOCKER, "proxy"), _guarded()), "")
    same(_fetched(program, unguarded("proxy"), _guarded()), "secret\n")


def _fetched(program: str, server: list[str], name: str) -> str:
    """What an SSH client gets of the secret; empty where it is denied."""
    here = "/run/fetched"
    if os.path.exists(here):
        os.unlink(here)
    command = " ".join([*server, "--via", "nsenter", name])
    options = ["-o", f"ProxyCommand={command}", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    options += ["-O"] if program == "scp" else []
    done = run(program, *options, "root@vm:/secret/file", here)
    if not os.path.exists(here):
        assert b"ermission denied" in done.stderr + done.stdout, done
        return ""
    with open(here, encoding="ascii") as file:
        return file.read()


@check()
def denied_by_that_profile_alone() -> None:
    """AppArmor has denied what was tried on purpose, and nothing else."""
    denied = _denied()
    other = [line for line in denied if 'profile="dockshell-test"' not in line or 'name="/secret/' not in line]
    assert denied and not other, "\n".join(other)


def _sysctl(name: str, value: str) -> None:
    with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
        file.write(value)


def _refused_and_left_to_exec(engine: Engine, sentence: bytes) -> None:
    """nsenter refuses with that sentence, and the engine's exec is taken, whatever comes of that."""
    name = container(engine)
    done = run(*dockshell_exec(engine, name, "--via", "nsenter"), "true")
    assert done.returncode == 125 and sentence in done.stderr, done
    by_exec = run(*engine_exec(engine, name), "sh", "-c", PROBES[engine.name])
    done = run(*dockshell_exec(engine, name, "-v"), "sh", "-c", PROBES[engine.name])
    assert sentence in done.stderr, done
    assert bool(done.returncode) is bool(by_exec.returncode), (done, by_exec)
    if not by_exec.returncode:
        same(done.stdout.decode(), by_exec.stdout.decode())


@check(*ENGINES)
def programs_in_memory(engine: str) -> None:
    """vm.memfd_noexec at 1, where such a program has to be asked for: nsenter does. (This runc doesn't, so that
    Docker's own exec fails.) At 2 there is none, so that nsenter can't be, and says why."""
    name = container(ENGINES[engine])
    by_exec = expected(ENGINES[engine], name)
    try:
        _sysctl("vm/memfd_noexec", "1")
        for route in "nsenter", "toolbox":
            words = dockshell_exec(ENGINES[engine], name, "--via", route)
            same(output(*words, "sh", "-c", PROBES[engine]), by_exec)
        _sysctl("vm/memfd_noexec", "2")
        _refused_and_left_to_exec(ENGINES[engine], b"vm.memfd_noexec=2 forbids")
    finally:
        _sysctl("vm/memfd_noexec", "0")


@check("1", "2")
def yama(setting: str) -> None:
    """kernel.yama.ptrace_scope up to 2 leaves ptrace(2) to who has the capability."""
    _sysctl("kernel/yama/ptrace_scope", setting)
    for route in "nsenter", "toolbox":
        as_by_exec(DOCKER, container(DOCKER), route)


@check()
def yama_without_ptrace() -> None:
    """At 3 nobody may trace, until the next boot: a seccomp filter can't be read, so that nsenter refuses, and exec
    serves. Where there is no filter, nsenter does."""
    unfiltered = container(DOCKER, "--security-opt", "seccomp=unconfined")
    _sysctl("kernel/yama/ptrace_scope", "3")
    for engine in ENGINES.values():
        _refused_and_left_to_exec(engine, b"kernel.yama.ptrace_scope=3 ")
    as_by_exec(DOCKER, unfiltered, "nsenter")
