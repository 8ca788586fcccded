"""What is written is what was read, or it is not there: a source that changes, a sink that lies, tars of any kind."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockshell.copy.copying import Part, copy
from dockshell.copy.destination import Destination, Owner
from dockshell.copy.entry import BLOCK, Content, Entry, How
from dockshell.copy.report import Report
from dockshell.copy.tar import TarSink, TarSource
from dockshell.copy.tree import Tree
from dockshell.voice import Voice
from tests.world.tars import header, record, with_header

_ALL = How()


def _report() -> Report:
    return Report(Voice())


def _copied(source: Tree | TarSource, path: Path, to: Path, name: bytes = b"copy", how: How = _ALL) -> Report:
    report = _report()
    sink = Tree().sink(os.fsencode(to), Owner(), report)
    copy([Part(source, os.fsencode(path), name, False, b"")], sink, how, report)
    return report


class _Meddled:
    """A content to which somebody does something in the middle of the copy."""

    def __init__(self, content: Content, act: str, path: Path) -> None:
        self._content, self._act, self._path = content, act, path

    def blocks(self) -> Iterator[tuple[int, bytes | bytearray | memoryview]]:
        for number, block in enumerate(self._content.blocks()):
            yield block
            if number == 0:
                self._meddle()

    def close(self) -> None:
        self._content.close()

    def _meddle(self) -> None:
        if self._act == "cut":
            os.truncate(self._path, BLOCK + 5)
        elif self._act == "write":
            with open(self._path, "r+b") as file:
                file.write(b"else")
            os.utime(self._path, ns=(1, 1))
        else:
            with open(self._path, "ab") as file:
                file.write(b"more")


class _Writing(Tree):
    """A tree of such files."""

    def __init__(self, act: str, path: Path) -> None:
        super().__init__()
        self._act, self._path = act, path

    def entries(self, path: bytes, name: bytes, follow: bool, how: How, report: Report) -> Iterator[Entry]:
        for entry in super().entries(path, name, follow, how, report):
            if entry.content is not None:
                entry.content = _Meddled(entry.content, self._act, self._path)
            yield entry


@pytest.mark.parametrize(("act", "arrives"), [("cut", False), ("write", False), ("append", True)])
def test_a_source_that_changes(tmp_path: Path, act: str, arrives: bool) -> None:
    """A file that is cut or written over while it is copied is not there in the end; one that grew, as a log does, is
    as it was."""
    source, to = tmp_path / "source", tmp_path / "to"
    content = os.urandom(BLOCK * 3 + 17)
    source.write_bytes(content)
    to.mkdir()
    report = _copied(_Writing(act, source), source, to)
    assert (report.failures, os.listdir(to)) == ((0, ["copy"]) if arrives else (1, []))
    if arrives:
        assert (to / "copy").read_bytes() == content


def test_a_sink_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What reads back as something else is not given its name."""
    (tmp_path / "source").write_bytes(os.urandom(BLOCK * 2 + 3))
    real = os.pwrite
    for spoiled in (0, BLOCK * 2):
        to = tmp_path / f"to{spoiled}"
        to.mkdir()

        def lying(descriptor: int, data: bytes, at: int, spoiled: int = spoiled) -> int:
            wrong = bytes(data[:1]).translate(bytes(range(1, 256)) + b"\0") + bytes(data[1:])
            return real(descriptor, wrong if at == spoiled else data, at)

        monkeypatch.setattr(os, "pwrite", lying)
        report = _copied(Tree(), tmp_path / "source", to)
        assert (report.failures, os.listdir(to)) == (1, [])
        assert "reads back as something else" in capsys.readouterr().err


def test_without_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none gets a temporary name, which is gone in the end, also after a failure."""
    source, to = tmp_path / "source", tmp_path / "to"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(b"x" * 1000)
    to.mkdir()
    monkeypatch.setattr("dockshell.copy.destination._NAMELESS", os.O_TMPFILE | os.O_RDONLY)  # EINVAL: open(2)
    for _ in range(2):
        report = _copied(Tree(), source, to)
        assert report.failures == 0
        assert [path.name for path in sorted(to.rglob("*"))] == ["copy", "sub", "file"]
    monkeypatch.setattr(os, "fchmod", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
    report = _copied(Tree(), source / "sub" / "file", to, b"other")
    assert report.failures == 1 and os.listdir(to) == ["copy"]


def test_the_kernels_own_files(tmp_path: Path) -> None:
    """A file that says it is empty is read all the same: proc(5)."""
    assert _copied(Tree(), Path("/proc/version"), tmp_path).failures == 0
    assert (tmp_path / "copy").read_bytes() == Path("/proc/version").read_bytes()


_NAMES = st.sampled_from(
    ["a", "b", "d/a", "d/b", "d/e/f", "d/e", "d", "..", "../x", "/abs", "./a", "d//g", "é", "\udcff"]
)
_MEMBERS = st.tuples(
    _NAMES,
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]),
    st.sampled_from(["a", "..", "../outside", "d", "/", "d/a", ""]),
    st.binary(max_size=700),
)


@given(st.lists(_MEMBERS, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_tar_stays_inside(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str, bytes]]
) -> None:
    """Whatever members a tar has, in whatever order: nothing outside of the directory is touched."""
    place = tmp_path_factory.mktemp("tar")
    (place / "outside").mkdir()
    (place / "outside" / "a").write_text("untouched")
    (place / "x").write_text("untouched")
    to = place / "to"
    to.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for name, kind, link, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(content))
    packed.seek(0)
    _copied(TarSource(packed.read), Path("-"), to, b"")
    assert (place / "x").read_text() == "untouched" == (place / "outside" / "a").read_text()
    assert sorted(os.listdir(place)) == ["outside", "to", "x"] and os.listdir(place / "outside") == ["a"]


@given(st.binary(max_size=3000))
@settings(max_examples=100, deadline=None)
def test_any_bytes_for_a_tar(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """What is no tar is said to be none; nothing else happens."""
    report = _copied(TarSource(io.BytesIO(content).read), Path("-"), tmp_path_factory.mktemp("no"), b"")
    assert report.failures or not content.strip(b"\0")


@pytest.mark.parametrize("simple", [False, True])
def test_a_tree_through_a_tar(tmp_path: Path, simple: bool) -> None:
    """What a tar of ours holds is what was put in, as Python's tarfile and our own reader see it."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / ("n" * 200)).write_bytes(os.urandom(BLOCK + 1))
    os.link(source / "sub" / ("n" * 200), source / "twin")
    (source / "link").symlink_to("t" * 150)
    with open(source / "holes", "wb") as file:
        file.truncate(BLOCK * 4)
        file.seek(BLOCK * 2)
        file.write(b"middle")
    os.utime(source / "holes", ns=(1_234_567_890_123_456_789,) * 2)
    packed, report = io.BytesIO(), _report()
    sink = TarSink(lambda data: packed.write(data) and None, report, simple=simple)
    copy([Part(Tree(), os.fsencode(source), b"top", False, b"")], sink, _ALL, report)
    assert report.failures == 0
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        assert set(tar.getnames()) == {"top", *(f"top/{path.relative_to(source)}" for path in source.rglob("*"))}
    packed.seek(0)
    to = tmp_path / "to"
    to.mkdir()
    assert _copied(TarSource(packed.read), Path("-"), to, b"").failures == 0
    for path in source.rglob("*"):
        there = to / "top" / path.relative_to(source)
        if path.is_symlink():
            assert os.readlink(there) == os.readlink(path)
        elif path.is_file():
            assert there.read_bytes() == path.read_bytes()
    assert (to / "top" / "twin").stat().st_nlink == 2
    facts = (to / "top" / "holes").stat()
    assert facts.st_blocks * 512 < BLOCK * 2
    assert facts.st_mtime_ns == (1_234_567_890_000_000_000 if simple else 1_234_567_890_123_456_789)


class _Overlapping:
    """A content whose second half has the place of the first: more bytes than the file has."""

    def __init__(self, *halves: bytes) -> None:
        self._halves = halves

    def blocks(self) -> Iterator[tuple[int, bytes | bytearray | memoryview]]:
        return iter([(0, half) for half in self._halves])

    def close(self) -> None:
        pass


def _into_a_tar(source: TarSource | Entry) -> list[str]:
    """The names in the tar that is made of it."""
    packed, report = io.BytesIO(), _report()
    sink = TarSink(lambda data: packed.write(data) and None, report)
    if isinstance(source, Entry):
        sink.put(source)
        sink.finish()
    else:
        copy([Part(source, b"-", b"", False, b"")], sink, _ALL, report)
        assert report.failures == 1
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        return tar.getnames()


def test_no_map_of_holes_forges_an_entry() -> None:
    """A tar may say that pieces of a file overlap. What is made of it for somebody else has no entry that was in the
    content, where no name was checked. What writes a tar leaves it to the content to be no longer than the file."""
    half, forged = b"x" * 512, tarfile.TarInfo("../forged").tobuf(tarfile.USTAR_FORMAT)
    entry = Entry(b"f", 0o100644, 0, 0, 0)
    entry.size, entry.content = 512, _Overlapping(half, forged)
    assert _into_a_tar(entry) == ["f", "../forged"]
    holes = [(b"GNU.sparse.size", b"512"), (b"GNU.sparse.numblocks", b"2"), (b"GNU.sparse.map", b"0,512,0,512")]
    member = header(tarfile.REGTYPE, 1024) + half + forged + bytes(1024)
    tar = with_header(b"".join(record(*each) for each in holes), member=member)
    assert _into_a_tar(TarSource(io.BytesIO(tar).read)) == ["name"]


def test_a_tar_that_is_cut_off(tmp_path: Path) -> None:
    """Wherever it ends too early, that is said, and no file is there by half."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for number in range(3):
            member = tarfile.TarInfo(f"file{number}")
            member.size = 1000
            tar.addfile(member, io.BytesIO(bytes([number + 1]) * 1000))
    whole = packed.getvalue()
    for length in (0, 100, 512, 800, 1536, 1536 * 2, 1536 * 2 + 700, 1536 * 3):
        to = tmp_path / str(length)
        to.mkdir()
        report = _copied(TarSource(io.BytesIO(whole[:length]).read), Path("-"), to, b"")
        assert report.failures, length
        assert all(path.stat().st_size == 1000 for path in to.iterdir())


def test_who_swaps_a_directory(tmp_path: Path) -> None:
    """A directory that becomes a link between two entries leads nowhere: the file behind it fails."""
    to, outside = tmp_path / "to", tmp_path / "outside"
    to.mkdir()
    outside.mkdir()
    report = _report()
    sink = Tree().sink(os.fsencode(to), Owner(), report)
    assert isinstance(sink, Destination)
    for path, mode in ((b"d", 0o40755), (b"d/e", 0o40755), (b"other", 0o40755)):
        sink.put(Entry(path, mode, 0, 0, 0))
    sink.put(Entry(b"other/x", 0o100644, 0, 0, 0))
    (to / "d" / "e").rename(tmp_path / "gone")
    (to / "d" / "e").symlink_to(outside)
    with pytest.raises(OSError):
        sink.put(Entry(b"d/e/file", 0o100644, 0, 0, 0))
    sink.finish()
    sink.close()
    assert not os.listdir(outside)


def test_deep_trees(tmp_path: Path) -> None:
    """A tree deeper than descriptors go fails in a sentence, and what is above is copied."""
    where = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("deep", dir_fd=where)
    for _ in range(450):
        inner = os.open("deep", os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = inner
        os.mkdir("deep", dir_fd=where)
    os.close(where)
    to = tmp_path / "to"
    to.mkdir()
    report = _copied(Tree(), tmp_path / "deep", to)
    assert report.failures == 1 and (to / "copy" / "deep" / "deep").is_dir()
