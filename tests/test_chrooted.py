"""A container whose first process has chrooted: the container's root is still that of its mount namespace, where the
engine's own exec and cp go."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.contract.watching import until
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

_FIRST = """
    mkdir -p /other/bin /other/etc /other/root /fallback
    cp /bin/busybox /other/bin/ && ln -s busybox /other/bin/sleep && ln -s busybox /other/bin/false
    echo root:x:0:0:root:/fallback:/bin/false >/other/etc/passwd
    echo chroot >/other/which; echo real >/which
    exec chroot /other /bin/sleep 100000
"""


@pytest.fixture
def chrooted(world: World, engine: Peer) -> str:
    """Such a container."""
    world.need_root()

    def make() -> str:
        name = engine.run("busybox", "sh", "-c", _FIRST)
        until(lambda: os.readlink(f"/proc/{engine.pid(name)}/root") == "/other", 30)
        return name

    return engine.kept("chrooted", make)


def test_a_session_is_in_the_real_root(engine: Peer, dockshell: Run, terminal: Terminal, chrooted: str) -> None:
    """Its user, HOME, SHELL and login shell too, with a terminal too; as by `docker exec`."""
    script = 'cat /which; echo "$HOME"'
    expected = engine.reply(chrooted, script)
    assert expected == b"real\n/root\n"
    for via in "nsenter", "exec", "toolbox":
        done = dockshell("exec", "--via", via, chrooted, "sh", "-c", script, engine=engine)
        assert (done.stdout, done.stderr) == (expected, b"")
        done = dockshell("shell", "--via", via, chrooted, engine=engine, input=b'echo "$0 $SHELL $PWD"')
        assert done.stdout.endswith(b"sh /bin/sh /root\n"), (via, done)
    child = terminal("exec", "--via", "nsenter", chrooted, "cat", "/which", engine=engine, timeout=60)
    child.expect_exact("real\r\n")
    pid = engine.pid(chrooted)
    done = dockshell("exec", f"pid:{pid}", "sh", "-c", script)
    assert (done.stdout, done.stderr) == (expected, b"")


def test_files_are_those_of_the_real_root(engine: Peer, dockshell: Run, chrooted: str, tmp_path: Path) -> None:
    """cp by the kernel as by the engine, both ways; and completion of paths."""
    (tmp_path / "given").write_text("given")
    for via in "nsenter", "exec":
        assert dockshell("cp", "--via", via, f"{chrooted}:/which", "-", engine=engine).stdout.count(b"real\n") == 1
        done = dockshell("cp", "--via", via, str(tmp_path / "given"), f"{chrooted}:/{via}", engine=engine)
        assert done.returncode == 0, done
        assert engine.ask("exec", chrooted, "cat", f"/{via}") == "given"
    done = dockshell("__complete", "--", "dockshell", "cp", f"{chrooted}:/wh", engine=engine)
    assert b"which" in done.stdout, done
