"""What is there inside and can't be executed: that is said, not that it isn't there; and a login shell of that kind
gives way to one that can be."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

_PROGRAMS = {
    "crlf": b"#!/bin/sh\r\necho ran\r\n",
    "nowhere": b"#! /no/such\x1b[31m -x\n",
    "indirect": b"#!/opt/loaderless\n",
    "wrong": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xf7\0" + bytes(200),  # of another machine
}
_SAYS = {
    "crlf": b"/opt/crlf: its interpreter '/bin/sh\\r' is not there; its lines end in CR LF: save it with LF alone\n",
    "nowhere": b"/opt/nowhere: its interpreter '/no/such\\x1b[31m' is not there\n",
    "loaderless": b"/opt/loaderless: its loader '/lib64/ld-linux-x86-64.so.2' is not there; "
    b"it was built for a system with another C library\n",
    "indirect": b"/opt/indirect: its interpreter '/opt/loaderless' can't be executed: its loader "
    b"'/lib64/ld-linux-x86-64.so.2' is not there; it was built for a system with another C library\n",
}


@pytest.fixture
def odd(world: World, engine: Peer, tmp_path: Path) -> str:
    """A container that has those in /opt, a user with each as login shell, and a file system without execution."""
    world.need_root()

    def make() -> str:
        for name, content in _PROGRAMS.items():
            (tmp_path / name).write_bytes(content)
        shutil.copy(world.need_program("true"), tmp_path / "loaderless")
        (tmp_path / "bash").symlink_to("crlf")
        for path in tmp_path.iterdir():
            path.chmod(0o755)
        name = engine.run("busybox", options=["--tmpfs", "/noexec:rw,noexec"])
        engine.sh("cp", f"{tmp_path}/.", f"{name}:/opt")
        engine.sh("exec", name, "cp", "/bin/busybox", "/noexec/sh")
        shells = ["/noexec/sh", "/opt/bash", *(f"/opt/{each}" for each in (*_SAYS, "wrong"))]
        entries = "".join(f"{each.replace('/', '')}:x:{1100 + n}:0::/tmp:{each}\n" for n, each in enumerate(shells))
        engine.sh("exec", "-i", name, "sh", "-c", "chmod 755 /opt; cat >>/etc/passwd", input=entries.encode())
        return name

    return engine.kept("odd programs", make)


_LACKING = [
    ("docker", "nsenter", "crlf"),
    ("docker", "nsenter", "nowhere"),
    ("docker", "nsenter", "indirect"),
    ("docker", "exec", "crlf"),
    ("docker", "toolbox", "loaderless"),
    ("podman", "nsenter", "loaderless"),
    ("podman", "exec", "loaderless"),
]


@pytest.mark.parametrize(("engine", "via", "program"), _LACKING, indirect=["engine"])
def test_what_it_lacks_is_said(engine: Peer, dockshell: Run, odd: str, via: str, program: str) -> None:
    """A script's interpreter, a program's loader: with 127, by its path or as PATH finds it."""
    for options, word in ((), f"/opt/{program}"), (("-e", "PATH=/bin:/opt"), program):
        done = dockshell("exec", "--via", via, *options, odd, word, engine=engine, input=b"x" * 100)
        assert (done.returncode, done.stdout) == (127, b""), done
        assert done.stderr == f"dockshell: in {odd}, ".encode() + _SAYS[program], done


_SHELLS = [
    ("docker", "nsenter", "optcrlf"),
    ("docker", "nsenter", "optwrong"),
    ("docker", "nsenter", "noexecsh"),
    ("docker", "exec", "optwrong"),
    ("docker", "exec", "noexecsh"),
    ("docker", "toolbox", "optindirect"),
    ("podman", "exec", "optloaderless"),
]


@pytest.mark.parametrize(("engine", "via", "shell"), _SHELLS, indirect=["engine"])
def test_another_shell_takes_its_place(engine: Peer, dockshell: Run, odd: str, via: str, shell: str) -> None:
    """What a login shell lacks is said once, and SHELL and all else is the other's."""
    script = b"echo $SHELL; exit 7\n"
    done = dockshell("shell", "--via", via, "-u", shell, odd, engine=engine, input=script)
    assert (done.returncode, done.stdout) == (7, b"/bin/ash\n"), done
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"dockshell: a shell can't be started in {odd} (/".encode()), done
    assert said.endswith(b"): using another") and b"\x1b" not in said
    assert _SAYS.get(shell.removeprefix("opt"), b"").rstrip(b"\n") in said


@pytest.mark.parametrize("via", ["nsenter", "exec"])
@pytest.mark.parametrize("engine", ["docker"], indirect=True)
def test_another_shell_runs_a_command(
    engine: Peer, dockshell: Run, terminal: Terminal, odd: str, tmp_path: Path, via: str
) -> None:
    """For `exec --login`; and at a terminal, where it is recorded, too."""
    words = ("--via", via, "-u", "optbash", odd)
    done = dockshell("exec", "--login", *words, "sh", "-c", "echo $SHELL; exit 7", engine=engine)
    assert (done.returncode, done.stdout) == (7, b"/bin/ash\n"), done
    assert done.stderr.count(b"using another") == 1
    cast = tmp_path / "cast"
    child = terminal("shell", "--record", str(cast), *words, engine=engine, timeout=60)
    child.expect_exact("using another\r\n")
    child.sendline("tty; stty size; exit 5")
    child.expect(rb"/dev/(pts/\d+|console)\r\n24 80\r\n")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 5
    assert "24 80" in cast.read_text()
