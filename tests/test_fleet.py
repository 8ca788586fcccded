"""One command in many containers at once, as people type it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import pexpect
import pytest

from tests.busy import slowdown
from tests.conftest import COMMAND
from tests.contract.test_life import SOON, STUBBORN
from tests.contract.watching import end_all, processes, unique, until
from tests.impostor import Impostor, listed
from tests.world import Peer, World
from tests.world.person import let_in, person

Run = Callable[..., subprocess.CompletedProcess[bytes]]
SIZE = 20
NAME = f"fleet-{os.getpid()}"
MARK = f"{NAME}=yes"


@pytest.fixture(scope="module")
def fleet(world: World) -> Iterator[Peer]:
    """Docker with twenty containers, NAME-0 to NAME-19 with host names to match, labelled MARK, the first three of them
    also of a Compose service."""
    peer = world.docker
    before = peer.started
    for number in range(SIZE):
        name = f"{NAME}-{number}"
        service = ["--label", f"com.docker.compose.service={NAME}"] if number < 3 else []
        peer.run("busybox", name=name, options=["--hostname", name, "--label", MARK, *service])
    yield peer
    peer.remove_containers(before)


def _lines(output: bytes) -> dict[str, list[str]]:
    """What each said, by its number; every line has a name in front, all as wide as the longest."""
    said: dict[str, list[str]] = {}
    lines = output.decode().splitlines()
    assert len({line.find(" | ") for line in lines}) == 1, output
    for line in lines:
        name, _, text = line.partition(" | ")
        said.setdefault(name.rstrip().removeprefix(f"{NAME}-"), []).append(text)
    return said


def test_every_one_with_a_label(fleet: Peer, dockshell: Run) -> None:
    """Each is entered once, its lines have its name in front, stdout and stderr stay apart, and where all went well
    nothing is said in a pipe."""
    done = dockshell("exec", "--label", MARK, "--", "sh", "-c", "hostname; echo oops >&2", engine=fleet)
    assert done.returncode == 0
    assert _lines(done.stdout) == {str(number): [f"{NAME}-{number}"] for number in range(SIZE)}
    assert _lines(done.stderr) == {str(number): ["oops"] for number in range(SIZE)}


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--service", NAME], "0 1 2"),
        (["--label", MARK, "--service", NAME], "0 1 2"),
        ([f"{NAME}-1?,{NAME}-3,{NAME}-1*"], "10 11 12 13 14 15 16 17 18 19 3 1"),
        ([f"label:com.docker.compose.service={NAME}x"], None),
        ([f"{NAME}-1?,{NAME}-nope"], None),
        ([f"{NAME}-1?,{NAME}"], None),
        ([f"{NAME}-x*"], None),
    ],
)
def test_which_ones(fleet: Peer, dockshell: Run, words: Sequence[str], numbers: str | None) -> None:
    """A service; patterns and names, each container once and in that order; what fits nothing, or more than one where
    it should be one, is an error before anything is run."""
    done = dockshell("exec", "-j1", *words, "echo", "ran", engine=fleet)
    if numbers is None:
        assert (done.returncode, done.stdout) == (125, b"")
        assert len(done.stderr.splitlines()) == 1
    else:
        assert done.returncode == 0 and list(_lines(done.stdout)) == numbers.split()


def test_everything_that_runs(fleet: Peer, dockshell: Run) -> None:
    """--all means all that `docker ps` shows, by the name, id and image that it shows."""
    done = dockshell("exec", "--all", "--json", "--", "true", engine=fleet)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    shown = fleet.ask("ps", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.Image}}").splitlines()
    assert sorted(f"{each['name']} {each['id']} {each['image']}" for each in told) == sorted(shown)
    assert len(told) >= SIZE


ODD = f"""case $(hostname) in
    {NAME}-3) exit 3;; {NAME}-5) exit 77;; {NAME}-12) exit 3;; {NAME}-7) kill -9 $$;;
esac"""


def test_the_worst_exit_code(fleet: Peer, dockshell: Run) -> None:
    """It is the highest, and the summary says who failed in which way."""
    done = dockshell("exec", "--label", MARK, "sh", "-c", ODD, engine=fleet)
    assert (done.returncode, done.stdout) == (137, b"")
    summary = f"16 ok, 2 exit 3 ({NAME}-3, {NAME}-12), 1 exit 77 ({NAME}-5), 1 signal 9 ({NAME}-7)"
    assert done.stderr.decode() == f"dockshell: {summary}\n"


def test_json_has_it_all(fleet: Peer, dockshell: Run) -> None:
    """A line for each: the way in, the code, the signal, stdout and stderr as text or, where they are none, in
    base64."""
    script = f"{ODD}; echo żółw; printf '\\377\\0' >&2; exit 4"
    words = ("exec", "--json", f"{NAME}-[37],{NAME}-4,{NAME}-6", "sh", "-c", script)
    told = {each["name"]: each for each in map(json.loads, dockshell(*words, engine=fleet).stdout.splitlines())}
    four = told[f"{NAME}-4"]
    assert four["exit_code"] == 4 and four["signal"] is None and four["error"] is None and 0 < four["seconds"] < 20
    assert four["engine"] == "docker" and four["route"] in ("nsenter", "exec")
    assert four["stdout"] == "żółw\n" and four["stderr_base64"] == "/wA=" and "stderr" not in four
    assert told[f"{NAME}-3"]["exit_code"] == 3 and told[f"{NAME}-3"]["stdout"] == ""
    assert told[f"{NAME}-7"]["exit_code"] == 137
    missing = json.loads(dockshell("exec", "--json", f"{NAME}-4", "nonsense", engine=fleet).stdout)
    assert missing["exit_code"] == 127 and "nonsense is not there" in missing["error"]


def test_json_of_a_lot(fleet: Peer, dockshell: Run) -> None:
    """However much it is, wherever the pieces of it end, between the bytes of a letter too; and what ends within one is
    no text."""
    script = "yes żółw🐢 | head -n 500000; yes żółw🐢 | head -c 3000009 >&2"
    told = json.loads(dockshell("exec", "--json", f"{NAME}-4", "sh", "-c", script, engine=fleet).stdout)
    assert told["stdout"] == "żółw🐢\n" * 500_000
    assert base64.b64decode(told["stderr_base64"]) == ("żółw🐢\n" * 250_001).encode()[:3_000_009]


def test_lines_are_not_torn(fleet: Peer, dockshell: Run) -> None:
    """With all of them writing at once every line is whole and behind its name, and each one's are in order."""
    script = "i=0; while [ $i -lt 400 ]; do echo $i $HOSTNAME; echo $i >&2; i=$((i+1)); done; printf end"
    done = dockshell("exec", "-j", str(SIZE), "--label", MARK, "sh", "-c", script, engine=fleet)
    assert done.returncode == 0
    out, err = _lines(done.stdout), _lines(done.stderr)
    assert len(out) == len(err) == SIZE
    for number, lines in out.items():
        assert lines == [*(f"{i} {NAME}-{number}" for i in range(400)), "end"]
        assert err[number] == [str(i) for i in range(400)]


def test_groups(fleet: Peer, dockshell: Run) -> None:
    """--group: what each wrote comes in one piece below its name, byte by byte; who wrote nothing isn't mentioned."""
    script = (
        f"[ $(hostname) = {NAME}-5 ] && exit; printf 'a\\377\\r'; sleep 0.2; echo $HOSTNAME; echo oops >&2; printf b"
    )
    done = dockshell("exec", "--group", "--label", MARK, "sh", "-c", script, engine=fleet)
    assert done.returncode == 0
    pieces = re.findall(rb"==> (\S+) <==\na\xff\r(\S+)\nb\n", done.stdout)
    assert sorted(pieces) == sorted([(f"{NAME}-{n}".encode(),) * 2 for n in range(SIZE) if n != 5])
    assert len(done.stdout) == sum(len(b"==> %b <==\na\xff\r%b\nb\n" % piece) for piece in pieces)
    assert len(re.findall(rb"==> \S+ <==\noops\n", done.stderr)) == SIZE - 1


def test_stdout_and_stderr_in_one(fleet: Peer) -> None:
    """Where both lead to one place, the lines are in the order in which they were written."""
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done"
    argv = [*COMMAND, "exec", "--label", MARK, "sh", "-c", script]
    env = {**os.environ, "DOCKER_HOST": fleet.url}
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=True, timeout=60)
    expected = [f"{stream} {i}" for i in range(1, 10) for stream in ("out", "err")]
    assert all(lines == expected for lines in _lines(done.stdout).values())


@pytest.mark.parametrize("jobs", [1, 3])
def test_so_many_at_a_time(fleet: Peer, dockshell: Run, jobs: int) -> None:
    """-j 3: three at a time and no more; -j 1: one after another, in order."""
    words = ("exec", "-j", str(jobs), f"{NAME}-?", "sh", "-c", "echo begun; sleep 0.3; echo ended")
    done = dockshell(*words, engine=fleet)
    at_once, most, order = 0, 0, []
    for line in done.stdout.decode().splitlines():
        at_once += 1 if line.endswith("begun") else -1
        most = max(most, at_once)
        order += [line.partition(" ")[0]] if line.endswith("begun") else []
    assert most == jobs
    if jobs == 1:
        assert order == [f"{NAME}-{number}" for number in range(10)]


def test_one_that_cannot_be_entered(docker: Peer, dockshell: Run) -> None:
    """A paused one is told of and counts as 125, and the command runs in the others."""
    name = f"{NAME}-p"
    for letter in "abc":
        docker.run("busybox", name=f"{name}{letter}")
    docker.sh("pause", f"{name}b")
    try:
        done = dockshell("exec", f"{name}*", "echo", "ran", engine=docker)
    finally:
        docker.sh("unpause", f"{name}b")
    assert done.returncode == 125
    assert sorted(done.stdout.decode().splitlines()) == [f"{name}a | ran", f"{name}c | ran"]
    told, summary = done.stderr.decode().splitlines()
    assert told.startswith(f"{name}b | dockshell: {name}b is paused")
    assert summary == f"dockshell: 2 ok, 1 not entered ({name}b)"


@contextlib.contextmanager
def _started(peer: Peer, *words: str, say: bytes, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """dockshell exec with these words, once so many have said a line that ends so."""
    env = {**os.environ, "DOCKER_HOST": peer.url}
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, "exec", *words], stdout=pipe, stderr=pipe, env=env) as process:
        assert process.stdout
        for _ in range(count):
            assert process.stdout.readline().rstrip().endswith(say)
        yield process


def test_one_that_stops_meanwhile(docker: Peer) -> None:
    """Its command ends at once with 137, a line says why, and the others go on."""
    name = f"{NAME}-s"
    for letter in "ab":
        docker.run("busybox", name=f"{name}{letter}")
    words = (f"{name}*", "sh", "-c", "echo begun; until [ -e /go ]; do sleep 0.1; done; echo ended")
    with _started(docker, *words, say=b"begun", count=2) as process:
        docker.sh("kill", f"{name}a")
        docker.sh("exec", f"{name}b", "touch", "/go")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (137, f"{name}b | ended\n".encode())
    told = err.decode().splitlines()
    assert told[0].startswith(f"{name}a | dockshell: {name}a stopped")
    assert re.fullmatch(rf"dockshell: 1 ok, 1 (exit 137|signal 9) \({name}a\)", told[-1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_command(fleet: Peer, number: signal.Signals) -> None:
    """Each may answer it in its own way, and those that haven't begun don't."""
    # The shell would say of its sleep, which the signal reaches too, that it was ended.
    script = "exec 2>/dev/null; trap 'echo caught; exit 7' INT TERM; echo begun; while :; do sleep 0.05; done"
    with _started(fleet, "-j5", "--label", MARK, "sh", "-c", script, say=b"begun", count=5) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert [text for lines in _lines(out).values() for text in lines] == ["caught"] * 5
    assert re.search(rf"^dockshell: 5 exit 7 .*, {SIZE - 5} not begun ", err.decode())


def test_a_timeout_is_each_ones(fleet: Peer, dockshell: Run) -> None:
    """--timeout counts for each by itself, from where its command begins: who is late is told, the others are not."""
    script = f'[ "$(hostname)" != {NAME}-1 ] || exec sleep 60'
    limit = f"{2.5 * slowdown():.1f}"
    done = dockshell("exec", "--timeout", limit, "-j1", f"{NAME}-0,{NAME}-1,{NAME}-2", "sh", "-c", script, engine=fleet)
    assert done.returncode == 124
    assert b"sh took longer than" in done.stderr and b"2 ok, 1 timed out" in done.stderr


def test_a_signal_that_ends_nothing(fleet: Peer) -> None:
    """USR1 is passed on to those that run, and the others come in their turn."""
    script = "exec 2>/dev/null; trap 'exit 7' USR1; echo begun; while :; do sleep 0.05; done"
    with _started(fleet, "-j2", f"{NAME}-[0-3]", "sh", "-c", script, say=b"begun", count=2) as process:
        assert process.stdout
        process.send_signal(signal.SIGUSR1)
        for _ in range(2):
            assert process.stdout.readline().endswith(b"begun\n")
        process.send_signal(signal.SIGUSR1)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 7 and err.startswith(b"dockshell: 4 exit 7 ")


class _Stuck(Impostor):
    """It lists its containers, and answers nothing else."""

    silent = property(lambda self: "/containers/json" not in self.requests[-1], lambda self, value: None)


def test_a_signal_while_the_engine_is_stuck() -> None:
    """Who waits for an engine is given up after a second."""
    with _Stuck([listed("a"), listed("b")]).serving() as engine:
        argv, env = [*COMMAND, "exec", "--all", "true"], {**os.environ, "DOCKER_HOST": engine.url}
        with subprocess.Popen(argv, stderr=subprocess.PIPE, env=env) as process:
            until(lambda: len(engine.requests) == 3)
            process.terminate()
            _, err = process.communicate(timeout=SOON)
    assert process.returncode == 143
    assert err.splitlines()[-1] == b"dockshell: 2 signal 15 (a, b)"


@pytest.mark.parametrize("way", [[], ["--group"], ["--json"]])
def test_hostile_names(dockshell: Run, way: list[str]) -> None:
    """Whatever an engine calls its containers, no escape sequence of that gets through."""
    with Impostor([listed("evil\x1b]0;owned\x07\nname"), listed("[red]x[/red]\x9b")]).serving() as engine:
        done = dockshell("exec", *way, "--all", "true", env={"DOCKER_HOST": engine.url})
    assert done.returncode == 125 and (b"evil\\x1b" in done.stderr or b"evil\\u001b" in done.stdout)
    text = (done.stdout + done.stderr).decode()
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_nothing_is_left_of_the_stubborn_kind(world: World, fleet: Peer, via: str) -> None:
    """dockshell is killed, and within two seconds every command is gone, also where it ignores HUP and TERM."""
    world.need_root()
    number = unique()
    words = ("--via", via, "-j", "10", "--label", MARK, "sh", "-c", STUBBORN.replace("@", number))
    try:
        with _started(fleet, *words, say=b"begun", count=10) as process:
            assert len(processes(number)) >= 20
            process.kill()
            process.wait(60)
            until(lambda: not processes(number), SOON)
    finally:
        end_all(number)


def test_a_reader_that_leaves(fleet: Peer) -> None:
    """`dockshell exec ... | head` ends, and with it what writes for ever."""
    number = unique()
    script = f'{" ".join([*COMMAND, "exec", "--label", MARK, "--", "sh", "-c"])} "yes {number}" | head -n 1; '
    env = {**os.environ, "DOCKER_HOST": fleet.url}
    shell = ["bash", "-c", script + "exit ${PIPESTATUS[0]}"]
    done = subprocess.run(shell, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 141 and number.encode() in done.stdout
    until(lambda: not processes(number), SOON)


def test_one_worker_that_is_killed(fleet: Peer) -> None:
    """Somebody kills one of our processes: its command ends, which is told, and the rest is done all the same."""
    number = unique()
    words = ("-j1", f"{NAME}-[01]", "sh", "-c", f"[ $(hostname) = {NAME}-1 ] || {{ echo begun; sleep {number}; }}")
    with _started(fleet, *words, say=b"begun", count=1) as process:
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            os.kill(int(file.read().split()[0]), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 137
    assert b"own process for it was killed" in err and b"1 ok, 1 signal 9" in err
    until(lambda: not processes(number), SOON)


def test_at_a_terminal(fleet: Peer, terminal: Callable[..., pexpect.spawn[bytes]]) -> None:
    """Each name has its colour; after a second a bar tells how far it is, which goes away again; in the end there is a
    summary. Ctrl-C ends it at once."""
    child = terminal("exec", "-j2", f"{NAME}-[0-3]", "sh", "-c", "sleep 1.4; echo done", engine=fleet)
    child.expect(rb"0/4.*fleet-\d+-0 fleet-\d+-1")
    child.expect(rb"\x1b\[2K")
    child.expect(rb"\x1b\[(\d+)m(fleet-\d+-\d) \| \x1b\[0mdone\r\n")
    first = child.match.group(1)
    child.expect(rb"\x1b\[(\d+)mfleet-\d+-\d \| \x1b\[0mdone\r\n")
    assert child.match.group(1) != first
    child.expect(rb"2/4")
    child.expect(rb"dockshell: 4 ok\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    child = terminal("exec", f"{NAME}-[0-3]", "sleep", "60", engine=fleet, env={"NO_COLOR": "1"})
    child.expect(rb"0/4")
    assert b"\x1b[3" not in child.before
    child.send(b"\x03")
    child.expect(rb"dockshell: 4 (signal 2|exit 130) ")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


def test_detached(fleet: Peer, dockshell: Run) -> None:
    """-d starts it in all of them, and returns."""
    number = unique()
    try:
        assert dockshell("exec", "-d", f"{NAME}-[0-4]", "sleep", number, engine=fleet).returncode == 0
        until(lambda: len(processes(f"sleep\0{number}")) == 5, SOON)
    finally:
        end_all(number)


def test_user_environment_and_directory(fleet: Peer, dockshell: Run) -> None:
    """The options of a single one hold for each, and there is no input, whatever stdin has."""
    words = ("exec", "-u", "app", "-e", "A=b c", "-w", "/srv", f"{NAME}-[0-4]", "sh", "-c", "id -un; echo $A; pwd; cat")
    done = dockshell(*words, engine=fleet, input=b"not for them")
    assert _lines(done.stdout) == {str(number): ["app", "b c", "/srv"] for number in range(5)}


@pytest.mark.parametrize(
    "words",
    [
        ("-t",), ("-it",), ("-i",), ("--record", "x"), ("--stopped",), ("--unpause",), ("-L", "1:a:2"), ("-A",),
        ("-j", "0"), ("-j", "x"), ("--group", "--json"), ("--label", "=x"), ("--service", "a b"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_with_many(dockshell: Run, words: Sequence[str]) -> None:
    """Refused as wrong usage, with the reason, before any engine is asked."""
    done = dockshell("exec", *words, "--all", "--", "true", env={"DOCKER_HOST": "unix:///nowhere"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1


def test_podman(podman: Peer, dockshell: Run) -> None:
    """It is no different there, as root by nsenter and by the engine's exec."""
    for number in range(3):
        podman.run("busybox", name=f"{NAME}-{number}", options=["--hostname", f"{NAME}-{number}"])
    for via in ("auto", "exec"):
        words = ("exec", "--via", via, f"{NAME}-*", "sh", "-c", "hostname; exit 4")
        done = dockshell(*words, engine=podman)
        assert done.returncode == 4
        assert sorted(done.stdout.decode().splitlines()) == [f"{NAME}-{n} | {NAME}-{n}" for n in range(3)]


def test_two_engines(fleet: Peer, podman: Peer, dockshell: Run, tmp_path: object) -> None:
    """Where nobody names an engine it is those that `ls` asks; a name then says whose it is, and picks it again."""
    podman.run("busybox", name=f"{NAME}-0", options=["--hostname", f"{NAME}-0"])
    os.makedirs(f"{tmp_path}/podman")
    os.symlink(fleet.url.removeprefix("unix://"), f"{tmp_path}/docker.sock")
    os.symlink(podman.url.removeprefix("unix://"), f"{tmp_path}/podman/podman.sock")
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = dockshell("exec", f"{NAME}-0*", "hostname", env=env)
    lines = sorted(done.stdout.decode().splitlines())
    assert lines == [f"docker://{NAME}-0 | {NAME}-0", f"podman://{NAME}-0 | {NAME}-0"]
    done = dockshell("exec", f"podman://{NAME}-0*", "hostname", env=env)
    assert done.stdout.decode() == f"{NAME}-0 | {NAME}-0\n"


def test_without_root(world: World, fleet: Peer) -> None:
    """By the engine's exec, with the same codes, signals and end of all."""
    world.need_root()
    socket = fleet.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    number = unique()
    with person(65534, [65534, os.stat(socket).st_gid]) as somebody:
        env = {**somebody.environment, "DOCKER_HOST": fleet.url}
        argv = [*somebody.command, "exec", f"{NAME}-[0-4]", "sh", "-c"]
        script = "hostname; exit ${HOSTNAME#*-*-}"
        done = subprocess.run([*argv, script], env=env, cwd="/", capture_output=True, check=False, timeout=60)
        assert done.returncode == 4
        assert sorted(done.stdout.decode().splitlines()) == [f"{NAME}-{n} | {NAME}-{n}" for n in range(5)]
        script = f"echo begun; exec sleep {number}"
        with subprocess.Popen([*argv, script], env=env, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
            assert one.stdout
            for _ in range(5):
                assert one.stdout.readline().endswith(b"begun\n")
            one.terminate()
            assert one.wait(60) == 143
            until(lambda: not processes(number), SOON)


def test_the_workers_stay_small(fleet: Peer) -> None:
    """One that has entered many containers holds no more descriptors, and little more memory, than at first."""
    script = """if True:
        import os, sys
        from dockshell.fleet import worker
        enter = worker._Inside._enter
        def watched(self, container):
            result = enter(self, container)
            with open("/proc/self/statm") as file:
                pages = int(file.read().split()[1])
            print(len(os.listdir("/proc/self/fd")), pages, file=sys.stderr, flush=True)
            return result
        worker._Inside._enter = watched
        from dockshell.cli import run
        sys.exit(run(sys.argv[1:]))"""
    env = {**os.environ, "DOCKER_HOST": fleet.url}
    for via in ("nsenter", "exec"):
        argv = [sys.executable, "-c", script, "exec", "--via", via, "-j1", "--label", MARK, "true"]
        done = subprocess.run(argv, env=env, capture_output=True, check=True, timeout=60)
        told = [tuple(map(int, line.partition(b"|")[2].split())) for line in done.stderr.splitlines()]
        assert len(told) == SIZE and told[-1][0] == told[1][0], told
        assert told[-1][1] - told[1][1] < 500, told
