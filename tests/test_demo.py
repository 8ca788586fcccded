"""`dockshell demo`, in real engines and without any: what it shows, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator

import pexpect
import pytest

import dockshell as package
from dockshell import options
from dockshell.commands import demo
from dockshell.demo import container, rootfs, sandbox
from dockshell.engines import containers, where
from dockshell.engines.kernel import KernelEngine
from dockshell.engines.sdk import SdkApi
from dockshell.errors import DockshellError, EngineError
from dockshell.linux import mounts
from tests.busy import slowdown
from tests.conftest import COMMAND
from tests.contract.watching import until
from tests.world import Peer, World

Dockshell = Callable[..., subprocess.CompletedProcess[bytes]]
PACKAGE = os.path.dirname(os.path.abspath(package.__file__))
PROMPT = r"root@[\w-]+:\S+[$#] "
# A mount namespace in which no engine's socket is at its usual place. `exec` keeps the process's number.
HIDDEN = """
mount --make-rprivate / && mount -t tmpfs none /run || exit 99
[ -L /var/run ] || mount -t tmpfs none /var/run || exit 99
"""
COPIED = 'mkdir /run/source && cp -r "$PACKAGE" /run/source && chmod -R a+rX /run/source && cd / && exec "$@"'


class Alone:
    """A place without engines. words: what to put before a command; env: its environment."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self.words, self.env = words, env
        self.namespace = ""
        self.spawned: list[pexpect.spawn[str]] = []

    def run(self, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`dockshell` with these words, in a pipe."""
        argv, merged = [*self.words, *words], {**self.env, **(env or {})}
        done = subprocess.run(argv, env=merged, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=60)
        self.remember(done.stderr)
        return done

    def start(self, *words: str) -> pexpect.spawn[str]:
        """The same at a terminal."""
        argv = [*self.words, *words]
        child = pexpect.spawn(argv[0], argv[1:], env=self.env, encoding="utf-8", timeout=60)
        self.spawned.append(child)
        return child

    def remember(self, told: str) -> None:
        """Which sandbox it was, from what -v told of it."""
        told_of = re.search(r"container: sandbox \((\d+)\)", told)
        self.namespace = told_of[1] if told_of else ""

    def nothing_left(self) -> None:
        """Fails where the sandbox, a process of the demonstration or a mount is still there after a while."""
        assert self.namespace, "no sandbox was seen"
        until = time.monotonic() + 60
        while left := self._left():
            assert time.monotonic() < until, left
            time.sleep(0.02)

    def _left(self) -> list[str]:
        left = [f"the sandbox {each.id}" for each in KernelEngine().all() if each.id == self.namespace]
        mark = f"MARK={self.env['MARK']}".encode()
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    left += [f"process {pid}"] if mark in file.read().split(b"\0") else []
            except OSError:
                continue
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            return left + [line for line in file if " - tmpfs sandbox " in line]


@pytest.fixture(params=["root", "nobody"])
def alone(request: pytest.FixtureRequest, world: World, environment: dict[str, str]) -> Iterator[Alone]:
    """Where there is no engine: as root; and as nobody, who may make user namespaces."""
    world.need_root()
    unshare = world.need_program("unshare")
    env = {**environment, "MARK": f"demo-{os.getpid()}-{time.monotonic()}"}
    if request.param == "root":
        made = Alone([unshare, "--mount", "sh", "-c", f'{HIDDEN} exec "$@"', "sh", *COMMAND], env)
    else:
        words = [unshare, "--mount", "sh", "-c", HIDDEN + COPIED, "sh", *as_nobody(world), "-m", "dockshell"]
        made = Alone(words, {**env, "PACKAGE": PACKAGE, "PYTHONPATH": "/run/source"})
    yield made
    for child in made.spawned:
        child.close(force=True)


def as_nobody(world: World) -> list[str]:
    """The words that start a Python as nobody. Nobody can't read a checkout or an interpreter in root's home: it gets a
    copy of the one (COPIED), and the system's other."""
    user = [world.need_program("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    user.append("env")  # setpriv itself would keep root's rights up to here
    allowed = subprocess.run([*user, "unshare", "--user", "--net", "true"], capture_output=True, check=False)
    world.need(allowed.returncode == 0, "this machine lets only root make namespaces")
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        if subprocess.run([*user, python, "-c", check], capture_output=True, check=False).returncode == 0:
            return [*user, python]
    world.need(False, "nobody may execute no Python of 3.11 or newer")
    return []


def test_in_a_pipe_with_no_engine(alone: Alone) -> None:
    """With no engine and no terminal a few commands are run in the sandbox, by the nsenter route, and nothing stays."""
    done = alone.run("demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("No container engine listens here")
    # By number where somebody else's sandbox has the name as well.
    assert re.search(r"\$ dockshell -v exec kernel://(sandbox|pid:\d+) id\nuid=0\(root\)", done.stdout)
    assert re.search(r"\$ dockshell exec \S+ hostname\nsandbox\n", done.stdout)
    assert re.search(r"\n +1 root +(\S+ +)*sandbox\n", done.stdout), "ps shows process 1"
    assert "tr a-z A-Z\nHELLO FROM OUTSIDE\n" in done.stdout
    assert done.stdout.endswith("; echo $?\n7\n")
    assert "nsenter: taken" in done.stderr
    alone.nothing_left()


def test_at_a_terminal_with_no_engine(alone: Alone) -> None:
    """At a terminal it ends in a login shell, which is there within three seconds and has a terminal of its own."""
    began = time.monotonic()
    child = alone.start("demo")
    child.expect(PROMPT)
    assert time.monotonic() - began < 3 * slowdown()
    alone.remember(child.before or "")
    child.sendline("tty; hostname; exit 3")
    child.expect("/dev/pts/0\r\nsandbox\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, "what was typed in the shell is no failure of the demonstration"
    alone.nothing_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_nothing(alone: Alone, number: signal.Signals) -> None:
    """Whatever signal ends the demonstration, KILL included, ends the sandbox and all in it."""
    child = alone.start("demo")
    child.expect(PROMPT)
    alone.remember(child.before or "")
    child.sendline("sleep 1000 &")
    child.expect(PROMPT)
    child.kill(number)
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus or 128 + (child.signalstatus or 0)) == 128 + number
    alone.nothing_left()


def test_an_engine_that_was_set_but_is_down(alone: Alone) -> None:
    """DOCKER_HOST names an engine that is down: that is told, and the sandbox does. With -H it is an error, in one
    line."""
    nowhere = "unix:///run/nowhere.sock"
    done = alone.run("demo", env={"DOCKER_HOST": nowhere})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"DOCKER_HOST says {nowhere}")
    alone.nothing_left()
    done = alone.run("demo", "-H", nowhere)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125, "", 1)


def left_in(engine: Peer) -> list[str]:
    """The demonstration's containers and images that are in an engine."""
    containers = engine.ask("ps", "--all", "--format", "{{.Names}}").splitlines()
    images = engine.ask("images", "--format", "{{.Repository}}").splitlines()
    return [name for name in containers + images if "dockshell-demo" in name]


def test_in_a_pipe_with_an_engine(dockshell: Dockshell, engine: Peer) -> None:
    """With an engine the same is shown in a container of it; the container and its image are gone afterwards."""
    done = dockshell("demo", engine=engine, timeout=60)
    shown = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert shown.startswith(f"This is in a container of {engine.name} at {engine.url}")
    assert re.search(r"\$ dockshell -v exec dockshell-demo-\w+ id\nuid=0\(root\)", shown)
    assert "\nHELLO FROM OUTSIDE\n" in shown and shown.endswith("; echo $?\n7\n")
    assert re.search(rb"container: dockshell-demo-\w+ .*: taken", done.stderr, re.DOTALL)
    assert left_in(engine) == []


@pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGHUP])
def test_at_a_terminal_with_an_engine(terminal: Callable[..., pexpect.spawn[bytes]], engine: Peer, number: int) -> None:
    """At a terminal it ends in a login shell in the container; that one goes with the shell, or with a signal to us."""
    child = terminal("demo", engine=engine, timeout=60)
    child.expect(PROMPT.encode())
    assert any("dockshell-demo" in name for name in left_in(engine)), "it is there meanwhile"
    if number:
        child.kill(number)
    else:
        child.sendline(b"exit 3")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == (128 + number if number else 0)
    assert left_in(engine) == []


def test_an_engine_on_another_kind_of_machine(docker: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that can't run this machine's programs uses a small image that it has, which stays; with none, it is
    told how to get one."""
    name = f"dsh-small-{os.getpid()}"
    [engine] = where.engines(host=docker.url)
    monkeypatch.setattr(container, "_MACHINES", {})
    monkeypatch.setattr(container, "_SHELLED", ("dsh-absent", name))
    with pytest.raises(EngineError, match="docker pull busybox"), container.container(engine):
        pass
    api = SdkApi(docker.url)
    try:
        archive = io.BytesIO()
        rootfs.write_tar(rootfs.tree(), archive)
        api.import_image(io.BytesIO(archive.getvalue()), name)
        with container.container(engine) as made:
            assert docker.ask("inspect", "--format", "{{.State.Status}}", made) == "running"
        assert docker.ask("images", "--format", "{{.Repository}}", name) == name
        assert left_in(docker) == []
    finally:
        containers.remove_image(api, name)
        api.close()


def test_an_engine_that_can_make_no_container(docker: Peer, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine that was found makes no container, the sandbox does; where it was named with -H, that is an
    error."""
    world.need_root()
    monkeypatch.setenv("DOCKER_HOST", docker.url)
    monkeypatch.setattr(container, "_MACHINES", {})
    monkeypatch.setattr(container, "_SHELLED", ("dsh-absent",))
    with demo.somewhere(options.parse(["demo"])) as target:
        assert target.startswith("kernel://")
    with pytest.raises(EngineError), demo.somewhere(options.parse(["demo", "-H", docker.url])):
        pass


@pytest.fixture
def first(world: World) -> Iterator[int]:
    """A sandbox made by this very process: the number of its process 1."""
    world.need_root()
    with sandbox.sandbox() as pid:
        yield pid


def of_process(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()


def open_in(pid: int) -> list[str]:
    with contextlib.suppress(FileNotFoundError):  # one that is closed between the list and the look
        return [os.readlink(f"/proc/{pid}/fd/{number}").partition(":")[0] for number in os.listdir(f"/proc/{pid}/fd")]
    return []


def test_process_1_holds_nothing_of_the_callers(first: int) -> None:
    """The sandbox's process 1 shows a name and an environment of its own and no file of the caller's."""
    assert of_process(first, "comm") == b"sandbox\n"
    assert of_process(first, "cmdline").strip(b"\0") == b"sandbox"
    names = {text.partition(b"=")[0] for text in of_process(first, "environ").split(b"\0") if text}
    assert names == {b"PATH", b"HOME", b"HOSTNAME"}
    # The pipe by which it said that it is ready is closed just after that.
    until(lambda: sorted(open_in(first)) == ["/dev/null"] * 3 + ["pipe"])


def test_the_sandbox_confines(first: int) -> None:
    """All namespaces but the user's are other ones, the capabilities are a container's, and no disk of the machine's is
    seen."""
    for kind in ("pid", "mnt", "uts", "ipc", "net"):
        assert os.stat(f"/proc/{first}/ns/{kind}").st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino, kind
    status = dict(line.split(":\t", 1) for line in of_process(first, "status").decode().splitlines() if ":\t" in line)
    assert {status[name] for name in ("CapBnd", "CapPrm", "CapEff")} == {"00000000a80425fb"}
    kinds = {line.split(" - ")[1].split()[0] for line in of_process(first, "mountinfo").decode().splitlines()}
    assert kinds <= {"tmpfs", "proc", "sysfs", "devpts", "devtmpfs"}


def test_the_sandbox_reaps(first: int, dockshell: Dockshell) -> None:
    """A process that is left to process 1 does not stay as a zombie."""
    assert dockshell("exec", f"pid:{first}", "sh", "-c", "sh -c 'sleep 0.1 &'").returncode == 0
    until = time.monotonic() + 60
    while of_process(first, f"task/{first}/children").strip():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_without_busybox(world: World, dockshell: Dockshell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a static busybox the small root holds the machine's usual programs, and they find their libraries
    there."""
    world.need_root()
    for program in ("bash", "ps"):
        world.need_program(program)
    monkeypatch.setattr(rootfs, "_busybox", lambda: iter(()))
    assert sum(len(entry.content or b"") for entry in rootfs.tree()) < 20 << 20
    with sandbox.sandbox() as pid:
        script = "id -un && hostname && ps -o comm= -p 1 && echo a | tr a b && ls -d /etc"
        done = dockshell("exec", f"pid:{pid}", "bash", "-c", script)
    assert (done.returncode, done.stdout) == (0, b"root\nsandbox\nsandbox\nb\n/etc\n"), done.stderr


def test_one_tree_two_ways(tmp_path: object) -> None:
    """The archive for an engine and the directory for the sandbox are the same tree; busybox is never a link to
    itself."""
    entries = rootfs.tree()
    archive = io.BytesIO()
    rootfs.write_tar(entries, archive)
    archive.seek(0)
    rootfs.lay(entries, str(tmp_path))
    with tarfile.open(fileobj=archive) as opened:
        members = {member.name: member for member in opened}
    walked = ((at, name) for at, below, files in os.walk(str(tmp_path)) for name in (*below, *files))
    laid = {os.path.relpath(os.path.join(at, name), str(tmp_path)) for at, name in walked}
    assert laid == set(members)
    for name, member in members.items():
        path = f"{tmp_path}/{name}"
        assert (os.readlink(path) if os.path.islink(path) else "") == member.linkname
        assert member.issym() or os.lstat(path).st_mode & 0o7777 == member.mode, name
        assert not member.linkname or os.path.basename(name) != member.linkname


def test_process_1_imports_nothing() -> None:
    """What is imported after the root has changed would not be found, or be the container's: neither child imports at
    all."""
    script = """
import os, sys
from dockshell.demo.sandbox import sandbox
def refuse(event, arguments):
    if event == "import":
        raise RuntimeError(f"imports {arguments[0]}")
os.register_at_fork(after_in_child=lambda: sys.addaudithook(refuse))
import subprocess  # which forks by itself, without Python's own hooks
with sandbox() as pid:
    print(pid)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=os.path.dirname(PACKAGE), check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_where_no_sandbox_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where namespaces are not to be had the reason is told, with the remedy, and no process stays."""

    def refused(kinds: int) -> None:
        raise PermissionError(1, "Operation not permitted", "unshare")

    monkeypatch.setattr(mounts, "unshare", refused)
    with pytest.raises(DockshellError, match=r"unshare: Operation not permitted\): run as root"), sandbox.sandbox():
        pass
