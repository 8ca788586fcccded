"""`--record`: what a session showed, as a file that asciinema plays."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from tests.world import Peer

Run = Callable[..., subprocess.CompletedProcess[bytes]]


def _read(path: Path) -> tuple[dict[str, Any], list[tuple[float, str, str]]]:
    head, *events = (json.loads(line) for line in path.read_text().splitlines())
    return head, [tuple(each) for each in events]


def _shown(path: Path) -> list[str]:
    """The screen at the end of a recording, as a terminal shows it that plays it."""
    head, events = _read(path)
    screen = pyte.Screen(head["width"], head["height"])
    stream = pyte.Stream(screen)
    for _, kind, data in events:
        if kind == "o":
            stream.feed(data)
    return [line.rstrip() for line in screen.display if line.strip()]


@pytest.mark.parametrize("via", ["nsenter", "exec", "ssh", "toolbox"])
def test_a_shell_is_recorded_on_every_route(docker: Peer, terminal: Any, tmp_path: Path, via: str) -> None:
    """Size, output and changes of size, with times that grow; not what was typed unseen; and only for its owner."""
    name = docker.shared("baseimage") if via == "ssh" else docker.run({"toolbox": "bare"}.get(via, "busybox"))
    cast = tmp_path / "session.cast"
    child = terminal("shell", "--via", via, "--record", str(cast), name, dimensions=(20, 70), engine=docker)
    child.sendline("stty size; stty -echo; echo un''seen; read it; stty echo; echo got ${#it}")
    child.expect("20 70")
    child.expect("unseen")
    child.sendline("secret")
    child.expect("got 6")
    child.setwinsize(30, 100)
    child.sendline("while stty size | grep -q ^20; do :; done; sleep 0.4; stty size; exit 7")
    child.expect("30 100")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7
    head, events = _read(cast)
    assert (head["version"], head["width"], head["height"], head["title"]) == (2, 70, 20, name)
    assert abs(head["timestamp"] - time.time()) < 60 and head["env"] == {"TERM": "xterm-256color"}
    assert [kind for _, kind, _ in events if kind != "o"].count("r") >= 1
    assert "100x30" in [data for _, kind, data in events if kind == "r"]
    times = [at for at, _, _ in events]
    assert times == sorted(times) and times[0] >= 0 and times[-1] > 0.3
    assert "got 6" in "".join(data for _, _, data in events)
    assert "secret" not in cast.read_text()
    assert stat.S_IMODE(cast.stat().st_mode) == 0o600


def test_input_is_recorded_where_asked_for(docker: Peer, terminal: Any, tmp_path: Path) -> None:
    """--record-input keeps what is typed, too."""
    name, cast = docker.run("busybox"), tmp_path / "x.cast"
    child = terminal("exec", "--record", str(cast), "--record-input", name, "sh", "-c", "stty -echo; echo up; read x",
                     engine=docker)  # fmt: skip
    child.expect("up")
    child.sendline("hällo")
    child.expect(pexpect.EOF)
    typed = "".join(data for _, kind, data in _read(cast)[1] if kind == "i")
    assert typed == "hällo\n"


def test_a_pipe_is_recorded_as_lines(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Without a terminal the bytes still arrive as they are, and a player shows them line by line, stderr too."""
    name, cast = docker.run("busybox"), tmp_path / "x.cast"
    script = "cat; echo two; printf '\\303'; sleep 0.1; printf '\\244\\377\\n'; echo err >&2"
    done = dockshell("exec", "--record", str(cast), name, "sh", "-c", script, input=b"one\n", engine=docker)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"one\ntwo\n\xc3\xa4\xff\n", b"err\n")
    assert sorted(_shown(cast)) == sorted(["one", "two", "ä\ufffd", "err"])


def test_what_is_there_is_not_overwritten(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Nor is a link followed; nothing runs then."""
    name, cast = docker.run("busybox"), tmp_path / "x.cast"
    cast.write_text("mine")
    done = dockshell("exec", "--record", str(cast), name, "touch", "/ran", engine=docker)
    assert done.returncode == 2 and b"is there already" in done.stderr
    os.symlink(tmp_path / "elsewhere", tmp_path / "link.cast")
    assert (
        dockshell("exec", "--record", str(tmp_path / "link.cast"), name, "touch", "/ran", engine=docker).returncode == 2
    )
    done = dockshell("exec", "--record", str(tmp_path / "no/x.cast"), name, "touch", "/ran", engine=docker)
    assert done.returncode == 2 and b"can't be recorded to: No such file or directory" in done.stderr
    assert cast.read_text() == "mine" and not (tmp_path / "elsewhere").exists()
    assert docker.sh("exec", name, "ls", "/ran", check=False).returncode


def test_a_full_disk_ends_the_recording_alone(docker: Peer, terminal: Any, tmp_path: Path) -> None:
    """The session goes on, a line says so, and what was recorded by then can still be played."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=True)
    try:
        name, cast = docker.run("busybox"), tmp_path / "x.cast"
        child = terminal(
            "exec", "--record", str(cast), name, "sh", "-c", "yes | head -n 60000; echo the end; exit 5", engine=docker
        )
        child.expect(r"the recording ends here:\s.*:\s+No\s+space\s+left\s+on\s+device")
        child.expect("the end")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 5
        assert _read(cast)[1]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_directory_for_all_that_is_done_at_a_terminal(
    docker: Peer, dockshell: Run, terminal: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    """`record = DIR` makes a file for each session at a terminal, named after its time and container, and none for a
    command in a pipe."""
    home = Path(environment["HOME"])
    (home / ".config/dockshell").mkdir(parents=True)
    (home / ".config/dockshell/config.toml").write_text('record = "~/casts/deep"\n')
    name = docker.run("busybox")
    assert dockshell("exec", name, "true", engine=docker).returncode == 0
    assert not (home / "casts").exists()
    for _ in range(2):
        child = terminal("exec", name, "echo", "kept", engine=docker)
        child.expect(pexpect.EOF)
    casts = list((home / "casts/deep").iterdir())
    assert len(casts) == 2
    assert all(time.strftime("%Y%m%d-") in each.name and f"-{name}-" in each.name for each in casts)
    assert [_shown(each) for each in casts] == [["kept"], ["kept"]]
    assert stat.S_IMODE((home / "casts/deep").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--record-input"], "takes --record FILE"),
        (["--record", "x.cast", "-d"], "there is nothing to record"),
    ],
)
def test_words_that_do_not_fit(dockshell: Run, words: list[str], says: str) -> None:
    """Are wrong usage, with the reason."""
    done = dockshell("exec", *words, "any", "true")
    assert done.returncode == 2 and says in done.stderr.decode()
