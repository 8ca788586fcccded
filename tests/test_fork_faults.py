"""A mistake of dockshell's own in a process that it forked is told: one sentence and 125, and with --debug where it
happened. Each is put there by the test."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

import pytest

from dockshell.errors import Fault
from tests.contract.watching import processes, unique, until
from tests.world import Peer, World

_PRELUDE = """
import sys
def broken(*anything):
    raise KeyError("what is broken")
"""
_RUN = """
from dockshell.cli import main
sys.argv[0] = "dockshell"
main()
"""
# Where it happens: what breaks it, and the words that lead there.
PLACES = {
    "keeper": ("from dockshell.linux import limits; limits.set_oom_score = broken", ("--via", "nsenter")),
    "entrance": ("from dockshell.linux import credentials; credentials.become = broken", ("--via", "nsenter")),
    "watching": ("from dockshell.linux import keeper; keeper._watch = broken", ("--via", "nsenter")),
    "mounts": ("from dockshell.routes import toolbox_kernel; toolbox_kernel._build = broken", ("--via", "toolbox")),
    "guardian": ("from dockshell.routes.ward import Ward; Ward.signal = broken", ("--via", "exec")),
    "worker": ("from dockshell.fleet import worker; worker._Inside.work = broken", ("-j1",)),
}


def _broken(how: str, words: Sequence[str], peer: Peer, env: dict[str, str]) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", _PRELUDE + how + _RUN, "exec", *words]
    env = {**env, "DOCKER_HOST": peer.url}
    return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("place", PLACES)
def test_it_is_told(docker: Peer, environment: dict[str, str], world: World, place: str) -> None:
    """One line, with the exception's type and text, and 125; what was begun is ended."""
    world.need_root()
    how, words = PLACES[place]
    container, number = docker.shared("busybox"), unique()
    target = f"{container},{container}" if place == "worker" else container
    script = f"echo begun; sleep {number}; :"
    with _broken(how, [*words, target, "sh", "-c", script], docker, environment) as process:
        if place == "guardian":
            assert process.stdout and process.stdout.readline() == b"begun\n"
            process.terminate()
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 125
    assert "went wrong that should not have (KeyError: 'what is broken')" in said and "Traceback" not in said, said
    assert said.count("\n") == (2 if place == "worker" else 1)
    until(lambda: not processes(number), 30)


@pytest.mark.parametrize("place", ["keeper", "entrance", "mounts"])
def test_debug_shows_where(docker: Peer, environment: dict[str, str], world: World, place: str) -> None:
    """The lines of the process in which it happened."""
    world.need_root()
    how, words = PLACES[place]
    with _broken(how, ["--debug", *words, docker.shared("busybox"), "true"], docker, environment) as process:
        said = process.communicate(timeout=60)[1].decode()
    assert "in broken" in said and {"mounts": "attaching.py"}.get(place, f"{place}.py") in said, said


@pytest.mark.parametrize("what", ["command", "keeper", "files"])
def test_a_client_of_the_bridge_learns_its_kind(
    docker: Peer, environment: dict[str, str], world: World, what: str
) -> None:
    """And whoever runs the proxy all of it; the server of files works inside, where nothing may be imported."""
    world.need_root()
    breaks = {
        "command": "from dockshell.bridge import errands; errands._KINDS['command'] = broken",
        "keeper": "from dockshell.linux import limits; limits.set_oom_score = broken",
        "files": "from dockshell.bridge import sftp; sftp.serve = broken",
    }
    name = docker.shared("busybox")
    proxy = shlex.join([sys.executable, "-c", _PRELUDE + breaks[what] + _RUN, "proxy", "--debug", name])
    options = {"ProxyCommand": proxy.replace("%", "%%"), "StrictHostKeyChecking": "no", "BatchMode": "yes"}
    words = [f"-o{key}={value}" for key, value in (*options.items(), ("UserKnownHostsFile", os.devnull))]
    argv = ["ssh", *words, ".@x", "true"] if what != "files" else ["sftp", *words, ".@x"]
    env = {**environment, "DOCKER_HOST": docker.url}
    done = subprocess.run(argv, env=env, input=b"pwd\n", capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert "(KeyError: 'what is broken')" in said and "in broken" in said, said
    if what != "files":
        assert done.returncode == 125 and "should not have (KeyError): see" in said, said


def test_a_fault_as_bytes() -> None:
    """What is told is what is heard, in one piece whatever its size, without a way to drive a terminal."""

    def deeper(levels: int) -> None:
        if levels:
            deeper(levels - 1)
        raise ValueError("\x1b[2J" + "ä" * 100_000)

    try:
        deeper(50)
    except ValueError as error:
        fault = Fault.of(error)
    packed = fault.pack()
    heard = Fault.unpack(packed)
    assert heard and len(packed) <= 4096 and heard.kind == "ValueError"
    assert "\\x1b[2J" in str(heard) and "\x1b" not in str(heard) and "in deeper" in heard.trace
    assert Fault.unpack(b"") is Fault.unpack(b"137") is Fault.unpack(b"join\t1\tsubject") is None
    assert str(Fault.unpack(b"fault")).startswith("something went wrong")
