"""Files of a container by its engine's API alone, for who can't enter it: by the container's own shell where it has
one, by the archive where it has nothing. On real engines, by OpenSSH's own clients."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dockshell.bridge.archive_tree import ArchiveTree
from dockshell.bridge.engine_tree import engine_tree
from dockshell.bridge.shell_tree import ShellTree
from dockshell.bridge.tree import Changes, Tree
from dockshell.engines import Api
from dockshell.engines.docker import DockerEngine
from dockshell.engines.local import LocalApi
from dockshell.engines.sdk import SdkApi
from dockshell.errors import EngineError
from dockshell.identity import resolve
from dockshell.target import parse
from tests.busy import slowdown
from tests.world import Peer

# A server by the API, as a program: socket, container, user, what to speak; the last word is what ssh(1) is given.
SERVER = """
import os, sys
from dockshell.bridge import scp, sftp
from dockshell.bridge.engine_tree import engine_tree
from dockshell.engines.docker import DockerEngine
from dockshell.engines.local import LocalApi
from dockshell.identity import resolve
from dockshell.target import parse
api = LocalApi(sys.argv[1])
(container,) = DockerEngine(api).find(parse(sys.argv[2]))
files = container.engine.files(container)
who = resolve(sys.argv[3], files.read("/etc/passwd") or b"", files.read("/etc/group") or b"")
tree = engine_tree(api, container, who)
if sys.argv[4] == "sftp":
    os._exit(sftp.serve(tree, 0, 1))
os._exit(scp.serve(tree, scp.words_of(os.fsencode(sys.argv[-1])), 0, 1))
"""

Client = Callable[..., subprocess.CompletedProcess[bytes]]


def api_of(peer: Peer) -> LocalApi:
    return LocalApi(peer.url.removeprefix("unix://"))


def tree_of(peer: Peer, name: str, user: str = "", kind: type[ArchiveTree] | None = None) -> Tree:
    """The container's files as that user has them; by the archive although there is a shell, where asked for."""
    api = api_of(peer)
    (container,) = DockerEngine(api).find(parse(name))
    files = container.engine.files(container)
    who = resolve(user or container.user, files.read("/etc/passwd") or b"", files.read("/etc/group") or b"")
    return (kind or engine_tree)(api, container, who)


def close(tree: Tree) -> None:
    """Ends its shell, if it has one."""
    shell = getattr(tree, "_shell", None)
    if shell:
        shell.close()


def write(tree: Tree, path: bytes, content: bytes, mode: int = 0o644) -> None:
    file = tree.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    file.write(memoryview(content), 0)
    file.close()


def read(tree: Tree, path: bytes) -> bytes:
    file = tree.open(path, os.O_RDONLY)
    try:
        buffer = bytearray(1 << 20)
        return bytes(buffer[: file.read(memoryview(buffer), 0)])
    finally:
        file.close()


def listed(tree: Tree, path: bytes) -> dict[bytes, os.stat_result]:
    directory = tree.list(path)
    found: dict[bytes, os.stat_result] = {}
    while entries := directory.read(3):
        found.update(entries)
    directory.close()
    return found


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The client's own directory."""
    there = tmp_path / "here"
    there.mkdir()
    return there


@pytest.fixture
def client(tmp_path: Path, here: Path) -> Callable[[Peer, str, str], Client]:
    """client(peer, container, user)(program, *words, lines=…): `sftp`, `scp` or `scp -O`, whose server is ours."""

    def of(peer: Peer, container: str, user: str = "0") -> Client:
        (tmp_path / "server.py").write_text(SERVER)
        root = Path(__file__).parents[1]
        for kind in ("sftp", "scp"):
            script = tmp_path / kind
            words = f"'{sys.executable}' '{tmp_path}/server.py' {peer.url.removeprefix('unix://')} {container} {user}"
            script.write_text(f"#!/bin/sh\nPYTHONPATH='{root}' exec {words} {kind} \"$@\"\n")
            script.chmod(0o755)

        def run(*words: str, lines: str = "") -> subprocess.CompletedProcess[bytes]:
            argv = {
                "sftp": ["sftp", "-q", "-b", "-", "-D", f"{tmp_path}/sftp"],
                "scp": ["scp", "-q", "-D", f"{tmp_path}/sftp"],
                "scp -O": ["scp", "-q", "-O", "-S", f"{tmp_path}/scp"],
            }[words[0]]
            done = [*argv, *words[1:]]
            return subprocess.run(done, cwd=here, input=lines.encode(), capture_output=True, timeout=120, check=False)

        return run

    return of


@pytest.mark.parametrize("image", ["static", "busybox"])
def test_scratch_image_and_one_with_a_shell(
    engine: Peer, image: str, client: Callable[..., Client], here: Path
) -> None:
    """Files and directories go in and come out by sftp, scp and scp's old protocol, with their modes and times, whether
    or not there is anything inside but what runs."""
    container = engine.run(image)
    assert isinstance(tree_of(engine, container), ArchiveTree) == (image == "static")
    run = client(engine, container)
    content = os.urandom(3_000_017)
    (here / "dir" / "sub").mkdir(parents=True)
    (here / "dir" / "sub" / "big").write_bytes(content)
    (here / "dir" / "empty").write_bytes(b"")
    (here / "dir" / "sub" / "big").chmod(0o640)
    os.utime(here / "dir" / "sub" / "big", (1_000_000, 1_234_567))
    for number, program in enumerate(("scp", "scp -O")):
        place = f"/place{number}"
        done = run("sftp", lines=f"mkdir {place}\n")
        assert done.returncode == 0, done.stderr
        done = run(program, "-rp", "dir", f"x:{place}")
        assert (done.returncode, done.stderr) == (0, b"")
        done = run(program, "-rp", f"x:{place}/dir", f"back{number}")
        assert (done.returncode, done.stderr) == (0, b"")
        back = here / f"back{number}"
        assert (back / "sub" / "big").read_bytes() == content
        assert (back / "empty").read_bytes() == b""
        facts = (back / "sub" / "big").stat()
        assert (stat.S_IMODE(facts.st_mode), int(facts.st_mtime)) == (0o640, 1_234_567)
    done = run("sftp", lines="ls -la /place0/dir\ncd /place0/dir/sub\npwd\n")
    assert b"empty" in done.stdout and b"/place0/dir/sub\n" in done.stdout
    missing = run("scp", "x:/missing", ".")
    assert missing.returncode == 1 and b"No such file" in missing.stderr


def test_everything_else_where_there_is_a_shell(engine: Peer, client: Callable[..., Client], here: Path) -> None:
    """Rename, remove, links, modes and resuming are as with a server inside."""
    container = engine.run("busybox")
    content = os.urandom(200_000)
    (here / "file").write_bytes(content)
    (here / "half").write_bytes(content[:70_000])
    lines = """
        mkdir /d
        put half /d/file
        reput file /d/file
        rename /d/file /d/moved
        ln /d/moved /d/hard
        ln -s moved /d/soft
        chmod 0600 /d/moved
        get /d/soft back
        ls -l /d
        rm /d/hard
        rm /d/soft
        rename /d /e
        rm /e/moved
        rmdir /e
    """
    done = client(engine, container)("sftp", lines=lines)
    assert done.returncode == 0, done.stderr
    assert (here / "back").read_bytes() == content
    assert b"-rw-------    2 root     root       200000" in done.stdout.replace(b"    ?", b"    2")


def test_what_the_archive_can_not_do_is_said(engine: Peer, client: Callable[..., Client], here: Path) -> None:
    """In a container with nothing inside a file can't be removed, and nobody is told that it was."""
    container = engine.run("static")
    tree = tree_of(engine, container)
    write(tree, b"/file", b"x")
    for act in (lambda: tree.remove(b"/file"), lambda: tree.rename(b"/file", b"/other", replace=True)):
        with pytest.raises(OSError, match="no shell inside"):
            act()
    assert read(tree, b"/file") == b"x"
    assert client(engine, container)("sftp", lines="rm /file\n").returncode != 0


def test_names_with_anything_in_them(engine: Peer) -> None:
    """Quotes, newlines, dashes, blanks and bytes that are no UTF-8 mean nothing to the shell that is asked."""
    container = engine.run("busybox")
    tree = tree_of(engine, container)
    names = [
        b"a'b",
        b'"',
        b"$(touch evil)",
        b"`id`",
        b"two\nlines",
        b"-rf",
        b" ",
        b"*",
        b"\xff\xfe",
        b".hidden",
        b"..a",
    ]
    tree.mkdir(b"/odd")
    for name in names:
        write(tree, b"/odd/" + name, name)
    found = listed(tree, b"/odd")
    assert set(found) == set(names)
    for name in names:
        assert read(tree, b"/odd/" + name) == name
        tree.remove(b"/odd/" + name)
    assert listed(tree, b"/odd") == {}
    with pytest.raises(FileNotFoundError):
        tree.stat(b"/evil")  # where the shell is
    close(tree)


def test_errors_are_the_kernels(engine: Peer) -> None:
    """What a client asks for in vain fails for the reason that it would have inside."""
    container = engine.run("busybox")
    tree = tree_of(engine, container)
    write(tree, b"/file", b"x")
    tree.mkdir(b"/dir")
    write(tree, b"/dir/x", b"x")
    tree.symlink(b"dir", b"/link")
    for error, act in (
        (FileNotFoundError, lambda: tree.stat(b"/missing")),
        (FileNotFoundError, lambda: tree.open(b"/missing/x", os.O_WRONLY | os.O_CREAT)),
        (NotADirectoryError, lambda: tree.stat(b"/file/x")),
        (IsADirectoryError, lambda: tree.open(b"/dir", os.O_RDONLY)),
        (FileExistsError, lambda: tree.mkdir(b"/dir")),
        (FileExistsError, lambda: tree.open(b"/file", os.O_WRONLY | os.O_CREAT | os.O_EXCL)),
        (FileExistsError, lambda: tree.rename(b"/file", b"/dir/x", replace=False)),
        (FileExistsError, lambda: tree.rename(b"/link", b"/dir", replace=True)),
        (NotADirectoryError, lambda: tree.list(b"/file")),
        (NotADirectoryError, lambda: tree.rmdir(b"/link")),
        (IsADirectoryError, lambda: tree.remove(b"/dir")),
        (OSError, lambda: tree.rmdir(b"/dir")),
        (OSError, lambda: tree.readlink(b"/file")),
        (OSError, lambda: tree.open(b"/dev/null", os.O_RDONLY)),
        (OSError, lambda: tree.stat(b"/a\0b")),
    ):
        with pytest.raises(error):
            act()
    assert tree.real(b"/link/../link/x") == b"/dir/x"
    close(tree)


@pytest.mark.parametrize("kind", [None, ArchiveTree])
def test_user_without_rights_gets_none(engine: Peer, kind: type[ArchiveTree] | None) -> None:
    """The engine acts as root: what its user may not do inside, nobody may do by it for that user."""
    container = engine.run("busybox")
    script = """
        echo secret > /secret; chmod 600 /secret
        mkdir -m 700 /private; echo x > /private/open; chmod 666 /private/open
        mkdir -m 755 /public; echo shown > /public/shown
        ln -s /secret /tmp/link
        mkdir -m 777 /shared
    """
    engine.sh("exec", container, "sh", "-c", script)
    tree = tree_of(engine, container, "app", kind)
    for act in (
        lambda: tree.open(b"/secret", os.O_RDONLY),
        lambda: tree.open(b"/secret", os.O_WRONLY | os.O_TRUNC),
        lambda: tree.open(b"/tmp/link", os.O_RDONLY),
        lambda: tree.open(b"/tmp/link", os.O_WRONLY | os.O_CREAT),
        lambda: tree.open(b"/private/open", os.O_RDONLY),
        lambda: tree.stat(b"/private/open"),
        lambda: tree.list(b"/private"),
        lambda: tree.open(b"/public/new", os.O_WRONLY | os.O_CREAT),
        lambda: tree.open(b"/public/shown", os.O_WRONLY),
        lambda: tree.mkdir(b"/public/new"),
        lambda: tree.symlink(b"x", b"/public/new"),
        lambda: tree.change(b"/public/shown", Changes(mode=0o666)),
        lambda: tree.change(b"/public", Changes(mode=0o777)),
    ):
        with pytest.raises(OSError):
            act()
    assert read(tree, b"/public/shown") == b"shown\n"
    write(tree, b"/shared/mine", b"mine", 0o604)
    assert engine.ask("exec", container, "stat", "-c", "%u:%g %a", "/shared/mine") == "1000:1000 604"
    assert engine.ask("exec", container, "cat", "/secret") == "secret"
    close(tree)


def test_owner_and_mode_of_what_is_written_over_stay(engine: Peer) -> None:
    """A file that is there keeps whose it is and what may be done with it; the archive on Podman, which tells no
    owners, can keep the mode alone."""
    container = engine.run("busybox")
    script = "echo old > /file; chown 1000:2001 /file; chmod 4751 /file"
    for kind in (None, ArchiveTree):
        engine.sh("exec", container, "sh", "-c", script)
        tree = tree_of(engine, container, "0", kind)
        write(tree, b"/file", b"new content")
        owner, mode = engine.ask("exec", container, "stat", "-c", "%u:%g %a", "/file").split()
        assert engine.ask("exec", container, "cat", "/file") == "new content"
        assert mode[-3:] == "751"
        assert owner == ("0:0" if kind and engine.name == "podman" else "1000:2001")
        close(tree)


def test_archive_changes_in_place(engine: Peer) -> None:
    """Mode, times and size of what is there can be changed by the archive too, a directory's as a file's."""
    container = engine.run("static")
    tree = tree_of(engine, container)
    tree.mkdir(b"/dir", 0o700)
    write(tree, b"/dir/file", b"0123456789")
    tree.change(b"/dir/file", Changes(size=4, mode=0o600, times=(5, 1_000_007)))
    tree.change(b"/dir", Changes(mode=0o751, times=(5, 1_000_008)))
    assert read(tree, b"/dir/file") == b"0123"
    facts = tree.stat(b"/dir/file")
    assert (stat.S_IMODE(facts.st_mode), facts.st_size, facts.st_mtime) == (0o600, 4, 1_000_007)
    facts = tree.stat(b"/dir")
    assert (facts.st_mode, facts.st_mtime) == (stat.S_IFDIR | 0o751, 1_000_008)
    file = tree.open(b"/dir/file", os.O_RDWR)
    file.write(memoryview(b"xy"), 2)
    file.write(memoryview(b"end"), 6)
    file.close()
    assert read(tree, b"/dir/file") == b"01xy\0\0end"


def test_links_are_followed_inside(engine: Peer) -> None:
    """An absolute link, and one with more `..` than there are directories, lead to a place in the container."""
    container = engine.run("static")
    tree = tree_of(engine, container)
    tree.mkdir(b"/etc-of-ours")
    write(tree, b"/etc-of-ours/hostname", b"inside")
    tree.symlink(b"/etc-of-ours/hostname", b"/absolute")
    tree.symlink(b"../../../../etc-of-ours", b"/etc-of-ours/climbing")
    assert read(tree, b"/absolute") == read(tree, b"/etc-of-ours/climbing/climbing/hostname") == b"inside"
    write(tree, b"/absolute", b"written through")
    assert read(tree, b"/etc-of-ours/hostname") == b"written through"
    assert tree.real(b"/etc-of-ours/climbing/../absolute") == b"/etc-of-ours/hostname"
    assert stat.S_ISLNK(tree.stat(b"/absolute", follow=False).st_mode)
    assert tree.readlink(b"/absolute") == b"/etc-of-ours/hostname"
    tree.symlink(b"/loop", b"/loop")
    for act in (lambda: tree.stat(b"/loop"), lambda: tree.open(b"/loop", os.O_RDONLY)):
        with pytest.raises(OSError):
            act()


def test_tmpfs_loses_nothing_in_silence(engine: Peer) -> None:
    """What can't be written from outside is refused, naming the reason; with a shell inside it is written."""
    options = ("--tmpfs", "/fleeting")
    container = engine.run("static", options=options)
    tree = tree_of(engine, container)
    if engine.name == "docker":
        for act in (lambda: write(tree, b"/fleeting/file", b"x"), lambda: tree.mkdir(b"/fleeting/dir")):
            with pytest.raises(OSError, match="moby#22020"):
                act()
    else:
        write(tree, b"/fleeting/file", b"x")
        assert engine.ask("exec", container, "/busybox", "cat", "/fleeting/file") == "x"
    container = engine.run("busybox", options=options)
    tree = tree_of(engine, container)
    write(tree, b"/fleeting/file", b"x")
    assert engine.ask("exec", container, "cat", "/fleeting/file") == "x"
    close(tree)


def test_locked_container(engine: Peer, client: Callable[..., Client], here: Path) -> None:
    """Read-only, without capabilities, and as a user without an entry: what may be read can be had, and what can't be
    written says so."""
    container = engine.run("locked")
    tree = tree_of(engine, container)
    assert isinstance(tree, ShellTree)
    assert read(tree, b"/etc/passwd").startswith(b"root:")
    close(tree)
    run = client(engine, container, "65532")
    (here / "file").write_bytes(b"x")
    assert run("scp", "x:/etc/passwd", "passwd").returncode == 0
    done = run("scp", "file", "x:/srv/file")
    assert done.returncode == 1 and b"ermission denied" in done.stderr


def test_archive_of_a_read_only_container(engine: Peer) -> None:
    """Nothing is said to have been written there."""
    container = engine.run("static", options=("--read-only",))
    tree = tree_of(engine, container)
    with pytest.raises((OSError, EngineError)):
        write(tree, b"/file", b"x")
    with pytest.raises(FileNotFoundError):
        tree.stat(b"/file")


def test_groups_count(engine: Peer) -> None:
    """A user may what a supplementary group may."""
    container = engine.run("busybox")
    engine.sh("exec", container, "sh", "-c", "mkdir -m 770 /team; chgrp 2001 /team; echo x > /team/file")
    tree = tree_of(engine, container, "app")
    engine.sh("exec", container, "chmod", "644", "/team/file")
    assert read(tree, b"/team/file") == b"x\n"
    close(tree)
    tree = tree_of(engine, container, "app:app")  # with a group in so many words there are no others
    with pytest.raises(PermissionError):
        tree.open(b"/team/file", os.O_RDONLY)
    close(tree)


def test_listing_of_a_large_directory(engine: Peer) -> None:
    """A thousand files are a thousand entries, with owners, sizes and kinds, at once."""
    container = engine.run("busybox")
    engine.sh(
        "exec", container, "sh", "-c",
        "mkdir /many /many/dir; cd /many; i=0; while [ $i -lt 1000 ]; do echo $i > f$i; i=$((i+1)); done; "
        "chown 1000:2001 f7; ln -s f7 link; mkfifo fifo",
    )  # fmt: skip
    for kind in (None, ArchiveTree):
        tree = tree_of(engine, container, "0", kind)
        begun = time.monotonic()
        found = listed(tree, b"/many")
        assert len(found) == 1003
        assert stat.S_ISLNK(found[b"link"].st_mode) and stat.S_ISDIR(found[b"dir"].st_mode)
        assert stat.S_ISFIFO(found[b"fifo"].st_mode) and found[b"f999"].st_size == 4
        if kind is None or engine.name == "docker":
            assert (found[b"f7"].st_uid, found[b"f7"].st_gid) == (1000, 2001)
        assert (tree.user(1000), tree.group(2001)) == (b"app", b"staff2")
        assert time.monotonic() - begun < 20 * slowdown()
        close(tree)


@pytest.mark.parametrize("kind", [LocalApi, SdkApi])
def test_the_apis_two_calls(engine: Peer, kind: type[LocalApi] | type[SdkApi]) -> None:
    """A tar goes in as it comes, and comes out in pieces; what isn't there is None, a refusal an error with its
    status."""
    import io
    import tarfile

    container = engine.run("static")
    local = kind is LocalApi
    api: Api = LocalApi(engine.url.removeprefix("unix://")) if local else SdkApi(engine.url)
    content = os.urandom(5_000_000)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    whole = packed.getvalue()
    cut = [whole[at : at + 777_777] for at in range(0, len(whole), 777_777)]
    api.upload(container, "/", iter(cut), len(whole))
    download = api.download(container, "/file")
    assert download is not None
    received = b""
    while piece := download.read(100_000):
        assert len(piece) <= 100_000
        received += piece
    download.close()
    with tarfile.open(fileobj=io.BytesIO(received)) as tar:
        file = tar.extractfile("file")
        assert file and file.read() == content
    assert api.download(container, "/missing") is None
    with pytest.raises(EngineError) as refusal:
        api.upload(container, "/file", iter(cut), len(whole))
    assert refusal.value.status >= 400
    with pytest.raises(EngineError) as refusal:
        api.upload("no-such-container", "/", iter(cut), len(whole))
    assert refusal.value.status == 404
    if isinstance(api, SdkApi):
        api.close()
