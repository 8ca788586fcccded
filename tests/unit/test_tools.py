"""What tools are: a static busybox, a directory, names that are kept; how a toolbox is laid out, and what its script
makes of a tree; what is taken from an image's tar."""

from __future__ import annotations

import errno
import gc
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from dockshell.errors import EngineError, NotFound, UsageError
from dockshell.linux.attaching import empty_place
from dockshell.linux.capability_names import NAMES, mask, spelled
from dockshell.tools import busybox, kept
from dockshell.tools.busybox import NoTools, applets, is_static, static_busybox
from dockshell.tools.chosen import choose
from dockshell.tools.layout import lay, programs
from dockshell.tools.unpacking import unpack

pytestmark = pytest.mark.packages


@pytest.fixture(autouse=True)
def _nothing_of_the_callers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("DOCKSHELL_BUSYBOX", raising=False)


def test_a_static_busybox_is_found() -> None:
    """What is dynamic, of another machine, no program, or not there, is none."""
    busybox = static_busybox()
    assert {"sh", "ls", "sed", "readlink"} <= set(applets(busybox)) and "busybox" not in applets(busybox)
    for other in ("/bin/sh", "/etc/passwd", "/nowhere", "/bin", "/dev/null"):
        assert not is_static(other)


def test_a_busybox_of_another_machine_is_none(tmp_path: Path) -> None:
    """Its head says for which it is: elf(5), e_machine."""
    other = tmp_path / "busybox"
    head = bytearray(Path(static_busybox()).read_bytes())
    other.write_bytes(head)
    other.chmod(0o755)
    assert is_static(str(other))
    head[18] ^= 0xFF
    other.write_bytes(head)
    assert not is_static(str(other))


def test_no_busybox_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was named counts alone."""
    monkeypatch.setenv("DOCKSHELL_BUSYBOX", "/bin/false")
    with pytest.raises(NoTools, match="apt install busybox-static"):
        choose("")


def test_all_of_this_machine_is_not_brought(tmp_path: Path) -> None:
    """Whoever is root in the container could read it by the session's /proc/PID/root."""
    (tmp_path / "root").symlink_to("/")
    for what in ("/", "/usr/..", str(tmp_path / "root")):
        with pytest.raises(NoTools, match="/usr"):
            choose(what)


def test_names_are_kept(tmp_path: Path) -> None:
    """Each for the last that was added; what is chosen by one is what it is kept for; others may not read the file."""
    assert kept.names() == {}
    kept.add("net", "nicolaka/netshoot:v1")
    kept.add("here", str(tmp_path))
    kept.add("net", "nicolaka/netshoot")
    assert kept.names() == {"here": str(tmp_path), "net": "nicolaka/netshoot"}
    assert choose("net").image == "nicolaka/netshoot" and choose("here").directory == str(tmp_path)
    assert choose("other/image").image == "other/image" and choose(str(tmp_path)).directory == str(tmp_path)
    assert not choose("").image and not choose("").directory
    file = tmp_path / "config/dockshell/tools"
    assert file.stat().st_mode & 0o777 == 0o600 and os.listdir(file.parent) == ["tools"]
    kept.remove("net")
    assert list(kept.names()) == ["here"]
    with pytest.raises(NotFound, match="here"):
        kept.remove("net")


@pytest.mark.parametrize("name", ["", ".", "..", "/x", "a/b", "a b", "a\tb", "a\nb", "ä", "x" * 65, "\x1b[31m"])
def test_what_can_not_be_a_name(name: str) -> None:
    """It is typed, listed and completed: so letters, digits, `_`, `-` and dots."""
    with pytest.raises(UsageError, match="can't be a name"):
        kept.add(name, "image")


def test_a_directory_that_can_not_be_kept() -> None:
    """A line each, and a tab between."""
    for what in ("/a\nb", "/a\tb"):
        with pytest.raises(UsageError):
            kept.add("x", what)


def test_a_kept_path_may_hold_what_looks_like_a_newline(tmp_path: Path) -> None:
    """Lines end at \\n alone."""
    odd = {f"n{number}": f"/a{letter}b" for number, letter in enumerate("\r\x0b\x0c\x1c\x1e\x85\u2028\u2029")}
    for name, what in odd.items():
        kept.add(name, what)
    assert kept.names() == odd


def test_a_file_of_names_that_makes_no_sense(tmp_path: Path) -> None:
    """Lines that are none don't count; a file that can't be read is an error."""
    file = tmp_path / "config/dockshell/tools"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"junk\n\tx\nname\t\nok\timage\n\xff\xfe\n")
    assert kept.names() == {"ok": "image"}
    file.unlink()
    file.mkdir()
    with pytest.raises(NoTools, match="can't be read"):
        kept.names()


def test_capabilities_by_their_names() -> None:
    """In any case, with CAP_ or without; the near ones are named; what comes from a typist is printed as text."""
    assert mask(["sys_ptrace", "CAP_NET_RAW"]) == 1 << 19 | 1 << 13
    assert spelled(1 << 19 | 1 << 13) == "NET_RAW, SYS_PTRACE" and spelled(1 << 63) == "63"
    assert NAMES.index("CHECKPOINT_RESTORE") == 40 and len(set(NAMES)) == 41
    with pytest.raises(UsageError, match="NET_ADMIN"):
        mask(["NETADMIN"])
    with pytest.raises(UsageError, match="capabilities") as told:
        mask(["\x1b]0;x"])
    assert "\x1b" not in str(told.value)


# A toolbox on this machine: its script doesn't ask where it stands.


def _toolbox(place: Path, tree: Path) -> Path:
    place.mkdir()
    (place / "tree").symlink_to(tree)
    busybox = static_busybox()
    lay(str(place), busybox, applets(busybox))
    return place / "bin"


def _run(*argv: str | Path, path: str = "/nowhere") -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env={"PATH": path}, capture_output=True, text=True, check=False, cwd="/")


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_toolbox_of_busybox_alone(tmp_path: Path) -> None:
    """All its names, and a shell."""
    place = tmp_path / "box"
    place.mkdir()
    lay(str(place), static_busybox(), ["ls", "sh"])
    assert sorted(os.listdir(place / "bin")) == ["ls", "sh"] and not (place / "run").exists()
    assert _run(place / "sh", "-c", "ls /").returncode == 0


def test_dynamic_programs_of_a_tree(tmp_path: Path) -> None:
    """This machine's own: by its loader, with its libraries, under the name that was typed, arguments as given, and
    with their own exit code."""
    tools = _toolbox(tmp_path / "box", Path("/"))
    told = _run(tools / "python3", "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "a  b", "", "$x\n*")
    assert (told.returncode, told.stdout) == (7, "['a  b', '', '$x\\n*']\n"), told
    assert _run(tools / "env", "true", path=str(tools)).returncode == 0


def test_programs_are_found_by_links_of_the_tree(tmp_path: Path) -> None:
    """An absolute one means the tree's root, and none leads out; an endless one is no program."""
    tree = tmp_path / "tree"
    _script(tree / "usr/bin/real", '#!/bin/sh\necho "$0" "$@"\n')
    (tree / "bin").symlink_to("/usr/bin")
    (tree / "usr/bin/name").symlink_to("/bin/other")
    (tree / "usr/bin/other").symlink_to("../../../../../../../../../../bin/real")
    (tree / "usr/bin/out").symlink_to("../../../../../../../../../../../../etc/passwd")
    (tree / "usr/bin/round").symlink_to("round")
    (tree / "usr/bin/text").write_text("no program\n")
    assert set(programs(str(tree))) == {"real", "name", "other"}
    tools = _toolbox(tmp_path / "box", tree)
    assert _run(tools / "name", "a b").stdout == f"{tmp_path}/box/tree/usr/bin/real a b\n"
    for name in ("out", "round"):
        (tools / name).symlink_to("../run")  # as by who lays it out without having looked
        told = _run(tools / name)
        assert (told.returncode, told.stderr) == (127, f"dockshell: {name} is not among the tools\n")


def test_programs_of_a_tree_that_leads_out(tmp_path: Path) -> None:
    """A directory of programs that is a link means one of the tree."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "bin").symlink_to("../../../../../../../../../bin")
    (tree / "sbin").symlink_to("/proc/self/root/bin")
    (tree / "usr").mkdir()
    (tree / "usr/bin").symlink_to("/usr/sbin")
    assert programs(str(tree)) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("#!/bin/sh", "PLACE a"),
        ("#! /bin/sh -e", "PLACE a"),
        ("#!/usr/bin/env sh", "PLACE a"),
        ("#!/usr/bin/env -S sh -e", "PLACE a"),
    ],
)
def test_scripts_find_their_interpreter(tmp_path: Path, line: str, says: str) -> None:
    """In the tree, or in busybox."""
    tree = tmp_path / "tree"
    _script(tree / "bin/script", f'{line}\necho "$0" "$@"\n')
    tools = _toolbox(tmp_path / "box", tree)
    told = _run(tools / "script", "a")
    assert told.stdout.strip() == says.replace("PLACE", f"{tmp_path}/box/tree/bin/script"), told


def test_a_missing_loader_is_told(tmp_path: Path) -> None:
    """By its name: nobody would guess from `not found`."""
    tree = tmp_path / "tree"
    program = bytearray(Path("/bin/true").read_bytes())
    at = program.index(b"/ld-")
    program[at : at + 4] = b"/ld-"[:3] + b"~"
    _script(tree / "true", "")
    (tree / "true").write_bytes(program)
    told = _run(_toolbox(tmp_path / "box", tree) / "true")
    assert told.returncode == 127 and told.stderr.startswith("dockshell: true takes /") and "/ld~" in told.stderr


# An image's tar is as hostile as its image.


class _Tar:
    """A `Download` of these members: (name, type, link or content, mode)."""

    def __init__(self, *members: tuple[str, bytes, str, int], cut: int = 0) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name, kind, text, mode in members:
                member = tarfile.TarInfo(name)
                member.type, member.mode, member.uid = kind, mode, 1234
                content = text.encode() if kind == tarfile.REGTYPE else b""
                member.linkname, member.size = "" if content else text, len(content)
                tar.addfile(member, io.BytesIO(content))
        self._file = io.BytesIO(file.getvalue()[: cut or None])

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, 100))

    def close(self) -> None:
        pass


REG, DIR, LINK, HARD, DEVICE = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE


def test_an_images_tar_is_unpacked(tmp_path: Path) -> None:
    """Files, directories and links; nothing that gives rights, no devices, no owners but us."""
    told: list[int] = []
    tar = _Tar(
        ("./", DIR, "", 0o755),
        ("usr/", DIR, "", 0o555),
        ("usr/bin", DIR, "", 0o2777),
        ("usr/bin/su", REG, "suid\n", 0o6755),
        ("usr/bin/twin", HARD, "usr/bin/su", 0o6755),
        ("bin", LINK, "/usr/bin", 0o777),
        ("/secret", REG, "x", 0o600),
        ("null", DEVICE, "", 0o666),
    )
    unpack(tar, str(tmp_path), told.append)
    assert sorted(os.listdir(tmp_path)) == ["bin", "secret", "usr"]
    assert (tmp_path / "bin").readlink() == Path("/usr/bin")
    su, twin = (tmp_path / "usr/bin" / name for name in ("su", "twin"))
    assert su.read_text() == "suid\n" and su.samefile(twin)
    modes = [path.stat().st_mode & 0o7777 for path in (su, tmp_path / "usr/bin", tmp_path / "usr", tmp_path / "secret")]
    assert modes == [0o755, 0o755, 0o755, 0o600] and su.stat().st_uid == os.geteuid()
    assert told == sorted(told) and told[-1] > 4000


@pytest.mark.parametrize(
    "members",
    [
        [("../out", REG, "x", 0o644)],
        [("a/../../out", REG, "x", 0o644)],
        [("way", LINK, "..", 0o777), ("way/out", REG, "x", 0o644)],
        [("way", LINK, "PLACE", 0o777), ("way/out", REG, "x", 0o644)],
        [("out", LINK, "../out", 0o777), ("out", REG, "x", 0o644)],
        [("way", LINK, "..", 0o777), ("twin", HARD, "way/mine", 0o644)],
        [("twin", HARD, "../mine", 0o644)],
        [("way", LINK, "..", 0o777), ("way", DIR, "", 0o777)],
    ],
)
def test_no_tar_leads_out(tmp_path: Path, members: list[tuple[str, bytes, str, int]]) -> None:
    """By no name, link or second name."""
    (tmp_path / "mine").write_text("mine")
    inside = tmp_path / "inside"
    inside.mkdir()
    told = [(name, kind, text.replace("PLACE", str(tmp_path)), mode) for name, kind, text, mode in members]
    with pytest.raises((OSError, EngineError)):
        unpack(_Tar(*told), str(inside), lambda size: None)
    assert sorted(os.listdir(tmp_path)) == ["inside", "mine"] and (tmp_path / "mine").stat().st_nlink == 1


@pytest.mark.parametrize("cut", [100, 512, 1024, 3000, 512 + 5120])
def test_a_tar_that_was_cut_is_an_error(tmp_path: Path, cut: int) -> None:
    """Half an image is none, also where the cut is between two of its files."""
    with pytest.raises(EngineError):
        unpack(_Tar(("a", REG, "x" * 5000, 0o644), ("b", REG, "x", 0o644), cut=cut), str(tmp_path), lambda size: None)


def test_a_busybox_that_is_none_says_so(tmp_path: Path) -> None:
    """It doesn't run, or knows no --list; no descriptor of ours is left open."""
    before = os.listdir("/proc/self/fd")
    for program in ("/nowhere", "/bin/false"):
        with pytest.raises(NoTools, match="apt install busybox-static"):
            applets(program)
    assert os.listdir("/proc/self/fd") == before


def test_a_late_error_closes_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its end can't be waited for: else a descriptor that somebody opened meanwhile would be closed."""
    gc.collect()  # what another test has left open for the collector to close
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(busybox, "_known", {})  # what another test was told
    with monkeypatch.context() as patched:

        def refuse(pid: int, options: int) -> None:
            wait(pid, options)
            raise OSError(errno.EIO, "odd")

        wait = os.waitpid
        patched.setattr(os, "waitpid", refuse)
        with pytest.raises(NoTools, match="does not run"):
            applets(static_busybox())
    assert os.listdir("/proc/self/fd") == before


class _Root:
    """`Files` of these directories, and what is in each."""

    def __init__(self, **directories: list[str]) -> None:
        self._directories = {f"/{name.replace('_', '/')}": names for name, names in directories.items()}

    def directory(self, path: str) -> bool:
        return path in self._directories

    def names(self, path: str) -> list[str]:
        return self._directories.get(path, [])


def test_tools_cover_nothing() -> None:
    """The place for them is an empty directory; with none there is none."""
    assert empty_place(_Root(proc_fs_nfsd=[], mnt=[])) == "/proc/fs/nfsd"  # type: ignore[arg-type]
    assert empty_place(_Root(proc_fs_nfsd=["threads"], mnt=["disk"], srv=[])) == "/srv"  # type: ignore[arg-type]
    assert empty_place(_Root(mnt=["disk"], usr=[])) == ""  # type: ignore[arg-type]
