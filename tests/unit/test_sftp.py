"""sftp: the server that needs nothing inside, before OpenSSH's own clients and before hostile ones."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from struct import pack, unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.bridge import sftp, tree
from dockshell.bridge.tree import LINKS, Changes, LocalTree, Tree, failure, real
from tests.world.bounds import within

# The server as it runs in a container: with its tree made, and nothing to import from any more.
SERVER = """
import os, sys
from dockshell.bridge import sftp, tree
there = tree.LocalTree(os.fsencode(sys.argv[1]), {os.getuid(): b"somebody"}, {os.getgid(): b"everybody"})
sys.path.clear()
sys.meta_path.clear()
os._exit(sftp.serve(there, 0, 1))
"""

INIT = pack(">IBI", 5, 1, 3)
OPEN, CLOSE, READ, WRITE, OPENDIR, READDIR, EXTENDED = 3, 4, 5, 6, 11, 12, 200


@pytest.fixture
def program(tmp_path: Path, home: Path) -> str:
    """The server as a program without arguments, as `sftp -D` and `scp -D` want it."""
    script = tmp_path / "server"
    source = tmp_path / "server.py"
    source.write_text(SERVER)
    root = Path(__file__).parents[2]
    script.write_text(f"#!/bin/sh\nPYTHONPATH='{root}' exec '{sys.executable}' '{source}' '{home}'\n")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def client(program: str, here: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """client(*lines): runs them in OpenSSH's sftp, which ends at the first that fails."""

    def run(*lines: str | bytes) -> subprocess.CompletedProcess[bytes]:
        batch = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
        argv = ["sftp", "-q", "-b", "-", "-D", program]
        return subprocess.run(argv, cwd=here, input=batch, capture_output=True, timeout=60, check=False)

    return run


@pytest.fixture
def scp(program: str, here: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """scp(*words): OpenSSH's scp as it is since version 9, by sftp."""

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        argv = ["scp", "-q", "-D", program, *words]
        return subprocess.run(argv, cwd=here, capture_output=True, timeout=60, check=False)

    return run


def packet(kind: int, request: int, content: bytes = b"") -> bytes:
    return pack(">IBI", 5 + len(content), kind, request) + content


def string(content: bytes) -> bytes:
    return pack(">I", len(content)) + content


def opened(path: bytes, flags: int, request: int = 1) -> bytes:
    return packet(OPEN, request, string(path) + pack(">II", flags, 0))


def talk(there: Tree, sent: bytes) -> tuple[int, list[bytes]]:
    """All of it to a server in this process, and then the end → its exit code and its answers, each without its
    length."""
    source, sink = os.memfd_create("sent"), os.memfd_create("answers")
    try:
        os.write(source, sent)
        os.lseek(source, 0, os.SEEK_SET)
        code = sftp.serve(there, source, sink)
        said = os.pread(sink, 1 << 26, 0)
    finally:
        os.close(source)
        os.close(sink)
    answers = []
    while said:
        (length,) = unpack_from(">I", said)
        assert len(said) >= 4 + length
        answers.append(said[4 : 4 + length])
        said = said[4 + length :]
    return code, answers


def status(answer: bytes) -> int:
    """The code of an answer that is a status."""
    assert answer[0] == 101
    return int(unpack_from(">I", answer, 5)[0])


def test_what_was_put_comes_back(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path
) -> None:
    """A file of a few megabytes, and an empty one, arrive as they were and come back so."""
    content = os.urandom(5_000_011)
    (here / "file").write_bytes(content)
    (here / "empty").write_bytes(b"")
    done = client("put file", "put empty", "get file again", "get empty empty-again")
    assert done.returncode == 0, done.stderr
    assert (home / "file").read_bytes() == (here / "again").read_bytes() == content
    assert (home / "empty").read_bytes() == (here / "empty-again").read_bytes() == b""


@pytest.mark.parametrize("size", ["16", "1000", "32768", "261120"])
def test_requests_of_any_size(program: str, home: Path, here: Path, size: str) -> None:
    """A client that asks for small pieces gets the same as one that asks for large ones."""
    content = os.urandom(40_000 if int(size) < 1000 else 700_001)
    (here / "file").write_bytes(content)
    argv = ["sftp", "-q", "-B", size, "-b", "-", "-D", program]
    subprocess.run(
        argv, cwd=here, input=b"put file\nget file back\n", check=True, timeout=60, stdout=subprocess.DEVNULL
    )
    assert (here / "back").read_bytes() == content


def test_listing(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path) -> None:
    """Every entry is listed, more than one answer holds, with the names of its owners, its size and its time."""
    for number in range(333):
        (home / f"file{number:03}").write_bytes(b"x" * number)
    (home / "old").write_bytes(b"")
    os.utime(home / "old", (0, 981173106))
    done = client("ls -la")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert {f"file{number:03}" for number in range(333)} | {".", ".."} <= {line.split()[-1] for line in lines}
    listed = next(line for line in lines if line.endswith(" file321")).split()
    assert (listed[0], listed[2], listed[3], listed[4]) == ("-rw-r--r--", "somebody", "everybody", "321")
    assert next(line for line in lines if line.endswith(" old")).split()[5:8] == ["Feb", "3", "2001"]


def test_long_name_is_that_of_ls(home: Path) -> None:
    """A client that shows what the server says of a file shows a line as of `ls -l`."""
    (home / "file").write_bytes(b"123")
    os.utime(home / "file", (0, 981173106))
    there = LocalTree(os.fsencode(home), {os.getuid(): b"me"}, {os.getgid(): b"us"})
    sent = INIT + packet(OPENDIR, 1, string(b"")) + packet(READDIR, 2, string(pack(">I", 1)))
    _, answers = talk(there, sent)
    assert b"-rw-r--r--   1 me       us              3 Feb  3  2001 file" in answers[2]


def test_names_are_bytes(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """Names with blanks, quotes, and bytes that are no UTF-8 are files as any other."""
    for name in (b"two  blanks", b"it's", b'"quoted"', b"\xff\xfe", "żółw 亀".encode(), b"-dash"):
        (here / "from").write_bytes(name)
        quoted = b'"' + name.replace(b'"', b'\\"') + b'"'
        done = client(b"put from ./" + quoted, b"get ./" + quoted + b" back", b"rm ./" + quoted)
        assert done.returncode == 0, (name, done.stderr)
        assert (here / "back").read_bytes() == name
    assert os.listdir(home) == []


def test_rename_remove_and_directories(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path) -> None:
    """What people do with files besides copying them."""
    (home / "one").write_bytes(b"1")
    (home / "two").write_bytes(b"2")
    done = client("rename one two", "mkdir dir", "mkdir dir/sub", "rename two dir/three", "rename dir moved")
    assert done.returncode == 0, done.stderr
    assert (home / "moved" / "three").read_bytes() == b"1"
    assert client("rm moved/three", "rmdir moved/sub", "rmdir moved").returncode == 0
    assert os.listdir(home) == []


def test_rename_of_old_clients_replaces_nothing(home: Path) -> None:
    """The draft's own RENAME fails where there is something, and both stay; so with files as with directories."""
    for name in ("one", "two"):
        (home / name).write_bytes(name.encode())
        (home / f"dir-{name}").mkdir()
    there = LocalTree(os.fsencode(home), {}, {})
    pairs = [(b"one", b"two"), (b"dir-one", b"dir-two"), (b"one", b"three"), (b"dir-one", b"dir-three")]
    sent = INIT + b"".join(packet(18, n, string(old) + string(new)) for n, (old, new) in enumerate(pairs))
    _, answers = talk(there, sent)
    assert [status(answer) for answer in answers[1:]] == [4, 4, 0, 0]
    assert sorted(os.listdir(home)) == ["dir-three", "dir-two", "three", "two"]
    assert (home / "two").read_bytes() == b"two"


def test_links(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """Symbolic and hard links are made, the first in the order that all clients mean, and are followed."""
    (home / "file").write_bytes(b"content")
    done = client("ln file hard", "ln -s file soft", "get soft", "ls -l soft")
    assert done.returncode == 0, done.stderr
    assert (home / "hard").stat().st_nlink == 2
    assert os.readlink(home / "soft") == "file"
    assert (here / "soft").read_bytes() == b"content"


def test_modes_owners_and_room(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path) -> None:
    """chmod, chown, chgrp and df do what they say; -h leaves a link's target alone."""
    (home / "file").write_bytes(b"x")
    os.symlink("file", home / "link")
    done = client("chmod 0640 file", f"chown {os.getuid()} file", f"chgrp -h {os.getgid()} link", "df -h", "df -i file")
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((home / "file").stat().st_mode) == 0o640
    facts = os.statvfs(home)
    assert b"%capacity" in done.stdout.lower() and facts.f_blocks > 0
    assert client("chmod -h 0600 link").returncode != 0
    assert stat.S_IMODE((home / "file").stat().st_mode) == 0o640


def test_resuming(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """reget and reput take up where a broken transfer ended, and what was there stays."""
    content = os.urandom(300_000)
    (here / "up").write_bytes(content)
    (home / "up").write_bytes(content[:123_456])
    (home / "down").write_bytes(content)
    (here / "down").write_bytes(content[:77_777])
    assert client("reput up", "reget down").returncode == 0
    assert (home / "up").read_bytes() == (here / "down").read_bytes() == content


def test_times_and_modes_with_p(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path
) -> None:
    """-p keeps both, either way, for files and for directories."""
    (here / "dir").mkdir(0o750)
    (here / "dir" / "file").write_bytes(b"x")
    (here / "dir" / "file").chmod(0o604)
    os.utime(here / "dir" / "file", (1_000_000, 1_000_001))
    os.utime(here / "dir", (2_000_000, 2_000_001))
    assert client("put -pr dir", "get -pr dir back").returncode == 0
    for place in (home / "dir", here / "back"):
        assert (int(place.stat().st_mtime), stat.S_IMODE(place.stat().st_mode)) == (2_000_001, 0o750)
        file = (place / "file").stat()
        assert (int(file.st_mtime), stat.S_IMODE(file.st_mode)) == (1_000_001, 0o604)


def test_sparse_file_keeps_its_size(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path
) -> None:
    """A file with a hole is as long as it was, with zeros in it."""
    with open(home / "sparse", "wb") as file:
        file.truncate(3_000_000)
        file.seek(2_999_999)
        file.write(b"x")
    assert client("get sparse").returncode == 0
    assert (here / "sparse").read_bytes() == bytes(2_999_999) + b"x"


def test_copy_on_the_server(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path) -> None:
    """`cp` moves no byte to the client and back, and a file copied on itself stays as it is."""
    content = os.urandom(1_000_003)
    (home / "file").write_bytes(content)
    assert client("cp file copy").returncode == 0
    assert (home / "copy").read_bytes() == content
    there = LocalTree(os.fsencode(home), {}, {})
    copy = string(b"copy-data") + string(pack(">I", 1)) + pack(">QQ", 0, 0) + string(pack(">I", 2)) + pack(">Q", 9)
    _, answers = talk(there, INIT + opened(b"file", 1) + opened(b"file", 2, 2) + packet(EXTENDED, 3, copy))
    assert status(answers[3]) == 5
    assert (home / "file").read_bytes() == content


def test_scp(scp: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """OpenSSH's scp copies files and whole directories either way, from home and from `~`, by pattern too."""
    (here / "dir" / "sub").mkdir(parents=True)
    (here / "dir" / "sub" / "file").write_bytes(b"deep")
    (here / "one").write_bytes(b"1")
    (here / "two").write_bytes(b"2")
    assert scp("-r", "dir", "one", "two", "x:").returncode == 0
    assert (home / "dir" / "sub" / "file").read_bytes() == b"deep"
    assert scp("-r", "x:~/dir", "x:t*", f"x:{home}/one", "back").returncode != 0  # `back` isn't there
    (here / "back").mkdir()
    done = scp("-r", "x:~/dir", "x:t*", f"x:{home}/one", "back")
    assert done.returncode == 0, done.stderr
    assert (here / "back" / "dir" / "sub" / "file").read_bytes() == b"deep"
    assert sorted(os.listdir(here / "back")) == ["dir", "one", "two"]


def test_scp_of_a_missing_file_says_so(scp: Callable[..., subprocess.CompletedProcess[bytes]]) -> None:
    """An errno becomes the status that the client has the right words for."""
    done = scp("x:nothing", ".")
    assert done.returncode == 1
    assert b"No such file or directory" in done.stderr


def test_pwd_is_home_and_paths_may_be_relative(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path
) -> None:
    """A session begins in the user's home; links, `.` and `..` are resolved."""
    (home / "dir").mkdir()
    os.symlink("dir", home / "link")
    done = client("pwd", "cd link/../dir/.", "pwd")
    assert f"Remote working directory: {home}\n".encode() in done.stdout
    assert f"Remote working directory: {home}/dir\n".encode() in done.stdout


def test_home_that_is_not_there_is_the_root(tmp_path: Path) -> None:
    """As sshd has it."""
    assert LocalTree(os.fsencode(tmp_path / "missing"), {}, {}).home() == b"/"
    assert LocalTree(b"relative", {}, {}).home() == b"/"


@pytest.mark.parametrize("flags", [1, 2, 3, 2 | 8 | 16, 2 | 4])
def test_fifo_and_device_neither_hang_nor_act(home: Path, flags: int) -> None:
    """Nothing but a regular file is opened, whatever for: a FIFO would wait for its other end, a device would act."""
    os.mkfifo(home / "fifo")
    sent = INIT + opened(b"fifo", flags) + opened(b"/dev/full", flags) + opened(b"/dev/tty", flags) + opened(b"", flags)
    begun = time.monotonic()
    _, answers = talk(LocalTree(os.fsencode(home), {}, {}), sent)
    assert all(status(answer) in (2, 4) for answer in answers[1:])
    assert len(answers) == 5
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("flags", [1, 2, 3])
def test_file_that_becomes_a_fifo_is_refused(home: Path, flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was a regular file when it was looked at and isn't when it is opened neither hangs nor counts."""
    os.mkfifo(home / "fifo")
    (home / "file").write_bytes(b"x")
    regular = os.stat(home / "file")
    monkeypatch.setattr(tree.os, "stat", lambda path, **_: regular)
    with within(10, AssertionError), pytest.raises(OSError):
        LocalTree(os.fsencode(home), {}, {}).open(os.fsencode(home / "fifo"), flags - 1)


def test_what_is_no_file_is_not_even_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a device may already act: a tape rewinds, a watchdog begins to count."""
    monkeypatch.setattr(tree.os, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(OSError, match="no regular file"):
        LocalTree(os.fsencode(home), {}, {}).open(b"/dev/null", os.O_RDWR)


def test_appending_is_at_the_end(home: Path) -> None:
    """Whatever offset the client names."""
    (home / "log").write_bytes(b"old")
    written = packet(WRITE, 2, string(pack(">I", 1)) + pack(">QI", 0, 3) + b"new")
    talk(LocalTree(os.fsencode(home), {}, {}), INIT + opened(b"log", 2 | 4) + written)
    assert (home / "log").read_bytes() == b"oldnew"


def test_announces_what_the_tree_can(home: Path) -> None:
    """A tree without hard links or room to tell of announces neither, and refuses both."""

    class Lesser(LocalTree):
        abilities = frozenset({LINKS})

    _, answers = talk(LocalTree(os.fsencode(home), {}, {}), INIT)
    for name in (
        b"posix-rename",
        b"statvfs",
        b"fstatvfs",
        b"hardlink",
        b"fsync",
        b"lsetstat",
        b"limits",
        b"expand-path",
    ):
        assert string(name + b"@openssh.com") in answers[0]
    asked = packet(EXTENDED, 1, string(b"statvfs@openssh.com") + string(b"/"))
    _, answers = talk(Lesser(os.fsencode(home), {}, {}), INIT + asked + packet(EXTENDED, 2, string(b"nonsense")))
    assert b"statvfs" not in answers[0] and b"hardlink" in answers[0]
    assert [status(answer) for answer in answers[1:]] == [8, 8]


def test_what_is_open_is_bounded(home: Path) -> None:
    """No client can hold more than a thousand handles, nor use one that it gave back."""
    (home / "file").write_bytes(b"x")
    many = INIT + b"".join(opened(b"file", 1, n) for n in range(1200))
    closed = packet(CLOSE, 5000, string(pack(">I", 1)))
    read = packet(READ, 5001, string(pack(">I", 1)) + pack(">QI", 0, 1))
    before = len(os.listdir("/proc/self/fd"))
    code, answers = talk(LocalTree(os.fsencode(home), {}, {}), many + closed + read)
    assert code == 0
    held = sum(answer[0] == 102 for answer in answers)
    assert 100 < held <= 1000
    assert status(answers[-2]) == 0
    assert status(answers[-1]) == 2
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "sent",
    [
        opened(b"file", 1),  # before INIT
        INIT + pack(">IB", 0, 3),
        INIT + pack(">IB", 300 << 10, 3),
        INIT + pack(">IB", 0xFFFFFFFF, WRITE),
        INIT + pack(">IBI", 5, OPEN, 1),
        INIT + packet(OPEN, 1, pack(">I", 0xFFFFFFFF) + b"x"),
        INIT + packet(9, 1, string(b"file") + pack(">II", 0x80000000, 0xFFFFFFFF)),
        INIT + opened(b"file", 3) + packet(WRITE, 2, string(pack(">I", 1)) + pack(">QI", 0, 99) + b"x"),
        INIT + opened(b"file", 3) + packet(READ, 2, string(pack(">I", 1)) + pack(">QI", 0, 99) + b"x"),
        INIT + opened(b"file", 3) + packet(READ, 2, string(pack(">I", 1)) + pack(">I", 0)),
        INIT[:-1],
    ],
)
def test_malformed_packet_ends_the_session(home: Path, sent: bytes) -> None:
    """What is no packet, or isn't what its type asks for, is the session's end and nothing else's."""
    (home / "file").write_bytes(b"x")
    code, _ = talk(LocalTree(os.fsencode(home), {}, {}), sent)
    assert code == 1
    assert (home / "file").read_bytes() == b"x"


def test_hostile_requests_get_an_error(home: Path) -> None:
    """Offsets beyond all files, paths with a zero byte, or longer than paths are: an error each, and it goes on."""
    (home / "file").write_bytes(b"x")
    handle = string(pack(">I", 1))
    sent = [
        opened(b"file", 3),
        packet(READ, 2, handle + pack(">QI", 0xFFFFFFFFFFFFFFFF, 10)),
        packet(WRITE, 3, handle + pack(">QI", 0xFFFFFFFFFFFFFFFF, 1) + b"x"),
        packet(17, 4, string(b"fi\0le")),
        packet(17, 5, string(b"/x" * 100_000)),
        packet(20, 6, string(b"a\0b") + string(b"link")),
        packet(READ, 7, string(b"longer than a handle") + pack(">QI", 0, 10)),
        packet(99, 8),
        packet(READ, 9, handle + pack(">QI", 0, 0xFFFFFFFF)),
    ]
    code, answers = talk(LocalTree(os.fsencode(home), {}, {}), INIT + b"".join(sent))
    assert code == 0
    assert len(answers) == 1 + len(sent)
    assert [status(answer) for answer in answers[2:9]] == [4, 4, 5, 5, 4, 2, 8]
    assert answers[9].endswith(b"\0\0\0\1x")


def test_loop_of_links_has_an_end(home: Path) -> None:
    """realpath of links that lead to each other, or through thousands, is an error and no exhaustion."""
    os.symlink("loop", home / "loop")
    for number in range(2000):
        os.symlink(f"link{number + 1}", home / f"link{number}")
    there = LocalTree(os.fsencode(home), {}, {})
    _, answers = talk(there, INIT + packet(16, 1, string(b"loop/x")) + packet(16, 2, string(b"link0/x")))
    assert [status(answer) for answer in answers[1:]] == [2, 2]


@given(st.lists(st.sampled_from([b"a", b"b", b"..", b".", b"", b"link", b"up", b"root"]), max_size=12))
def test_real_is_the_kernels_answer(names: list[bytes]) -> None:
    """However links, `.` and `..` are mixed, the place is the one that the kernel would come to."""
    links = {b"/a/link": b"../b", b"/b/up": b"..", b"/link": b"a/./b", b"/root": b"/", b"/a/up": b".."}

    def readlink(path: bytes) -> bytes:
        if path in links:
            return links[path]
        raise failure(22)

    found = real(b"/" + b"/".join(names), readlink)
    assert found.startswith(b"/") and b"//" not in found
    assert not {b"..", b"."} & set(found.split(b"/"))
    assert found not in links and real(found, readlink) == found


def test_paths_are_bounded_before_any_tree_sees_them(home: Path) -> None:
    """A path of a quarter megabyte isn't walked step by step, which a tree by an engine would do."""

    class Short(LocalTree):
        def real(self, path: bytes) -> bytes:
            return pytest.fail("it was walked")

    _, answers = talk(Short(os.fsencode(home), {}, {}), INIT + packet(16, 1, string(b"/x/.." * 10_000)))
    assert status(answers[1]) == 5


@pytest.mark.parametrize("length", [0, 300 << 10, 0xFFFFFFFF])
def test_absurd_length_is_not_waited_for(program: str, length: int) -> None:
    """It ends at once, though its client has more to say."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin and server.stdout
        server.stdin.write(INIT + pack(">IB", length, WRITE))
        server.stdin.flush()
        assert server.wait(60) == 1


class Pretence:
    """A tree with one file that takes anything, for clients that may not be let near a real one."""

    abilities = LocalTree.abilities

    def __getattr__(self, name: str) -> Callable[..., object]:
        def refuse(*_: object, **__: object) -> object:
            raise failure(2)

        return refuse

    def home(self) -> bytes:
        return b"/home"

    def open(self, path: bytes, flags: int, mode: int) -> Anything:
        return Anything()

    def stat(self, path: bytes, *, follow: bool = True) -> os.stat_result:
        return os.stat("/")


class Anything:
    """The file."""

    def read(self, into: memoryview, at: int) -> int:
        return len(into)

    def write(self, data: memoryview, at: int) -> None:
        assert len(data) <= 256 << 10

    def change(self, changes: Changes) -> None:
        pass

    def stat(self) -> os.stat_result:
        return os.stat("/")

    sync = space = close = abandon = lambda self: None


HANDLES = st.sampled_from([b"", b"\0\0\0\1", b"\0\0\0\2", b"\xff\xff\xff\xff", b"12345"])
FIELDS = st.one_of(
    st.binary(max_size=40),
    st.builds(string, st.binary(max_size=40) | HANDLES),
    st.builds(lambda number: pack(">I", number), st.integers(0, 0xFFFFFFFF)),
    st.builds(lambda number: pack(">Q", number), st.integers(0, (1 << 64) - 1)),
)
PACKETS = st.builds(
    lambda kind, request, fields: packet(kind, request, b"".join(fields)),
    st.integers(1, 25) | st.sampled_from([EXTENDED, 0, 255]),
    st.integers(0, 0xFFFFFFFF),
    st.lists(FIELDS, max_size=6),
)


@given(st.binary(max_size=2000))
def test_any_bytes_end_it_cleanly(sent: bytes) -> None:
    """Nothing is raised whatever comes, at the beginning or after it, and the answers are packets."""
    for beginning in (b"", INIT + opened(b"file", 3)):
        code, _ = talk(Pretence(), beginning + sent)  # type: ignore[arg-type]
        assert code in (0, 1)


@given(st.lists(PACKETS, max_size=12))
def test_any_packets_are_answered_or_end_it(sent: list[bytes]) -> None:
    """Each packet has one answer, with its number, in order; until one that makes no sense, if there is one."""
    code, answers = talk(Pretence(), INIT + opened(b"file", 3) + b"".join(sent))  # type: ignore[arg-type]
    assert code in (0, 1)
    asked = [each for each in sent if each[4] != 1]
    told = [each for each in answers[2:] if each[0] != 2]
    assert len(told) == len(asked) if code == 0 else len(told) <= len(asked)
    assert [each[1:5] for each in told] == [each[5:9] for each in asked][: len(told)]


def test_client_that_goes_away_leaves_nothing(program: str, home: Path) -> None:
    """The server ends with its client, in the middle of a packet too, and what was written so far is there."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin and server.stdout
        written = packet(WRITE, 2, string(pack(">I", 1)) + pack(">QI", 0, 4) + b"half")
        server.stdin.write(INIT + opened(b"file", 2 | 8) + written + b"\0\0\1")
        server.stdin.close()
        assert server.wait(60) == 1
    assert (home / "file").read_bytes() == b"half"


def test_names_of_any_length_are_an_error(home: Path) -> None:
    """A tree is the container's: a link that it says is a megabyte long ends no session."""

    class Endless(LocalTree):
        def readlink(self, path: bytes) -> bytes:
            return b"x" * (1 << 20)

    code, answers = talk(
        Endless(os.fsencode(home), {}, {}), INIT + packet(19, 1, string(b"x")) + packet(16, 2, string(b"."))
    )
    assert code == 0
    assert status(answers[1]) == 4
