"""Containers that don't run: `--stopped` enters a stand-in for one, `--keep` keeps what was changed there, `--unpause`
has a paused one go on for the session. Whatever ends the session, nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from dockshell.engines import containers
from dockshell.engines.docker import SIDECAR
from dockshell.engines.local import LocalApi
from dockshell.standin import leftovers, stagehand
from tests.conftest import COMMAND
from tests.contract.watching import end_all, processes, unique, until
from tests.messages import without_progress
from tests.world import Peer, World
from tests.world.person import Person, let_in, person

Run = Callable[..., subprocess.CompletedProcess[bytes]]

NOBODY = 65534
# What a command finds. (Hard limits: runc's exec at times loses the soft one of nofile, opencontainers/runc#4195.)
FOUND = (
    "id; pwd; ulimit -Ha; umask; env | grep -v -e ^SHLVL -e ^HOSTNAME | sort; "
    "grep -e ^Cap -e ^NoNew -e ^Seccomp: /proc/self/status; "
    "for at in /data /conf /scratch /; do grep \" $at \" /proc/mounts | cut -d' ' -f2-4 | sed 's/,.*//'; done; "
    "ip addr | grep -o -e 'inet6* [^f]' | cut -d' ' -f1 | sort -u"
)


@pytest.fixture(params=["docker", "podman", "docker26"])
def any_engine(request: pytest.FixtureRequest, world: World) -> Peer:
    """The two engines, and the newer Docker."""
    peer: Peer = getattr(world, request.param)
    return peer


@pytest.fixture(scope="module")
def member(world: World) -> Iterator[Person]:
    """Somebody who may do nothing but ask Docker."""
    world.need_root()
    socket = world.docker.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    with person(NOBODY, [NOBODY, os.stat(socket).st_gid]) as somebody:
        yield somebody._replace(environment={**somebody.environment, "DOCKER_HOST": world.docker.url})


@pytest.fixture
def network(any_engine: Peer) -> Iterator[str]:
    """The name of a network that is there for the test and its containers."""
    any_engine.sh("network", "create", "dsh-net")
    first = any_engine.started
    yield "dsh-net"
    any_engine.remove_containers(first)
    any_engine.sh("network", "rm", "dsh-net")


def ended(engine: Peer, image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """A container that has run and ended → its name."""
    name = engine.run(image, *command, options=options)
    engine.sh("wait", name)
    return name


def everything(engine: Peer) -> dict[str, list[str]]:
    """All that the engine has."""
    return {
        "containers": sorted(engine.ask("ps", "-a", "-q", "--no-trunc").split()),
        "images": engine.image_ids(),
        "volumes": sorted(engine.ask("volume", "ls", "-q").split()),
        "networks": sorted(engine.ask("network", "ls", "-q").split()),
    }


def state(engine: Peer, name: str) -> tuple[Any, ...]:
    """What a stand-in must not change of the container itself."""
    facts = engine.inspect(name)
    told = (facts["State"].get(word) for word in ("Status", "StartedAt", "FinishedAt", "ExitCode"))
    return (
        *told,
        facts.get("RestartCount"),
        sorted(map(str, facts["Mounts"])),
        sorted(engine.ask("diff", name).splitlines()),
    )


def test_as_in_the_container_itself(any_engine: Peer, network: str, dockshell: Run, tmp_path: Path) -> None:
    """User, environment, directory, limits, capabilities, mounts and network are those that the engine's exec gave in
    the container while it ran, by nsenter and by exec; its command isn't run, and it isn't touched."""
    conf = "/etc" if any_engine.name == "docker26" else str(tmp_path)  # that engine has a root of its own
    limits = ("--ulimit", "nproc=1000:1000") if "podman" in any_engine.name else ()
    options = (
        *("--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--cap-add", "CHOWN"),
        *("--security-opt", "no-new-privileges", "--ulimit", "nofile=512:600", *limits, "--group-add", "2001"),
        *("--volume", "/data", "--volume", f"{conf}:/conf:ro", "--tmpfs", "/scratch:size=1m", "--network", network),
        *("--network-alias", "served", "--label", "com.docker.compose.service=shop", "--env", "MORE=a b"),
        *("--user", "0:1000", "--workdir", "/srv"),
    )
    name = any_engine.run("app", "sh", "-c", "echo began >> /data/mark; exec sleep 100000", options=options)
    words = (name, "sh", "-c", FOUND)
    running = [dockshell("exec", "--via", via, *words, engine=any_engine).stdout for via in ("exec", "nsenter")]
    any_engine.sh("kill", name)
    any_engine.sh("wait", name)
    before, was = everything(any_engine), state(any_engine, name)
    for via, found in zip(("exec", "nsenter"), running, strict=True):
        done = dockshell("exec", "--via", via, "--stopped", *words[:-1], FOUND + "; cat /data/mark", engine=any_engine)
        assert done.stdout.decode() == found.decode() + "began\n", done.stderr
        assert without_progress(done.stderr).decode().splitlines()[0] == (
            f"dockshell: a stand-in for {name} (exited with 137): changes are thrown away, but what is changed in "
            "/data stays"
        )
    called = dockshell("exec", "--stopped", name, "sh", "-c", "echo $HOSTNAME", engine=any_engine).stdout.decode()
    assert called.strip() == any_engine.inspect(name)["Config"]["Hostname"]
    assert state(any_engine, name) == was
    assert everything(any_engine) == before
    # Nobody is led to it: it has none of the container's labels and names.
    with in_stand_in(any_engine, name) as (_, stand_in):
        facts = any_engine.inspect(stand_in)
        assert set(facts["Config"]["Labels"].values()) == {"", any_engine.inspect(name)["Id"]}
        assert "served" not in str(facts["NetworkSettings"])
        assert not facts["HostConfig"]["PortBindings"]
        assert "dockshell-stopped" not in dockshell("ls", engine=any_engine).stdout.decode()
        offered = dockshell("__complete", "--", "dockshell", "exec", "d", engine=any_engine).stdout.decode()
        assert "dockshell-stopped" not in offered
        aside = any_engine.sh("run", "--rm", *limits, "--network", network, any_engine.image("busybox"), "nslookup",
                              any_engine.inspect(name)["Config"]["Hostname"], check=False)  # fmt: skip
        assert aside.returncode


@contextlib.contextmanager
def in_stand_in(
    engine: Peer, name: str, *more: str, person: Person | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A session that lasts until the block is left → its client and the stand-in's id."""
    command, environment = (person.command, person.environment) if person else (COMMAND, dict(os.environ))
    environment = {**environment, "DOCKER_HOST": engine.url}
    number = unique()
    argv = [*command, "exec", "--stopped", *more, name, "sh", "-c", f"echo begun; sleep {number}"]
    ours = ("ps", "-a", "-q", "--no-trunc", "--filter", f"label={SIDECAR}={engine.inspect(name)['Id']}")
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/") as process:
        try:
            assert process.stdout and process.stdout.readline() == b"begun\n"
            yield process, engine.ask(*ours)
        finally:
            end_all(number)
            process.wait(60)
            until(lambda: not engine.ask(*ours))


def test_changes_are_thrown_away_or_kept(engine: Peer, dockshell: Run) -> None:
    """Files of the container are there, changes don't last; with --keep they do, in an image that starts as the
    container did, and from which the line that is said then takes a file back."""
    options = ("--volume", "/data", "--entrypoint", "/bin/sh", "--label", "com.docker.compose.service=shop")
    name = ended(engine, "app", "-c", "umask 0; echo began >> /tmp/own; exit 3", options=options)
    before, was = everything(engine), state(engine, name)
    script = "cat /tmp/own; echo new > /tmp/new; rm /tmp/own; exit 5"
    for _ in range(2):
        done = dockshell("exec", "--stopped", name, "sh", "-c", script, engine=engine)
        assert (done.returncode, done.stdout) == (5, b"began\n")
    assert (everything(engine), state(engine, name)) == (before, was)
    done = dockshell("exec", "--stopped", "--keep", name, "true", engine=engine)
    assert done.stderr.decode().splitlines()[-1] == "dockshell: nothing was changed, so there is no image to keep"
    assert everything(engine) == before
    done = dockshell("exec", "--stopped", "--keep", name, "sh", "-c", script, engine=engine)
    assert done.returncode == 5
    said = re.search(rf"kept as ({name}-kept:\d+-\d+): `(.*?)`.*?; `(.*?)`, then `(.*)` takes", done.stderr.decode())
    assert said, done.stderr
    image, start, create, copy = said.groups()
    try:
        after = everything(engine)
        assert len(after.pop("images")) == len(before.pop("images")) + 1
        assert after == before
        own = engine.inspect(name)["Config"]
        kept = engine.run(image)
        engine.sh("wait", kept)
        config = engine.inspect(kept)["Config"]
        assert [config[word] for word in ("Cmd", "Entrypoint", "User", "WorkingDir")] == [
            own[word] for word in ("Cmd", "Entrypoint", "User", "WorkingDir")
        ]
        assert ".dockshell" not in str(config)
        assert config["Labels"]["dockshell.test"] == "app" and not config["Labels"]["com.docker.compose.service"]
        assert dockshell("exec", "--stopped", kept, "cat", "/tmp/own", "/tmp/new", engine=engine).stdout == (
            b"began\nnew\n"  # it was started, as the container is: the file that was removed is made anew
        )
        assert (
            "/.dockshell"
            not in dockshell("exec", "--stopped", kept, "find", "/", "-xdev", engine=engine).stdout.decode()
        )
        assert start.split()[1:] == ["run", image]
        engine.sh(*create.split()[1:])
        lines = copy.replace(":FILE", ":/tmp/new").replace(":DIRECTORY", ":/srv").split(" | ")
        tar = engine.sh(*lines[0].split()[1:]).stdout
        engine.sh(*lines[1].split()[1:], input=tar)
        assert dockshell("exec", "--stopped", name, "cat", "/srv/new", engine=engine).stdout == b"new\n"
    finally:
        engine.sh("rm", "--force", f"{name}-kept", check=False)
        engine.remove_containers(engine.started - 1)
        engine.sh("rmi", "--force", image)
    assert everything(engine)["images"] == before.get("images", everything(engine)["images"])


def test_one_that_restarts_in_a_loop(engine: Peer, dockshell: Run) -> None:
    """It is entered whatever it is doing at the moment, goes on in its loop, and the error of a plain exec offers
    this."""
    name = engine.run("busybox", "sh", "-c", "exit 7", options=("--restart", "always"))
    until(lambda: engine.inspect(name)["RestartCount"] > 0)
    count = engine.inspect(name)["RestartCount"]
    done = dockshell("exec", "--stopped", name, "cat", "/etc/group", engine=engine)
    assert done.returncode == 0 and b"video2" in done.stdout
    assert b"runs:" not in done.stderr
    until(lambda: engine.inspect(name)["RestartCount"] > count)


@pytest.mark.parametrize("who", ["root", "member"])
def test_scratch_read_only_and_locked_down(
    world: World, who: str, request: pytest.FixtureRequest, environment: dict[str, str]
) -> None:
    """One with nothing inside, a read-only root, a tmpfs, no capabilities, no new privileges, no network and a user
    without a name: by root, and by a member of the docker group."""
    caller = request.getfixturevalue("member") if who == "member" else Person(COMMAND, environment, "")
    options = ("--user", "65532", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/run", "--network", "none",
               "--security-opt", "no-new-privileges")  # fmt: skip
    for engine in (world.docker,) if who == "member" else (world.docker, world.podman):
        name = ended(engine, "static", "/busybox", "false", options=options)
        before, was = everything(engine), state(engine, name)
        script = (
            "id -u; grep -e ^CapBnd -e ^NoNew /proc/self/status; touch /x; grep -c '^tmpfs /run ' /proc/mounts; "
            "ip addr | grep -c inet; exit 6\n"
        )
        env = {**caller.environment, "DOCKER_HOST": engine.url}
        # A login shell, which is the toolbox's; and a command that is inside.
        for words, input in ((["shell"], script), (["exec"], "")):
            argv = [
                *caller.command,
                *words,
                "--stopped",
                name,
                *(["/busybox", "sh", "-c", script] if not input else []),
            ]
            done = subprocess.run(
                argv, input=input.encode(), env=env, capture_output=True, check=False, timeout=60, cwd="/"
            )
            told = done.stdout.decode().splitlines()
            assert (done.returncode, len(told)) == (6, 5), done.stderr
            assert told[0] == "65532" and told[1].split()[1] == "0" * 16 and told[2].split()[1] == "1"
            assert b"/x: Read-only file system" in done.stderr
            assert told[3] == "1" and told[4] in ("1", "2")  # loopback's addresses alone
        assert everything(engine) == before and state(engine, name) == was


def test_a_shell_at_a_terminal(engine: Peer, terminal: Callable[..., pexpect.spawn[bytes]]) -> None:
    """Without a TARGET it is the one that ended last; a login shell on a real terminal, and its exit code."""
    name = ended(engine, "app", "false")
    before = everything(engine)
    child = terminal("shell", "--stopped", engine=engine)
    child.expect(rf"a stand-in for {name} .exited\s+with\s+1.:\s+changes\s+are\s+thrown\s+away")
    child.expect(r"\$ ")
    child.send("tty; stty size; id -un; pwd\r")
    child.expect(r"/dev/pts/\d+\r\n24 80\r\napp\r\n/home/app\r\n")
    child.send("exit 9\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 9
    assert everything(engine) == before


@pytest.mark.parametrize("at", ["docker-root", "docker-member", "docker26-root", "podman-root"])
def test_nothing_is_left_when_it_is_killed(at: str, world: World, request: pytest.FixtureRequest) -> None:
    """By SIGKILL, at any moment: container, image, volume and processes go, by root and by a member of the docker
    group."""
    name, who = at.split("-")
    engine: Peer = getattr(world, name)
    caller = request.getfixturevalue("member") if who == "member" else Person(COMMAND, dict(os.environ), "")
    name = ended(engine, "app", "false", options=("--volume", "/data"))
    before = everything(engine)
    with in_stand_in(engine, name, "--keep", person=caller) as (process, stand_in):
        first = engine.pid(stand_in)
        process.kill()
        # While it is made, too, before or after any of the engine's steps.
        argv = [*caller.command, "exec", "--stopped", name, "sleep", "100000"]
        env = {**caller.environment, "DOCKER_HOST": engine.url}
        for moment in (0.1, 0.25, 0.4):
            with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL, cwd="/") as other:
                time.sleep(moment)
                other.kill()
        until(lambda: not deputies(name) and everything(engine) == before)
        assert not os.path.exists(f"/proc/{first}")


def deputies(name: str) -> list[int]:
    """Processes of dockshell's that are still there for that container."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{entry}/cmdline").read_bytes()
            if b"\0--stopped\0" in words and name.encode() in words:
                found.append(int(entry))
    return found


def test_who_kills_the_deputy_too(engine: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the engine removes the stand-in by itself, and what it doesn't remove (images, on Podman a volume) goes with
    the next one."""
    name = ended(engine, "app", "false", options=("--volume", "/data"))
    before = everything(engine)
    with in_stand_in(engine, name, "--keep") as (process, _):
        for pid in deputies(name):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    until(lambda: everything(engine)["containers"] == before["containers"])
    assert everything(engine)["images"] != before["images"]
    api = LocalApi(engine.url.removeprefix("unix://"))
    errand = stagehand.Stagehand(api, api.inspect(name), "")
    errand.do(stagehand.MAKE)
    errand.end()
    assert everything(engine)["images"] != before["images"]  # for it may be somebody's
    monkeypatch.setattr(leftovers, "_ABANDONED", -60.0)
    api_containers = containers.create(
        api, {"Image": engine.image("app"), "Labels": {SIDECAR: "x"}}, "dockshell-stopped-x"
    )
    errand = stagehand.Stagehand(api, api.inspect(name), "")
    errand.do(stagehand.MAKE)
    errand.end()
    assert api_containers not in everything(engine)["containers"]
    assert everything(engine) == before


def test_a_paused_one_goes_on_for_a_session(engine: Peer, dockshell: Run) -> None:
    """It is paused again afterwards, also where the client is killed in the middle; not where somebody has stopped it
    meanwhile. Without the option the error offers it."""
    name = engine.run("busybox")
    engine.sh("pause", name)
    done = dockshell("exec", name, "true", engine=engine)
    assert done.returncode == 125 and b"is paused: " in done.stderr and b"--unpause" in done.stderr
    done = dockshell("exec", "--unpause", name, "sh", "-c", "echo in; exit 5", engine=engine)
    assert (done.returncode, done.stdout) == (5, b"in\n")
    assert engine.inspect(name)["State"]["Status"] == "paused"
    number = unique()
    argv = [*COMMAND, "exec", "--unpause", name, "sh", "-c", f"echo begun; sleep {number}"]
    for ending in ("kill", "stop"):
        with subprocess.Popen(
            argv, env={**os.environ, "DOCKER_HOST": engine.url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout and process.stdout.readline() == b"begun\n"
            if ending == "kill":
                process.kill()
                until(lambda: engine.inspect(name)["State"]["Status"] == "paused")
                assert not processes(f"sleep\0{number}")
            else:
                engine.sh("kill", name)
                assert process.wait(60) == 137
                assert engine.inspect(name)["State"]["Status"] in ("exited", "stopped")  # Podman is slow to clear up
    done = dockshell("exec", "--unpause", engine.shared("busybox"), "true", engine=engine)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_it_depends_on_is_gone(engine: Peer, dockshell: Run, tmp_path: Path) -> None:
    """A bind mount's source, a network, the container whose network it shares: one sentence each, nothing made in their
    place, and nothing left."""
    source = tmp_path / "gone"
    source.mkdir()
    bound = ended(engine, "busybox", "false", options=("--volume", f"{source}:/bound"))
    source.rmdir()
    other = engine.run("busybox")
    sharing = ended(engine, "busybox", "false", options=("--network", f"container:{other}"))
    done = dockshell("exec", "--stopped", sharing, "ip", "-o", "-4", "addr", engine=engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[8:] == engine.reply(other, "ip -o -4 addr").split()[8:]
    engine.sh("kill", other)
    id = engine.inspect(other)["Id"][:12]
    expected = {
        bound: f"{source}, which is mounted at /bound, is gone: make it again",
        sharing: f"it shares the network namespace of {id}, which does not run: start that",
    }
    if engine.name == "docker":  # Podman removes the containers of a network with it
        engine.sh("network", "create", "dsh-gone")
        cut = ended(engine, "busybox", "false", options=("--network", "dsh-gone"))
        engine.sh("network", "rm", "dsh-gone")
        expected[cut] = "its network dsh-gone is gone: make that again"
    before = everything(engine)
    for name, reason in expected.items():
        done = dockshell("exec", "--stopped", name, "true", engine=engine)
        assert done.returncode == 125
        assert done.stderr.decode().splitlines()[-1] == f"dockshell: nothing can stand in for {name}: {reason}"
    assert everything(engine) == before and not source.exists()


def test_which_one_is_meant(docker: Peer, dockshell: Run) -> None:
    """One that doesn't run goes before one that does wherever a word may mean either; one that runs steadily is said
    to, and -l is the one that ended last, however old it is."""
    label = ("--label", "com.docker.compose.service=dsh-shop")
    old = docker.run("busybox", options=label)
    alive = docker.run("busybox", options=label)
    ended(docker, "busybox", "false")
    docker.sh("kill", old)
    for word in ("dsh-shop", "-l"):
        done = dockshell("exec", "--stopped", word, "--", "true", engine=docker)
        assert (done.returncode, f"a stand-in for {old} (exited with 137)" in done.stderr.decode()) == (0, True)
    done = dockshell("exec", "--stopped", alive, "true", engine=docker)
    assert f"{alive} runs: this is a copy of it, and `dockshell shell {alive}`" in done.stderr.decode()
    done = dockshell("exec", old, "true", engine=docker)
    assert f"`dockshell shell --stopped {old}` is a shell on its files" in done.stderr.decode()
    offered = dockshell("__complete", "--", "dockshell", "shell", "--stopped", "", engine=docker).stdout.decode()
    assert old in offered and alive not in offered


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shell", "--keep", "web"], "it takes --stopped"),
        (["exec", "--stopped", "--unpause", "web", "true"], "leave out --unpause"),
        (["exec", "-d", "--stopped", "web", "true"], "leave out one of them"),
        (["exec", "-d", "--unpause", "web", "true"], "leave out one of them"),
        (["exec", "--stopped", "--env-from", "init", "web", "true"], "with --stopped there is none"),
        (["ls", "--stopped"], "ls has no option --stopped"),
    ],
)
def test_words_that_do_not_fit_together(dockshell: Run, words: list[str], said: str) -> None:
    """Wrong usage ends with 2 and says what to leave out."""
    done = dockshell(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode() and len(done.stderr.splitlines()) == 1
