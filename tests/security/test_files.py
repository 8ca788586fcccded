"""Who is root in a container, and has prepared it, against what serves its files to an SSH client: links of /proc,
which lead to the serving process's own program, memory and environment; what the kernel shows; devices.

The serving process is run by a copy of Python, which is what the attacks would change. The same client against a server
without the guard shows that each attack is one (`unguarded`)."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import pack, unpack_from
from typing import Any

import pytest

from dockshell.linux.libc import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from dockshell.linux.rootfs import RootFiles, open_root
from tests.bridge.conftest import Way, _configure
from tests.bridge.test_files import _inside
from tests.conftest import COMMAND
from tests.world import Peer, World
from tests.world.person import Person
from tests.world.tars import record, with_header

_ROOT = Path(__file__).parents[2]
_SECRET = "a-secret-of-the-caller"

# What it is served by where nothing guards: paths as the kernel resolves them, any kind of file, and the arguments and
# environment that the process was started with.
_UNGUARDED = """
import os
from dockshell.bridge import tree
from dockshell.linux import arguments, safe_paths

def opened(path, flags, mode=0, *, follow=True):
    return os.open(path, flags | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW), mode)

safe_paths.opened = opened
safe_paths.need_changeable = lambda descriptor: None
arguments.wipe_arguments = lambda: None
tree._need_file = lambda descriptor, writes: None
"""
_SERVED = "import sys\nfrom dockshell.cli import main\nsys.exit(main())\n"

# A path that is a file and such a link in turn.
_SWAPPED = """while :; do
    cp /a/file /a/t; mv -T /a/t /a/swapped; ln -s /proc/self/exe /a/t; mv -T /a/t /a/swapped
done"""
# What root inside prepares.
_PREPARED = """
mkdir /a /a/here
for name in environ exe mem root cwd maps cmdline auxv oom_score_adj; do ln -s /proc/self/$name /a/$name; done
ln -s ../../proc/self/fd/0 /a/fd
ln -s /proc/thread-self /a/thread
ln -s /proc/1/oom_score_adj /a/first
mknod /a/zero c 1 5
echo honest >/a/file
ln -s file /a/link
"""
_OWN = (
    *(b"/a/" + name for name in (b"environ", b"mem", b"maps", b"cmdline", b"auxv")),
    b"/proc/self/environ",
    b"/proc/thread-self/environ",
    b"/proc/self/task/../environ",
    b"/a/thread/maps",
    b"/elsewhere/self/environ",
)

_DENIED = 3  # SSH_FX_PERMISSION_DENIED
_READ, _WRITE = 1, 2  # SSH_FXF_…


class Sftp:
    """A client that says what it likes. Each method returns what came, or the number of the status."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.ask(1, b"", b"")

    def ask(self, kind: int, content: bytes, request: bytes = pack(">I", 7)) -> bytes | int:
        assert self._process.stdin and self._process.stdout
        if kind == 1:
            content = pack(">I", 3)
        packet = bytes([kind]) + request + content
        self._process.stdin.write(pack(">I", len(packet)) + packet)
        self._process.stdin.flush()
        (length,) = unpack_from(">I", self._process.stdout.read(4))
        answer = self._process.stdout.read(length)
        return int(unpack_from(">I", answer, 5)[0]) if answer[0] == 101 else answer[5:]

    def open(self, path: bytes, flags: int) -> bytes | int:
        return self.ask(3, _string(path) + pack(">II", flags, 0))

    def get(self, path: bytes, at: int = 0) -> bytes | int:
        handle = self.open(path, _READ)
        if isinstance(handle, int):
            return handle
        found = self.ask(5, handle + pack(">QI", at, 1 << 16))
        self.ask(4, handle)
        return found if isinstance(found, int) else found[4:]

    def put(self, path: bytes, content: bytes, at: int = 0) -> int:
        handle = self.open(path, _WRITE)
        if isinstance(handle, int):
            return handle
        done = self.ask(6, handle + pack(">Q", at) + _string(content))
        self.ask(4, handle)
        assert isinstance(done, int)
        return done

    def change(self, path: bytes, flags: int, *numbers: int) -> bytes | int:
        """SETSTAT of what the flags say: 2 for the owner, 4 for the mode, 8 for the times."""
        return self.ask(9, _string(path) + pack(f">I{len(numbers)}I", flags, *numbers))

    def list(self, path: bytes) -> bytes | int:
        return self.ask(11, _string(path))

    def readlink(self, path: bytes) -> bytes | int:
        return self.ask(19, _string(path))


def _string(content: bytes) -> bytes:
    return pack(">I", len(content)) + content


@pytest.fixture(scope="module")
def served(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Peer, str], tuple[Way, Path]]:
    """served(peer, program): the way in by a server that a copy of Python runs, after that program, and that copy."""

    def make(peer: Peer, program: str) -> tuple[Way, Path]:
        place = tmp_path_factory.mktemp("served")
        copy = place / "python"
        shutil.copy(os.path.realpath(sys.executable), copy)
        copy.chmod(0o755)
        (place / "served.py").write_text(program + _SERVED)
        environment = {
            "HOME": str(place),
            "PATH": os.environ["PATH"],
            "PYTHONHOME": sys.base_prefix,
            "PYTHONPATH": f"{_ROOT}:{sysconfig.get_paths()['purelib']}",
            "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib",
            "PASSWORD": _SECRET,
        }
        caller = Person([str(copy), "-P", str(place / "served.py")], environment, str(place))
        # ssh-config is asked for by the real command, which names the copy nowhere.
        config = _configure(place, Person(COMMAND, environment, str(place)), peer.url)
        config.write_text(config.read_text().replace(" ".join(COMMAND), " ".join(caller.command)))
        return Way(peer, "root", caller, config), copy

    return make


@contextmanager
def _client(way: Way, name: str) -> Iterator[Sftp]:
    process = way.started("-s", f"{name}.dockshell", "sftp")
    try:
        yield Sftp(process)
    finally:
        process.kill()
        process.communicate()


def _running(way: Way, name: str, program: Path) -> list[int]:
    """The processes in that container that run this program of the host's."""
    found = []
    for pid in _inside(way, name):
        with suppress(OSError):  # gone meanwhile
            found += [pid] if os.path.samefile(f"/proc/{pid}/exe", program) else []
    return found


def _shown(pid: int) -> bytes:
    """The arguments and the environment of a process, as root of the host sees them."""
    return (Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()).strip(b"\0")


def _facts(path: Path) -> tuple[int, int, int, int, int]:
    facts = path.stat()
    return facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns, facts.st_size


# A seccomp profile of before openat2(2).
_OLD_PROFILE = (
    """{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["openat2"], "action": "SCMP_ACT_ERRNO"}]}"""
)


@pytest.mark.parametrize(("guarded", "profile"), [(True, ""), (True, _OLD_PROFILE), (False, "")])
def test_a_prepared_container(
    docker: Peer, served: Callable[[Peer, str], tuple[Way, Path]], tmp_path: Path, guarded: bool, profile: str
) -> None:
    """A client with a key for one container, where root has prepared links: the program, memory, environment and
    descriptors of the process that serves files are out of reach, by /proc/self and by any way to it, with openat2(2)
    and without."""
    way, copy = served(docker, "" if guarded else _UNGUARDED)
    (tmp_path / "profile").write_text(profile)
    confined = ["--security-opt", f"seccomp={tmp_path}/profile"] if profile else []
    name = docker.run("busybox", options=["-v", "/proc:/elsewhere", *confined])
    docker.sh("exec", name, "sh", "-c", _PREPARED)
    docker.sh("exec", "--detach", name, "sh", "-c", _SWAPPED)
    before = _facts(copy)
    with _client(way, name) as sftp:
        got = [sftp.get(path) for path in _OWN]
        reached = [path for path, found in zip(_OWN, got, strict=True) if isinstance(found, bytes)]
        secrets = [found for found in got if isinstance(found, bytes) and _SECRET.encode() in found]
        written = [sftp.put(path, b"1") for path in (b"/a/oom_score_adj", b"/a/first", b"/proc/self/comm")]
        entered = [sftp.list(path) for path in (b"/a/root", b"/proc/1/root", b"/a/cwd", b"/proc/self", b"/a/thread")]
        opened = [sftp.open(b"/a/mem", _READ | _WRITE), sftp.open(b"/a/fd", _READ), sftp.open(b"/a/zero", _WRITE)]
        told = sftp.readlink(b"/proc/self/exe")
        device = sftp.get(b"/a/zero")
        shown = [_shown(pid) for pid in _running(way, name, copy)]
        met, until = set[bytes | int](), time.monotonic() + 60
        while (guarded and len(met) < 2) or (not guarded and before == _facts(copy)):
            met.add(sftp.change(b"/a/swapped", 4, 0o4711))
            assert time.monotonic() < until, met
        changed = [sftp.change(b"/a/exe", 4, 0o4755), sftp.change(b"/proc/self/exe", 8, 1, 1)]
        # And what is to be had is.
        assert sftp.get(b"/a/link") == b"honest\n" and isinstance(sftp.get(b"/proc/1/status"), bytes)
        assert sftp.change(b"/a/link", 4, 0o600) == 0 == sftp.change(b"/a/file", 8, 7, 7)
        assert sftp.get(b"/proc/sys/kernel/ostype") == b"Linux\n"
    assert docker.ask("exec", name, "stat", "-c", "%a %Y", "/a/file") == "600 7"
    adjusted = docker.ask("exec", name, "cat", "/proc/1/oom_score_adj")
    if guarded:
        assert got == [_DENIED] * len(_OWN) and shown == [b""] and _facts(copy) == before and adjusted == "0"
        assert all(isinstance(each, int) and each for each in (*changed, *written, *entered, *opened, told, device))
    else:
        assert set(reached) >= {b"/a/maps", b"/proc/thread-self/environ", b"/elsewhere/self/environ"} and secrets
        assert stat.S_IMODE(copy.stat().st_mode) == 0o4755 and int(copy.stat().st_mtime) == 1
        assert adjusted == "1" and 0 in written
        assert all(isinstance(each, bytes) for each in (*entered, *opened, told, device))


# The names of users as the C library finds them, by what is in the container.
_BY_THE_LIBRARY = """
import os, pwd
from dockshell.bridge import tree

def user(self, number):
    try:
        return os.fsencode(pwd.getpwuid(number).pw_name)
    except KeyError:
        return b""

tree.LocalTree.user = user
"""


@pytest.mark.parametrize("guard", ["", _BY_THE_LIBRARY], ids=["guarded", "unguarded"])
def test_nothing_inside_is_loaded(
    world: World, docker: Peer, served: Callable[[Peer, str], tuple[Way, Path]], guard: str
) -> None:
    """CVE-2019-14271: what is listed has names of owners, and no library of the container's is loaded into the serving
    process for that."""
    library = next(iter(sorted(Path("/lib").glob("*/libnss_compat.so.2"))), None)
    world.need(library, "the C library here has no plugin for names to bring in")
    way, copy = served(docker, guard)
    name = docker.run("busybox")
    script = f"mkdir -p {library.parent}; cat >{library}; echo passwd: compat >/etc/nsswitch.conf; chown 77 /srv"
    docker.sh("exec", "-i", name, "sh", "-c", script, input=library.read_bytes())
    inode = os.stat(f"/proc/{docker.pid(name)}/root{library}").st_ino
    with _client(way, name) as sftp:
        handle = sftp.list(b"/")
        assert isinstance(handle, bytes) and isinstance(sftp.ask(12, handle), bytes)
        loaded = [_loaded(pid) for pid in _running(way, name, copy)]
    assert any(str(inode) in each for each in loaded) is bool(guard)


def _loaded(pid: int) -> set[str]:
    """The inodes of all files that a process has in its memory."""
    return {line.split()[4] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()}


# As where a security module is: this kernel has none that would give a label.
_LABEL = """
from dockshell.linux import own_label
from dockshell.routes import nsenter_facts
nsenter_facts.label_of = lambda text: "docker-default"
"""
_LABEL_IGNORED = "own_label.labelled = lambda label, act: act\n"


@pytest.mark.parametrize("guard", [_LABEL, _LABEL + _LABEL_IGNORED], ids=["guarded", "unguarded"])
def test_who_can_not_have_the_label_serves_nothing(
    docker: Peer, served: Callable[[Peer, str], tuple[Way, Path]], tmp_path: Path, guard: str
) -> None:
    """A label is taken on by execve(2), and what serves files executes nothing. Where it can't have it otherwise, the
    container's own shell serves them, by the engine's exec; and a Unix socket inside can't be reached."""
    way, copy = served(docker, guard)
    name = docker.run("busybox")
    with _client(way, name) as sftp:
        assert isinstance(sftp.get(b"/etc/passwd"), bytes)
        ours = _running(way, name, copy)
    assert bool(ours) is (guard != _LABEL)
    with way.started("-v", "-R", "/x:/y", "-s", f"{name}.dockshell", "sftp") as process:
        assert process.stderr
        answer = next((line for line in process.stderr if b"remote forward " in line), b"")
        process.kill()
    assert (b"success" in answer) is (guard != _LABEL) and answer
    here = str(tmp_path / "here")
    argv = [*way.caller.command, "forward", "-v", name, f"{here}:/none"]
    environment = {**way.caller.environment, "DOCKER_HOST": docker.url}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, env=environment, **pipes) as forward, socket.socket(socket.AF_UNIX) as client:  # type: ignore[call-overload]
        try:
            assert forward.stdout.readline()
            client.connect(here)
            said = next(line for line in forward.stderr if b"not connected" in line)
        finally:
            forward.terminate()
    assert (b"label" in said, b"no such file" in said) == (guard == _LABEL, guard != _LABEL), said


_LINKED = """
mkdir -p /a /etc/container_environment
ln -s /host/proc/self/maps /etc/container_environment/STOLEN
ln -s /host/proc/self/environ /a/environ
ln -s /host/proc/self /a/self
"""


def test_links_to_the_hosts_proc(docker: Peer, dockshell: Callable[..., Any], tmp_path: Path) -> None:
    """A container with the host's /proc, as those that watch a machine have it: of what is read there from outside, as
    root, links lead nothing to dockshell's own process. Not into a session's environment, not into a copy; and nothing
    that a copy goes through is of that /proc."""
    name = docker.run("busybox", options=["-v", "/proc:/host/proc"])
    docker.sh("exec", name, "sh", "-c", _LINKED)
    environment = {"PASSWORD": _SECRET}
    done = dockshell("exec", "--login", name, "env", engine=docker, env=environment)
    assert done.returncode == 0 and b"STOLEN" not in done.stdout and b"HOME=/root" in done.stdout
    for operands in (("-rL", f"{name}:/a"), ("-r", f"{name}:/a/self/"), ("-L", f"{name}:/a/environ")):
        to = tmp_path / operands[0] / str(len(operands[1]))
        to.mkdir(parents=True)
        done = dockshell("cp", *operands, str(to), engine=docker, env=environment)
        assert done.returncode == 1 and b"a link leads there to what the kernel shows" in done.stderr
        assert not [each for each in to.rglob("*") if each.is_file()]
    done = dockshell("cp", "-r", f"{name}:/host", str(tmp_path), engine=docker)
    assert done.returncode == 0 and b"/host/proc was left out" in done.stderr and not os.listdir(tmp_path / "host")
    files = RootFiles(docker.pid(name))
    assert files.names("/a/self") == [] and files.read("/a/environ") is None
    assert files.read(f"/host/proc/{os.getpid()}/status")
    files.close()
    # The same root, with the links: it is this process's own environment.
    root = open_root(docker.pid(name))
    with open(openat2(root, "/a/environ", os.O_RDONLY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), "rb") as own:
        assert own.read() == Path("/proc/self/environ").read_bytes()
    os.close(root)


def test_a_copy_changes_nothing_of_the_kernels(
    world: World, docker: Peer, dockshell: Callable[..., Any], tmp_path: Path
) -> None:
    """A tree that somebody else made can have directories in it which, made there, act: in a cgroup of the host's, for
    a container that has those."""
    world.need_root()
    made = "pids/dsh-made" if os.path.exists("/sys/fs/cgroup/pids") else "dsh-made"
    name = docker.run("busybox", options=["-v", "/sys/fs/cgroup:/host/cgroup"])
    (tmp_path / "cgroup" / made).mkdir(parents=True)
    above, _, last = made.rpartition("/")
    for source, to in ((f"{tmp_path}/.", "/host"), (f"{tmp_path}/cgroup/{above}/{last}", f"/host/cgroup/{above}/")):
        done = dockshell("cp", "-r", source, f"{name}:{to}", engine=docker)
        assert done.returncode == 1 and b"it is the kernel's" in done.stderr, done
        assert not os.path.exists(f"/sys/fs/cgroup/{made}")
    # By the same way into the container, and no guard, it is made.
    place = f"/proc/{docker.pid(name)}/root/host/cgroup/{made}"
    os.mkdir(place)
    os.rmdir(place)


_DIGITS = with_header(record(b"comment", b"1" * 100_000))
# Which of the two it is that this Python's tarfile does with them: CVE-2024-6232.
_PLAIN = """
import inspect, io, sys, tarfile
print("mended" if "hdrcharset=([" not in inspect.getsource(tarfile.TarInfo._proc_pax) else "quadratic", flush=True)
tarfile.open(fileobj=sys.stdin.buffer, mode="r|").next()
"""


# A shell that has no other tar to give.
_SHELL = """#!/bin/busybox sh
case $2 in *"tar c"*) exec cat /attack ;; esac
exec /bin/busybox sh "$@"
"""


def _with_tar(docker: Peer, tar: bytes) -> str:
    """A container whose /t/x can be copied by its own tar alone, and that gives this one."""
    name = docker.run("busybox", options=["--tmpfs", "/t"])
    script = 'mkdir /t/x; cat >/attack; rm /bin/sh; echo "$0" >/bin/sh; chmod 755 /bin/sh'
    docker.sh("exec", "-i", name, "sh", "-c", script, _SHELL, input=tar)
    return name


def test_a_tar_inside_that_leads_out(docker: Peer, dockshell: Callable[..., Any], tmp_path: Path) -> None:
    """CVE-2019-1002101 and CVE-2019-11246: a copy by the container's own tar writes and reads nothing here but what is
    below its own name, whatever that tar has in it: links, `..`, absolute names, second names."""
    outside, to, plain = tmp_path / "outside", tmp_path / "to", tmp_path / "plain"
    for each in (outside, to, plain):
        each.mkdir()
    (tmp_path / "secret").write_text(_SECRET)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, kind, target in (
            ("x", tarfile.DIRTYPE, ""),
            ("x/link", tarfile.SYMTYPE, str(outside)),
            ("x/link/evil", tarfile.REGTYPE, ""),
            ("x/../../above", tarfile.REGTYPE, ""),
            (f"{outside}/absolute", tarfile.REGTYPE, ""),
            ("y/other", tarfile.REGTYPE, ""),
            ("x/second", tarfile.LNKTYPE, "x/../../secret"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o755
            made.addfile(member)
    name = _with_tar(docker, packed.getvalue())
    done = dockshell("cp", "-r", "--via", "exec", f"{name}:/t/x", str(to), engine=docker)
    assert done.returncode == 1, done
    assert os.listdir(to) == ["x"] and not os.listdir(outside) and not (tmp_path / "above").exists()
    assert not (to / "x" / "second").exists() and os.readlink(to / "x" / "link") == str(outside)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as made:
        made.extraction_filter = lambda member, path: member
        made.extractall(plain)
    assert sorted(os.listdir(outside)) == ["absolute", "evil"] and (tmp_path / "above").exists()
    assert (plain / "x" / "second").read_text() == _SECRET


def test_a_tar_inside_that_takes_quadratic_time(docker: Peer, environment: dict[str, str], tmp_path: Path) -> None:
    """Where a copy comes by the container's own tar, one that is made to keep the reader busy for hours is refused. A
    few seconds of processor time are enough for that; Python's own tarfile doesn't get along with them."""
    name = _with_tar(docker, _DIGITS)
    limited = ["sh", "-c", 'ulimit -t "$0"; exec "$@"']
    argv = [*limited, "5", *COMMAND, "cp", "--via", "exec", f"{name}:/t/x", str(tmp_path / "got")]
    environment = {**environment, "DOCKER_HOST": docker.url}
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1 and b"it is no tar, or a broken one" in done.stderr, done
    plain = subprocess.run(
        [*limited, "1", sys.executable, "-c", _PLAIN], input=_DIGITS, capture_output=True, timeout=120, check=False
    )
    assert (plain.stdout, plain.returncode) in ((b"quadratic\n", -signal.SIGKILL), (b"mended\n", 0))
