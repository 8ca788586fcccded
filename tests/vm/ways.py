"""What holds under each kernel: whatever comes by dockshell is confined as by the engine's own exec."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable

from tests.vm.engines import (
    DOCKER,
    ENGINES,
    Checks,
    Engine,
    at_a_terminal,
    container,
    dockshell,
    dockshell_exec,
    engine_exec,
    first_process,
    from_outside,
    labels_beside,
    output,
    run,
    same,
    sleeping,
)

_NOWHERE = subprocess.DEVNULL
Serving = Callable[[list[str], str], "subprocess.Popen[bytes]"]

__all__ = ["PROBES", "add_ways", "as_by_exec", "expected", "unguarded"]

_PROBE = """
echo "label: $(cat /proc/self/attr/current)"
echo "cgroup: $(cat /proc/self/cgroup)"
grep -E '^(Uid|Gid|Cap...|NoNewPrivs|Seccomp|Seccomp_filters|Umask):' /proc/self/status
echo "oom_score_adj: $(cat /proc/self/oom_score_adj)"
"""
# Podman's own exec gives the limits of whoever calls it.
PROBES = {"docker": _PROBE + "cat /proc/self/limits", "podman": _PROBE}


def expected(engine: Engine, name: str, *options: str) -> str:
    """What a probe says by the engine's own exec."""
    return output(*engine_exec(engine, name, *options), "sh", "-c", PROBES[engine.name])


def as_by_exec(engine: Engine, name: str, route: str, *options: str) -> None:
    """Raises AssertionError where a command by that route isn't confined as by the engine's exec with the same
    options."""
    told = output(*dockshell_exec(engine, name, "--via", route, *options), "sh", "-c", PROBES[engine.name])
    same(told, expected(engine, name, *options))


def add_ways(checks: Checks) -> None:
    for each in (command, command_of_a_user, terminal, shell, detached, seen_from_outside, no_new_privileges):
        checks(*ENGINES)(each)
    checks(*ENGINES)(privileged_command)
    checks(*ENGINES)(what_acts_inside)


# dockshell without the guard: what acts inside doesn't take the label on.
_UNGUARDED = """
import sys
from dockshell.linux import own_label
own_label.labelled = lambda label, act: act
from dockshell.cli import main
sys.exit(main())
"""


def unguarded(verb: str, engine: Engine = DOCKER) -> list[str]:
    """The words by which a verb of dockshell's runs without that guard."""
    with open("/run/unguarded.py", "w", encoding="ascii") as file:
        file.write(_UNGUARDED)
    return ["python3", "-P", "/run/unguarded.py", verb, "-H", engine.url]


def command(engine: str) -> None:
    """Label, cgroup, user, capabilities, seccomp and limits."""
    for route in "nsenter", "toolbox":
        as_by_exec(ENGINES[engine], container(ENGINES[engine]), route)


def command_of_a_user(engine: str) -> None:
    for route in "nsenter", "toolbox":
        as_by_exec(ENGINES[engine], container(ENGINES[engine]), route, "-u", "app")


def terminal(engine: str) -> None:
    """The same at a terminal."""
    name = container(ENGINES[engine])
    words = dockshell_exec(ENGINES[engine], name, "--via", "nsenter")
    same(at_a_terminal([*words, "sh", "-c", PROBES[engine]]), expected(ENGINES[engine], name))


def shell(engine: str) -> None:
    """The same in a login shell."""
    name = container(ENGINES[engine])
    words = dockshell(ENGINES[engine], "shell", "-T", "--via", "nsenter", name)
    same(output(*words, input=PROBES[engine].encode()), expected(ENGINES[engine], name))


def detached(engine: str) -> None:
    """The same of a command that goes on by itself."""
    name = container(ENGINES[engine])
    script = f"({PROBES[engine]}) >/tmp/part; mv /tmp/part /tmp/told"
    output(*dockshell_exec(ENGINES[engine], name, "-d", "--via", "nsenter"), "sh", "-c", script)
    script = "until test -e /tmp/told; do sleep 1; done; cat /tmp/told"
    told = output(*engine_exec(ENGINES[engine], name), "sh", "-c", script)
    same(told, expected(ENGINES[engine], name))


def seen_from_outside(engine: str) -> None:
    """The kernel says the same: the cgroup by its whole path, and the seccomp program is the container's own."""
    name = container(ENGINES[engine])
    with sleeping(engine_exec(ENGINES[engine], name)) as theirs:
        by_exec = from_outside(theirs)
    own = from_outside(first_process(ENGINES[engine], name))
    for route in "nsenter", "toolbox":
        with sleeping(dockshell_exec(ENGINES[engine], name, "--via", route)) as ours:
            told = from_outside(ours)
        assert told._replace(filter=b"") == by_exec._replace(filter=b""), (told, by_exec)
        assert told.filter == own.filter and len(told.filter) == len(by_exec.filter) > 80


def no_new_privileges(engine: str) -> None:
    as_by_exec(ENGINES[engine], container(ENGINES[engine], "--security-opt", "no-new-privileges"), "nsenter")


def privileged_command(engine: str) -> None:
    """--privileged gives what it gives by the engine's exec, and says so."""
    name = container(ENGINES[engine])
    words = dockshell_exec(ENGINES[engine], name, "--via", "nsenter", "--privileged")
    done = run(*words, "sh", "-c", PROBES[engine])
    assert b"privileged: all capabilities" in done.stderr, done.stderr
    same(done.stdout.decode(), expected(ENGINES[engine], name, "--privileged"))


def what_acts_inside(engine: str) -> None:
    """What serves files, or connects to a Unix socket inside, executes nothing, and has the label all the same; without
    the guard it hasn't."""
    name = container(ENGINES[engine])
    label = from_outside(first_process(ENGINES[engine], name)).label
    for serving in _sftp, _forward:
        verb = serving.__name__.replace("_sftp", "proxy").strip("_")
        assert (found := _labels(serving, dockshell(ENGINES[engine], verb), ENGINES[engine], name)) == {label}, found
        found = _labels(serving, unguarded(verb, ENGINES[engine]), ENGINES[engine], name)
        assert found and label not in found, found


def _sftp(words: list[str], name: str) -> subprocess.Popen[bytes]:
    command = " ".join([*words, "--via", "nsenter", name])
    options = ["-o", f"ProxyCommand={command}", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    return subprocess.Popen(["sftp", *options, "root@vm"], stdin=subprocess.PIPE, stdout=_NOWHERE, stderr=_NOWHERE)


def _forward(words: list[str], name: str) -> subprocess.Popen[bytes]:
    here = f"/run/forwarded{time.monotonic_ns()}"
    process = subprocess.Popen(
        [*words, "--via", "nsenter", name, f"{here}:/run/none"], stdin=subprocess.PIPE, stdout=_NOWHERE, stderr=_NOWHERE
    )
    until = time.monotonic() + 120
    while not os.path.exists(here):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.2)
    with socket.socket(socket.AF_UNIX) as client:  # who connects for it, and stays, is started now
        client.connect(here)
        client.recv(1)
    return process


def _labels(serving: Serving, words: list[str], engine: Engine, name: str) -> set[str]:
    """The labels of what is beside a container's own process meanwhile."""
    process = serving(words, name)
    try:
        until = time.monotonic() + 120
        while not labels_beside(engine, name):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.2)
        time.sleep(3)  # it has joined, and takes the label on at once
        return labels_beside(engine, name)
    finally:
        assert process.stdin
        process.stdin.close()
        process.terminate()
        process.wait(120)
        until = time.monotonic() + 120
        while labels_beside(engine, name) and time.monotonic() < until:
            time.sleep(0.2)
