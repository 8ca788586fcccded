"""engines.archive and engines.cache: a container's files through an engine that may say anything, and what is kept of
them."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.engines import cache
from dockshell.engines.archive import ArchiveFiles
from dockshell.errors import EngineError
from dockshell.model import Container

ID = "c" * 64
DIRECTORY, LINK = 1 << 31, 1 << 27
PASSWD = b"root:x:0:0::/root:/bin/sh\n"


class FakeApi:
    """An engine with these paths: content, or the path that a link names, or None for a directory."""

    address = "unix:///engine.sock"

    def __init__(self, tree: dict[str, bytes | str | None]) -> None:
        self.tree = tree
        self.times: dict[str, str] = {}
        self.reads = 0

    def path_stat(self, container: str, path: str) -> str:
        if path not in self.tree:
            return ""
        found = self.tree[path]
        mode = 0o755 | (LINK if isinstance(found, str) else DIRECTORY if found is None else 0)
        target = found if isinstance(found, str) else ""
        facts = {
            "name": os.path.basename(path), "size": len(found or b""), "mode": mode,
            "mtime": self.times.get(path, "2026-01-01T00:00:00.000000001Z"), "linkTarget": target,
        }  # fmt: skip
        return base64.b64encode(json.dumps(facts).encode()).decode()

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        self.reads += 1
        inside = {each: found for each, found in self.tree.items() if each == path or each.startswith(path + "/")}
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            for each, found in inside.items():
                member = tarfile.TarInfo(os.path.basename(path) + each[len(path) :])
                if isinstance(found, bytes):
                    member.size = len(found)
                    tar.addfile(member, io.BytesIO(found))
                else:
                    member.type = tarfile.SYMTYPE if found else tarfile.DIRTYPE
                    member.linkname = found or ""
                    tar.addfile(member)
        return made.getvalue()[:limit]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def _files(api: FakeApi, started: float = 1.5, container: str = ID) -> ArchiveFiles:
    return ArchiveFiles(api, Container(id=container, name="web", engine=None, started=started))  # type: ignore[arg-type]


def _kept(tmp_path: Path) -> Path:
    return tmp_path / ".cache" / "dockshell" / ID


def test_what_is_at_a_path() -> None:
    """Links lead to what they name in the end; a loop of them, and nothing, are nothing."""
    tree = {"/bin/sh": "/bin/busybox", "/bin/busybox": b"elf", "/etc": None, "/loop": "/loop", "/gone": "/nowhere"}
    files = _files(FakeApi(tree))
    assert files.executable("/bin/sh") and not files.executable("/etc") and not files.executable("/nope")
    assert files.directory("/etc") and not files.directory("/bin/sh")
    assert files.exists("/bin/sh") and not files.exists("/loop") and not files.exists("/gone")


def test_content_and_names() -> None:
    """A file is read, by a link too, and cut where it is too long; a directory's own names are told, not those below;
    neither is what the other is."""
    tree = {"/d": None, "/d/b": b"2", "/d/a": b"12345", "/d/sub": None, "/d/sub/x": b"", "/l": "/d/a"}
    files = _files(FakeApi(tree))
    assert files.read("/l") == b"12345" and files.read("/d/a", 3) == b"123" and files.read("/d") is None
    assert files.names("/d") == ["a", "b", "sub"] and files.names("/d/a") == [] and files.names("/none") == []


def test_passwd_is_read_once(tmp_path: Path) -> None:
    """The second session asks only whether it is still the same; what is kept is the person's own to read."""
    api = FakeApi({"/etc/passwd": PASSWD})
    assert [_files(api).read("/etc/passwd") for _ in range(3)] == [PASSWD] * 3
    assert api.reads == 1
    assert _kept(tmp_path).stat().st_mode & 0o777 == 0o600 and _kept(tmp_path).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["content", "time", "link", "start", "engine"])
def test_changed_passwd_is_read_anew(what: str) -> None:
    """Of another size, or of another time to the nanosecond, or where a link now leads elsewhere, or since the
    container was started again, or at another engine."""
    new = b"evil:x:0:0::/:/bin/sh\n"
    api = FakeApi({"/etc/passwd": "/one", "/one": PASSWD, "/two": new + b"#" * (len(PASSWD) - len(new))})
    assert _files(api).read("/etc/passwd") == PASSWD
    started = 1.5
    if what == "content":
        api.tree["/one"] = new
    elif what == "link":
        api.tree["/etc/passwd"] = "/two"
    else:
        api.tree["/one"] = api.tree["/two"]
        api.times = {"/one": "2026-01-01T00:00:00.000000002Z"} if what == "time" else {}
        started += what == "start"
        api.address = "unix:///other.sock" if what == "engine" else api.address
    assert (_files(api, started).read("/etc/passwd") or b"").startswith(new.strip())


@pytest.mark.parametrize("how", ["empty", "cut", "longer", "nonsense", "link", "fifo", "directory"])
def test_damaged_cache_is_no_cache(tmp_path: Path, how: str) -> None:
    """Whatever lies there instead of what was kept, the engine is asked again; no link is followed, nothing waits."""
    api = FakeApi({"/etc/passwd": PASSWD})
    assert _files(api).read("/etc/passwd") == PASSWD
    kept = _kept(tmp_path)
    whole = kept.read_bytes()
    kept.unlink()
    if how == "link":
        (tmp_path / "planted").write_bytes(whole.replace(b"root", b"evil"))
        kept.symlink_to(tmp_path / "planted")
    elif how == "fifo":
        os.mkfifo(kept)
    elif how == "directory":
        kept.mkdir()
    else:
        kept.write_bytes({"empty": b"", "cut": whole[:-1], "longer": whole + b"x", "nonsense": b"\xff\n\0"}[how])
    assert _files(api).read("/etc/passwd") == PASSWD and api.reads == 2


@pytest.mark.parametrize("how", ["open to others", "a link", "somebody else's home", "somebody else's", "a file"])
def test_foreign_directory_is_not_used(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others can write, or what is another's, nothing is believed and nothing is put."""
    api = FakeApi({"/etc/passwd": PASSWD})
    assert _files(api).read("/etc/passwd") == PASSWD
    kept = _kept(tmp_path)
    evil = kept.read_bytes().replace(b"root", b"evil")
    kept.write_bytes(evil)
    assert _files(api).read("/etc/passwd") == PASSWD.replace(b"root", b"evil"), "it would be believed"
    directory = kept.parent
    if how == "open to others":
        directory.chmod(0o777)
    elif how == "a link":
        directory.rename(tmp_path / "elsewhere")
        directory.symlink_to(tmp_path / "elsewhere")
    elif how == "a file":
        directory.rename(tmp_path / "elsewhere")
        directory.write_bytes(b"")
    else:
        if how == "somebody else's home":
            directory.rename(tmp_path / "elsewhere")
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert _files(api).read("/etc/passwd") == PASSWD
    if how == "somebody else's home":
        assert not directory.exists()
    elif how != "a file":
        assert kept.read_bytes() == evil


def test_cache_is_bounded(tmp_path: Path) -> None:
    """The oldest go; what is large isn't kept; what is no id names no file."""
    for number in range(300):
        cache.remember(f"{number:064x}", "key", b"content")
        kept = tmp_path / ".cache" / "dockshell" / f"{number:064x}"
        os.utime(kept, (number, number))
    names = os.listdir(tmp_path / ".cache" / "dockshell")
    assert len(names) <= 257 and f"{299:064x}" in names and f"{0:064x}" not in names
    cache.remember(ID, "key", bytes(1 << 20))
    assert cache.recall(ID, "key") is None
    cache.remember("../../" + "c" * 58, "key", b"content")
    assert sorted(os.listdir(tmp_path)) == [".cache"]


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is not there in part."""

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    cache.remember(ID, "key", b"content")
    assert os.listdir(tmp_path / ".cache" / "dockshell") == []


def test_cache_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME counts where it is absolute."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    cache.remember(ID, "key", b"content")
    assert (tmp_path / "other" / "dockshell" / ID).exists() and cache.recall(ID, "key") == b"content"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    cache.remember(ID, "key", b"content")
    assert (tmp_path / ".cache" / "dockshell" / ID).exists()


class LyingApi(FakeApi):
    """Answers with these words, whatever it is asked."""

    def __init__(self, spelled: str, content: bytes) -> None:
        super().__init__({})
        self._spelled, self._content = spelled, content

    def path_stat(self, container: str, path: str) -> str:
        return self._spelled

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        return self._content


_SPELLED = st.text(max_size=40) | st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.dictionaries(st.sampled_from(["mode", "linkTarget"]), inner, max_size=2),
).map(lambda value: base64.b64encode(json.dumps(value).encode()).decode())


@given(_SPELLED, st.binary(max_size=1200))
def test_any_answer_is_an_answer(spelled: str, content: bytes) -> None:
    """Whatever the engine says of a path, and whatever it sends for a tar, nothing is raised."""
    files = _files(LyingApi(spelled, content), container="none")
    kinds = {files.read: bytes | None, files.names: list, files.executable: bool, files.directory: bool}
    for ask, kind in {**kinds, files.exists: bool}.items():
        assert isinstance(ask("/etc/passwd"), kind)


def test_engine_that_refuses_a_path() -> None:
    """A status that it gives a path it can't follow is no error of ours; one that doesn't answer is."""
    api = FakeApi({})
    failure = EngineError("too many levels", 500)

    def refuse(container: str, path: str) -> str:
        raise failure

    api.path_stat = refuse  # type: ignore[method-assign]
    assert not _files(api).exists("/loop/x")
    failure.status = 0
    with pytest.raises(EngineError):
        _files(api).exists("/loop/x")
