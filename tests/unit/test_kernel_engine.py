"""The kernel engine, against namespaces that unshare(1) makes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from dockshell.engines.kernel import KernelEngine
from dockshell.errors import EngineError
from dockshell.linux.libc import prctl
from dockshell.linux.process import Process
from dockshell.model import Target
from dockshell.target import parse
from tests.world import World

Start = Callable[..., int]
NOBODY = 65534


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(number) for number in file.read().split()]


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def comm(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().removesuffix("\n")
    return ""


def inode(pid: int, kind: str) -> str:
    return str(os.stat(f"/proc/{pid}/ns/{kind}").st_ino)


@pytest.fixture
def start(world: World) -> Iterator[Start]:
    """start(*options, command=("sleep", "600"), env=None, name=""): unshare with these options → the number of the
    command's process, once it calls itself by that name, or the command's."""
    world.need_program("unshare")
    started: list[subprocess.Popen[bytes]] = []

    def unshare(
        *options: str, command: tuple[str, ...] = ("sleep", "600"), env: dict[str, str] | None = None, name: str = ""
    ) -> int:
        rootless = () if os.geteuid() == 0 or "--user" in options else ("--user", "--map-root-user")
        argv = ["unshare", *rootless, *options, *(("--kill-child",) if "--fork" in options else ()), *command]
        process = subprocess.Popen(argv, env={"PATH": os.environ["PATH"], **(env or {})}, stderr=subprocess.PIPE)
        started.append(process)
        name = name or os.path.basename(command[0])[:15]

        def found() -> list[int]:
            world.need(process.poll() is None, "unshare is not allowed here")
            pids = children(process.pid) if "--fork" in options else [process.pid]
            return [pid for pid in pids if comm(pid) == name]

        until(found, f"{argv} did not start")
        return found()[0]

    yield unshare
    for process in started:
        for pid in children(process.pid) if process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)  # what changed its user is not killed by unshare's end
        process.kill()
        process.communicate()


@pytest.fixture
def kernel() -> KernelEngine:
    return KernelEngine()


def test_a_pid_namespace_is_a_container(start: Start, kernel: KernelEngine) -> None:
    """A pid namespace other than ours is a container: its inode is the id, its first process gives name, number and
    environment."""
    pid = start("--pid", "--fork", env={"COLOUR": "blue\r\n="})
    found = next(each for each in kernel.all() if each.pid == pid)
    assert (found.id, found.name, found.state, found.user) == (inode(pid, "pid"), "sleep", "running", "0")
    assert "COLOUR=blue\r\n=" in found.env
    assert (found.directory, found.local, found.engine) == ("/", True, kernel)
    assert abs(found.started - time.time()) < 10 and found.created == found.started


def test_every_way_of_naming_it(start: Start, kernel: KernelEngine, tmp_path: object) -> None:
    """Name, beginning of a name, id, pid:N of its first process and of any other process in it find the same
    container."""
    program = f"{tmp_path}/dsh-nap-{os.getpid() % 1000}"
    shutil.copy(shutil.which("sh") or "/bin/sh", program)
    pid = start("--pid", "--fork", command=(program, "-c", "sleep 60 & wait"))
    until(lambda: children(pid), "no second process")
    name = os.path.basename(program)[:15]
    namespace = inode(pid, "pid")
    for words in (name, name[:-1], namespace, f"pid:{pid}", f"pid:{children(pid)[0]}"):
        assert [(each.id, each.pid) for each in kernel.find(parse(f"kernel://{words}"))] == [(namespace, pid)], words


def test_two_of_a_name_are_both_named(start: Start, kernel: KernelEngine) -> None:
    """Two containers of the same name both fit, so that the error can name them."""
    pids = {start("--pid", "--fork"), start("--pid", "--fork")}
    assert pids <= {each.pid for each in kernel.find(parse("kernel://sleep"))}


def test_a_name_is_made_safe(start: Start, kernel: KernelEngine, tmp_path: object) -> None:
    """A process may call itself anything: its name comes out as one that TARGET can spell."""
    program = f"{tmp_path}/-we ird\x1b[1m;x"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    pid = start("--pid", "--fork", command=(program, "60"))
    [found] = kernel.find(Target("pid", str(pid)))
    assert found.name == "we_ird__1m_x"
    assert pid in [each.pid for each in kernel.find(parse(f"kernel://{found.name}"))]


def test_other_mounts_alone_are_found_by_number(start: Start, kernel: KernelEngine) -> None:
    """A process that differs from us in its mount namespace only is no container of a listing, but pid:N finds it."""
    pid = start("--mount")
    assert pid not in [each.pid for each in kernel.all()]
    assert [(each.pid, each.id) for each in kernel.find(Target("pid", str(pid)))] == [(pid, inode(pid, "mnt"))]


def test_a_process_that_left_the_first_ones_mounts(start: Start, kernel: KernelEngine) -> None:
    """In a shared pid namespace (a pod's), pid:N means that process and its mounts, not the namespace's first
    process."""
    pid = start("--pid", "--fork", command=("sh", "-c", "unshare --mount sleep 60 & wait"))
    until(lambda: [each for each in children(pid) if comm(each) == "sleep"], "no second process")
    [inner] = children(pid)
    assert [(each.pid, each.id) for each in kernel.find(Target("pid", str(inner)))] == [(inner, inode(inner, "mnt"))]


def test_what_is_in_no_other_namespace(kernel: KernelEngine) -> None:
    """A process of our own namespaces, a number that nobody has, and a label find nothing."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    for target in (Target("pid", str(os.getpid())), Target("pid", str(ended.pid)), Target("label", "app=web")):
        assert kernel.find(target) == []


def test_user_inside_a_user_namespace(start: Start, kernel: KernelEngine, world: World) -> None:
    """The user is the number inside, where a user namespace maps it."""
    pid = start("--user", "--map-user=1000", "--map-group=1001", "--pid", "--fork")
    [found] = kernel.find(Target("pid", str(pid)))
    assert found.user == "1000:1001"


def test_user_without_a_user_namespace(start: Start, kernel: KernelEngine, world: World) -> None:
    """Without a user namespace the user is the machine's own number."""
    world.need_root()
    setpriv = world.need_program("setpriv")
    command = (setpriv, "--reuid", "1234", "--regid", "1235", "--clear-groups", "sleep", "60")
    pid = start("--pid", "--fork", command=command, name="sleep")
    [found] = kernel.find(Target("pid", str(pid)))
    assert found.user == "1234:1235"


def test_groups_of_the_first_process(start: Start, kernel: KernelEngine, world: World) -> None:
    """Its supplementary groups come along as those of its user, not as ones that everybody gets; in a user namespace
    only those that have a number there."""
    world.need_root()
    as_app = ("setpriv", "--reuid", "1000", "--regid", "1000", "--groups", "1000,2001", "sleep", "60")
    pid = start("--pid", "--fork", command=as_app, name="sleep")
    [found] = kernel.find(Target("pid", str(pid)))
    assert (found.user, found.user_groups, found.groups) == ("1000:1000", ("1000", "2001"), ())
    in_groups = ("setpriv", "--groups", "0,2001", "unshare", "--user", "--map-root-user", "sleep", "60")
    pid = start("--pid", "--fork", command=in_groups, name="sleep")
    [found] = kernel.find(Target("pid", str(pid)))
    assert (found.user, found.user_groups) == ("0", ("0",))


def test_the_newest_is_the_latest(start: Start, kernel: KernelEngine) -> None:
    """@latest is the container whose first process started last; a listing goes from there to the oldest."""
    first = start("--pid", "--fork")
    time.sleep(0.05)
    second = start("--pid", "--fork")
    listed = [each.pid for each in kernel.all()]
    assert listed.index(second) < listed.index(first)
    [latest] = kernel.find(parse("kernel://@latest"))
    assert latest.created >= next(each.created for each in kernel.all() if each.pid == second)


def test_one_that_ends_meanwhile_is_not_listed(
    start: Start, kernel: KernelEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends while it is looked at fails no listing, nor a search by its number."""
    pid = start("--pid", "--fork")

    def gone(process: Process) -> float:
        raise ProcessLookupError

    monkeypatch.setattr(Process, "started", gone)
    assert kernel.all() == kernel.find(Target("pid", str(pid))) == []


def test_running_until_it_ends(start: Start, kernel: KernelEngine) -> None:
    """A container runs until its first process ends."""
    pid = start("--pid", "--fork")
    [found] = kernel.find(Target("pid", str(pid)))
    assert kernel.running(found)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not kernel.running(found), "it still runs")


def test_a_recycled_number_is_not_the_container(start: Start, kernel: KernelEngine, world: World) -> None:
    """Another process that got the number of one that ended is not taken for it."""
    world.need_root()
    world.need(os.path.exists("/proc/sys/kernel/ns_last_pid"), "this kernel does not let process numbers be chosen")
    pid = start("--pid", "--fork")
    [found] = kernel.find(Target("pid", str(pid)))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "it still runs")
    time.sleep(0.05)  # a start is known to the hundredth of a second
    for _ in range(50):
        with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as file:
            file.write(str(pid - 1))
        with subprocess.Popen(["sleep", "60"]) as other:
            try:
                if other.pid == pid:
                    assert not kernel.running(found)
                    return
            finally:
                other.kill()
    world.need(False, "the number could not be had again")


def test_files_are_the_containers_own(start: Start, kernel: KernelEngine) -> None:
    """The files are those that the container's first process sees."""
    mounts = "mount -t tmpfs none /mnt && echo inside >/mnt/file && exec sleep 60"
    pid = start("--mount", "--pid", "--fork", command=("sh", "-c", mounts), name="sleep")
    [found] = kernel.find(Target("pid", str(pid)))
    assert kernel.files(found).read("/mnt/file") == b"inside\n"


def test_as_someone_else(start: Start, world: World) -> None:
    """Whoever may not look at process 1 finds the oldest of the processes that he may look at; and is told to be root
    for the rest."""
    world.need_root()
    setpriv = world.need_program("setpriv")
    nap = f"{setpriv} --reuid {NOBODY} --regid {NOBODY} --clear-groups sleep 60"
    first = start("--pid", "--fork", command=("sh", "-c", f"{nap} & sleep 0.1; {nap} & wait"))
    until(lambda: [comm(each) for each in children(first)] == ["sleep", "sleep"], "no second process")
    oldest = min(children(first))
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            prctl(4, 1)  # PR_SET_DUMPABLE, as after an execve
            kernel = KernelEngine()
            found = [each.pid for each in kernel.find(Target("pid", str(oldest)))]
            try:
                kernel.find(Target("pid", str(first)))
                told = "nothing"
            except EngineError as error:
                told = str(error)
            os.write(send, f"{found} {told}".encode())
        os._exit(0)
    os.close(send)
    os.waitpid(child, 0)
    with open(receive, encoding="utf-8") as answer:
        assert answer.read() == f"[{oldest}] process {first} is not ours to look at: run as root"


def test_refuses_where_there_are_no_namespaces(kernel: KernelEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """On anything but Linux it says so, and finds nothing."""
    assert kernel.refuses() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in (kernel.refuses() or "")
    with pytest.raises(EngineError):
        kernel.find(parse("kernel://web"))
