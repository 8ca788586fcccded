"""The toolbox as root: containers with nothing inside, and what is there for a session. Nothing of it shows in them,
and nothing is left. (The session contract has a cell of this route, and who isn't root is in
test_toolbox_sidecar.py.)"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from dockshell.tools.busybox import static_busybox
from tests.conftest import COMMAND
from tests.contract.watching import end_all, processes, unique, until
from tests.world import Peer, World
from tests.world.archive import Layer
from tests.world.images import LOCKED

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

KINDS = {
    "scratch": (),
    "read-only": ("--read-only",),
    "locked": (*LOCKED, "--user", "65532"),
    "tmpfs": ("--tmpfs", "/data:mode=1777"),
    "pid-host": ("--pid", "host"),
    "unfiltered": ("--security-opt", "seccomp=unconfined"),
}
PLACE = "/proc/fs/nfsd"
WORKSHOP = "dockshell-test/workshop"


@pytest.fixture(params=["docker", "podman", "docker26"])
def peer(request: pytest.FixtureRequest, world: World) -> Peer:
    """The two engines, and the newer Docker."""
    world.need_root()
    found: Peer = getattr(world, request.param)
    return found


@pytest.fixture
def rooted(world: World, docker: Peer) -> Peer:
    """Docker, where we are root."""
    world.need_root()
    return docker


def bare(peer: Peer, kind: str = "scratch") -> str:
    """A container of that kind with one program that is of no use; all tests share it."""
    return peer.kept(f"bare {kind}", lambda: peer.run("bare", options=KINDS[kind]))


def view(pid: int) -> tuple[list[str], str]:
    """What the process has mounted, and what it finds at the tools' place."""
    return os.listdir(f"/proc/{pid}/root{PLACE}"), Path(f"/proc/{pid}/mountinfo").read_text()


def toolboxes(pid: int) -> list[str]:
    """The processes of this machine that are in that one's root, and have a toolbox mounted."""
    found, root = [], os.stat(f"/proc/{pid}/root")
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if " toolbox " in Path(f"/proc/{name}/mountinfo").read_text():
                found += [name] if os.path.samestat(os.stat(f"/proc/{name}/root"), root) else []
    return found


@contextlib.contextmanager
def unchanged(peer: Peer, name: str) -> Iterator[None]:
    """Nothing else is mounted or written in the container at the end, and no toolbox is left on this machine."""
    pid = peer.pid(name)
    before = peer.ask("diff", name), view(pid)
    yield
    assert (peer.ask("diff", name), view(pid)) == before
    assert " toolbox " not in Path("/proc/self/mountinfo").read_text()
    until(lambda: not toolboxes(pid))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unfiltered"])
def test_a_command_where_there_is_nothing(peer: Peer, dockshell: Run, kind: str) -> None:
    """Its words, input, output, errors and exit code pass; it is in the container's root as its user; PATH ends with
    the tools, at which nobody can write; and nothing is left."""
    name = bare(peer, kind)
    script = f"""
        cat; echo "$0" "$1" >&2; echo $PATH; ls /; id -u
        touch {PLACE}/x 2>/dev/null && exit 1
        chmod 777 {PLACE}/busybox 2>/dev/null && exit 2
        exit 7
    """
    with unchanged(peer, name):
        done = dockshell("exec", name, "--", "sh", "-c", script, "a  b", "c\nd", input=b"in\0\xff\n", engine=peer)
    path, *listed, user = done.stdout.removeprefix(b"in\0\xff\n").splitlines()
    assert (done.returncode, done.stderr) == (7, b"a  b c\nd\n")
    assert path == f"/:{PLACE}/bin".encode()
    assert b"sleep" in listed and b"busybox" not in listed
    assert user == (b"65532" if kind == "locked" else b"0")


def test_nothing_shows_while_it_is_open(peer: Peer, terminal: Terminal) -> None:
    """With a login shell on a terminal: the container's own processes find nothing of it, the terminal is the
    container's, what a root has in /dev works, and a KILL of ours leaves nothing."""
    name = bare(peer)
    word = unique()
    with unchanged(peer, name):
        pid = peer.pid(name)
        before = view(pid)
        child = terminal("shell", name, engine=peer, dimensions=(33, 111))
        child.sendline(
            b"stty size; ls -l $(tty); echo $0 $HOME; echo x > /dev/shm/x && cat /dev/stdin </dev/shm/x; rm /dev/shm/x"
        )
        child.expect(rb"33 111\r\n")
        child.expect(rb"crw[^\r]* 136, +(\d+) [^\r]* /dev/(pts/\1|console)\r\n")
        child.expect(rb"-sh /\r\nx\r\n")
        child.sendline(f"sleep {word}".encode())
        until(lambda: processes(word))
        assert view(pid) == before and toolboxes(pid)
        assert peer.sh("exec", name, f"{PLACE}/busybox", "true", check=False).returncode in (126, 127)
        child.kill(signal.SIGKILL)
        until(lambda: not processes(word))


def test_auto_brings_tools_only_where_there_is_no_shell(rooted: Peer, dockshell: Run) -> None:
    """Last of all; -v tells. A command that is there is not another; where a shell is, a missing one stays missing; and
    by a way that was named it is an error with the remedy."""
    name = bare(rooted)
    done = dockshell("-v", "shell", name, input=b"echo $0 $SHELL; pwd; exit 3", engine=rooted)
    assert (done.returncode, done.stdout) == (3, f"-sh {PLACE}/sh\n/\n".encode())
    assert b"dockshell: toolbox: taken" in done.stderr
    there = dockshell("-v", "exec", name, "--", "/sleep", "0", engine=rooted)
    assert there.returncode == 0 and b"toolbox" not in there.stderr
    assert dockshell("exec", name, "--", "no-such-tool", engine=rooted).returncode == 127
    shelled = dockshell("-v", "exec", rooted.shared("busybox"), "--", "no-such-tool", engine=rooted)
    assert shelled.returncode == 127 and b"toolbox" not in shelled.stderr
    for words in ("shell", "--via", "exec", name), ("shell", "--via", "nsenter", name):
        done = dockshell(*words, engine=rooted)
        assert done.returncode == 125 and b"--via toolbox" in done.stderr, done


def test_the_containers_own_shell_and_programs_go_first(rooted: Peer, dockshell: Run) -> None:
    """Where tools are asked for in a container that has some."""
    script = b"echo $0 $SHELL $PATH; command -v ls strace"
    done = dockshell("shell", "--tools", "/usr", rooted.shared("busybox"), input=script, engine=rooted)
    assert done.stdout.startswith(f"-sh /bin/sh /bin:/sbin:/usr/bin:{PLACE}/bin\n".encode()), done
    assert done.stdout.splitlines()[1] == b"ls" or done.stdout.splitlines()[1] == b"/bin/ls"


def test_no_tools_to_be_had(rooted: Peer, dockshell: Run, tmp_path: Path) -> None:
    """What there is to do is said, and the exit code is as it would be without."""
    name = bare(rooted)
    for words, code in (
        (("shell", name), 125),
        (("exec", name, "ls"), 127),
        (("exec", "--via", "toolbox", name, "ls"), 125),
    ):
        done = dockshell(*words, engine=rooted, env={"DOCKSHELL_BUSYBOX": "/bin/false"})
        assert (done.returncode, done.stdout) == (code, b""), done
        assert b"apt install busybox-static" in done.stderr and done.stderr.count(b"\n") == 1
    for what, says in (("no/such:image", b"pull it first"), (f"{tmp_path}/none", b"is no directory")):
        done = dockshell("exec", "--tools", what, name, "ls", engine=rooted)
        assert (done.returncode, done.stdout) == (125, b"") and says in done.stderr
    done = dockshell("exec", "--via", "exec", "--tools", "/usr", name, "ls", engine=rooted)
    assert done.returncode == 2 and b"--tools" in done.stderr


@pytest.mark.parametrize("kind", ["scratch", "locked"])
def test_an_images_programs(peer: Peer, dockshell: Run, kind: str) -> None:
    """Of a Debian: they find their own loader, libraries and other files; scripts find their interpreter. Busybox has
    the names that the image has not."""
    peer.image("workshop")
    name = bare(peer, kind)
    script = """
        python3 -c 'import json, ssl, sys; print(json.dumps(sys.version_info[0]))'
        cd /proc; git --version; git ls-remote https://localhost:1/ 2>&1 | grep -c "Failed to connect"
        cat $(command -v ls) | head -c 2; vi --help 2>&1 | head -n 1 | cut -c 1-7
        pydoc3 -h | grep -c pydoc3
    """
    with unchanged(peer, name):
        done = dockshell("exec", "--tools", WORKSHOP, name, "--", "bash", "-c", script, engine=peer)
    told = done.stdout.decode().splitlines()
    assert told[0] == "3" and told[1].startswith("git version "), done
    assert told[2] == "1" and told[3] == "#!BusyBox", done


@pytest.mark.parametrize(
    ("image", "program", "says"), [("trixie", "dpkg", b"package management program"), ("alpine", "apk", b"apk-tools")]
)
def test_programs_of_newer_systems(rooted: Peer, dockshell: Run, image: str, program: str, says: bytes) -> None:
    """Their linkers put the loader's path elsewhere than those of Debian 12: it is read as elf(5) has it."""
    tools = rooted.image(image)
    done = dockshell("exec", "--tools", tools, bare(rooted), "--", program, "--version", engine=rooted, timeout=60)
    assert done.returncode == 0 and says in done.stdout, done


@pytest.mark.parametrize("engine", ["rootless_podman"])
def test_a_copy_of_an_image_is_made_once(
    world: World, environment: dict[str, str], dockshell: Run, engine: str, tmp_path: Path
) -> None:
    """Where its layers can't be had from root's own engine: by a container that never runs and is gone at the end, also
    when we are killed in the middle."""
    world.need_root()
    peer: Peer = getattr(world, engine)
    layer = Layer()
    layer.file("bin/hello", b"#!/bin/sh\necho hello\n", 0o755)
    layer.file("heavy", bytes(96 << 20))
    image = peer.import_image("dockshell-test/heavy", layer.write(str(tmp_path)), {})
    name = bare(peer)
    count = len(peer.ask("ps", "--all", "--quiet").split())
    words = ["exec", "--tools", image, name, "--", "hello"]
    env = {**environment, "DOCKER_HOST": peer.url}
    cache = Path(environment["HOME"], ".cache/dockshell/images")
    with subprocess.Popen([*COMMAND, *words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        until(lambda: cache.is_dir() and any(cache.glob("*/files/bin")))
        child.kill()
        assert child.stdout and child.stdout.read() == b""
    until(lambda: len(peer.ask("ps", "--all", "--quiet").split()) == count)
    assert dockshell(*words, engine=peer, timeout=60).stdout == b"hello\n"
    (kept,) = cache.iterdir()
    assert len(kept.name) == 32 + 1 + 64 and kept.parent.stat().st_mode & 0o777 == 0o700
    before = kept.stat().st_ino
    assert dockshell(*words, engine=peer).stdout == b"hello\n"
    assert [each.stat().st_ino for each in cache.iterdir()] == [before]
    assert len(peer.ask("ps", "--all", "--quiet").split()) == count


def test_a_directorys_programs(rooted: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Those that lie in it directly, or in its bin and so on. No link leads out of it, its programs have no more rights
    there than a container gives, and what is changed here shows there."""
    name = bare(rooted)
    flat, deep = tmp_path / "flat", tmp_path / "deep"
    for directory in (flat, deep / "usr/bin", deep / "etc/alternatives"):
        directory.mkdir(parents=True)
    script = '#!{}\necho "$0 was run" $*; id -u; exit 5\n'
    (flat / "hello").write_text(script.format("/bin/sh"))
    (flat / "hello").chmod(0o4755)
    (deep / "etc/alternatives/hi").symlink_to("/usr/bin/hi.real")
    (deep / "usr/bin/hi").symlink_to("/etc/alternatives/hi")
    (deep / "usr/bin/hi.real").write_text(script.format("/usr/bin/env sh"))
    (deep / "usr/bin/hi.real").chmod(0o755)
    (deep / "usr/bin/out").symlink_to("../../../../../../../sleep")
    for directory, program in ((flat, "hello"), (deep, "hi")):
        done = dockshell("exec", "-u", "4321", "--tools", str(directory), name, "--", program, "a", "b", engine=rooted)
        assert done.returncode == 5 and done.stdout.endswith(b" was run a b\n4321\n"), done
    done = dockshell("exec", "--tools", str(deep), name, "--", "out", engine=rooted)
    assert (done.returncode, done.stdout) == (127, b""), done


def test_who_may_do_more(rooted: Peer, dockshell: Run) -> None:
    """--cap: a user who isn't root can trace another's process; it says so, and it takes it."""
    rooted.image("workshop")
    name = bare(rooted)
    trace = ("--tools", WORKSHOP, "-u", "4321", name, "--", "timeout", "-s", "INT", "1", "strace", "-p", "1")
    without = dockshell("exec", *trace, engine=rooted)
    assert b"Operation not permitted" in without.stderr and b"besides" not in without.stderr
    done = dockshell("exec", "--cap", "Cap_Sys_Ptrace", *trace, engine=rooted)
    assert b"Process 1 attached" in done.stderr, done
    assert b"dockshell: besides the container's capabilities: SYS_PTRACE\n" in done.stderr


@pytest.mark.parametrize("user", ["0", "4321"])
def test_capabilities_are_added_and_nothing_else(rooted: Peer, dockshell: Run, user: str) -> None:
    """By nsenter as by the toolbox: those alone, in the sets that make them count; no other confinement changes."""
    container, words = rooted.shared("locked"), ("grep", "-E", "^(Cap|NoNew|Seccomp|Groups)", "/proc/self/status")

    def told(*options: str) -> dict[str, str]:
        done = dockshell("exec", *options, "-u", user, container, "--", *words, engine=rooted)
        assert done.returncode == 0, done
        return dict(line.split(":\t") for line in done.stdout.decode().splitlines())

    plain, added = told(), 1 << 13 | 1 << 19
    by_nsenter = told("--cap", "net_raw", "--cap", "SYS_PTRACE")
    assert by_nsenter == told("--via", "toolbox", "--cap", "CAP_NET_RAW", "--cap", "sys_ptrace")
    for field, value in by_nsenter.items():
        counts = field in ("CapBnd", "CapEff", "CapPrm") or (user != "0" and field in ("CapInh", "CapAmb"))
        assert value == (f"{int(plain[field], 16) | added:016x}" if counts else plain[field]), field


def test_capabilities_that_can_not_be_given(rooted: Peer, dockshell: Run, environment: dict[str, str]) -> None:
    """A name that is none, one that we lack, and a way in that can't: each an error with the remedy, and nothing is
    run."""
    name = rooted.shared("busybox")
    for options, code, says in (
        (("--cap", "sys_ptrac"), 2, b"SYS_PTRACE"),
        (("--cap", "\x1b[31m"), 2, b"capabilities(7)"),
        (("--via", "exec", "--cap", "NET_RAW"), 125, b"--privileged"),
        (("--via", "ssh", "--cap", "NET_RAW"), 125, b"--privileged"),
    ):
        done = dockshell("exec", *options, name, "echo", "ran", engine=rooted)
        assert (done.returncode, done.stdout) == (code, b"") and says in done.stderr, done
        assert done.stderr.count(b"\n") == 1 and b"\x1b" not in done.stderr
    weaker = ["setpriv", "--bounding-set=-net_admin", *COMMAND, "exec", "--cap", "NET_ADMIN", name, "echo", "ran"]
    env = {**environment, "DOCKER_HOST": rooted.url}
    done = subprocess.run(weaker, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (125, b"") and b"lacks what --cap asks for (NET_ADMIN)" in done.stderr


def test_left_to_itself_it_keeps_its_tools(rooted: Peer, dockshell: Run) -> None:
    """-d: until it ends."""
    name = bare(rooted)
    word = unique()
    with unchanged(rooted, name):
        done = dockshell("exec", "-d", name, "--", "sh", "-c", f"sleep {word}; exit", engine=rooted)
        assert done.returncode == 0
        until(lambda: processes(word) and toolboxes(rooted.pid(name)))
        end_all(word)


def test_names_for_tools(rooted: Peer, dockshell: Run, tmp_path: Path) -> None:
    """`dockshell tools`: what is kept can be brought, whether it is there is told, and errors say what to do."""

    def told(*words: str, code: int = 0, **more: Any) -> str:
        done = dockshell("tools", *words, engine=rooted, **more)
        assert done.returncode == code, done
        return (done.stdout + done.stderr).decode()

    (tmp_path / "hello").write_text("#!/bin/sh\necho hello from a directory\n")
    (tmp_path / "hello").chmod(0o755)
    assert told("list").splitlines()[1].split()[:2] == ["(none)", "busybox"]
    assert told("add", str(tmp_path), "mine") == ""
    assert "can't be brought yet" in told("add", "example/no-such:1.2")
    assert told("add", "dockshell-test/bare") == ""
    rows = [line.split() for line in told("list").splitlines()[2:]]
    assert rows[0] == ["bare", "image", "dockshell-test/bare", "there"]
    assert rows[1] == ["mine", "directory", str(tmp_path), "there"]
    assert rows[2][:4] == ["no-such", "image", "example/no-such:1.2", "not"]
    done = dockshell("exec", "--tools", "mine", bare(rooted), "hello", engine=rooted)
    assert done.stdout == b"hello from a directory\n", done
    assert told("remove", "mine") == "" and "mine" not in told("list")
    assert "bare, no-such" in told("remove", "mine", code=125)
    assert "tools takes list" in told("drop", code=2)
    assert "can't be a name" in told("add", str(tmp_path), "../x", code=2)


def test_tools_can_not_be_written_to(rooted: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Not even by who may mount what they like: files of this machine stay as they are, busybox was a copy."""
    (tmp_path / "hello").write_text("#!/bin/sh\n")
    (tmp_path / "hello").chmod(0o777)
    script = f"""
        mount -o remount,rw,bind {PLACE}/tree; mount -o remount,rw {PLACE}/tree
        echo evil >{PLACE}/tree/hello; rm {PLACE}/tree/hello
        mount -o remount,rw,bind {PLACE} && rm {PLACE}/busybox && echo its own >&2
    """
    words = ("--privileged", "--tools", str(tmp_path), bare(rooted, "unfiltered"), "--", "sh", "-c", script)
    done = dockshell("exec", *words, engine=rooted)
    assert done.stderr.count(b"Read-only file system") >= 2 and b"its own\n" in done.stderr, done
    assert (tmp_path / "hello").read_text() == "#!/bin/sh\n" and os.listdir(tmp_path) == ["hello"]
    assert os.path.exists(static_busybox())
