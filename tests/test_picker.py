"""`dockshell --pick`: what a person sees and types, on a real terminal; on real engines, and on ones that lie or are
silent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from wcwidth import wcswidth

from tests.conftest import FROM_A_SHELL
from tests.contract.watching import children
from tests.impostor import Impostor, listed
from tests.screen import Seen
from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

_SHOP = [
    listed("web", image="nginx:1.25", age=10),
    listed("api", image="shop/api:2", age=30, labels={"com.docker.compose.service": "backend"}),
    listed("database", image="postgres:16", age=20),
    listed("ended", state="exited"),
]


def _names(lines: list[str]) -> list[str]:
    """The containers that the list shows, from above."""
    heading = next((number for number, line in enumerate(lines) if "NAME" in line), len(lines))
    names = []
    for line in lines[heading + 1 :]:
        if not (found := re.match(r"(?:> |  )(\S+)", line)):
            break
        names.append(found[1])
    return names


def _at(lines: list[str]) -> str:
    """The one that Enter would take; the first line is where one types."""
    return next((line.split()[1] for line in lines[1:] if line.startswith("> ")), "")


def _ended(child: pexpect.spawn[bytes]) -> int | None:
    """Its exit code, None where a signal ended it."""
    child.expect(pexpect.EOF)
    child.close()
    code: int | None = child.exitstatus
    return code


def test_typing_narrows_and_enter_opens_a_shell(docker: Peer, terminal: Terminal) -> None:
    """The newest is above; what is typed leaves what fits it; Enter is a shell in that very one, with the options of
    the line, whose exit code is dockshell's. In the preview there is what was found out about it meanwhile."""
    older, newer = docker.run("busybox"), docker.run("busybox")
    child = terminal("--pick", "-w", "/etc", engine=docker)
    seen = Seen(child)
    names = _names(seen.until(lambda lines: older in _names(lines)))
    assert names.index(newer) < names.index(older)
    child.send(older)
    seen.until(lambda lines: _names(lines) == [older])
    seen.shows("shell      /bin/sh as root")
    assert any(re.match(r"(nsenter|exec) +taken$", line) for line in seen.shows(" taken"))
    assert f"container  {older} ({docker.inspect(older)['Id'][:12]})" in seen.lines
    child.send("\r")
    seen.shows("#")
    child.send("hostname; pwd; stty size; exit 7\r")
    seen.shows(docker.inspect(older)["Config"]["Hostname"])
    assert {"/etc", "24 80"} <= set(seen.shows("24 80"))
    assert _ended(child) == 7


def test_the_list(terminal: Terminal) -> None:
    """Words may fit any part of what is shown, or be letters of a name in their order; a container that doesn't run
    isn't there; the keys move, and the count counts."""
    with Impostor(_SHOP).serving() as engine:
        child = terminal("--pick", env={"DOCKER_HOST": engine.url})
        seen = Seen(child)
        seen.until(lambda lines: _names(lines) == ["web", "database", "api"] and lines[0].endswith(" 3/3"))
        seen.shows("Type part of a name, image, state, service or id")
        for keys, at in (
            ("\x1b[B", "database"), ("\x0e", "api"), ("\x0e", "api"), ("\x0b", "database"), ("\x10", "web"),
            ("\n", "database"), ("\x1b[A", "web"), ("\x1b[F", "api"), ("\x1b[H", "web"), ("\x1b[6~", "api"),
            ("\x1b[5~", "web"),
        ):  # fmt: skip
            child.send(keys)
            seen.until(lambda lines, at=at: _at(lines) == at)
        for words, names in (
            ("a", ["database", "api"]),
            ("BACK", ["api"]),
            ("shop ap", ["api"]),
            ("dtbs", ["database"]),
        ):
            child.send(words)
            seen.until(lambda lines, names=names: _names(lines) == names and lines[0].endswith(f" {len(names)}/3"))
            child.send("\x15")
        child.send("nothing")
        seen.shows("nothing fits what you typed")
        child.send("\r")  # picks nothing
        child.send("\x03")
        assert _ended(child) == 130


def test_a_target_is_where_the_list_begins(terminal: Terminal) -> None:
    """`dockshell --pick ap` is narrowed to it already."""
    with Impostor(_SHOP).serving() as engine:
        seen = Seen(terminal("--pick", "ap", env={"DOCKER_HOST": engine.url}))
        lines = seen.until(lambda lines: lines[0].startswith("> ap ") and "web" not in _names(lines))
        assert _names(lines) == ["api"]


@pytest.mark.parametrize("how", ["\x1b", "\x03", signal.SIGTERM, signal.SIGKILL], ids=["esc", "ctrl-c", "term", "kill"])
def test_leaving_gives_the_terminal_back(terminal: Terminal, how: str | int) -> None:
    """Esc and Ctrl-C end with 130, and a signal ends dockshell as it should; the terminal's settings are what they
    were, after a KILL, too, and what it showed before is there again."""
    with Impostor(_SHOP).serving() as engine:
        child = terminal("--pick", env={"DOCKER_HOST": engine.url}, command=FROM_A_SHELL)
        before = termios.tcgetattr(child.child_fd)
        seen = Seen(child)
        seen.shows("database")
        assert termios.tcgetattr(child.child_fd) != before
        if isinstance(how, str):
            child.send(how)
        else:
            os.kill(children(child.pid)[0], how)
        seen.until(lambda _: termios.tcgetattr(child.child_fd) == before and not child.isalive())
        seen.until(lambda _: seen.raw.rpartition(b"\x1b[?1049h")[2].count(b"\x1b[?1049l") == 1)
        assert child.exitstatus == (130 if isinstance(how, str) else 128 + how)


def test_it_fits_every_terminal(terminal: Terminal) -> None:
    """However small or large it becomes, there is a list; the facts are beside it where it is wide, below where there
    is room, and nowhere else."""
    with Impostor(_SHOP).serving() as engine:
        child = terminal("--pick", env={"DOCKER_HOST": engine.url}, dimensions=(5, 20))
        seen = Seen(child, (5, 20))
        assert not any("container" in line for line in seen.shows("database"))
        for rows, columns, place in ((24, 80, r"^container  web"), (20, 200, r" │ container  web")):
            seen.resize(rows, columns)
            seen.until(lambda lines, place=place: any(re.search(place, line) for line in lines))
        for rows, columns in ((1, 1), (2, 7), (10, 40)):
            seen.resize(rows, columns)
        seen.until(lambda lines: _names(lines) == ["web", "database", "api"])


def test_nothing_inside_forges_the_screen(terminal: Terminal) -> None:
    """Escape sequences, newlines and letters that turn the direction are spelled out, in the list and in the facts;
    wide letters keep their columns."""
    evil = listed(
        "\x1b[31mred\nline",
        image="i\x1b]0;title\x07",
        labels={"x": "\u202eevil\x9b2J"},
        addresses={"n": "1.2.3.4\x1b[2J"},
    )
    wide = listed("漢字" * 30, age=9, image="wide")
    with Impostor([evil, wide]).serving() as engine:
        child = terminal("--pick", env={"DOCKER_HOST": engine.url}, dimensions=(30, 120))
        seen = Seen(child, (30, 120))
        seen.shows(r"labels     x=\u202eevil\x9b2J")
        assert _names(seen.lines)[0] == r"\x1b[31mred\nline"
        places = {
            wcswidth(line[: line.index(each)]) for line in seen.lines for each in (" │", "  running") if each in line
        }
        assert len(places) == 2
        child.send("\x1b[B")
        seen.until(lambda lines: "漢" in _at(lines))
        for forged in (b"\x1b[31m", b"\x1b]0;title", "\u202e".encode(), "\x9b".encode(), b"\x1b[2J\x1b"):
            assert forged not in seen.raw


def test_where_there_is_nothing_to_pick_at(docker: Peer, dockshell: Run, terminal: Terminal) -> None:
    """Without a terminal to draw on it is wrong usage, in one line; with no container that runs, the usual sentence."""
    done = dockshell("--pick", engine=docker)
    assert (done.returncode, done.stdout) == (2, b"")
    assert (
        done.stderr == b"dockshell: --pick takes a terminal to draw on: name a TARGET, or leave it out for the newest\n"
    )
    assert _ended(terminal("--pick", env={"TERM": "dumb"})) == 2
    with Impostor(_SHOP[-1:]).serving() as engine:
        child = terminal("--pick", env={"DOCKER_HOST": engine.url}, dimensions=(24, 200))
        child.expect_exact("no container is running")
        assert b"\x1b" not in child.before and _ended(child) == 125


def test_a_silent_engine_holds_nobody_up(docker: Peer, terminal: Terminal, tmp_path: Path) -> None:
    """What one engine has is there while another is still waited for, which is said; and what is picked is looked for
    where it was found and nowhere else, however many engines know that name."""
    name = docker.run("busybox")
    (tmp_path / "podman").mkdir()
    (tmp_path / "docker.sock").symlink_to(docker.url.removeprefix("unix://"))
    with Impostor([], silent=True).serving(str(tmp_path / "podman" / "podman.sock")) as silent:
        child = terminal("--pick", name, env={"XDG_RUNTIME_DIR": str(tmp_path)}, dimensions=(24, 160))
        seen = Seen(child, (24, 160))
        seen.shows(f"waiting for {silent.url} ...")
        seen.shows(name)
        child.send("\r")
        seen.shows("#")
        child.send("exit 3\r")
        assert _ended(child) == 3


def test_one_name_of_two_engines(docker: Peer, podman: Peer, terminal: Terminal, tmp_path: Path) -> None:
    """Where both have a container of the name each is told apart by its engine, and it is the picked one that is
    entered."""
    name = podman.run("busybox")
    docker.run("busybox", name=name)
    (tmp_path / "podman").mkdir()
    (tmp_path / "docker.sock").symlink_to(docker.url.removeprefix("unix://"))
    (tmp_path / "podman" / "podman.sock").symlink_to(podman.url.removeprefix("unix://"))
    child = terminal("--pick", name, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    seen = Seen(child)
    seen.until(lambda lines: sorted(_names(lines)) == [f"docker://{name}", f"podman://{name}"])
    child.send(" podman")
    seen.until(lambda lines: _names(lines) == [f"podman://{name}"])
    child.send("\r")
    seen.shows("#")
    child.send("hostname; exit\r")
    seen.shows(podman.inspect(name)["Config"]["Hostname"])
    assert _ended(child) == 0


def test_one_that_went_meanwhile(docker: Peer, terminal: Terminal) -> None:
    """It is said, and no other is entered in its place, were its name the beginning of another's."""
    name = docker.run("busybox")
    child = terminal("--pick", name, engine=docker)
    seen = Seen(child)
    seen.until(lambda lines: _names(lines) == [name])
    docker.run("busybox", name=docker.inspect(name)["Id"] + "-2")
    docker.sh("rm", "--force", name)
    child.send("\r")
    child.expect_exact(f"{name} is gone: pick another")
    assert _ended(child) == 125


def test_the_configuration_may_ask_for_it(terminal: Terminal, environment: dict[str, str]) -> None:
    """With `pick = true` who names no TARGET picks; who names one, or says --pick=false, doesn't."""
    folder = Path(environment["HOME"], ".config", "dockshell")
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("pick = true\n")
    with Impostor(_SHOP).serving() as engine:
        Seen(terminal(env={"DOCKER_HOST": engine.url})).shows("database")
        for words in (["nonesuch"], ["--pick=false"]):
            child = terminal(*words, env={"DOCKER_HOST": engine.url})
            assert _ended(child) == 125 and b"\x1b" not in child.before  # for the impostor tells no more of a container


def test_stopped_ones(docker: Peer, terminal: Terminal) -> None:
    """With --stopped those that don't run are picked from, and it is a stand-in's shell that opens."""
    ended, running = docker.run("busybox", "sh", "-c", "echo left >/left"), docker.run("busybox")
    docker.sh("wait", ended)
    child = terminal("--pick", "--stopped", engine=docker)
    seen = Seen(child)
    assert running not in _names(seen.until(lambda lines: ended in _names(lines)))
    child.send(ended + "\r")
    seen.shows("#")
    child.send("cat /left; exit 4\r")
    seen.until(lambda lines: "left" in lines)
    assert _ended(child) == 4


def test_nothing_of_it_stays_in_the_session(docker: Peer, terminal: Terminal) -> None:
    """No thread, and no descriptor of a container that one went by."""
    names = [docker.run("busybox") for _ in range(3)]
    child = terminal("--pick", engine=docker)
    seen = Seen(child)
    for name in reversed(names):
        seen.until(lambda lines, name=name: f"container  {name} " in "\n".join(lines) and "taken" in "\n".join(lines))
        if name != names[0]:
            child.send("\x1b[B")
    child.send("\r")
    seen.shows("#")
    seen.until(lambda _: len(os.listdir(f"/proc/{child.pid}/task")) == 1)
    held = [os.readlink(f"/proc/{child.pid}/fd/{number}") for number in os.listdir(f"/proc/{child.pid}/fd")]
    assert not [each for each in held if re.match(r"(mnt|net|pid):", each)]
