"""The small verbs: latest, ip, pid, init, and every verb's help; on real engines, and on one that lies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from dockshell.options import VERBS
from tests.impostor import Impostor
from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

_LOOKING = ("latest", "ip", "pid", "ls")


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What was printed, by a command that went well and said nothing else."""
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def _refused(done: subprocess.CompletedProcess[bytes], code: int = 125) -> str:
    """The one line on stderr of a command that printed nothing and failed with that code."""
    assert (done.returncode, done.stdout) == (code, b"")
    line = done.stderr.decode()
    assert line.startswith("dockshell: ") and line.count("\n") == 1 and line[:-1].isprintable()
    return line


def test_latest_prints_the_newest_id(engine: Peer, dockshell: Run) -> None:
    """`dockshell latest` says what `ps -lq` of the engine's own command says: twelve characters of an id."""
    engine.run("busybox")
    newest = engine.run("busybox")
    assert _said(dockshell("latest", engine=engine)) == engine.ask("ps", "-lq") + "\n"
    assert _said(dockshell("latest", engine=engine)) == engine.inspect(newest)["Id"][:12] + "\n"


def test_latest_means_the_newest_that_runs(engine: Peer, dockshell: Run) -> None:
    """One that ended is passed over, and a line on stderr says so; stdout has the id alone."""
    running = engine.run("busybox")
    ended = engine.run("busybox", "true")
    engine.sh("wait", ended)
    done = dockshell("latest", engine=engine)
    assert (done.returncode, done.stdout.decode().strip()) == (0, engine.inspect(running)["Id"][:12])
    assert f"{ended} is newer but not running (exited): taking {running}" in done.stderr.decode()


def test_ip_prints_every_address(engine: Peer, dockshell: Run) -> None:
    """`dockshell ip TARGET` has a line for the address on each network, as the engine tells them."""
    name = engine.run("busybox")
    networks = engine.inspect(name)["NetworkSettings"]["Networks"].values()
    expected = [network["IPAddress"] for network in networks if network["IPAddress"]]
    assert expected
    assert _said(dockshell("ip", name, engine=engine)).splitlines() == expected
    assert _said(dockshell("ip", engine=engine)).splitlines() == expected


@pytest.mark.parametrize("form", [("--json",), ("--format", "json")])
def test_for_programs(docker: Peer, dockshell: Run, form: tuple[str, ...]) -> None:
    """The same as JSON, for which the option may stand behind TARGET as well: which container it was, and the facts;
    the tables of config and tools are lists of objects."""
    name = docker.shared("busybox")
    told = docker.inspect(name)
    for verb in ("ip", "pid"):
        facts = json.loads(_said(dockshell(verb, name, *form, engine=docker)))
        assert (facts["name"], facts["id"], facts["engine"]) == (name, told["Id"], "docker")
        if verb == "pid":
            assert facts["pid"] == told["State"]["Pid"]
        else:
            assert {each["network"]: each["address"] for each in facts["addresses"]} == {
                network: each["IPAddress"] for network, each in told["NetworkSettings"]["Networks"].items()
            }
    newest = json.loads(_said(dockshell("latest", *form, engine=docker)))
    assert newest["id"].startswith(_said(dockshell("latest", engine=docker)).strip())
    settings = json.loads(dockshell("config", *form, engine=docker).stdout)
    assert {"setting", "value", "for", "from"} == settings[0].keys()
    tools = json.loads(_said(dockshell("tools", "list", *form, engine=docker)))
    assert [each["kind"] for each in tools] == ["busybox"]
    assert "list" in _refused(dockshell("tools", "remove", "x", *form, engine=docker), 2)


@pytest.mark.parametrize("network", ["none", "host"])
def test_ip_of_a_container_without_one(docker: Peer, dockshell: Run, network: str) -> None:
    """No address is an error that says why, not an empty line."""
    name = docker.run("busybox", options=["--network", network])
    assert f"{name} has no address of its own" in _refused(dockshell("ip", name, engine=docker))


def test_pid_prints_the_hosts_number(engine: Peer, dockshell: Run) -> None:
    """`dockshell pid TARGET` is the number of the container's first process on this host."""
    name = engine.run("busybox")
    assert _said(dockshell("pid", name, engine=engine)) == f"{engine.pid(name)}\n"
    assert _said(dockshell("pid", engine=engine)) == f"{engine.pid(name)}\n"


@pytest.mark.parametrize("verb", ["ip", "pid"])
def test_what_does_not_run_has_neither(docker: Peer, dockshell: Run, verb: str) -> None:
    """A stopped container is named as such, with what starts it."""
    name = docker.run("busybox", "true")
    docker.sh("wait", name)
    assert f"`docker start {name}`" in _refused(dockshell(verb, name, engine=docker))


@pytest.mark.parametrize("verb", _LOOKING)
def test_without_an_engine_there_is_one_clear_line(dockshell: Run, verb: str, tmp_path: Path) -> None:
    """DOCKER_HOST that leads nowhere: exit code 125, a sentence with the address and what to do, no traceback."""
    line = _refused(dockshell(verb, env={"DOCKER_HOST": f"unix://{tmp_path}/gone.sock"}))
    assert f"unix://{tmp_path}/gone.sock" in line and "-H" in line


@pytest.mark.parametrize("verb", ["latest", "ip", "pid"])
def test_without_a_container_there_is_one_clear_line(dockshell: Run, verb: str) -> None:
    """An engine in which nothing runs: exit code 125."""
    with Impostor([]).serving() as engine:
        assert "no container is running" in _refused(dockshell(verb, env={"DOCKER_HOST": engine.url}))


@pytest.mark.parametrize("verb", ["latest", "ip", "pid"])
def test_verbose_says_which_container_was_taken(docker: Peer, dockshell: Run, verb: str) -> None:
    """-v tells container and engine on stderr; stdout stays what a script reads."""
    name = docker.run("busybox")
    done = dockshell(verb, "-v", engine=docker)
    assert f"container: {name} ({docker.inspect(name)['Id'][:12]}) of docker at {docker.url}" in done.stderr.decode()
    assert done.stdout == dockshell(verb, engine=docker).stdout != b""


def test_the_engine_may_be_named(docker: Peer, dockshell: Run) -> None:
    """-H, before or after the verb, has the last word over DOCKER_HOST."""
    name = docker.run("busybox")
    nowhere = {"DOCKER_HOST": "unix:///nowhere.sock"}
    assert _said(dockshell("-H", docker.url, "pid", name, env=nowhere)) == f"{docker.pid(name)}\n"
    assert _said(dockshell("pid", f"--host={docker.url}", name, env=nowhere)) == f"{docker.pid(name)}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_goes_to_stdout(dockshell: Run, verb: str) -> None:
    """`dockshell VERB --help` prints that verb's help and ends well, with no engine asked."""
    text = _said(dockshell(verb, "--help", env={"DOCKER_HOST": "unix:///nowhere.sock"}))
    assert text.startswith(f"usage: dockshell {verb}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_init_needs_no_engine(dockshell: Run, shell: str) -> None:
    """What a startup file evaluates is printed whether an engine runs or not, and defines both words."""
    text = _said(dockshell("init", shell, env={"DOCKER_HOST": "unix:///nowhere.sock"}))
    assert "function dl" in text and "function dsh" in text and "__complete" in text


def test_init_knows_three_shells(dockshell: Run) -> None:
    """Another shell is wrong usage, and the three are named."""
    assert "bash, zsh and fish" in _refused(dockshell("init", "csh\x1b[m"), 2)


_GUESTS = {"docker", "paramiko", "rich", "asyncssh", "requests"}
_HEAVY = {"argparse", "asyncio", "dataclasses", "logging", "pathlib", "socket", "subprocess", "typing", "http.client"}
_MODULES = """
import os, sys
before = set(sys.modules)
from dockshell.cli import run
with open(os.devnull, "w") as sys.stdout:
    run(sys.argv[1:])
sys.__stdout__.write("\\n".join(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["latest"],
        ["ip", "web"],
        ["pid", "web"],
        ["init", "bash"],
        ["__complete", "--", "dockshell", "exec", ""],
        ["ls"],
    ],
    ids=lambda words: words[0],
)
def test_small_verbs_are_light(docker: Peer, environment: dict[str, str], words: list[str]) -> None:
    """They import none of the heavy guests, and but for ls in a pipe nothing that costs more than they do."""
    name = docker.run("busybox")
    words = [name if word == "web" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-c", _MODULES, *words],
        env={**environment, "DOCKER_HOST": docker.url, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    imported = set(done.stdout.splitlines())
    assert "dockshell.cli" in imported
    assert not imported & (_GUESTS | _HEAVY), done.stderr
