"""linux: the parsers of what the kernel says, and the proof of whose a process is."""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.errors import printable
from dockshell.linux import cgroup, limits, open_files, seccomp, sessions, terminals
from dockshell.linux.calls import Calls
from dockshell.linux.cgroup_limits import freezer, full
from dockshell.linux.credentials import Capabilities, lacking, last_capability
from dockshell.linux.entrance import Failure
from dockshell.linux.labels import label_of
from dockshell.linux.libc import syscall
from dockshell.linux.namespaces import user_of
from dockshell.linux.process import Process, boot_time, container_in
from dockshell.linux.rootfs import RootFiles, open_root
from dockshell.linux.signals import FORWARDED, hold, release
from dockshell.model import Size
from tests.world import World


def test_limits_are_those_that_the_kernel_keeps() -> None:
    """All sixteen, as getrlimit says."""
    found = limits.parse(Path("/proc/self/limits").read_text())
    assert len(found) == 16
    assert all(resource.getrlimit(number) == pair for number, pair in found.items())


def test_limits_beyond_reach() -> None:
    """What is above our own hard limit is named; no limit at all is above every number."""
    assert limits.beyond_reach({resource.RLIMIT_NOFILE: (1, 1)}) == []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY:
        above = {resource.RLIMIT_NOFILE: (1, resource.RLIM_INFINITY)}
        assert limits.beyond_reach(above) == ["Max open files"]


_LOW = """
import os, resource, socket, subprocess
from dockshell.engines.master import mind_signals
from dockshell.linux import open_files, passing
def said(**more):
    return subprocess.run(["sh", "-c", "ulimit -Sn"], stdout=subprocess.PIPE, **more).stdout.decode().strip()
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 30))
print(open_files.raise_limit(), said(), said(preexec_fn=open_files.restore_limit), said(preexec_fn=mind_signals))
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
passing.send(ours, b"three", [0, 1, 2])
passing.send(ours, b"three", [0, 1, 2])
open_files.need(10)
held = []
while True:
    try:
        open_files.need(3)
        held.append(os.dup(0))
    except OSError as error:
        print(open_files.shortage(error))
        break
held.append(os.dup(0))
try:
    passing.receive(theirs)
except OSError as error:
    print(open_files.shortage(error))
os.close(held.pop())
os.close(held.pop())
print(passing.receive(theirs)[0].decode())
"""


def test_the_limit_of_open_files() -> None:
    """It is raised for us and not for what we start; how many are left is known, and descriptors that come when there
    is no room for all of them are an error, with none kept, and no loss for what comes next."""
    done = subprocess.run([sys.executable, "-c", _LOW], capture_output=True, text=True, check=False, timeout=60)
    lines = done.stdout.splitlines()
    assert lines[0] == "30 30 20 20", done.stderr
    assert lines[1:] == [open_files.shortage(OSError(errno.EMFILE, "")).replace(_limit(), "(30)")] * 2 + ["three"]


def _limit() -> str:
    return f"({resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"


@given(st.text(max_size=200))
def test_unknown_limits_are_left_out(text: str) -> None:
    """A line that isn't known names nothing."""
    assert limits.parse("head\n" + text.replace("Max", "")) == {}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("docker-default (enforce)\n", "docker-default"),
        ("unconfined\n", ""),
        ("", ""),
        ("a profile (with) parentheses (complain)", "a profile (with) parentheses"),
        ("system_u:system_r:container_t:s0:c1,c2\0", "system_u:system_r:container_t:s0:c1,c2"),
        ("kernel\0", ""),
    ],
)
def test_label(text: str, label: str) -> None:
    """AppArmor's and SELinux's way of writing it."""
    assert label_of(text) == label


def test_cgroup_places_are_there() -> None:
    """From none of ours to all of ours: a directory for each hierarchy, in which we are."""
    ours = Process(os.getpid()).cgroups()
    found = cgroup.places(ours, [])
    places = [*found.legacy, found.unified] if found.unified else [*found.legacy]
    assert len(places) == len(ours)
    assert all(str(os.getpid()) in Path(place, "cgroup.procs").read_text().split() for place in places)
    assert cgroup.places(ours, ours) == cgroup.Places((), "")


def _born_into(doors: cgroup.Doors) -> int:
    """Makes the calls of fork_into() → what the child's number is told by. The child comes back with 0."""
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        calls = Calls()
        cgroup.fork_into(calls, doors, tell)
        calls.end()
        calls.run()
        return 0
    os.close(tell)
    try:
        return int.from_bytes(os.read(told, 8), sys.byteorder)
    finally:
        os.close(told)
        os.waitpid(parent, 0)


def test_cgroups_are_joined(world: World, other: subprocess.Popen[bytes]) -> None:
    """A process that is born into another's cgroups is in the very same ones, and the caller's child."""
    world.need_root()
    doors = cgroup.Doors(cgroup.places(Process(other.pid).cgroups(), []))
    said, say = os.pipe()
    child = _born_into(doors)
    if child == 0:
        os.write(say, Process(os.getpid()).read("cgroup").encode())
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    assert os.read(said, 65536).decode() == Process(other.pid).read("cgroup")
    for descriptor in (*doors.descriptors, said, say):
        os.close(descriptor)


def _without_clone3(number: int) -> bytes:
    """A seccomp program under which clone3(2) fails with that errno: struct sock_filter of the kernel's filter.h."""
    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K
    program = ((load, 0, 0, 0), (equal, 0, 1, 435), (answer, 0, 0, 0x50000 | number), (answer, 0, 0, 0x7FFF0000))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


@pytest.mark.parametrize("number", [0, errno.ENOSYS, errno.EPERM], ids=["clone3", "unknown", "filtered"])
def test_cgroup_of_version_2_is_forked_into(world: World, number: int) -> None:
    """By CLONE_INTO_CGROUP; where the kernel doesn't know that, or a filter denies it, the child moves itself."""
    world.need_root()
    own = [pair for pair in Process(os.getpid()).cgroups() if not pair[0]]
    world.need(own, "this kernel has no cgroups of version 2")
    place = Path(cgroup.places(own, []).unified, f"dockshell-test-{os.getpid()}")
    said, say = os.pipe()
    place.mkdir()
    try:
        between = os.fork()
        if between == 0:
            try:
                if number:
                    calls = Calls()
                    seccomp.install(calls, _without_clone3(number))
                    calls.end()
                    calls.run()
                    with pytest.raises(OSError) as refused:
                        syscall(435, None, 0)
                    assert refused.value.errno == number
                child = _born_into(cgroup.Doors(cgroup.Places((), str(place))))
                if child == 0:
                    os.write(say, dict(Process(os.getpid()).cgroups())[""].encode())
                else:
                    os.waitpid(child, 0)
            finally:
                os._exit(0)
        os.close(say)
        os.waitpid(between, 0)
        assert os.read(said, 4096).decode() == os.path.join(own[0][1], place.name)
        assert os.read(said, 1) == b""
    finally:
        os.close(said)
        place.rmdir()


def test_cgroup_of_a_hierarchy_that_is_not_mounted() -> None:
    """An error that names it."""
    with pytest.raises(FileNotFoundError, match="nonsense"):
        cgroup.places([("nonsense", "/x")], [])


def test_capabilities() -> None:
    """From the fields of status; what isn't in the bounding set can't be inheritable or ambient."""
    status = {"CapBnd": "00000000a80425fb", "CapInh": "ffffffffffffffff", "CapAmb": "0000000000000004"}
    assert Capabilities.of(status) == Capabilities(0xA80425FB, 0xA80425FB, 0)
    assert lacking(0b101, {0: "A", 1: "B", 2: "C", 70: "D"}) == ["B", "D"]
    assert 30 < last_capability() < 64


def test_user_of_a_user_namespace() -> None:
    """The first that its map has, in our number; -1, which chown(2) takes for no change, where it has none."""
    assert user_of("         0      64123          1\n         1    1025968      65536\n") == 64123
    assert user_of("") == -1


@given(st.sampled_from(["join", "attach", "confine", "execute"]), st.integers(0, 200), st.text(max_size=30))
def test_failure_travels_through_its_pipe(step: str, number: int, subject: str) -> None:
    """As it was, whatever it is about."""
    failure = Failure(step, number, subject.encode("utf-8", "replace").decode())
    assert Failure.unpack(failure.pack()) == failure


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    """And what was printable before is unchanged."""
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


def test_printable_spells_out_what_drives_a_terminal() -> None:
    """Escape sequences, both of C0 and C1, bidirectional overrides, and bytes that were no text."""
    assert printable("a\x1b[31m\x9b\u202e\udcff\n") == "a\\x1b[31m\\x9b\\u202e\\udcff\\n"


@pytest.fixture
def other() -> object:
    """A process that is no container's."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_process_of_another_is_refused(other: subprocess.Popen[bytes]) -> None:
    """A number that was recycled: a real process, alive, but with neither the container's cgroup nor its start."""
    found = Process(other.pid)
    assert not found.belongs_to("f" * 64, boot_time() + 1, 0)
    assert not found.belongs_to("f" * 64, 0, 0)
    assert not found.belongs_to("f" * 64, found.started() - 3600, 0)


def test_process_is_proved_by_its_start(other: subprocess.Popen[bytes]) -> None:
    """Where cgroups carry no id, the start that the engine tells proves it."""
    found = Process(other.pid)
    assert found.belongs_to("f" * 64, found.started(), 0) and found.alive() and not found.ending()


def test_process_that_ended_proves_nothing(other: subprocess.Popen[bytes]) -> None:
    """Held by its pidfd, its end shows, whatever its number comes to mean."""
    found = Process(other.pid)
    started = found.started()
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert not found.alive() and not found.belongs_to("f" * 64, started, 0)


def test_process_of_a_hostile_name() -> None:
    """Its name, which stat shows in parentheses, may hold anything."""
    name = ") S 1 1 1 1 ("
    code = f"import ctypes, time; ctypes.CDLL(None).prctl(15, {name.encode()!r}); print(flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        found = Process(process.pid)
        assert abs(found.started() - Process(os.getpid()).started()) < 3600 * 24 and not found.ending()
        assert process.pid in sessions.members(os.getsid(0))
        process.kill()


def test_process_can_not_add_to_what_is_told_of_it() -> None:
    """Whatever newline it has in its name or its environment: that ends no line, and a value stays as it is."""
    script = (
        "import sys; open('/proc/self/comm', 'wb').write(sys.argv[1].encode()); "
        "print('so', flush=True); sys.stdin.read()"
    )
    for newline in ("\r", "\x0b", "\x0c", "\x1c", "\x85"):
        argv = [sys.executable, "-c", script, f"{newline}Evil:\t1"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(argv, env={"A": f"1{newline}2"}, **pipes) as child:  # type: ignore[call-overload]
            assert child.stdout.readline() == b"so\n"
            process = Process(child.pid)
            assert "Evil" not in process.status()
            assert f"A=1{newline}2" in process.read("environ").split("\0")
            child.stdin.close()


ID, OTHER = "a1" * 32, "b2" * 32


@pytest.mark.parametrize(
    ("path", "own", "found"),
    [
        (f"/docker/{ID}", "/", ID),
        (f"/system.slice/docker-{ID}.scope", "/init.scope", ID),
        (f"/machine.slice/libpod-{ID}.scope/container", "/", ID),
        (f"/kubepods/besteffort/pod12-34/{ID}", "/", ID),
        (f"/docker/{ID}/docker/{OTHER}", "/", ID),
        (f"/docker/{ID}/{OTHER}", "/", ID),
        (f"/docker/{ID}/docker/{OTHER}", f"/docker/{ID}", OTHER),
        (f"/docker/{ID}", f"/docker/{ID}", ""),
        ("/user.slice", "/", ""),
        (f"/docker/{ID[:-1]}x", "/", ""),
    ],
)
def test_container_of_a_process(path: str, own: str, found: str) -> None:
    """By its cgroup: the one that this machine's engine made, whatever was made and named inside of it."""
    assert container_in(f"0::{path}\n", f"0::{own}\n") == found


def test_a_signal_that_ends_at_once_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its leader is gone, and waited for, before SIGCONT could follow; one that was gone before is not there."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as leader:
        killpg = os.killpg

        def and_wait(group: int, number: int) -> None:
            killpg(group, number)
            leader.wait()

        monkeypatch.setattr(os, "killpg", and_wait)
        sessions.deliver(leader.pid, signal.SIGTERM)
        assert leader.returncode == -signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            sessions.deliver(leader.pid, signal.SIGTERM)


def test_sessions_end_with_all_that_are_in_them() -> None:
    """Those that ignore HUP and TERM too."""
    script = "trap '' HUP TERM; sleep 1000 & sleep 1000 & echo; wait; sleep 1000"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout and leader.stdout.readline()
        assert len(sessions.members(leader.pid)) >= 3
        sessions.end(leader.pid)
        assert sessions.members(leader.pid) == []
        assert leader.wait() == -signal.SIGKILL


def test_who_is_yet_to_lead_a_session_is_ended_too() -> None:
    """A process that was forked a moment ago, and is to become the command, has not come to setsid(2) yet."""
    with subprocess.Popen(["sleep", "100000"]) as coming:
        sessions.end(coming.pid)
        assert coming.wait(60) == -signal.SIGHUP


def test_signals_that_are_held_come_later() -> None:
    """None is lost in between."""
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        hold()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert came == [] and signal.SIGUSR1 in FORWARDED
        release()
        assert came == [signal.SIGUSR1]
    finally:
        release()
        signal.signal(signal.SIGUSR1, before)


def test_terminal_is_raw_and_then_as_before() -> None:
    """Whatever happens in between; and its size is what it was told."""
    import termios

    ours, theirs = os.openpty()
    try:
        before = termios.tcgetattr(theirs)
        with pytest.raises(KeyError), terminals.Raw(theirs):
            assert not termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
            raise KeyError
        assert termios.tcgetattr(theirs) == before
        assert terminals.size(theirs) == Size(80, 24)  # of none, what most have
        terminals.resize(ours, Size(132, 50))
        assert terminals.size(theirs) == Size(132, 50)
        with open("/dev/null", "rb") as nothing:
            assert terminals.size(nothing.fileno()) == Size(80, 24)
    finally:
        os.close(ours)
        os.close(theirs)


def test_nothing_but_a_ptmx_is_opened_for_a_terminal(tmp_path: Path) -> None:
    """What else stands at its path in a container is looked at, no more: to open a device sets it going."""
    os.mkfifo(tmp_path / "ptmx")
    flags = []

    def open_inside(path: str, how: int) -> int:
        flags.append(how)
        return os.open(tmp_path / "ptmx", how)

    with pytest.raises(OSError, match="No such device"):
        terminals.new_pty(open_inside, Size(80, 24))
    assert len(flags) == 1 and flags[0] & os.O_PATH


def test_files_of_a_root_are_files() -> None:
    """Nothing but regular files is read: no device, no FIFO, no link of the kernel's own (/proc/PID/fd)."""
    files = RootFiles(os.getpid())
    assert files.read("/proc/version") is not None
    assert files.read("/dev/zero") is None and files.read("/etc") is None and files.read("/nowhere") is None
    assert files.read("/proc/self/exe") is None
    assert files.directory("/etc") and not files.directory("/etc/passwd") and files.exists("/dev/zero")
    assert files.executable("/bin/sh") and not files.executable("/etc/passwd") and not files.executable("/etc")
    assert "passwd" in files.names("/etc") and files.names("/nowhere") == []
    files.close()


_CHROOTS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.unshare(0x20000)
libc.mount(b"", b"/", None, 1 << 18 | 16384, None)
libc.mount(b"x", b"/mnt", b"tmpfs", 0, None)
os.mkdir("/mnt/below")
os.chdir("/mnt")
"""


@pytest.mark.parametrize(
    ("code", "same", "covered"),
    [
        ("", True, False),
        ("os.chroot('/mnt')", False, False),
        ("os.chroot('/mnt/below')", False, False),
        ("os.chdir('/'); os.chroot('/mnt'); libc.umount2(b'mnt', 2)", False, False),
        ("libc.mount(b'x', b'/', b'tmpfs', 0, None)", False, True),
    ],
    ids=["none", "mount", "directory", "detached", "covered"],
)
def test_root_is_the_mount_namespaces(world: World, code: str, same: bool, covered: bool) -> None:
    """Whatever the process has made its own root: the directory that setns(2) leads to is found."""
    world.need_root()
    code = f"{_CHROOTS}{code}\nprint(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stdout.read(1) == b"\n"
        own = os.stat(f"/proc/{process.pid}/root")
        root = open_root(process.pid)
        found = os.fstat(root)
        os.close(root)
        process.stdin.close()
    assert os.path.samestat(found, own) == same
    assert os.path.samestat(found, os.stat("/")) != covered


def test_file_is_cut_at_its_limit() -> None:
    """An endless one costs no more."""
    assert RootFiles(os.getpid()).read(f"/proc/{os.getpid()}/maps", 10) is not None
    assert len(RootFiles(os.getpid()).read(f"/proc/{os.getpid()}/maps", 10) or b"") == 10


@pytest.mark.parametrize("refusals", [10, 1000])
def test_a_tracer_before_us_is_waited_for_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
    """Where we are given a processor once in a second, few looks say nothing, though each finds that the one before us
    has just let go. Many do: then it is the kernel that turns us down."""
    tries = iter(range(refusals))

    def refused(request: int, pid: int) -> int:
        if next(tries, None) is not None:
            raise PermissionError(errno.EPERM, "another is its tracer")
        return 0

    monkeypatch.setattr(seccomp, "_ptrace", refused)
    monkeypatch.setattr(seccomp, "sleep", lambda seconds: None)
    monkeypatch.setattr(seccomp, "monotonic", iter(range(10**6)).__next__)
    monkeypatch.setattr(seccomp, "_told", lambda pid, name: b"0")
    if refusals < 50:
        seccomp._seize(os.getpid())
        return
    with pytest.raises(PermissionError):
        seccomp._seize(os.getpid())
    assert next(tries) < 100


def test_tracers_that_follow_one_another_keep_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """As something hostile may have it: each look finds another."""

    def refused(request: int, pid: int) -> int:
        raise PermissionError(errno.EPERM, "another is its tracer")

    tracers = iter(range(1, 1000))
    monkeypatch.setattr(seccomp, "_ptrace", refused)
    monkeypatch.setattr(seccomp, "sleep", lambda seconds: None)
    monkeypatch.setattr(seccomp, "monotonic", iter(range(10**6)).__next__)
    monkeypatch.setattr(seccomp, "_told", lambda pid, name: b"%d" % next(tracers))
    with pytest.raises(PermissionError):
        seccomp._seize(os.getpid())


def test_seccomp_filter_of_a_process_without_one(world: World, other: subprocess.Popen[bytes]) -> None:
    """EINVAL, and the process goes on."""
    world.need_root()
    with pytest.raises(OSError, match="Invalid argument"):
        seccomp.program_of(other.pid)
    assert Process(other.pid).status()["TracerPid"] == "0" and Process(other.pid).alive()


def test_a_frozen_cgroup(world: World) -> None:
    """Of version 2: the one that is frozen is found from within one below it."""
    world.need_root()
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    place = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    world.need(place, "no cgroup v2 is mounted")
    assert place
    outer = place / f"dockshell-test-{os.getpid()}"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        with subprocess.Popen(["sleep", "1000"]) as process:
            (inner / "cgroup.procs").write_text(str(process.pid))
            assert (freezer(process.pid), full(process.pid)) == (("", ""), (0, ""))
            (outer / "cgroup.freeze").write_text("1")
            assert freezer(process.pid) == (str(outer / "cgroup.freeze"), "0")
            (outer / "cgroup.freeze").write_text("0")
            process.kill()
    finally:
        inner.rmdir()
        outer.rmdir()
