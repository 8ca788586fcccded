"""What goes wrong around a session: its engine stops, its container is killed, paused, restarted, its disk is full; and
a thousand sessions, or two hundred at once, of which nothing may be left. By the real command, on real engines."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import COMMAND
from tests.contract.watching import processes, unique, until
from tests.world import Peer, World
from tests.world.daemon import Daemon
from tests.world.own_docker import start_docker
from tests.world.scratch import remove_scratch

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

# What a busy machine adds to what happens at once.
SOON = 60.0
_places = itertools.count(1)


@pytest.fixture(params=["nsenter", "exec"])
def via(request: pytest.FixtureRequest, world: World) -> str:
    """Each route that needs nothing inside."""
    if request.param == "nsenter":
        world.need_root()
    return str(request.param)


@pytest.fixture
def doomed(world: World) -> Iterator[tuple[Daemon, Peer]]:
    """A dockerd of the test's own, which it may stop."""
    world.need_root()
    world.need_program("dockerd")
    client = world.need_program("docker")
    place = os.path.join(world.scratch, f"doomed{next(_places)}")
    os.makedirs(place)
    daemon = start_docker(place, network=False)
    try:
        yield daemon, Peer("docker", daemon.url, [client, "-H", daemon.url], {}, place, print)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
        daemon.stop()
        remove_scratch(place)


@contextlib.contextmanager
def _session(
    env: Mapping[str, str], engine: Peer, *words: str, begun: bytes = b"begun\n"
) -> Iterator[subprocess.Popen[bytes]]:
    """`dockshell exec` of these words, once its command has said so."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    argv = [*COMMAND, "exec", *words]
    with subprocess.Popen(argv, env={**env, "DOCKER_HOST": engine.url}, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == begun
            yield process
        finally:
            process.kill()


def _ended(process: subprocess.Popen[bytes], seconds: float = SOON) -> tuple[int, str]:
    """Its exit code, and the one line that it said on stderr."""
    code = process.wait(seconds)
    assert process.stderr
    said = process.stderr.read().decode()
    assert said.startswith("dockshell: ") and said.count("\n") == 1, said
    return code, said


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_engine_that_goes_under_a_session(doomed: tuple[Daemon, Peer], environment: dict[str, str], name: str) -> None:
    """By exec, which goes through the engine, the session ends at once, with one line that says so: 125, or 137 where
    the container stopped with it. By nsenter it doesn't even notice, until its container ends."""
    daemon, engine = doomed
    container, word = engine.run("busybox"), unique()
    first = engine.pid(container)
    script = f"echo begun; while read line; do echo $line; done; : {word}"
    with (
        _session(environment, engine, "--via", "exec", container, "sh", "-c", script) as through,
        _session(environment, engine, "--via", "nsenter", container, "sh", "-c", script) as beside,
    ):
        daemon.process.send_signal(signal.Signals[f"SIG{name}"])
        code, said = _ended(through, 2 * SOON)
        assert code in ((125,) if name == "KILL" else (125, 137)), said
        if name == "KILL":
            assert beside.stdin and beside.stdout
            for line in (b"still\n", b"there\n"):
                beside.stdin.write(line)
                beside.stdin.flush()
                assert beside.stdout.readline() == line
            os.kill(first, signal.SIGKILL)
        code, said = _ended(beside, 2 * SOON)
        assert code == 137 and "stopped" in said
    until(lambda: not processes(word), SOON)


def test_engine_that_is_gone_or_hangs_at_the_start(doomed: tuple[Daemon, Peer], environment: dict[str, str]) -> None:
    """One that hangs is waited for, and Ctrl-C ends the wait; one that is gone is told as such, with what to do."""
    daemon, engine = doomed
    container = engine.run("busybox")
    env = {**environment, "DOCKER_HOST": engine.url}
    argv = [*COMMAND, "exec", container, "echo", "ran"]
    daemon.process.send_signal(signal.SIGSTOP)
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: any(_link(each).startswith("socket:") for each in glob.glob(f"/proc/{process.pid}/fd/*")))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON) == 130
        assert process.stdout and process.stderr
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
    daemon.process.kill()
    daemon.process.wait()
    done = subprocess.run(argv, env=env, capture_output=True, timeout=SOON, check=False)
    assert (done.returncode, done.stdout) == (125, b"")
    assert engine.url in done.stderr.decode() and b"-H" in done.stderr and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("how", ["restart", "rm"])
def test_container_that_goes_under_a_session(engine: Peer, environment: dict[str, str], via: str, how: str) -> None:
    """Restarted or removed: the session ends at once with 137 and a line that says so, and doesn't go over to the new
    one."""
    container, word = engine.run("busybox"), unique()
    words = ("restart", "-t", "0", container) if how == "restart" else ("rm", "-f", container)
    script = f"echo begun; sleep {word}; :"
    with _session(environment, engine, "--via", via, container, "sh", "-c", script) as process:
        engine.sh(*words)
        code, said = _ended(process)
        assert code == 137 and "stopped" in said
    until(lambda: not processes(word), SOON)


def test_paused_container_freezes_its_sessions(engine: Peer, environment: dict[str, str], via: str) -> None:
    """Nothing moves while it is paused, nothing is lost when it goes on; and who would enter it meanwhile is told
    what to do."""
    container = engine.run("busybox")
    script = "echo begun; while read line; do echo $line; done"
    with _session(environment, engine, "--via", via, container, "sh", "-c", script) as process:
        assert process.stdin and process.stdout
        engine.sh("pause", container)
        try:
            process.stdin.write(b"one\n")
            process.stdin.flush()
            os.set_blocking(process.stdout.fileno(), False)
            time.sleep(0.3)
            assert process.stdout.read() is None and process.poll() is None
            os.set_blocking(process.stdout.fileno(), True)
            argv = [*COMMAND, "exec", "--via", via, container, "echo", "ran"]
            env = {**environment, "DOCKER_HOST": engine.url}
            done = subprocess.run(argv, env=env, capture_output=True, timeout=SOON, check=False)
            assert (done.returncode, done.stdout) == (125, b"")
            assert f"`{engine.name} unpause {container}`" in done.stderr.decode()
        finally:
            engine.sh("unpause", container)
        assert process.stdout.readline() == b"one\n"
        process.stdin.close()
        assert process.wait(SOON) == 0


def test_no_orphans_of_a_paused_container(engine: Peer, environment: dict[str, str], via: str) -> None:
    """dockshell is killed while the container is paused: the command is gone as soon as that goes on."""
    container, word = engine.run("busybox"), unique()
    script = f"sleep {word} & echo begun; sleep {word}; :"
    with _session(environment, engine, "--via", via, container, "sh", "-c", script) as process:
        until(lambda: len(processes(word)) >= 3, SOON)
        engine.sh("pause", container)
        process.kill()
        process.wait()
        time.sleep(0.5)
        engine.sh("unpause", container)
        until(lambda: not processes(word), SOON)


def test_no_orphans_behind_full_pipes(docker: Peer, environment: dict[str, str], via: str) -> None:
    """Nobody reads what the command writes, and it doesn't read what it is sent, so that every pipe between is full:
    killed all the same, dockshell leaves nothing behind."""
    container, word = docker.run("busybox"), unique()
    script = f"echo begun; sleep {word} & yes; :"
    with _session(environment, docker, "--via", via, container, "sh", "-c", script) as process:
        assert process.stdin
        os.set_blocking(process.stdin.fileno(), False)
        until(lambda: not _more(process.stdin.fileno()), SOON)  # type: ignore[union-attr]
        assert processes(word)
        process.kill()
        process.wait()
        until(lambda: not processes(word), SOON)


def _more(descriptor: int) -> bool:
    """Does the pipe take more, even after a while?"""
    for _ in range(3):
        with contextlib.suppress(BlockingIOError):
            while os.write(descriptor, bytes(1 << 16)):
                pass
        time.sleep(0.1)
    try:
        return bool(os.write(descriptor, b"x"))
    except BlockingIOError:
        return False


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_as_good_as_empty_ones(
    docker: Peer, environment: dict[str, str], via: str, closed: str
) -> None:
    """Whoever starts dockshell without stdin, stdout or stderr gets the exit code, and no other file of dockshell's
    takes their place."""
    container = docker.run("busybox")
    script = "cat; echo out; echo err >&2; exit 5"
    argv = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "exec", "--via", via, container, "sh", "-c", script]
    env = {**environment, "DOCKER_HOST": docker.url}
    done = subprocess.run(argv, env=env, input=b"in\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 5, done
    heard = b"" if "<&-" in closed else b"in\n"
    assert done.stdout == (b"" if " >&-" in f" {closed}" else heard + b"out\n")
    assert done.stderr == (b"" if "2>&-" in closed else b"err\n")


def test_full_disk_is_the_commands_own_trouble(engine: Peer, dockshell: Run, via: str) -> None:
    """What can't be written inside fails there, with the command's own words and exit code; all else goes on, with
    the whole of its output."""
    container = engine.run("busybox", options=["--tmpfs", "/full:size=64k", "--workdir", "/full"])
    script = "cat /dev/zero >file; echo $?; echo more >other || exit 7"
    done = dockshell("exec", "--via", via, container, "sh", "-c", script, engine=engine)
    assert (done.returncode, done.stdout) == (7, b"1\n"), done
    assert done.stderr.count(b"No space left on device") == 2 and b"dockshell" not in done.stderr
    done = dockshell("exec", "--via", via, "-t", container, "sh", "-c", "echo more >other || exit 7", engine=engine)
    assert done.returncode == 7 and b"No space left on device" in done.stdout
    done = dockshell("exec", "--via", via, container, "head", "-c", "1000000", "/dev/zero", engine=engine)
    assert (done.returncode, len(done.stdout)) == (0, 1000000)


class _Remains:
    """What sessions could leave behind, counted."""

    def __init__(self, engine: Peer, container: str, daemons: set[int]) -> None:
        facts = engine.inspect(container)
        self.execs = facts["ExecIDs"] or []
        namespace = os.readlink(f"/proc/{facts['State']['Pid']}/ns/pid")
        everything = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        self.inside = sorted(pid for pid in everything if _link(f"/proc/{pid}/ns/pid") == namespace)
        self.ours = [pid for pid in everything if b"dockshell" in _words(pid) and container.encode() in _words(pid)]
        self.cgroups = sorted(glob.glob(f"/sys/fs/cgroup/**/*{facts['Id']}*/**/", recursive=True))
        self.terminals = sorted(os.listdir(f"/proc/{facts['State']['Pid']}/root/dev/pts"))
        # Not counted are dockerd's sockets: it keeps those of clients that are gone, its own command's too, until its
        # garbage collection finds them.
        held = [_link(f"/proc/{pid}/fd/{number}") for pid in daemons for number in os.listdir(f"/proc/{pid}/fd")]
        self.descriptors = len([each for each in held if not each.startswith("socket:")])

    def check(self, before: _Remains) -> None:
        """Nothing more than before; an engine may have opened a few more descriptors for itself."""
        assert (self.execs, self.ours) == ([], [])
        assert (self.inside, self.cgroups, self.terminals) == (before.inside, before.cgroups, before.terminals)
        assert self.descriptors <= before.descriptors + 10


def _link(path: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return ""


def _words(pid: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


def _one(number: int, words: Sequence[str], env: Mapping[str, str]) -> None:
    """A session that says its number and ends with it; each tenth at a terminal of its own."""
    script = ["sh", "-c", "read line; echo out $line; echo err >&2; exit $(($line % 256))"]
    terminal = ["-t"] if number % 10 == 9 else []
    told = f"{number}\n".encode()
    argv = [*COMMAND, "exec", *terminal, *words, *script]
    done = subprocess.run(argv, input=told, env=env, capture_output=True, timeout=120, check=False)
    assert done.returncode == number % 256, (number, done)
    if terminal:
        assert b"out %d\r\n" % number in done.stdout, done
    else:
        assert (done.stdout, done.stderr) == (b"out %d\n" % number, b"err\n"), (number, done)


@pytest.mark.parametrize(("count", "at_once"), [(1000, 3), (200, 200)], ids=["thousand", "at-once"])
def test_nothing_is_left_of_many_sessions(
    docker: Peer, environment: dict[str, str], world: World, via: str, count: int, at_once: int
) -> None:
    """Each has its own output and exit code, and no process, descriptor, terminal, cgroup or exec record stays."""
    container = docker.run("busybox")
    env = {**environment, "DOCKER_HOST": docker.url}
    words = ("--via", via, container)
    _one(0, words, env)
    daemons = {pid for pid in world.pids if b"dockerd" in _words(pid)}
    before = until(lambda: _settled(docker, container, daemons), SOON)
    with ThreadPoolExecutor(at_once) as pool:
        for each in [pool.submit(_one, number, words, env) for number in range(count)]:
            each.result()
    until(lambda: not _Remains(docker, container, daemons).execs, SOON)
    _Remains(docker, container, daemons).check(before)


def _settled(engine: Peer, container: str, daemons: set[int]) -> _Remains | None:
    remains = _Remains(engine, container, daemons)
    return None if remains.execs or remains.ours else remains
