"""`dockshell ls`: what can be reached and how, on real engines; on one that lies, where names and labels are hostile;
and drawn anew at a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import termios
from collections.abc import Callable, Mapping
from pathlib import Path

import pexpect
import pytest

from tests.conftest import FROM_A_SHELL
from tests.contract.watching import children
from tests.impostor import Impostor, listed
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

_HEADINGS = ["NAME", "IMAGE", "STATE", "AGE", "ADDRESSES", "SERVICE", "SHELL", "WAYS"]
_COMPOSE = {"com.docker.compose.project": "shop", "com.docker.compose.service": "api"}
_ROWS = [
    listed("web", image="nginx:1.25", id="0123456789abcdef", addresses={"bridge": "172.17.0.2", "shop": "10.1.0.2"}),
    listed(
        "database-of-the-shop-with-a-rather-long-name",
        image="registry.example/team/postgres:16.2-bookworm",
        age=7300,
        labels=_COMPOSE,
    ),
    listed("held", image="busybox", state="paused", age=3 * 86400),
    listed("ended", image="busybox", state="exited"),
]
_EVIL = "x\nforged  running\r\x1b[2J\x1b[31m\u202e[bold]"
_HOSTILE = [
    listed(
        "\x1b[31mred",
        image=f"[bold]x[/bold]\x1b]0;title\x07{_EVIL}",
        addresses={_EVIL: "1.2.3.4\n5.6.7.8"},
        labels=dict.fromkeys((_EVIL, *_COMPOSE), _EVIL),
    )
]


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What was printed, by a command that went well and said nothing else."""
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def _refused(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on stderr of a command that printed nothing, for its words were wrong."""
    assert (done.returncode, done.stdout) == (2, b"")
    line = done.stderr.decode()
    assert line.startswith("dockshell: ") and line.count("\n") == 1 and line[:-1].isprintable()
    return line


def _cells(line: str) -> list[str]:
    """A row's, of which none is empty."""
    return re.split(r" {2,}", line)


def test_what_runs_and_how_it_is_reached(world: World, engine: Peer, dockshell: Run) -> None:
    """A row for each running container, newest first: its name, image, state, age, addresses, Compose service, the
    shell that is inside, and the ways in. Paused ones are there, too; what ended is shown by -a, and says that nothing
    leads into it."""
    world.need_root()
    compose = [word for name, value in _COMPOSE.items() for word in ("--label", f"{name}={value}")]
    first, second, ended = (
        engine.run("busybox", options=compose), engine.run("busybox", options=compose), engine.run("busybox", "true"),
    )  # fmt: skip
    engine.sh("wait", ended)
    engine.sh("pause", second)
    quick = [engine.run("busybox") for _ in range(3)]
    heading, *lines = _said(dockshell("ls", engine=engine)).splitlines()
    assert heading.split() == _HEADINGS
    rows = {line.split()[0]: line for line in lines}
    assert ended not in rows and [name for name in rows if name in {first, second, *quick}] == [
        *quick[::-1],
        second,
        first,
    ]
    _, image, state, age, addresses, service, *ways = _cells(rows[first])
    assert image.endswith((engine.image("busybox"), engine.image("busybox") + ":latest"))
    assert state == "running" and re.fullmatch(r"\d+[sm]", age) and service == "shop/api"
    networks = engine.inspect(first)["NetworkSettings"]["Networks"].values()
    assert addresses == ", ".join(each["IPAddress"] for each in networks)
    assert ways == ["ash", "nsenter, exec, toolbox"]
    assert " paused " in rows[second] and rows[second].endswith("  ?      none")
    everything = _said(dockshell("ls", "-a", engine=engine)).splitlines()
    assert next(line for line in everything if line.startswith(ended)).endswith("  ?      none")


def test_a_glance_and_the_whole_truth(world: World, docker: Peer, dockshell: Run) -> None:
    """Whether an sshd takes a key of ours, a glance doesn't tell, and says so; with -v the route itself is asked, and
    each that refuses has a line with its reason. A container with nothing inside has no shell, and the toolbox."""
    world.need_root()
    sshd, plain, empty = docker.shared("baseimage"), docker.shared("busybox"), docker.run("bare")
    words = ("ls", *(word for name in (sshd, plain, empty) for word in ("-f", f"name=^/{name}$")))
    rows = {line.split()[0]: _cells(line)[-2:] for line in _said(dockshell(*words, engine=docker)).splitlines()}
    assert rows[sshd] == ["bash", "ssh?, nsenter, exec, toolbox"]
    assert rows[empty] == ["none", "nsenter, exec, toolbox"]
    done = dockshell(*words, "-v", engine=docker)
    assert f"docker at {docker.url}: 3 listed" in done.stderr.decode()
    told = done.stdout.decode()
    assert re.search(rf"(?m)^{sshd} .*  bash +ssh, nsenter, exec, toolbox$", told)
    assert re.search(rf"(?m)^{plain} .*\n    ssh: no sshd listens inside on port 22: start one", told)


def test_for_programs(docker: Peer, dockshell: Run) -> None:
    """-q has the engine's own ids, --format json an object in a line of each, a template the fields that it names, by
    our names or by Docker's."""
    name = docker.run("busybox", options=["--label", "app=a b", "--publish", "127.0.0.1::80"])
    only = ("-f", f"name={name}")
    assert _said(dockshell("ls", "-q", engine=docker)) == docker.ask("ps", "-q") + "\n"
    (facts,) = map(json.loads, _said(dockshell("ls", "--format", "json", *only, engine=docker)).splitlines())
    assert facts["id"] == docker.inspect(name)["Id"] and facts["name"] == facts["target"] == name
    assert facts["labels"]["app"] == "a b" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["created"])
    (port,) = facts["ports"]
    assert (port["inside"], port["address"]) == (80, "127.0.0.1")
    assert facts["routes"]["exec"] == {"open": True, "reason": ""} and facts["routes"]["ssh"]["open"] is False
    shown = r"{{.Names}}\t{{.ID}}\t{{.Image}}\t{{.State}}\t{{.Networks}}"
    assert (
        _said(dockshell("ls", "--format", shown, *only, engine=docker))
        == docker.ask("ps", "--format", shown, *only) + "\n"
    )
    assert _said(dockshell("ls", "--format", "<{name}:{exec}>", *only, engine=docker)) == f"<{name}:open>\n"


def test_dockers_own_words(docker: Peer, dockshell: Run) -> None:
    """-n and -l show what was created last, in any state; Go's `table` and `json` are understood; an image whose name
    is gone is shown by its id, in twelve digits; --no-trunc has ids in full: all of it as `docker ps` has it."""
    docker.ask("tag", docker.image("busybox"), "dockshell-test-gone:1")
    named, unnamed = docker.run("busybox"), docker.run("dockshell-test-gone:1", "sleep", "100000")
    docker.ask("rmi", "dockshell-test-gone:1")
    docker.sh("wait", docker.run("busybox", "true"))
    two = ("-f", f"name={named}", "-f", f"name={unnamed}")
    for words in (
        ("-l", "-q"), ("-n", "2", "-q"), ("--last=3", "--no-trunc", "-q"), ("-q", "--no-trunc"),
        (*two, "--format", r"table {{.ID}}\t{{.Names}}\t{{.Image}}"),
        (*two, "--no-trunc", "--format", r"{{.ID}} {{.Image}} {{.Names}}"),
        (*two, "--format", "{{json .Names}}{{json .Image}}"),
    ):  # fmt: skip
        assert _said(dockshell("ls", *words, engine=docker)) == docker.ask("ps", *words) + "\n", words
    (line,) = _said(dockshell("ls", "-f", f"name={named}", "--format", "{{json .}}", engine=docker)).splitlines()
    theirs = json.loads(docker.ask("ps", "-f", f"name={named}", "--format", "{{json .}}"))
    same = ("ID", "Names", "Image", "State", "Networks", "Labels")
    assert {key: json.loads(line)[key] for key in same} == {key: theirs[key] for key in same}


def test_many_are_asked_at_once(terminal: Terminal) -> None:
    """ls -v, at a terminal with a bar while it waits: no container's answer is waited for before the next is asked
    for; what a process was asking that somebody kills is asked again."""
    rows = [listed(f"web-{number}", state="paused") for number in range(8)]
    with Impostor(rows, inspected={}).serving() as engine:
        engine.told.clear()
        child = terminal("ls", "-v", env={"DOCKER_HOST": engine.url, "NO_COLOR": "1"}, timeout=60)
        child.expect_exact("0/8")
        assert len({path for path in engine.requests if re.search(r"containers/\w{64}/json", path)}) > 1
        worker = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0]
        os.kill(int(worker), signal.SIGKILL)
        engine.told.set()
        child.expect(pexpect.EOF)
    assert all(row["Names"][0][1:] in child.before.decode() for row in rows)


def test_filters_are_the_engines(engine: Peer, dockshell: Run) -> None:
    """--filter finds what the engine's own command finds by it, several of them together, too."""
    name = engine.run("busybox", options=["--label", "tier=front"])
    other, ended = engine.run("busybox", options=["--label", "tier=back"]), engine.run("busybox", "true")
    engine.sh("wait", ended)
    for words in (
        ["label=tier=front"], ["label=tier"], ["status=exited"], [f"name={name}"], ["label=tier", f"name={other}"],
        [f"since={name}"],
    ):  # fmt: skip
        given = [word for each in words for word in ("--filter", each)]
        found = _said(dockshell("ls", "-q", *given, engine=engine)).split()
        assert sorted(found) == sorted(engine.ask("ps", "-q", *given).split()) != [], words
    assert "bogus" in dockshell("ls", "-f", "status=bogus", engine=engine).stderr.decode()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["-f", "colour=red"], "ancestor"),
        (["-f", "name"], "KEY=VALUE"),
        (["--format", "{name.__class__}"], "addresses"),
        (["--format", "{{.Size}}"], ".Names"),
        (["--format", "{{json .Size}}"], ".Names"),
        (["-n", "0"], "from 1"),
        (["-n", "2", "-l"], "--last"),
        (["-q", "--json"], "--format"),
        (["--format", "{name"], "not closed"),
        (["-q", "--format", "json"], "--format"),
        (["--watch"], "terminal"),
    ],
)
def test_wrong_words_are_explained(dockshell: Run, words: list[str], named: str) -> None:
    """What is unknown is refused before any engine is asked, with what is known."""
    assert named in _refused(dockshell("ls", *words, env={"DOCKER_HOST": "unix:///nowhere.sock"}))


def test_in_a_pipe_it_is_plain_and_whole(dockshell: Run) -> None:
    """Where no terminal is, nothing is cut and nothing coloured, and each column begins at one place."""
    with Impostor(_ROWS).serving() as engine:
        text = _said(dockshell("ls", env={"DOCKER_HOST": engine.url, "COLUMNS": "20", "FORCE_COLOR": "1"}))
    heading, *rows = text.splitlines()
    assert "\x1b" not in text
    assert [row.split()[0] for row in rows] == ["web", "database-of-the-shop-with-a-rather-long-name", "held"]
    assert "  registry.example/team/postgres:16.2-bookworm  running  2h  " in rows[1]
    assert "  172.17.0.2, 10.1.0.2  " in rows[0] and "  paused   3d  " in rows[2] and "  shop/api  " in rows[1]
    for name in ("STATE", "SHELL"):
        assert all(row[heading.index(name) - 1] == " " != row[heading.index(name)] for row in rows)


def test_however_many_there_are_the_engine_is_asked_once(dockshell: Run) -> None:
    """A crowd costs one listing."""
    with Impostor([listed(f"web-{number}") for number in range(500)]).serving() as engine:
        assert len(_said(dockshell("ls", env={"DOCKER_HOST": engine.url})).splitlines()) == 501
        assert [path for path in engine.requests if path != "/_ping"] == engine.requests[-1:]


def _drawn(terminal: Terminal, engine: Impostor, columns: int = 80, env: Mapping[str, str] | None = None) -> str:
    child = terminal("ls", dimensions=(24, columns), env={"DOCKER_HOST": engine.url, **(env or {})})
    child.expect(pexpect.EOF)
    before: bytes = child.before
    return before.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [50, 80, 200])
def test_at_a_terminal_it_fits(terminal: Terminal, columns: int) -> None:
    """A row stays a line however narrow the terminal; names give way, states never do. Where the ways are told in
    letters, a last line tells what they mean."""
    with Impostor(_ROWS).serving() as engine:
        lines = _drawn(terminal, engine, columns, {"NO_COLOR": "1"}).splitlines()
    if columns < 120:
        legend = "s ssh, n nsenter, e exec, t toolbox; ? not looked at: -v looks, and says why"
        assert lines[-2:] == ["", legend]
        del lines[-2:]
    assert len(lines) == 4 and all(len(line) <= columns for line in lines)
    for row, line in zip(_ROWS, lines[1:], strict=False):
        assert f" {row['State']} " in line
    assert lines[1].endswith("  s? n? e t" if columns < 120 else "  ssh?, nsenter?, exec, toolbox")
    assert ("…" in lines[2]) == (columns < 200)


@pytest.mark.parametrize(
    ("env", "coloured"), [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_it_is_coloured_only_where_it_is_wanted(terminal: Terminal, env: dict[str, str], coloured: bool) -> None:
    """At a terminal that can, unless NO_COLOR says no (https://no-color.org)."""
    with Impostor(_ROWS).serving() as engine:
        assert ("\x1b[" in _drawn(terminal, engine, env=env)) is coloured


def test_nothing_is_printed_raw(dockshell: Run, terminal: Terminal) -> None:
    """Escape sequences, newlines and markup in names, images, labels and addresses arrive spelled out, in the table and
    in a template alike; in JSON they arrive as JSON has them."""
    with Impostor(_HOSTILE).serving() as engine:
        env = {"DOCKER_HOST": engine.url}
        piped, drawn = _said(dockshell("ls", env=env)), _drawn(terminal, engine, 200, {"NO_COLOR": "1"})
        filled = _said(dockshell("ls", "--format", "{name} {image} {labels} {networks} {service}", env=env))
        (fact,) = _said(dockshell("ls", "--format", "json", env=env)).splitlines()
    for text, lines in ((piped, 2), (drawn, 2), (filled, 1)):
        assert text.replace("\n", "").isprintable() and len(text.splitlines()) == lines
        assert r"\x1b[31m" in text and "[bold]x[/" in text
    assert fact.isascii() and json.loads(fact)["labels"][_EVIL] == _EVIL


def test_all_engines_are_shown(dockshell: Run, tmp_path: Path) -> None:
    """Where nobody named an engine, those that are there are all shown, with words that TARGET understands."""
    (tmp_path / "podman").mkdir()
    docker, podman = Impostor([listed("web")]), Impostor([listed("web")], server="Libpod/4.3.1")
    with docker.serving(str(tmp_path / "docker.sock")), podman.serving(str(tmp_path / "podman/podman.sock")):
        done = dockshell("ls", env={"XDG_RUNTIME_DIR": str(tmp_path)})
    names = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert {"docker://web", "podman://web"} <= set(names)


def test_nothing_is_a_heading(dockshell: Run) -> None:
    """No container is no error."""
    with Impostor([]).serving() as engine:
        assert _said(dockshell("ls", env={"DOCKER_HOST": engine.url})).split() == _HEADINGS
        assert _said(dockshell("ls", "-q", env={"DOCKER_HOST": engine.url})) == ""


_ALTERNATE, _BACK = rb"\x1b\[\?1049h", rb"\x1b\[\?1049l"


def test_a_watch_follows(docker: Peer, terminal: Terminal) -> None:
    """A container that starts appears, one that ends goes; a terminal that is resized is drawn on anew; q ends it with
    0, and the terminal is as it was."""
    name = docker.run("busybox")
    child = terminal("ls", "--watch", engine=docker, env={"NO_COLOR": "1"})
    before = termios.tcgetattr(child.child_fd)
    child.expect(_ALTERNATE)
    child.expect(f"{name} .*Ctrl-C ends".encode())
    started = docker.run("busybox")
    child.expect(f"{started} .*Ctrl-C ends".encode())
    child.setwinsize(30, 160)
    child.expect(f"{started} [^\n]*nsenter".encode())
    docker.sh("kill", started)
    child.expect(rb"Ctrl-C ends")
    child.expect(rb"\x1b\[H((?!%b).)*Ctrl-C ends" % started.encode())
    child.send("q")
    child.expect(_BACK)
    child.expect(pexpect.EOF)
    child.wait()
    assert (child.exitstatus, termios.tcgetattr(child.child_fd)) == (0, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_watch_leaves_the_terminal_as_it_was(terminal: Terminal, number: signal.Signals) -> None:
    """However it ends: Ctrl-C is 0, for that is how it is meant to; a signal has its usual code."""
    with Impostor(_ROWS).serving() as engine:
        child = terminal("ls", "--watch", env={"DOCKER_HOST": engine.url}, command=FROM_A_SHELL)
        before = termios.tcgetattr(child.child_fd)
        child.expect(rb"Ctrl-C ends")
        if number == signal.SIGINT:
            child.sendintr()
        else:
            os.kill(children(child.pid)[0], number)
        child.expect(_BACK)
        child.expect(pexpect.EOF)
        child.wait()
    assert termios.tcgetattr(child.child_fd) == before
    assert child.exitstatus == {signal.SIGINT: 0, signal.SIGTERM: 143, signal.SIGKILL: 137}[number]


def test_a_watch_outlives_its_engine(terminal: Terminal, tmp_path: Path) -> None:
    """An engine that goes away is said to below what is known of it, and watched again when it is back. Nothing that a
    container is called moves the cursor."""
    path = str(tmp_path / "engine.sock")
    with Impostor([*_ROWS, *_HOSTILE]).serving(path) as engine:
        child = terminal("ls", "--watch", dimensions=(24, 240), env={"DOCKER_HOST": engine.url, "NO_COLOR": "1"})
        child.expect(rb"web .*Ctrl-C ends")
        assert re.fullmatch(
            rb"(?:[^\x00-\x1f]|\r\n|\x1b\[[HKJ]|\x1b\[\?1049h|\x1b\[\?25l)*", child.before + child.after
        )
    child.expect(rb"web .*name another with -H.*Ctrl-C ends")
    os.unlink(path)
    with Impostor([listed("again")]).serving(path):
        child.expect(rb"again .*1 containers")
        child.sendintr()
        child.expect(pexpect.EOF)
