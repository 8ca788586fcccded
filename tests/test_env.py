"""`dockshell env`: what was configured, what process 1 and others were started with, what is in a baseimage's files;
for people, for programs, compared."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from dockshell.engines import where
from dockshell.errors import DockshellError
from dockshell.model import Container, replace
from dockshell.target import parse
from dockshell.variables.sources import variables
from tests.contract.watching import until
from tests.messages import without_progress
from tests.screen import Seen
from tests.world import Peer, World
from tests.world.person import Person

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

SECRETS = {
    "DB_PASSWORD": "tR0ub4dor-1",
    "PGPASSWORD": "tR0ub4dor-2",
    "QUEUE": "amqp://me:tR0ub4dor-3@queue/",
    "DEPLOY": "ghp_tR0ub4dor4tR0ub4dor4tR0ub4dor4tR0ub4",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\ntR0ub4dor-5\n-----END RSA PRIVATE KEY-----\n",
}
PLAIN = {"CHANGED": "configured", "GONE": "1", "COMPASS": "north", "AUTHOR": "me", "SECRETARY": "her", "PWD": "/"}
# What the first process has besides, which takes an env(1) to begin with.
ODD = {
    b"CHANGED": b"later",
    b"DB_PASSWORD": b"tR0ub4dor-6",
    b"BYTES": b"a\xff\x1b]0;pwned\x07b",
    b"LINES_": b"one\ntwo\n\n",
    b"QUOTES": b"it's '\\'' $(touch pwned) `touch pwned` \\ \"\"",
    b"EMPTY": b"",
    b"UID": b"0",
    b"OPTIND": b"a[$(touch pwned)]",
    b"RANDOM": b"a[$(touch pwned)]",
    b"COLUMNS": b"80",
    b"a-b": b"dashed",
    b"#c": b"comment",
    b"../up": b"and away",
    b"d e": b"blank",
    b"RETURN": b"carriage\r",
}
_BEGIN = 'unset GONE; env ONLY=mine sleep 100001 & echo $! >/tmp/other; exec env "$@" sleep 100000'


def _odd(peer: Peer) -> str:
    """The name of a container whose first process has been given more than was configured, and has a child with a
    variable of its own, the number of which is in /tmp/other."""

    def make() -> str:
        options = [word for pair in {**PLAIN, **SECRETS}.items() for word in ("--env", "=".join(pair))]
        # Bytes that are no text don't get through the engines' JSON.
        given = "".join(f"\\{byte:03o}" for byte in ODD[b"BYTES"])
        words = [(name + b"=" + value).decode() for name, value in ODD.items() if name != b"BYTES"]
        script = f'set -- "$@" "BYTES=$(printf \'{given}\')"; {_BEGIN}'
        name = peer.run("busybox", "sh", "-c", script, "sh", *words, options=options)
        until(lambda: peer.sh("exec", name, "cat", "/proc/1/cmdline").stdout == b"sleep\x00100000\x00")
        return name

    return peer.kept("odd", make)


@pytest.fixture
def odd(engine: Peer) -> str:
    """On each engine."""
    return _odd(engine)


def _started_with(peer: Peer, name: str) -> dict[bytes, bytes]:
    """The environment of its first process, as the kernel has it."""
    told = peer.reply(name, "cat /proc/1/environ")
    return dict(pair.split(b"=", 1) for pair in told.removesuffix(b"\0").split(b"\0"))


def _rows(done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    """NAME and VALUE of a table in a pipe."""
    pairs = (line.split(None, 1) for line in done.stdout.decode().splitlines()[1:])
    return {pair[0]: "".join(pair[1:]) for pair in pairs}


def test_people_see_a_table(engine: Peer, odd: str, dockshell: Run) -> None:
    """What was configured, by name; with --from init what process 1 got, in printable characters alone."""
    done = dockshell("env", odd, engine=engine)
    rows = _rows(done)
    assert (done.returncode, without_progress(done.stderr), list(rows)) == (0, b"", sorted(rows))
    assert {name: rows[name] for name in PLAIN} == PLAIN
    first = dockshell("env", odd, "--from", "init", engine=engine)
    rows = _rows(first)
    assert rows["BYTES"] == "a\\udcff\\x1b]0;pwned\\x07b" and rows["LINES_"] == "one\\ntwo\\n\\n"
    assert "GONE" not in rows and b"\x1b" not in first.stdout


def test_two_are_compared(engine: Peer, odd: str, dockshell: Run) -> None:
    """What differs, and nothing else: a mark, the name, both values; of secrets that they do. 1 as diff(1) has it, 0
    where all is the same; JSON has null for what isn't there."""
    done = dockshell("env", odd, "--from", "config,init", engine=engine)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert done.returncode == 1 and lines[0] == ["NAME", "CONFIG", "INIT"]
    assert ["~", "CHANGED", "configured", "later"] in lines and ["-", "GONE", "1"] in lines
    assert ["~", "DB_PASSWORD", "********", "********"] in lines and ["+", "UID", "0"] in lines
    assert not {"COMPASS", "PGPASSWORD", "PATH"} & {line[1] for line in lines}
    told = dockshell("env", odd, "--from", "config,init", "--format", "json", engine=engine)
    differing = json.loads(told.stdout)
    assert differing["GONE"] == {"config": "1", "init": None}
    assert differing["CHANGED"] == {"config": "configured", "init": "later"}
    assert told.returncode == 1 and "DB_PASSWORD" not in differing and b"DB_PASSWORD" in told.stderr
    same = dockshell("env", odd, "--from", "init,1", engine=engine)
    assert (same.returncode, same.stdout, without_progress(same.stderr)) == (0, b"", b"")


def test_a_process_is_known_by_its_number_inside(engine: Peer, odd: str, dockshell: Run) -> None:
    """What that process was started with, and no other."""
    number = engine.ask("exec", odd, "cat", "/tmp/other")
    rows = _rows(dockshell("env", odd, "--from", number, engine=engine))
    assert rows["ONLY"] == "mine" and rows["CHANGED"] == "configured" and "UID" not in rows


def test_no_other_process_is_read(engine: Peer, odd: str, dockshell: Run, world: World) -> None:
    """The host's own number of the container's process, one of the host's, another container's, one that is gone, in a
    container that sees them all too: refused with 125, and nothing is told."""
    other = engine.shared("busybox")
    everybody = engine.run("busybox", "sleep", "100000", options=["--pid", "host", "--env", "THIS=1"])
    gone = subprocess.Popen(["true"])
    gone.wait()
    theirs = (engine.pid(odd), engine.pid(other))
    for name, numbers in ((odd, (os.getpid(), *theirs, gone.pid)), (everybody, (os.getpid(), *theirs, gone.pid))):
        for number in numbers:
            done = dockshell("env", name, "--from", str(number), engine=engine)
            assert (done.returncode, done.stdout) == (125, b"")
            assert (
                f"has no process {number}".encode() in done.stderr
                and len(without_progress(done.stderr).splitlines()) == 1
            )
    hint = dockshell("env", odd, "--from", str(theirs[0]), engine=engine).stderr
    assert f"where the {theirs[0]} of this machine is 1".encode() in hint
    for source in ("init", str(engine.pid(everybody))):
        assert _rows(dockshell("env", everybody, "--from", source, engine=engine))["THIS"] == "1"


SHELLS = (["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["zsh", "--emulate", "sh"])


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_any_shell_reads_it(world: World, docker: Peer, dockshell: Run, shell: list[str], tmp_path: Path) -> None:
    """`--format sh` sets each variable to its very bytes, and has nothing executed. What a shell can't be given is told
    of."""
    program = world.need_program(shell[0])
    name = _odd(docker)
    done = dockshell("env", name, "--from", "init", "--format", "sh", "--show", engine=docker)
    (script := tmp_path / "script").write_bytes(done.stdout)
    words = [program, *shell[1:], "-c", f". {script}; {shutil.which('env')} -0; :"]
    read = subprocess.run(words, env={}, cwd=tmp_path, capture_output=True, check=True)
    found = dict(pair.split(b"=", 1) for pair in read.stdout.removesuffix(b"\0").split(b"\0"))
    unfit = {b"UID", b"OPTIND", b"RANDOM", b"a-b", b"#c", b"../up", b"d e", b"HOME"}
    expected = {key: value for key, value in _started_with(docker, name).items() if key not in unfit}
    assert {key: found.get(key) for key in expected} == expected and without_progress(read.stderr) == b""
    assert not unfit & found.keys() - {b"OPTIND"} and os.listdir(tmp_path) == ["script"]
    executed, last = without_progress(done.stderr).splitlines()
    assert executed.endswith(b"could execute what is in them: HOME")
    assert last.endswith(b"no shell takes them: #c, ../up, OPTIND, RANDOM, UID, a-b, d e")


def test_an_env_file_makes_the_same_container(engine: Peer, odd: str, dockshell: Run, tmp_path: Path) -> None:
    """`--format docker` is what --env-file takes: the next container's first process gets the same bytes, but for what
    such a file can't hold, which is told of."""
    done = dockshell("env", odd, "--from", "init", "--format", "docker", "--show", engine=engine)
    (file := tmp_path / "file").write_bytes(done.stdout)
    again = engine.run("busybox", "sleep", "100000", options=["--env-file", str(file)])
    found, before = _started_with(engine, again), _started_with(engine, odd)
    unfit = {b"BYTES", b"LINES_", b"PEM", b"RETURN", b"d e", b"#c"}
    expected = {name: value for name, value in before.items() if name not in unfit and name != b"HOSTNAME"}
    assert {name: found.get(name) for name in expected} == expected
    assert done.stderr.endswith(b"#c, BYTES, LINES_, PEM, RETURN, d e\n")


def test_json_keeps_every_byte(engine: Peer, odd: str, dockshell: Run) -> None:
    """In ASCII; bytes that are no UTF-8 as lone surrogates."""
    done = dockshell("env", odd, "--from", "init", "--format", "json", "--show", engine=engine)
    found = {
        name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
        for name, value in json.loads(done.stdout).items()
    }
    assert found == _started_with(engine, odd) and done.stdout.isascii() and without_progress(done.stderr) == b""


def test_a_directory_is_read_back(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """`--format dir` makes a directory of root's alone, which `chpst -e` reads: all that it can hold, a line each. What
    no file can be called is told of; and nothing is written into one that has something in it."""
    name, place = _odd(docker), tmp_path / "made"
    done = dockshell("env", name, "--from", "init", "--format", "dir", "-o", str(place), "--show", engine=docker)
    assert (done.returncode, done.stderr.endswith(b"../up\n")) == (0, True)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in place.iterdir()} == {0o600}
    assert (place / "EMPTY").read_bytes() == b"\n" and (place / "LINES_").read_bytes() == b"one\ntwo\n\n\n"
    reader = docker.shared("baseimage")
    docker.sh("cp", str(place), f"{reader}:/tmp/read-back")
    told = docker.sh("exec", reader, "chpst", "-e", "/tmp/read-back", "/usr/bin/env", "-0").stdout
    found = dict(pair.split(b"=", 1) for pair in told.removesuffix(b"\0").split(b"\0"))
    expected = {key: value.partition(b"\n")[0] for key, value in _started_with(docker, name).items() if key != b"../up"}
    assert {key: found.get(key) for key in expected} == expected
    again = dockshell("env", name, "--format", "dir", "-o", str(place), engine=docker)
    assert again.returncode == 125 and b"is not empty" in again.stderr


def test_the_files_of_a_baseimage(engine: Peer, dockshell: Run) -> None:
    """`--from files`: /etc/container_environment, which root alone may read; who has none is told what there is."""
    rows = _rows(dockshell("env", engine.shared("baseimage"), "--from", "files", engine=engine))
    assert rows["FROM_BASEIMAGE"] == "kept in a file" and "HOME" not in rows
    none = dockshell("env", engine.shared("busybox"), "--from", "files", engine=engine)
    assert none.returncode == 125 and b"has no /etc/container_environment" in none.stderr


def test_no_secret_is_told(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Known by names and by values, in no format and no comparison, unless --show is given; a line says which are
    left out where a program reads, and people see a mask."""
    name, place = _odd(docker), tmp_path / "made"
    seen = []
    for source in ("config", "init", "init,config"):
        for chosen in ("", "json", *(() if "," in source else ("sh", "docker", "dir"))):
            words = ["--from", source, *(["--format", chosen] if chosen else [])]
            words += ["-o", str(place)] if chosen == "dir" else []
            done = dockshell("env", name, *words, engine=docker)
            written = b"".join(each.read_bytes() for each in place.iterdir()) if chosen == "dir" else b""
            seen.append(done.stdout + done.stderr + written)
            if chosen and "," not in source:
                told = next(line for line in done.stderr.decode().splitlines() if "secret" in line)
                assert told.endswith(f": {', '.join(sorted(SECRETS))}")
            if chosen == "dir":
                shutil.rmtree(place)
    assert not any(b"tR0ub4dor" in each for each in seen)
    rows = _rows(dockshell("env", name, engine=docker))
    assert {rows[each] for each in SECRETS} == {"********"}
    shown = dockshell("env", name, "--show", "--format", "json", engine=docker)
    assert SECRETS.items() <= json.loads(shown.stdout).items() and without_progress(shown.stderr) == b""


def test_without_root(member: Person, docker: Peer) -> None:
    """Who has the socket alone gets the same by the engine: of process 1, of one that is another user's, from files
    that are root's; and no number that is not the container's."""

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        env = member.environment
        argv = [*member.command, "env", *words]
        return subprocess.run(argv, capture_output=True, env=env, cwd="/", check=False, timeout=60)

    name = _odd(docker)
    told = json.loads(run(name, "--from", "init", "--format", "json", "--show").stdout)
    assert told["BYTES"] == "a\udcff\x1b]0;pwned\x07b" and told["LINES_"] == "one\ntwo\n\n"
    script = "env THEIRS=1 sleep 100000 & echo $! >/tmp/other; exec sleep 100000"
    mixed = docker.run("busybox", "sh", "-c", script, options=["--user", "app"])
    number = until(lambda: docker.sh("exec", mixed, "cat", "/tmp/other", check=False).stdout.decode().strip())
    assert _rows(run(mixed, "--from", number))["THEIRS"] == "1"
    assert _rows(run(docker.shared("baseimage"), "--from", "files"))["FROM_BASEIMAGE"] == "kept in a file"
    for wrong in (os.getpid(), docker.pid(name)):
        done = run(name, "--from", str(wrong))
        assert (done.returncode, done.stdout) == (125, b"") and b"has no process" in done.stderr
    bare = run(docker.shared("bare"), "--from", "init")
    assert (bare.returncode, bare.stdout) == (125, b"") and b"use sudo there" in bare.stderr


def _elsewhere(peer: Peer, name: str) -> Container:
    """That container, as if its engine were on another machine."""
    engine = next(iter(where.engines(peer.url)))
    return replace(engine.find(parse(name))[0], local=False)


def test_an_engine_elsewhere_reads_for_us(engine: Peer, odd: str) -> None:
    """Where no process can be seen from here its own number proves it, in a container that has a pid namespace to
    itself; one that shares it is refused."""
    assert variables(_elsewhere(engine, odd), "init")["CHANGED"] == "later"
    number = engine.ask("exec", odd, "cat", "/tmp/other")
    assert variables(_elsewhere(engine, odd), number)["ONLY"] == "mine"
    with pytest.raises(DockshellError, match="has no process 4000000"):
        variables(_elsewhere(engine, odd), "4000000")
    everybody = engine.run("busybox", "sleep", "100000", options=["--pid", "host"])
    with pytest.raises(DockshellError, match="shares its process numbers"):
        variables(_elsewhere(engine, everybody), "1")


def test_one_that_does_not_run(docker: Peer, dockshell: Run) -> None:
    """What was configured is there all the same; process 1 isn't."""
    name = docker.run("busybox", "true", options=["--env", "KEPT=1"])
    docker.sh("wait", name)
    assert _rows(dockshell("env", name, engine=docker))["KEPT"] == "1"
    first = dockshell("env", name, "--from", "init", engine=docker)
    assert first.returncode == 125 and b"is not running" in first.stderr


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--from", "nobody"], b"config, init, files or the number"),
        (["--from", "0"], b"config, init, files or the number"),
        (["--from", "-1"], b"config, init, files or the number"),
        (["--from", "99999999999"], b"config, init, files or the number"),
        (["--from", "config,"], b"config, init, files or the number"),
        (["--from", "config,init,files"], b"one, or two to compare"),
        (["--format", "yaml"], b"sh, json, docker or dir"),
        (["--from", "config,init", "--format", "sh"], b"take json"),
        (["--format", "dir"], b"-o DIR"),
        (["--format", "sh", "-o", "there"], b"> FILE"),
        (["-o", "there"], b"--format dir"),
    ],
)
def test_words_that_do_not_fit(dockshell: Run, words: list[str], remedy: bytes) -> None:
    """2, and a line that says what would; no engine is asked."""
    done = dockshell("env", "web", *words, env={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert (done.returncode, done.stdout) == (2, b"") and remedy in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_at_a_terminal(docker: Peer, terminal: Callable[..., pexpect.spawn[bytes]]) -> None:
    """The table is as wide as the terminal; and what would drive it is not in `--format sh` there."""
    name = _odd(docker)
    size = (50, 50)
    child = terminal("env", name, "--from", "init", engine=docker, env={"NO_COLOR": "1"}, dimensions=size)
    seen = Seen(child, size)
    lines = seen.until(lambda lines: any(line.startswith("UID ") for line in lines))
    assert any(line.startswith("BYTES ") and "\\x1b]0;pwned" in line for line in lines)
    assert any(line.startswith("DEPLOY ") and line.endswith("********") for line in lines)
    assert any(line.startswith("QUOTES ") and line.endswith("…") and len(line) == 50 for line in lines)
    assert b"\x1b" not in seen.raw
    size = (60, 200)
    seen = Seen(terminal("env", name, "--from", "init", "--format", "sh", engine=docker, dimensions=size), size)
    seen.until(lambda lines: any("left out at a terminal" in line and "BYTES" in line for line in lines))
    assert b"\x1b" not in seen.raw and b"export LINES_='one" in seen.raw


def test_what_comes_next(docker: Peer, dockshell: Run) -> None:
    """TAB offers containers, what --from and --format take, the second of two as well."""
    name = docker.shared("busybox")

    def offered(*words: str) -> list[str]:
        done = dockshell("__complete", "--", "dockshell", "env", *words, engine=docker)
        return [line.partition("\t")[0] for line in done.stdout.decode().splitlines()]

    assert name in offered("")
    assert offered("--from", "") == ["config", "init", "files"]
    assert offered("--from=config,i") == ["--from=config,init"]
    assert offered("--format", "") == ["sh", "json", "docker", "dir"]
    assert offered("--format", "dir", "-o", "") == [":files"]
