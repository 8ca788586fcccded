"""spooled, shell_tree, archive_tree: files by an engine that may say anything."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.bridge.archive_tree import ArchiveTree
from dockshell.bridge.shell_tree import ShellTree
from dockshell.bridge.spooled import SpooledFile
from dockshell.bridge.tree import Changes
from dockshell.errors import DockshellError
from dockshell.identity import Identity

ROOT = Identity(0, 0, (0,), "root", "/root", "/bin/sh")
APP = Identity(1000, 1000, (1000, 2001), "app", "/home/app", "/bin/sh")
DIRECTORY, LINK = 1 << 31, 1 << 27


class Pieces:
    """A download that comes in pieces of that size."""

    def __init__(self, content: bytes, most: int = 1 << 20) -> None:
        self._content = io.BytesIO(content)
        self._most = most

    def read(self, size: int, /) -> bytes:
        return self._content.read(min(size, self._most))

    def close(self) -> None:
        pass


class Memory:
    """An origin whose content is in here; counts how much was fetched."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.changes = Changes()
        self.fetches = 0
        self.puts = 0

    def fetch(self) -> Pieces:
        self.fetches += 1
        return Pieces(self.content, 3)

    def put(self, descriptor: int, size: int, changes: Changes) -> None:
        self.puts += 1
        self.content = os.pread(descriptor, size, 0)
        self.changes = changes
        assert len(self.content) == size

    def change(self, changes: Changes) -> None:
        self.changes = changes

    def stat(self) -> os.stat_result:
        return os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, len(self.content), 0, 0, 0))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40), st.binary(min_size=1, max_size=12)),
        st.tuples(st.just("read"), st.integers(0, 60), st.integers(0, 20)),
        st.tuples(st.just("size"), st.integers(0, 50), st.just(0)),
    ),
    max_size=8,
)


@given(st.binary(max_size=40), STEPS)
def test_spooled_file_is_as_a_file(content: bytes, steps: list[tuple[str, int, Any]]) -> None:
    """Reads, writes and changes of size in any order give what they would give in a file, and leave what they would
    leave."""
    origin = Memory(content)
    file = SpooledFile(origin, os.O_RDWR, empty=False)
    model = bytearray(content)
    for what, at, value in steps:
        if what == "write":
            file.write(memoryview(value), at)
            model += bytes(max(0, at - len(model)))
            model[at : at + len(value)] = value
        elif what == "read":
            buffer = bytearray(value)
            got = file.read(memoryview(buffer), at)
            assert bytes(buffer[:got]) == bytes(model[at : at + value])
        else:
            file.change(Changes(size=at))
            model = bytearray(bytes(model[:at]) + bytes(max(0, at - len(model))))
    file.close()
    assert origin.content == bytes(model)


def test_only_what_is_needed_is_fetched_and_put() -> None:
    """Overwriting a file and cutting it fetches nothing; reading it puts nothing; a change alone moves no content."""
    origin = Memory(b"old content")
    file = SpooledFile(origin, os.O_WRONLY, empty=False)
    file.write(memoryview(b"new"), 0)
    file.change(Changes(size=3, mode=0o600))
    file.close()
    assert (origin.content, origin.fetches, origin.changes) == (b"new", 0, Changes(mode=0o600))
    file = SpooledFile(origin, os.O_RDONLY, empty=False)
    assert file.read(memoryview(bytearray(9)), 0) == 3
    file.close()
    file = SpooledFile(origin, os.O_RDONLY, empty=False)
    file.change(Changes(times=(1, 2)))
    file.close()
    assert (origin.puts, origin.changes) == (1, Changes(times=(1, 2)))


def test_spooled_file_keeps_to_its_flags() -> None:
    """What was opened for reading can't be written, and the other way round; appending is at the end."""
    origin = Memory(b"abc")
    reading, writing = (SpooledFile(origin, kind, empty=False) for kind in (os.O_RDONLY, os.O_WRONLY))
    with pytest.raises(OSError):
        reading.write(memoryview(b"x"), 0)
    with pytest.raises(OSError):
        reading.change(Changes(size=0))
    with pytest.raises(OSError):
        writing.read(memoryview(bytearray(1)), 0)
    reading.abandon()
    writing.abandon()
    file = SpooledFile(origin, os.O_WRONLY | os.O_APPEND, empty=False)
    file.write(memoryview(b"x"), 0)
    file.close()
    assert origin.content == b"abcx"


def test_file_that_is_abandoned_is_not_put() -> None:
    """Half a file of a client that went away takes no whole one's place."""
    origin = Memory(b"whole")
    file = SpooledFile(origin, os.O_WRONLY, empty=True)
    file.write(memoryview(b"ha"), 0)
    file.abandon()
    assert (origin.content, origin.puts) == (b"whole", 0)


class FakeShell:
    """Answers everything with the same."""

    def __init__(self, code: int, said: bytes) -> None:
        self._code, self._said = code, said

    def ask(self, script: bytes) -> tuple[int, bytes]:
        return self._code, self._said


NUMBERS = st.sampled_from([b"81a4", b"41ed", b"1", b"0", b"-1", b"99999999999999999999999", b"x", b""])
LINES = st.lists(st.one_of(st.binary(max_size=30), st.lists(NUMBERS, min_size=7, max_size=8).map(b" ".join)))


@given(st.integers(0, 255), LINES)
def test_shell_that_says_anything(code: int, lines: list[bytes]) -> None:
    """Whatever a container's shell answers is a name of one entry, numbers within bounds, or an OSError."""
    tree = ShellTree(FakeShell(code, b" ./name\n".join(lines)), b"/root", {}, {})  # type: ignore[arg-type]
    for ask in (tree.stat, tree.readlink, tree.real, tree.mkdir, tree.remove):
        try:
            facts: Any = ask(b"/path")
        except OSError:
            continue
        if ask == tree.stat:
            assert 0 <= facts.st_size < 1 << 63 and 0 <= facts.st_uid < 1 << 32
    try:
        entries = tree.list(b"/path").read(1 << 20)
    except OSError:
        return
    for name, facts in entries:
        assert name not in (b"", b".", b"..") and b"/" not in name
        assert 0 <= facts.st_size < 1 << 63


class FakeApi:
    """An engine with these paths: mode in Go's form and the path that a link names, and a tar for every download."""

    address = "unix:///engine.sock"
    local = True
    owner = 0

    def __init__(self, paths: dict[str, tuple[int, str]], tar: bytes = b"", kind: str = "docker") -> None:
        self.paths, self.tar, self.kind = paths, tar, kind
        self.uploaded: list[tuple[str, bytes]] = []

    def server(self) -> str:
        return self.kind

    def inspect(self, name: str) -> dict[str, Any]:
        return {"HostConfig": {"Tmpfs": {"/fleeting/": ""}}, "Mounts": [{"Type": "tmpfs", "Destination": "/other"}]}

    def path_stat(self, container: str, path: str) -> str:
        if path not in self.paths:
            return ""
        mode, link = self.paths[path]
        facts = {"mode": mode, "size": 3, "mtime": "2026-01-02T03:04:05.123456789Z", "linkTarget": link}
        return base64.b64encode(json.dumps(facts).encode()).decode()

    def download(self, container: str, path: str) -> Pieces:
        return Pieces(self.tar)

    def upload(self, container: str, path: str, tar: Iterable[bytes], size: int) -> None:
        content = b"".join(tar)
        assert len(content) == size
        self.uploaded.append((path, content))


def tree_of(api: FakeApi, identity: Identity = ROOT) -> ArchiveTree:
    files = SimpleNamespace(read=lambda path: None)
    container = SimpleNamespace(id="c" * 64, umask=0o022, engine=SimpleNamespace(files=lambda container: files))
    return ArchiveTree(api, container, identity)  # type: ignore[arg-type]


def header(name: str, mode: int, owner: tuple[int, int], kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    member = tarfile.TarInfo(name)
    member.mode, member.type, member.size = mode, kind, size
    member.uid, member.gid = owner
    return member.tobuf()


@given(st.binary(max_size=1500), st.integers(0, 1 << 32), st.text(max_size=20))
def test_engine_that_says_anything(tar: bytes, mode: int, link: str) -> None:
    """No answer of an engine raises anything but an OSError or a sentence."""
    whole = header("x", 0o644, (0, 0), size=len(tar)) + tar
    for content in (tar, whole, whole[:600]):
        tree = tree_of(FakeApi({"/": (DIRECTORY | 0o755, ""), "/x": (mode, link)}, content), APP)
        for act in (
            lambda: tree.stat(b"/x"),  # noqa: B023
            lambda: tree.readlink(b"/x"),  # noqa: B023
            lambda: tree.list(b"/").read(99),  # noqa: B023
            lambda: tree.real(b"/x/../x"),  # noqa: B023
        ):
            try:
                act()
            except (OSError, DockshellError):
                pass
        try:
            file = tree.open(b"/x", os.O_RDONLY)
        except (OSError, DockshellError):
            continue
        try:
            assert 0 <= file.read(memoryview(bytearray(100)), 0) <= 100
        except (OSError, DockshellError):
            pass
        file.abandon()


def test_names_in_a_tar_that_lead_elsewhere_are_left_out() -> None:
    """A directory's entries are those of one name, whatever the tar has."""
    names = ["d/", "d/good", "d/..", "d/.", "d/sub/deep", "/absolute", "d/../up"]
    tar = b"".join(header(name, 0o644, (0, 0)) for name in names)
    tree = tree_of(FakeApi({"/": (DIRECTORY | 0o755, ""), "/d": (DIRECTORY | 0o755, "")}, tar))
    assert [name for name, _ in tree.list(b"/d").read(99)] == [b"good", b"absolute"]


@pytest.mark.parametrize("kind", ["docker", "podman"])
@pytest.mark.parametrize(
    ("mode", "owner", "docker", "podman"),
    [
        (0o644, (1000, 1000), True, True),
        (0o600, (1000, 1000), True, False),
        (0o600, (0, 0), False, False),
        (0o640, (0, 2001), True, False),
        (0o040, (1000, 2001), False, False),
        (0o604, (0, 2001), False, False),
        (0o604, (0, 5), True, False),
        (0o444, (0, 0), True, True),
    ],
)
def test_modes_decide(kind: str, mode: int, owner: tuple[int, int], docker: bool, podman: bool) -> None:
    """The class that a user is in decides, and no other; where owners aren't told, all three must allow it."""
    told = header("x", mode, owner) if kind == "docker" else header("x", mode, (0, 0))

    class Api(FakeApi):
        def download(self, container: str, path: str) -> Pieces:
            return Pieces(told if path == "/x" else header("", 0o755, (0, 0), tarfile.DIRTYPE))

    tree = tree_of(Api({"/": (DIRECTORY | 0o755, ""), "/x": (mode, "")}, kind=kind), APP)
    if docker if kind == "docker" else podman:
        tree.open(b"/x", os.O_RDONLY).abandon()
    else:
        with pytest.raises(PermissionError):
            tree.open(b"/x", os.O_RDONLY)


def test_tmpfs_is_refused() -> None:
    """Each directory that the engine says is a tmpfs, and the kernel's own."""
    paths = dict.fromkeys(("/", "/fleeting", "/other", "/dev", "/fleetingly"), (DIRECTORY | 511, ""))
    api = FakeApi(paths)
    tree = tree_of(api)
    for place in (b"/fleeting", b"/other", b"/dev"):
        with pytest.raises(OSError, match="moby#22020"):
            tree.open(place + b"/x", os.O_WRONLY | os.O_CREAT)
    tree.open(b"/fleetingly/x", os.O_WRONLY | os.O_CREAT).abandon()
    assert api.uploaded == []


def test_file_that_is_not_there_after_all_is_an_error() -> None:
    """An engine that takes a tar and loses it isn't believed."""
    tree = tree_of(FakeApi({"/": (DIRECTORY | 0o777, "")}, b""))
    file = tree.open(b"/x", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    file.write(memoryview(b"abc"), 0)
    with pytest.raises(OSError):
        file.close()


def test_new_file_is_its_users() -> None:
    """The member that is put has the user's numbers, and the mode that the umask leaves."""

    class Api(FakeApi):
        def upload(self, container: str, path: str, tar: Iterable[bytes], size: int) -> None:
            super().upload(container, path, tar, size)
            self.paths["/x"] = (0o600, "")

        def download(self, container: str, path: str) -> Any:
            return Pieces(header("", 0o777, (0, 0), tarfile.DIRTYPE)) if path == "/" else None

    api = Api({"/": (DIRECTORY | 0o777, "")})
    file = tree_of(api, APP).open(b"/x", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    file.write(memoryview(b"abc"), 0)
    file.close()
    ((place, content),) = api.uploaded
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        (member,) = tar.getmembers()
    assert (place, member.name, member.mode, member.uid, member.gid) == ("/", "x", 0o644, 1000, 1000)
