"""The config file, by the real command on real containers: what it sets holds, what the command line says goes before
it, and `dockshell config` tells where each value came from."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.contract.watching import processes, unique, until
from tests.world import Peer

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Configure = Callable[[str], Path]


@pytest.fixture
def configure(environment: dict[str, str]) -> Configure:
    """Writes the config file of the caller's home."""

    def write(text: str) -> Path:
        path = Path(environment["HOME"]) / ".config/dockshell/config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_what_is_configured_holds(docker: Peer, dockshell: Run, configure: Configure) -> None:
    """user and via for every container, other ones for some; -u and --via go before them."""
    name = docker.run("busybox")
    configure(f'user = "7:8"\nvia = ["exec", "nsenter"]\n[container."{name[:-1]}*"]\nuser = "9"\n')
    told = dockshell("-v", "exec", name, "id", "-u", engine=docker)
    assert (told.returncode, told.stdout) == (0, b"9\n")
    assert b"exec: taken" in told.stderr and b"nsenter" not in told.stderr
    said = dockshell("-v", "exec", "-u", "5", "--via", "nsenter", name, "id", "-u", engine=docker)
    assert said.stdout == b"5\n" and b"nsenter: taken" in said.stderr
    back = dockshell("-v", "exec", "--via", "auto", name, "id", "-u", engine=docker)
    assert b"nsenter: taken" in back.stderr
    other = docker.run("busybox")
    configure(f'user = "7:8"\n[container."{name}"]\nuser = "9"\n')
    assert dockshell("exec", other, "id", "-g", engine=docker).stdout == b"8\n"


def test_an_images_section_and_the_shell(docker: Peer, terminal: Any, configure: Configure) -> None:
    """The login shell that an image's section names is the one that opens; docker-bash's own bash goes before it."""
    name = docker.run("baseimage")
    configure(f'[image."{docker.image("baseimage").rpartition("/")[0]}/*"]\nshell = "sh"\nvia = "nsenter"\n')
    child = terminal(name, engine=docker)
    child.sendline("echo $0.")
    child.expect(rb"-sh\.\r")
    child.sendline("exit")
    child.expect(pexpect.EOF)


def test_the_tools_that_are_configured(docker: Peer, dockshell: Run, configure: Configure, tmp_path: Path) -> None:
    """Where nothing is inside, the toolbox brings those."""
    name = docker.run("bare")
    (tmp_path / "bin").mkdir()
    os.symlink("/bin/true", tmp_path / "bin/mine")
    (tmp_path / "bin/hello").write_text("#!/bin/sh\necho from tools\n")
    (tmp_path / "bin/hello").chmod(0o755)
    configure(f'tools = "{tmp_path}"\n')
    done = dockshell("exec", name, "hello", engine=docker)
    assert (done.returncode, done.stdout) == (0, b"from tools\n"), done.stderr


def test_a_mistake_is_named_before_anything_runs(docker: Peer, dockshell: Run, configure: Configure) -> None:
    """One sentence with the file and the line, and exit code 2."""
    name = docker.run("busybox")
    path = configure('\nusr = "x"\n')
    done = dockshell("exec", name, "touch", "/ran", engine=docker)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"dockshell: {path}, line 2: no setting is called usr: did you mean user?\n"
    path = configure('\n\nvia = "teleport"\n')
    done = dockshell("exec", name, "true", engine=docker)
    assert done.returncode == 2
    assert f"via, as {path}:3 has it, takes auto, ssh" in done.stderr.decode()
    assert docker.sh("exec", name, "ls", "/ran", check=False).returncode


def test_config_tells_what_holds_and_why(docker: Peer, dockshell: Run, configure: Configure) -> None:
    """A row for each setting with its file and line, or that it is built in; of one container only what holds there."""
    name = docker.run("busybox")
    path = configure(f'user = "app"\n[container."{name}"]\nuser = "www"\nrecord_input = true\n')
    short = "~/.config/dockshell/config.toml"
    rows = [re.split(r"  +", line) for line in dockshell("config").stdout.decode().splitlines()]
    assert rows[0] == ["SETTING", "VALUE", "FOR", "FROM"]
    assert ["user", "app", "every container", f"{short}:1"] in rows
    assert ["user", "www", f"container {name}", f"{short}:3"] in rows
    assert ["via", "auto", "every container", "built in"] in rows
    told = dockshell("config", name, engine=docker).stdout.decode()
    rows = [re.split(r"  +", line) for line in told.splitlines()]
    assert [row for row in rows if row[0] == "user"] == [["user", "www", f"container {name}", f"{short}:3"]]
    assert ["record_input", "yes", f"container {name}", f"{short}:4"] in rows
    path.unlink()
    bare = dockshell("config")
    assert bare.returncode == 0 and b"there is no " in bare.stderr and b"built in" in bare.stdout


def test_config_fits_a_terminal(terminal: Any, configure: Configure) -> None:
    """At 80 columns a long value is cut, and the line that says it never."""
    configure(f'record = "/srv/{"deep/" * 20}"\n[container."web-*"]\nuser = "www"\n')
    child = terminal("config")
    child.expect(pexpect.EOF)
    lines = re.sub(rb"\x1b\[[0-9;]*m", b"", child.before).decode().splitlines()
    assert all(len(line) <= 80 for line in lines)
    record = next(line for line in lines if line.startswith("record "))
    assert "…" in record and record.rstrip().endswith("~/.config/dockshell/config.toml:1")
    assert any(line.split()[-1].endswith("config.toml:3") for line in lines if line.startswith("user "))


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_the_detach_key_leaves_the_command_to_itself(
    engine: Peer, terminal: Any, configure: Configure, via: str
) -> None:
    """It ends dockshell with 0 and the terminal as it was; the command goes on, is heard out, and ends by itself."""
    name, word = engine.run("busybox"), unique()
    configure('detach_key = "ctrl-]"\n')
    script = "echo up; until [ -e /go ]; do sleep 0.05; done; yes | head -n 100000; echo done >/done"
    child = terminal("exec", "--via", via, name, "sh", "-c", script, word, engine=engine)
    child.expect("up")
    child.send("x\x1d")
    child.expect(f"left: what runs goes on in {name}")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert processes(word)
    engine.sh("exec", name, "touch", "/go")
    until(lambda: engine.sh("exec", name, "cat", "/done", check=False).stdout == b"done\n")
    until(lambda: not processes(word))


def test_several_keys_reach_the_command_but_the_last(docker: Peer, terminal: Any, configure: Configure) -> None:
    """Nothing is held back: of `ctrl-p,ctrl-q` the first is the command's at once; apart they mean nothing."""
    name = docker.run("busybox")
    configure('detach_key = "ctrl-p,ctrl-q"\n')
    script = "stty raw -echo; echo up; dd bs=1 count=4 2>/dev/null | od -An -tx1 -w4; read x"
    child = terminal("exec", name, "sh", "-c", script, engine=docker)
    child.expect("up")
    for key in ("\x11", "\x10", "a", "\x10"):
        child.send(key)
        time.sleep(0.05)
    child.expect("11 10 61 10")
    child.send("\x11")
    child.expect("left: what runs")
    child.expect(pexpect.EOF)
    docker.sh("rm", "-f", name)


def test_by_ssh_there_is_none(docker: Peer, terminal: Any, configure: Configure) -> None:
    """Its session would end with the connection: there the key is the command's, too."""
    configure('detach_key = "ctrl-]"\n')
    script = "stty raw -echo; echo up; dd bs=1 count=1 2>/dev/null | od -An -tx1"
    child = terminal("exec", "--via", "ssh", docker.shared("baseimage"), "sh", "-c", script, engine=docker)
    child.expect("up")
    child.send("\x1d")
    child.expect("1d")
    child.expect(pexpect.EOF)


def test_without_it_every_key_gets_through(docker: Peer, terminal: Any) -> None:
    """There is no detach key unless somebody configured one."""
    name = docker.run("busybox")
    child = terminal(
        "exec",
        name,
        "sh",
        "-c",
        "stty raw -echo; echo up; dd bs=1 count=3 2>/dev/null | od -An -tx1 -w3",
        engine=docker,
    )
    child.expect("up")
    child.send("\x1d\x10\x11")
    child.expect("1d 10 11")
    child.expect(pexpect.EOF)
