"""The flags of `docker exec`, `docker compose exec` and `podman exec` are taken, and mean the same.

What the engines' own `exec --help` shows is tried flag by flag, so that a new one is seen here first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

_DOCKSHELL = [sys.executable, "-m", "dockshell"]
# What `docker compose exec --help` shows, whose plugin isn't packaged:
# https://docs.docker.com/reference/cli/docker/compose/exec/
_COMPOSE = {
    "--detach": "-d", "--env": "-e", "--index": "", "--interactive": "-i", "--no-tty": "-T", "--no-TTY": "-T",
    "--privileged": "", "--tty": "-t", "--user": "-u", "--workdir": "-w",
}  # fmt: skip
_CAPABILITIES = ("grep", "CapEff", "/proc/self/status")
# Each flag, its value, what is run with it, and what that says where the engine itself isn't asked; None: it is asked.
_TRIED: Mapping[str, tuple[str, Sequence[str], str | None]] = {
    "--detach": ("", ("true",), ""),
    "--detach-keys": ("ctrl-]", ("echo", "up"), None),
    "--env": ("GREETING=hi", ("sh", "-c", "echo $GREETING"), None),
    "--env-file": ("env", ("sh", "-c", "echo $FROM_FILE"), None),
    "--index": ("1", ("hostname",), None),
    "--interactive": ("", ("cat",), None),
    "--no-tty": ("", ("sh", "-c", "test -t 1; echo $?"), "1\n"),
    "--no-TTY": ("", ("sh", "-c", "test -t 1; echo $?"), "1\n"),
    "--privileged": ("", _CAPABILITIES, None),
    "--tty": ("", ("sh", "-c", "test -t 1; echo $?"), None),
    "--user": ("12:34", ("sh", "-c", "id -u; id -g"), None),
    "--workdir": ("/tmp", ("pwd",), None),
    "--preserve-fds": ("1", ("sh", "-c", "cat <&3"), None),
    "--preserve-fd": ("3", ("sh", "-c", "cat <&3"), "descriptor\n"),
    "--latest": ("", ("hostname",), None),
    "--cidfile": ("cid", ("hostname",), None),
}
_LABELS = [
    word
    for label in ("project=flags", "service=flagged", "container-number=1", "oneoff=False")
    for word in ("--label", f"com.docker.compose.{label}")
]
_INSTEAD_OF_TARGET = ("--latest", "--cidfile")


def _flags(help: str) -> dict[str, str]:
    """Those below `Options:`, each with its letter, empty for none."""
    rows = re.findall(r"^ +(-\w)?,? *(--[\w-]+)", help.partition("Options:\n")[2], re.MULTILINE)
    assert rows
    return {long: short for short, long in rows if long != "--help"}


def _own_flags(world: World, engine: Peer) -> dict[str, str]:
    """What each program of that engine's on this machine shows."""
    program = engine.cli[0]
    if engine.name == "docker":
        paths = [os.path.join(each, "docker") for each in os.environ["PATH"].split(":")]
        clients = {os.path.realpath(each) for each in paths if os.access(each, os.X_OK)}
    else:
        clients = {program}
    found: dict[str, str] = {}
    for client in clients:
        done = subprocess.run([client, "exec", "--help"], capture_output=True, text=True, timeout=60, check=True)
        found |= _flags(done.stdout)
    return found


def _run(argv: Sequence[str], files: Path, env: Mapping[str, str], input: bytes) -> tuple[int, str]:
    """With descriptor 3 open."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 3<descriptor', "sh", *argv],
        input=input, cwd=files, env={**os.environ, **env}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode()


def _spelled(flag: str, letter: str, value: str) -> list[list[str]]:
    """Each way to write it."""
    if not value:
        return [[flag], [f"{flag}=true"], *([[letter]] if letter else [])]
    return [[flag, value], [f"{flag}={value}"], *([[letter, value], [letter + value]] if letter else [])]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The directory in which those files are that flags name."""
    (tmp_path / "descriptor").write_text("descriptor\n")
    (tmp_path / "env").write_text("FROM_FILE=yes\n")
    return tmp_path


@pytest.mark.parametrize("whose", ["docker", "podman", "compose"])
def test_every_flag_of_exec_is_taken_and_means_the_same(
    world: World, environment: dict[str, str], files: Path, whose: str
) -> None:
    """Each flag that the engine's own help shows, in each spelling: the same output and exit code as the engine's."""
    world.need_root()  # descriptors go in by nsenter alone
    engine: Peer = getattr(world, "docker" if whose == "compose" else whose)
    name = engine.run("busybox", options=_LABELS)  # the newest
    (files / "cid").write_text(engine.inspect(name)["Id"])
    flags = dict(_COMPOSE) if whose == "compose" else _own_flags(world, engine)
    unknown = set(flags) - set(_TRIED)
    assert not unknown, f"flags that nobody has thought of: {unknown}"
    if whose == "podman":
        flags |= {"--preserve-fd": "", "--cidfile": ""}  # Podman 5's
    env = {**environment, "DOCKER_HOST": engine.url}
    hostname = engine.inspect(name)["Config"]["Hostname"] + "\n"
    for flag, letter in flags.items():
        value, command, said = _TRIED[flag]
        target = [] if flag in _INSTEAD_OF_TARGET else ["flagged" if whose == "compose" else name]
        wanted = 0, said if said is not None else hostname
        input = b"input\n" if flag == "--interactive" else b""
        if said is None and target and flag != "--index":
            asked = [*engine.cli, "exec", flag, *([value] if value else []), name, *command]
            wanted = _run(asked, files, engine.env, input)
        for words in _spelled(flag, letter, value):
            got = _run([*_DOCKSHELL, "exec", *words, *target, *command], files, env, input)
            # Where the machine lacks privileges to give, the engine gives none: there we only take the flag.
            assert got == wanted or (flag == "--privileged" and wanted[0] and not got[0]), words


def test_flags_of_docker_itself_stand_before_the_verb(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """`docker --config DIR -c NAME -D -l debug exec ...` with its first word changed."""
    key = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # sha256 of "x"
    meta = tmp_path / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": "x", "Endpoints": {"docker": {"Host": docker.url}}}))
    name = docker.shared("busybox")
    for line in ("-D -l debug", "-Dl info", "--debug --log-level=error", "-lfatal", "-H " + docker.url):
        where = [] if "-H" in line else ["--config", str(tmp_path), "-c", "x"]
        done = dockshell(*where, *line.split(), "exec", "-i", name, "cat", input=b"hi\n")
        assert (done.returncode, done.stdout) == (0, b"hi\n"), line
        assert bool(done.stderr) == ("debug" in line.split()), line
    done = dockshell("-D", "exec", "no-such-container", "true", engine=docker)
    assert done.returncode == 125 and b"Traceback" in done.stderr and b"NotFound" in done.stderr
    done = dockshell("-l", "loud", "exec", name, "true")
    assert done.returncode == 2 and b"--log-level takes debug, trace, info" in done.stderr
    done = dockshell("--tlsverify", "exec", name, "true", engine=docker)
    assert done.returncode == 2 and b"TLS is for tcp://HOST:PORT" in done.stderr


def test_flags_of_compose_stand_before_the_verb(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """What `docker compose` is told of its own output changes nothing, the variables that it fills its files in with
    are nothing for the command; a dry run is refused."""
    name = docker.shared("busybox")
    line = "--ansi never --parallel 3 --profile a --profile b --progress plain --compatibility"
    done = dockshell(*line.split(), "exec", "-T", name, "echo", "hi", engine=docker)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hi\n", b"")
    (tmp_path / "env").write_text("SECRET=1\nCOMPOSE_PROJECT_NAME=x\n")
    done = dockshell("--env-file", str(tmp_path / "env"), "exec", name, "env", engine=docker)
    assert done.returncode == 0 and b"SECRET" not in done.stdout
    done = dockshell("--dry-run", "exec", name, "true", engine=docker)
    assert done.returncode == 2 and b"--dry-run is not supported" in done.stderr


def test_podmans_service_where_podman_looks_for_it(podman: Peer, dockshell: Run, environment: dict[str, str]) -> None:
    """CONTAINER_HOST, --url, a connection by name, by podman's -c and by CONTAINER_CONNECTION; completion too."""
    directory = Path(environment["HOME"], ".config/containers")
    directory.mkdir(parents=True)
    table = {"Connection": {"Default": "", "Connections": {"here": {"URI": podman.url}}}}
    (directory / "podman-connections.json").write_text(json.dumps(table))
    name = podman.shared("busybox")
    for words, env in (
        ([], {"CONTAINER_HOST": podman.url}),
        ([], {"CONTAINER_CONNECTION": "here"}),
        (["--url", podman.url], {}),
        (["--remote", "--connection", "here"], {"CONTAINER_HOST": "unix:///nowhere"}),
        (["-c", "here"], {}),
    ):
        done = dockshell(*words, "exec", name, "echo", "hi", env=env)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"hi\n", b""), (words, env)
        done = dockshell("__complete", "--", "dockshell", *words, "exec", name[:-1], env=env)
        assert f"{name}\t".encode() in done.stdout, (words, env)
    done = dockshell("--connection", "there", "exec", name, "true")
    assert done.returncode == 125 and b"no such connection: choose one of here" in done.stderr
    done = dockshell("--url", podman.url, "-H", podman.url, "exec", name, "true")
    assert done.returncode == 2 and b"give one of them" in done.stderr


def test_options_after_latest_are_options(engine: Peer, dockshell: Run) -> None:
    """`podman exec -l -u 12 id -u`: -l is a switch among others."""
    name = engine.run("busybox")
    done = dockshell("exec", "-lu", "12", "-e", "A=b", "sh", "-c", "id -u; hostname; echo $A", engine=engine)
    assert done.stdout.decode().split() == ["12", engine.inspect(name)["Config"]["Hostname"], "b"]


def test_all_variables_that_begin_so(engine: Peer, dockshell: Run) -> None:
    """`-e 'CI_*'` passes on the caller's, as podman-exec(1) has it."""
    env = {"CI_A": "1", "CI_B": "2", "OTHER": "3"}
    done = dockshell("exec", "-e", "CI_*", engine.shared("busybox"), "env", engine=engine, env=env)
    lines = done.stdout.decode().splitlines()
    assert "CI_A=1" in lines and "CI_B=2" in lines and not any("OTHER" in line for line in lines)


def test_descriptors_are_handed_on_where_they_can_be(
    world: World, docker: Peer, environment: dict[str, str], files: Path
) -> None:
    """Those that were asked for and no others get in by nsenter; each other route refuses; one that isn't open is
    named."""
    world.need_root()
    name, env = docker.shared("busybox"), {**environment, "DOCKER_HOST": docker.url}
    listing = ("sh", "-c", "for each in /proc/self/fd/*; do echo ${each##*/}; done | sort -n | head -n 5")

    def run(*words: str, opened: str = "3<descriptor 7<descriptor") -> subprocess.CompletedProcess[bytes]:
        argv = ["sh", "-c", f'exec "$@" {opened}', "sh", *_DOCKSHELL, "exec", *words]
        return subprocess.run(argv, cwd=files, env=env, capture_output=True, timeout=60, check=False)

    inside = "for n in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo $n; done; cat <&7; true"
    assert run("--preserve-fd=7", name, "sh", "-c", inside).stdout == b"7\ndescriptor\n"
    assert run("--preserve-fds=1", "--preserve-fd=7", name, "sh", "-c", inside).stdout == b"3\n7\ndescriptor\n"
    assert run(name, *listing).stdout.split()[:3] == [b"0", b"1", b"2"]
    for via in ("exec", "toolbox", "ssh"):
        done = run("--via", via, "--preserve-fds=1", name, "true")
        assert done.returncode == 125 and b"no descriptor of yours can go that way" in done.stderr
    done = run("--preserve-fds=2", name, "true")
    assert done.returncode == 2 and b"descriptor 4 is to be preserved, but is not open" in done.stderr
    assert run("--preserve-fds=x", name, "true").returncode == 2


@pytest.mark.parametrize("content", ["", "not an id\n", "../../x"])
def test_a_cidfile_without_an_id_is_refused(dockshell: Run, tmp_path: Path, content: str) -> None:
    """A sentence that names the file, whether it holds nonsense or isn't there."""
    path = tmp_path / "cid"
    path.write_text(content)
    done = dockshell("exec", "--cidfile", str(path), "true")
    assert done.returncode == 2 and b"does not contain a container id" in done.stderr
    done = dockshell("exec", "--cidfile", str(path) + "x", "true")
    assert done.returncode == 2 and b"can't be read: No such file" in done.stderr


def _leaves(child: pexpect.spawn[bytes], keys: str) -> bool:
    """Do these keys leave the command running? Else they have reached it."""
    child.expect("up")
    child.send(keys)
    return child.expect(["left: what runs goes on", r"14\r?\n"], timeout=60) == 0


_LISTENS = "stty raw -echo; echo up; dd bs=1 count=1 2>/dev/null | od -An -tx1; stty sane"


def test_detach_keys_leave_the_command_running(engine: Peer, terminal: Any, environment: dict[str, str]) -> None:
    """--detach-keys on each engine; Docker's config.json where Docker is the engine; an empty --detach-keys: none."""
    name = engine.run("busybox")
    directory = Path(environment["HOME"], ".docker")

    def leaves(*words: str) -> bool:
        child = terminal("exec", *words, name, "sh", "-c", _LISTENS, engine=engine)
        return _leaves(child, "\x14")  # ctrl-t

    assert leaves("--detach-keys", "ctrl-t")
    assert not leaves()
    directory.mkdir()
    (directory / "config.json").write_text('{"detachKeys": "ctrl-t"}')
    assert leaves() is (engine.name == "docker")
    assert not leaves("--detach-keys=")
    assert not leaves("--detach-keys=ctrl-]")


def test_detach_keys_that_are_none(docker: Peer, dockshell: Run, environment: dict[str, str]) -> None:
    """Are refused, and those of config.json where they would count."""
    done = dockshell("exec", "--detach-keys", "ctrl-!", docker.shared("busybox"), "true", engine=docker)
    assert done.returncode == 2 and b"--detach-keys: 'ctrl-!' is not a key" in done.stderr
    directory = Path(environment["HOME"], ".docker")
    directory.mkdir()
    (directory / "config.json").write_text('{"detachKeys": "ctrl-!"}')
    done = dockshell("exec", "-t", docker.shared("busybox"), "true", engine=docker)
    assert done.returncode == 2 and b"detachKeys in Docker's config.json" in done.stderr
    assert dockshell("exec", docker.shared("busybox"), "true", engine=docker).returncode == 0
