"""What a command in a container costs is mostly what is imported on the way: an import is 0.3 ms at the least, and one
of the big ones takes longer than all else together. So every module on the hot path is on a list, kept here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from benchmarks.memory import moving, peak
from benchmarks.play import play
from tests.world import Peer, World
from tests.world.person import let_in, person

Loaded = Callable[..., set[str]]

# Notes every module that is looked for after the interpreter's own start: in this process, and in those that it forks.
_DRIVER = """
import os, sys
class Witness:
    def find_spec(name, path=None, target=None):
        descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, name.encode() + b"\\n")
        os.close(descriptor)
sys.meta_path.insert(0, Witness)
from dockshell.cli import run
code = run(sys.argv[2:])
sys.stdout.flush()
os._exit(code)
"""

# Each of these takes 3 to 230 ms, and each is brought in by something that looks harmless.
_HEAVY = {
    "argparse", "asyncio", "collections", "contextlib", "cryptography", "dataclasses", "docker", "enum", "functools",
    "inspect", "http", "json", "logging", "paramiko", "pathlib", "random", "re", "requests", "rich", "selectors",
    "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "traceback", "typing", "urllib",
}  # fmt: skip

_ALWAYS = """
    __future__ dockshell dockshell.cli dockshell.commands dockshell.engines dockshell.engines.docker
    dockshell.engines.json dockshell.engines.local dockshell.engines.where dockshell.errors dockshell.linux
    dockshell.linux.process dockshell.linux.signals dockshell.model dockshell.options dockshell.resolve
    dockshell.target dockshell.voice
    _json _socket errno gc
"""
_LOOKING = _ALWAYS + "dockshell.commands.latest dockshell.commands.looking"
_ENTERING = (
    _ALWAYS
    + """
    dockshell.commands.entry dockshell.commands.exec dockshell.commands.looking dockshell.config dockshell.engines.cache
    dockshell.entering
    dockshell.environment dockshell.identity dockshell.linux.descriptors
    dockshell.linux.terminals dockshell.relay dockshell.routes dockshell.routes.nsenter
    dockshell.session _struct fcntl select struct termios
"""
)
_NSENTER = (
    _ENTERING
    + """
    dockshell.linux.calls dockshell.linux.cgroup dockshell.linux.credentials dockshell.linux.entrance
    dockshell.linux.keeper
    dockshell.linux.labels dockshell.linux.limits dockshell.linux.libc dockshell.linux.namespaces
    dockshell.linux.rootfs dockshell.linux.sealed dockshell.linux.seccomp dockshell.linux.sessions
    dockshell.routes.nsenter_facts dockshell.routes.nsenter_session
    _ctypes ctypes ctypes._endian encodings.ascii resource types
"""
)
_EXEC = (
    _ENTERING
    + """
    dockshell.engines.archive dockshell.engines.cache dockshell.linux.guardian
    dockshell.routes.exec dockshell.routes.exec_session dockshell.engines.frames dockshell.routes.ward binascii
"""
)
_COMPLETING = """
    dockshell.commands.complete dockshell.completing dockshell.completing.offering dockshell.completing.targets
    dockshell.completing.typed
"""
_EXPECTED = {
    "exec": _NSENTER,
    "complete": _ALWAYS + _COMPLETING,
    "latest": _LOOKING,
    "ip": _LOOKING + " dockshell.commands.ip",
}
# What newer Pythons have split off the modules above.
_SPLIT_OFF = {"_py_warnings", "_types", "ctypes._layout"}


@pytest.fixture
def loaded(docker: Peer, environment: Mapping[str, str], tmp_path: Path) -> Loaded:
    """loaded(*words): the modules that `dockshell WORDS` takes on top of the interpreter's own, when it goes well."""

    def run(*words: str) -> set[str]:
        note = tmp_path / "modules"
        note.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", _DRIVER, str(note), *words],
            env={**environment, "DOCKER_HOST": docker.url}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip
        return _noted(done, note)

    return run


def _noted(done: subprocess.CompletedProcess[bytes], note: Path) -> set[str]:
    assert (done.returncode, done.stderr) == (0, b"")
    return set(note.read_text().split())


def _words(verb: str, name: str) -> tuple[str, ...]:
    return {
        "exec": ("exec", "--via", "nsenter", name, "true"),
        "complete": ("__complete", "--", "dockshell", "exec", name[:3]),
        "latest": ("latest",),
        "ip": ("ip", name),
    }[verb]


@pytest.mark.parametrize("verb", _EXPECTED)
def test_the_hot_path_loads_what_is_listed(world: World, docker: Peer, loaded: Loaded, verb: str) -> None:
    """`dockshell exec NAME true` by nsenter, a completion, `latest` and `ip` load the modules of their list and none of
    the heavy ones. A newcomer is named; so is a module of ours that is no longer loaded, for the list is to be true."""
    if verb == "exec":
        world.need_root()
    _check(f"of {verb}", loaded(*_words(verb, docker.shared("busybox"))), _EXPECTED[verb])


def test_the_hot_path_with_a_config_file(loaded: Loaded, docker: Peer, environment: Mapping[str, str]) -> None:
    """Who has one pays for it once: then it is a list that was read before, and nothing that parses or records is
    loaded."""
    directory = Path(environment["HOME"], ".config/dockshell")
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text('record = "~/casts"\n[container."web-*"]\nuser = "app"\n')
    for _ in range(2):
        found = loaded(*_words("exec", docker.shared("busybox")))
    more = " dockshell.config.held dockshell.config.keys dockshell.habits time"
    _check("with a config file", found, _EXPECTED["exec"] + more)


def test_the_hot_path_with_a_config_of_docker(loaded: Loaded, docker: Peer, environment: Mapping[str, str]) -> None:
    """Who has logged in to a registry, or has headers in Docker's config.json, pays for a file that is read."""
    directory = Path(environment["HOME"], ".docker")
    directory.mkdir()
    (directory / "config.json").write_text('{"auths": {}, "HttpHeaders": {"X-Token": "1"}}')
    found = loaded(*_words("exec", docker.shared("busybox")))
    _check(
        "with Docker's config.json",
        found,
        _EXPECTED["exec"] + " dockshell.engines.client_config dockshell.linux.trusted",
    )


def test_the_hot_path_without_root(world: World, docker: Peer) -> None:
    """For who lacks root, and goes on to exec, nothing of what entering namespaces takes is loaded; from the second
    time on nothing to unpack an archive either."""
    world.need_root()
    socket = docker.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    with person(65534, [65534, os.stat(socket).st_gid]) as somebody:
        python = somebody.command[: somebody.command.index("-m")]
        note = Path(somebody.place, "modules")
        argv = [*python, "-c", _DRIVER, str(note), *("exec", docker.shared("busybox"), "true")]
        for _ in range(2):
            note.unlink(missing_ok=True)
            done = subprocess.run(
                argv, env={**somebody.environment, "DOCKER_HOST": docker.url}, stdin=subprocess.DEVNULL,
                capture_output=True, cwd="/", timeout=60, check=False,
            )  # fmt: skip
        found = _noted(done, note)
    _check("without root", found, _EXEC)


def _check(which: str, found: set[str], listed: str) -> None:
    expected = set(listed.split())
    heavy = {name for name in found if name.partition(".")[0] in _HEAVY}
    newcomers = found - expected - _SPLIT_OFF
    gone = {name for name in expected - found if name.startswith("dockshell")}
    assert not heavy, f"too heavy for the hot path {which}: {_listed(heavy)}"
    assert not newcomers, f"{len(found)} modules for the hot path {which}, on no list: {_listed(newcomers)}"
    assert not gone, f"on the list for the hot path {which}, but not loaded: {_listed(gone)}"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


@pytest.mark.parametrize(("via", "limit"), [("nsenter", 20), ("exec", 25)])
@pytest.mark.parametrize("terminal", [False, True], ids=["pipes", "terminal"])
def test_memory_of_a_session(
    world: World, docker: Peer, environment: Mapping[str, str], via: str, limit: int, terminal: bool
) -> None:
    """However much goes through, dockshell takes no more than so many MiB, those who watch over the command counted
    in."""
    if via == "nsenter":
        world.need_root()
    words = ("exec", "--via", via, "-i", docker.shared("busybox"), *moving(50_000_000))
    env = {**environment, "DOCKER_HOST": docker.url}
    assert 5 < peak((sys.executable, "-m", "dockshell", *words), env, terminal=terminal) < limit


def test_a_benchmark_runs(world: World, docker: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    """A row of `./dev bench` is measured and told: both times, the pairs, the ratio, its limit and whether that holds.
    Which it does is not asserted: the machines that tests run on are busy."""
    world.need(
        os.access(os.path.join(os.path.dirname(sys.executable), "dockshell"), os.X_OK), "dockshell is not installed"
    )
    held = play(world, ["completion"], quick=True)
    versions, heading, row = capsys.readouterr().out.splitlines()
    assert re.search(r"client \d+\.\S+, engine \d+\.\S+,", versions) and f"Python {sys.version.split()[0]}" in versions
    assert heading.split()[:2] == ["row", "dockshell"]
    told = re.fullmatch(
        r"completion +dockshell exec dsh<TAB> +([\d.]+) +docker ps -q +([\d.]+)"
        r" +10 +([\d.]+) +[\d.]+-[\d.]+ +3\.00 +(\w+)",
        row,
    )
    assert told, row
    ours, peers, ratio = map(float, told.groups()[:3])
    assert ours > 1 and peers > 1
    assert (ratio <= 3.0, told[4]) in ((True, "holds"), (False, "MISSED")) and held == (told[4] == "holds")


def test_a_benchmark_that_is_none() -> None:
    """A row that doesn't exist is refused, with those that do."""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nonsense"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "no row is called nonsense: there are nsenter, exec, ssh" in done.stderr
