"""Paths among hostile files: by openat2(2), and name by name where a kernel or a seccomp filter lacks that."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from errno import EACCES, ELOOP, ENOENT, ENOSYS, ENOTDIR, EOPNOTSUPP, EPERM
from pathlib import Path
from typing import NoReturn

import pytest

from dockshell.linux import safe_paths
from tests.world import World


@pytest.fixture(params=["", "kernel", "filter"])
def _lacking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is; on a kernel without the newer calls; under a filter that knows nothing of them."""

    def lacking(*_: object) -> NoReturn:
        raise OSError(ENOSYS if request.param == "kernel" else EPERM, "lacking")

    if request.param:
        monkeypatch.setattr(safe_paths, "openat2", lacking)
        monkeypatch.setattr(safe_paths, "syscall", lacking)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("content")
    for name, target in {
        "relative": "a/b/../file",
        "absolute": f"{tmp_path}/a/file",
        "twice": "relative",
        "directory": "a/b",
        "slash": "a/file/",
        "above": "../" * 40 + f"{tmp_path}/a",
        "loop": "loop",
        "dangling": "a/new",
    }.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


def _found(open_it: Callable[[], int]) -> tuple[int, int] | int:
    """The device and inode of what was opened, or the errno."""
    try:
        descriptor = open_it()
    except OSError as error:
        return error.errno or 0
    try:
        facts = os.fstat(descriptor)
        return facts.st_dev, facts.st_ino
    finally:
        os.close(descriptor)


@pytest.mark.usefixtures("_lacking")
@pytest.mark.parametrize("follow", [True, False])
def test_paths_mean_what_they_mean_to_the_kernel(tree: Path, follow: bool) -> None:
    """Links, `.`, `..`, slashes and what isn't there: as open(2) has them."""
    flags = os.O_PATH if follow else os.O_PATH | os.O_NOFOLLOW
    names = ["a", "a/", "a/.", "a/b/..", "a/file", "a/file/", "a/file/x", "a//file", "none", "none/x", "above/file", ""]
    names += ["relative", "absolute", "twice", "twice/", "directory", "directory/", "directory/../file", "slash"]
    names += ["loop", "loop/x", "dangling", "dangling/", "a/b/../../../../../../../../..", "."]
    for name in names:
        path = os.fsencode(f"{tree}/{name}")
        expected = _found(lambda path=path: os.open(path, flags))  # type: ignore[misc]
        assert _found(lambda path=path: safe_paths.opened(path, os.O_PATH, follow=follow)) == expected, name  # type: ignore[misc]
    assert _found(lambda: safe_paths.opened(b"/", os.O_PATH)) == _found(lambda: os.open("/", os.O_PATH))


@pytest.mark.usefixtures("_lacking")
def test_a_file_is_made(tree: Path) -> None:
    """Where it is to be, through a link too that leads nowhere yet, and with its mode."""
    os.close(safe_paths.opened(os.fsencode(tree / "dangling"), os.O_WRONLY | os.O_CREAT, 0o640))
    assert stat.S_IMODE((tree / "a" / "new").stat().st_mode) == 0o640 & ~_umask()
    with pytest.raises(FileExistsError):
        safe_paths.opened(os.fsencode(tree / "a" / "new"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)


def _umask() -> int:
    os.umask(now := os.umask(0))
    return now


@pytest.mark.usefixtures("_lacking")
def test_what_is_the_calling_process_s(tree: Path) -> None:
    """Nothing that /proc has of it is opened, however the path gets there; what it has of others, and the rest, is."""
    (tree / "link").symlink_to("/proc/self/environ")
    (tree / "proc").symlink_to("/proc")
    own = [
        "self/environ",
        "self/mem",
        "self",
        "self/",
        "thread-self/maps",
        f"{os.getpid()}/cmdline",
        "self/task",
        "mounts",
    ]
    own += ["self/fd", f"self/task/{os.getpid()}/environ", "self/ns/../auxv", "net/tcp"]
    for path in ("/proc/" + name for name in own):
        assert _found(lambda path=path: safe_paths.opened(path.encode(), os.O_RDONLY)) == EACCES, path  # type: ignore[misc]
    for path in (tree / "link", tree / "proc" / "self" / "environ"):
        assert _found(lambda path=path: safe_paths.opened(os.fsencode(path), os.O_PATH)) == EACCES  # type: ignore[misc]
    for path in (
        "/proc/1/status",
        "/proc/1/task/1/comm",
        "/proc/cpuinfo",
        "/proc/sys/kernel/ostype",
        "/proc",
        "/proc/1",
    ):
        os.close(safe_paths.opened(path.encode(), os.O_RDONLY))
    # Of its links there, which lead anywhere, not even where they lead is told.
    for name in ("self/exe", "self/root", "self/cwd", "self/fd/0"):
        path = f"/proc/{name}"
        assert _found(lambda path=path: safe_paths.opened(path.encode(), os.O_PATH, follow=False)) == EACCES  # type: ignore[misc]


@pytest.mark.usefixtures("_lacking")
def test_no_magic_link_is_followed() -> None:
    """Whichever process it is of."""
    for name in ("self/exe", "self/root/etc", "self/cwd", "self/fd/0", "1/root", "1/exe", "1/cwd/x"):
        path = f"/proc/{name}".encode()
        assert _found(lambda path=path: safe_paths.opened(path, os.O_PATH)) in (ELOOP, EACCES)  # type: ignore[misc]


@pytest.mark.usefixtures("_lacking")
@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "closed"])
def test_changes_are_those_of_what_was_opened(tmp_path: Path, kind: str) -> None:
    """Mode, times and owner of what a descriptor stands for, which may be neither read nor written, and not of what has
    its name by then."""
    it, other = tmp_path / "it", tmp_path / "other"
    other.write_text("")
    before = os.stat(other)
    if kind == "fifo":
        os.mkfifo(it)
    elif kind == "directory":
        it.mkdir()
    else:
        it.write_text("")
        it.chmod(0 if kind == "closed" else 0o600)
    descriptor = safe_paths.opened(os.fsencode(it), os.O_PATH)
    try:
        it.rename(tmp_path / "moved")
        it.symlink_to("other")
        safe_paths.change_mode(descriptor, 0o4711)
        safe_paths.change_times(descriptor, (5, 7))
        safe_paths.change_owner(descriptor, os.getuid(), os.getgid())
    finally:
        os.close(descriptor)
    facts = (tmp_path / "moved").stat()
    assert (facts.st_atime, facts.st_mtime) == (5, 7) and facts.st_mode & 0o777 == 0o711
    assert os.stat(other)[:9] == before[:9]


@pytest.mark.usefixtures("_lacking")
def test_changes_of_a_link(tmp_path: Path) -> None:
    """Its own times; and it has no mode."""
    (tmp_path / "there").write_text("")
    (tmp_path / "link").symlink_to("there")
    descriptor = safe_paths.opened(os.fsencode(tmp_path / "link"), os.O_PATH, follow=False)
    try:
        safe_paths.change_times(descriptor, (5, 7))
        with pytest.raises(OSError) as raised:
            safe_paths.change_mode(descriptor, 0o600)
    finally:
        os.close(descriptor)
    assert raised.value.errno == EOPNOTSUPP
    assert (tmp_path / "link").lstat().st_mtime == 7 != (tmp_path / "there").stat().st_mtime


# /proc is a directory of the container's in which `self` leads on to another file.
_FORGED = """
import errno, os, sys
from dockshell.linux import mounts, safe_paths
os.chdir(sys.argv[1])
def lacking(*_):
    raise OSError(errno.ENOSYS, "")
safe_paths.syscall = lacking
for name in ("it", "other"):
    open(name, "w").close()
    os.chmod(name, 0o600)
descriptor = os.open("it", os.O_PATH)
mounts.mount("forged", "/proc", "tmpfs")
os.makedirs("/proc/7/fd")
os.symlink("7", "/proc/self")
os.symlink(os.path.realpath("other"), f"/proc/7/fd/{descriptor}")
try:
    safe_paths.change_mode(descriptor, 0o644)
except OSError as error:
    print(error.errno, oct(os.stat("it").st_mode & 0o777), oct(os.stat("other").st_mode & 0o777))
os.chmod(f"/proc/self/fd/{descriptor}", 0o644)
print(oct(os.stat("other").st_mode & 0o777))
"""


def test_a_forged_proc_is_not_believed(world: World, tmp_path: Path) -> None:
    """On a kernel without fchmodat2(2): a link in what the container has at /proc changes no other file. Its path would
    (the last line)."""
    world.need_program("unshare")
    argv = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", _FORGED, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(argv, capture_output=True, check=False, cwd=root, timeout=60)
    assert done.stdout.decode().split() == [str(EOPNOTSUPP), "0o600", "0o600", "0o644"], done.stderr


def test_a_process_that_is_not_told_apart(world: World, tmp_path: Path) -> None:
    """A part of a /proc that is mounted by itself might be of the calling process: it is refused."""
    world.need_program("unshare")
    program = f"""
import os
from dockshell.linux import mounts, safe_paths
mounts.mount("/proc/self", {str(tmp_path)!r}, flags=mounts.BIND)
print(len(open({str(tmp_path / "environ")!r}).read()) > 0)
for path in ({os.fsencode(tmp_path / "environ")!r}, {os.fsencode(tmp_path)!r}):
    try:
        safe_paths.opened(path, os.O_RDONLY)
    except OSError as error:
        print(error.errno)
"""
    argv = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, check=False, cwd=Path(__file__).parents[2], timeout=60)
    assert done.stdout.decode().split() == ["True", str(EACCES), str(EACCES)], done.stderr


def test_what_is_not_there(tmp_path: Path) -> None:
    """The last name of a path needs not be there, all others need."""
    directory, name = safe_paths.parent(os.fsencode(tmp_path / "new"))
    os.close(directory)
    assert name == b"new"
    for path, number in ((tmp_path / "none" / "new", ENOENT), (Path("/etc/passwd/x/y"), ENOTDIR)):
        assert _found(lambda path=path: safe_paths.parent(os.fsencode(path), follow=True)[0]) == number  # type: ignore[misc]


# A process with a descriptor of a directory outside of its root, as no process of ours inside has.
_JAILED = """
import errno, json, os, socket, sys
from dockshell.bridge import sockets
from dockshell.forward import paths
from dockshell.linux import mounts, safe_paths

def tried(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "reached"

class Control:
    def send(self, told):
        raise ConnectionError(errno.ECONNREFUSED, told)

os.chdir(sys.argv[1])
os.makedirs("jail/proc")
os.mkdir("outside")
open("outside/file", "w").close()
with socket.socket(socket.AF_UNIX) as server:
    server.bind("outside/socket")
    server.listen()
    outside = os.open("outside", os.O_PATH)
    mounts.mount("/proc", "jail/proc", flags=mounts.BIND | mounts.RECURSIVE)
    os.chroot("jail")
    os.chdir("/")
    os.symlink(f"/proc/self/fd/{outside}", "link")
    for place in (f"/proc/self/fd/{outside}", "/link"):
        file, theirs = os.fsencode(place + "/file"), os.fsencode(place + "/socket")
        print(tried(lambda: os.open(file, os.O_RDONLY)), tried(lambda: socket.socket(socket.AF_UNIX).connect(theirs)))
        print(tried(lambda: safe_paths.opened(file, os.O_RDONLY)), tried(lambda: paths._reach(theirs)))
        print(*(tried(lambda: act(Control(), file + b"2")) for act in (sockets.connect_path, sockets.listen_path)))
def lacking(*_):
    raise OSError(errno.ENOSYS, "")
safe_paths.openat2 = lacking
print(tried(lambda: safe_paths.opened(file, os.O_RDONLY)))
"""


def test_nothing_outside_is_reached(world: World, tmp_path: Path) -> None:
    """By a link of /proc to a descriptor of something outside: not a file, nor a Unix socket, to connect to or to
    listen at. By plain system calls both are (the first line of each three)."""
    world.need_program("unshare")
    argv = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", _JAILED, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, check=False, cwd=Path(__file__).parents[2], timeout=60)
    lines = done.stdout.decode().splitlines()
    refused = ["ELOOP ELOOP", "ECONNREFUSED ECONNREFUSED"]
    assert lines == ["reached reached", *refused, "reached reached", *refused, "ELOOP"], done
    assert sorted(os.listdir(tmp_path / "outside")) == ["file", "socket"]
