"""`dockshell cp` with real containers: what arrives, in every kind of place, by either way, both ways and across."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import select
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dockshell.engines.containers import changes
from dockshell.engines.local import LocalApi
from tests.conftest import COMMAND
from tests.world import Peer, World
from tests.world.person import let_in, person

Run = Callable[..., subprocess.CompletedProcess[bytes]]

# Where things go: which container (see _container) and which directory of it.
PLACES = {
    "plain": ("open", "/srv"),
    "tmpfs": ("open", "/t"),
    "volume": ("open", "/vol"),
    "scratch": ("scratch", "/"),
    "scratch-tmpfs": ("scratch", "/t"),
    "locked-tmpfs": ("locked", "/t"),
    "locked-volume": ("locked", "/vol"),
}
_MOUNTS = ("--tmpfs", "/t", "-v", "/vol")
_SIDECARS = ("ps", "-aq", "--filter", "label=dockshell.sidecar")


def _container(engine: Peer, kind: str) -> str:
    """open: a busybox; scratch: one static program and nothing else; locked: no capabilities, read-only, uid 65532.
    Each with a tmpfs at /t and a volume at /vol."""
    image = {"open": "busybox", "scratch": "static", "locked": "locked"}[kind]
    return engine.kept(f"cp-{kind}", lambda: engine.run(image, options=_MOUNTS))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One of everything that is kept."""
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "file").write_text("content\n")
    (root / "nothing").touch()
    os.link(root / "file", root / "sub" / "twin")
    (root / "link").symlink_to("sub/../file")
    (root / "outward").symlink_to("/etc/passwd")
    (root / "sub" / "odd \n name\\ ż").write_bytes(bytes(range(256)) * 700)
    (root / "sub" / os.fsdecode(b"bytes \xff")).write_text("no UTF-8")
    (root / ("long" * 30)).write_text("a name that no plain tar holds")
    with open(root / "holes", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"in between")
    (root / "file").chmod(0o640)
    (root / "sub").chmod(0o751)
    (root / "sub" / "deep").chmod(0o1777)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        when = 1_000_000_000_000_000_000 + number * 1_000_000_007
        os.utime(path, ns=(when, when), follow_symlinks=False)
    os.utime(root, ns=(1_111_111_111_111_111_111,) * 2)
    return root


def _seen(root: Path, *, nanoseconds: bool = True, link_times: bool = True) -> dict[str, tuple[object, ...]]:
    """What is there, as far as a way keeps it."""
    found: dict[str, tuple[object, ...]] = {}
    twins: dict[int, str] = {}
    for path in (root, *sorted(root.rglob("*"))):
        facts = path.lstat()
        moment = facts.st_mtime_ns if nanoseconds else facts.st_mtime_ns // 1_000_000_000
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path), moment if link_times else 0)
        elif path.is_dir():
            found[name] = ("directory", oct(facts.st_mode), moment)
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            twin = twins.setdefault(facts.st_ino, name)
            found[name] = ("file", oct(facts.st_mode), moment, content, twin)
    return found


def _holes(path: Path) -> int:
    facts = path.stat()
    return facts.st_size - facts.st_blocks * 512


@pytest.mark.parametrize("via", ["nsenter", "exec"])
@pytest.mark.parametrize("place", PLACES)
def test_a_tree_there_and_back(
    world: World, engine: Peer, dockshell: Run, tree: Path, tmp_path: Path, via: str, place: str
) -> None:
    """Contents, names of any bytes, modes, times, links and second names arrive in each kind of place, belong to the
    container's user, and come back. By the kernel to the nanosecond and with holes; by the engine's archive to the
    second on the way back, and by a busybox's tar without the times of links. Nothing else is left, nor a sidecar."""
    world.need_root()
    kind, directory = PLACES[place]
    name = _container(engine, kind)
    copied = f"{directory.rstrip('/')}/{place}-{via}"
    done = dockshell("cp", "--via", via, "-r", str(tree), f"{name}:{copied}", engine=engine)
    # Root's, where that alone may write, and may not give away. (Podman has given the volume to the user.)
    taken = place == "locked-volume" and via == "exec" and engine.name == "docker"
    assert done.returncode == 0 and (b"belong to user 0" in done.stderr) is taken and done.stderr.count(b"\n") == taken
    back = tmp_path / "back"
    done = dockshell("cp", "--via", via, "-r", f"{name}:{copied}", str(back), engine=engine)
    assert (done.returncode, done.stderr) == (0, b"")
    kernel = via == "nsenter"
    archive = place in ("plain", "volume", "scratch")
    kept = {"nanoseconds": kernel, "link_times": kernel or archive}
    assert _seen(back, **kept) == _seen(tree, **kept)
    assert _holes(back / "holes") > 1 << 20
    uid = 65532 if kind == "locked" and not taken else 0
    root = Path(f"/proc/{engine.pid(name)}/root{copied}")
    assert {path.lstat().st_uid for path in (root, *root.rglob("*"))} == {uid}
    assert not [each for each in root.parent.iterdir() if each.name.startswith(".dockshell")]
    assert _holes(root / "holes") > 1 << 20 or not kernel
    if place == "scratch":
        assert engine.ask(*_SIDECARS) == ""
        assert {path.split("/")[1].partition("-")[0] for path in _added(engine, name)} <= {"scratch", "across"}


def _added(engine: Peer, name: str) -> set[str]:
    """What differs from the image, without what the engine makes for mounts of its own: by the API, for a name may have
    a newline in it."""
    own = ("/t", "/vol", "/dev", "/etc", "/proc", "/sys", "/run", "/tmp", "/var", "/.dockerenv")
    paths = {path for _, path in changes(LocalApi(engine.url.removeprefix("unix://")), name)}
    return {path for path in paths if not (path + "/").startswith(tuple(each + "/" for each in own))}


def test_without_root(world: World, docker: Peer, tree: Path) -> None:
    """A member of the docker group copies there, back and across by the engine alone."""
    world.need_root()
    socket = docker.url.removeprefix("unix://")
    let_in(os.path.dirname(socket), os.path.dirname(world.scratch))
    subprocess.run(["chmod", "-R", "a+rX", str(tree)], check=True)
    os.chmod(tree.parent, 0o755)
    with person(65534, [65534, os.stat(socket).st_gid]) as somebody:
        own = Path(somebody.place, "tree")
        subprocess.run(["cp", "-a", str(tree), str(own)], check=True)
        subprocess.run(["chown", "-hR", "65534", str(own)], check=True)

        def run(*words: str) -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                [*somebody.command, "cp", *words], env={**somebody.environment, "DOCKER_HOST": docker.url},
                stdin=subprocess.DEVNULL, capture_output=True, cwd=somebody.place, timeout=60, check=False,
            )  # fmt: skip

        first, second = _container(docker, "open"), _container(docker, "scratch")
        for words in (
            ("-r", "tree", f"{first}:/srv/person"),
            ("-r", f"{first}:/srv/person", f"{second}:/t/person"),
            ("-r", f"{second}:/t/person", "back"),
        ):
            done = run(*words)
            assert (done.returncode, done.stderr) == (0, b""), words
        kept = {"nanoseconds": False, "link_times": False}
        assert _seen(Path(somebody.place, "back"), **kept) == _seen(own, **kept)
    assert docker.ask(*_SIDECARS) == ""


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_across(world: World, engine: Peer, dockshell: Run, tree: Path, tmp_path: Path, via: str) -> None:
    """From one container to another, and within one, a tmpfs among them."""
    world.need_root()
    first, second = _container(engine, "open"), _container(engine, "scratch")
    steps = (
        (str(tree), f"{first}:/t/across-{via}"),
        (f"{first}:/t/across-{via}", f"{first}:/srv/across-{via}"),
        (f"{first}:/srv/across-{via}/.", f"{second}:/across-{via}"),
        (f"{second}:/across-{via}", str(tmp_path / "back")),
    )
    for words in steps:
        done = dockshell("cp", "-r", "--via", via, *words, engine=engine)
        assert (done.returncode, done.stderr) == (0, b""), words
    kept = {"nanoseconds": via == "nsenter", "link_times": via == "nsenter"}
    assert _seen(tmp_path / "back", **kept) == _seen(tree, **kept)
    done = dockshell("cp", "-r", "--via", via, f"{first}:/srv", f"{first}:/srv/across-{via}/", engine=engine)
    assert done.returncode == 1 and b"into itself" in done.stderr


def test_words_of_all_kinds(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Patterns are expanded inside, several sources go to a directory, what is missing is named and the rest copied,
    and a path without a slash counts from the root."""
    name = docker.run("busybox")
    docker.ask(
        "exec", name, "sh", "-c", "mkdir /logs /logs/old.log; touch /logs/a.log /logs/b.log /logs/.c.log /logs/d"
    )
    for via in ("nsenter", "exec"):
        out = tmp_path / via
        out.mkdir()
        done = dockshell("cp", "--via", via, f"{name}:/logs/*.log", f"{name}:etc/hostname", str(out), engine=docker)
        assert (done.returncode, done.stderr) == (0, b"")
        assert sorted(os.listdir(out)) == ["a.log", "b.log", "hostname", "old.log"]
        done = dockshell("cp", "--via", via, f"{name}:/nope", f"{name}:/logs/d", str(out), engine=docker)
        assert done.returncode == 1 and f"{name}:/nope was not copied: No such file".encode() in done.stderr
        assert (out / "d").exists()
        done = dockshell("cp", "--via", via, f"{name}:/logs/*.txt", str(out), engine=docker)
        assert done.returncode == 1 and b"nothing fits that pattern" in done.stderr
        done = dockshell("cp", "--via", via, f"{name}:/logs/d", f"{name}:/nowhere/d", engine=docker)
        assert done.returncode == 1 and b"no directory of that name" in done.stderr


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_directories_go_where_docker_cp_puts_them(docker: Peer, dockshell: Run, tmp_path: Path, via: str) -> None:
    """Without -r: a directory, what is in one (`/.`), to a new name or a directory that is there; in and out."""
    name = docker.shared("busybox")
    docker.sh("exec", name, "sh", "-c", f"mkdir -p /tmp/{via}/dir/sub && cd /tmp/{via}/dir && echo x >sub/x")
    seen = []
    for which in "docker", "dockshell":
        (out := tmp_path / which).mkdir()
        for path, where in ("dir", out / "new"), ("dir", out), ("dir/.", out / "."), ("dir/sub/.", out / "inside"):
            words = ("cp", f"{name}:/tmp/{via}/{path}", str(where))
            done = docker.sh(*words) if which == "docker" else dockshell(*words, "--via", via, engine=docker)
            assert done.returncode == 0, done
        words = ("cp", str(out), f"{name}:/tmp/{via}/back-{which}")
        done = docker.sh(*words) if which == "docker" else dockshell(*words, "--via", via, engine=docker)
        assert done.returncode == 0, done
        inside = docker.ask("exec", name, "sh", "-c", f"cd /tmp/{via}/back-{which} && find . | sort")
        seen.append((sorted(str(each.relative_to(out)) for each in out.rglob("*")), inside))
    docker.sh("exec", name, "rm", "-r", f"/tmp/{via}")
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("one", "two"), 2, "none of these is in a container"),
        (("web:", "/tmp"), 2, "names no file"),
        (("", "web:/x"), 2, "names no file"),
        (("-", "-"), 2, "none of these"),
        (("-", "./a", "web:/x"), 2, "only SRC"),
        (("web:/x",), 2, "usage"),
        (("--via", "ssh", "./a", "web:/x"), 2, "auto, nsenter"),
        (("b@d:/x", "."), 2, "begins with ./"),
        (("no-such-container:/x", "."), 125, "no container fits"),
    ],
)
def test_words_that_are_wrong(docker: Peer, dockshell: Run, words: tuple[str, ...], code: int, said: str) -> None:
    """Each ends at once with one sentence."""
    name = docker.shared("busybox")
    done = dockshell("cp", *(word.replace("web:", f"{name}:") for word in words), engine=docker)
    assert done.returncode == code and said in done.stderr.decode() and done.stderr.count(b"\n") == 1, done.stderr


def test_owners(world: World, docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """The container's user, --chown by the container's own names, -a the numbers; setuid bits only with -a."""
    world.need_root()
    name = docker.kept("cp-app", lambda: docker.run("app"))
    source = tmp_path / "file"
    source.write_text("x")
    os.chown(source, 1234, 4321)
    source.chmod(0o6755)
    for via in ("nsenter", "exec"):
        for number, (words, expected) in enumerate(
            (
                ((), "1000:1000 755"),
                (("--chown", "root"), "0:0 755"),
                (("--chown", "app:staff2"), "1000:2001 755"),
                (("--chown", ":video2"), "1000:2002 755"),
                (("-a",), "1234:4321 6755"),
                (("-a", "--chown", "7:8"), "7:8 6755"),
            )
        ):
            there = f"/home/app/{via}{number}"
            done = dockshell("cp", "--via", via, *words, str(source), f"{name}:{there}", engine=docker)
            assert (done.returncode, done.stderr) == (0, b"")
            assert docker.ask("exec", name, "stat", "-c", "%u:%g %a", there) == expected, (via, words)
        out = tmp_path / via
        assert dockshell("cp", "--via", via, f"{name}:{there}", str(out), engine=docker).returncode == 0
        assert (out.stat().st_uid, out.stat().st_mode & 0o7777) == (0, 0o755)
        done = dockshell("cp", "--via", via, "--chown", "nobody-here", str(source), f"{name}:/tmp/x", engine=docker)
        assert done.returncode == 125 and b"no user" in done.stderr


def test_attributes_and_devices(world: World, docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """user.* attributes are kept; FIFOs, sockets and devices are left out and counted, and copied with -a by root."""
    world.need_root()
    name = _container(docker, "open")
    source = tmp_path / "odd"
    source.mkdir()
    (source / "file").write_text("x")
    try:
        os.setxattr(source / "file", "user.colour", b"red\0\xff")
    except OSError:
        world.need(False, "the file system of the tests' own directory has no extended attributes")
    os.mkfifo(source / "fifo")
    os.mknod(source / "null", 0o20600, os.makedev(1, 3))
    for words, kept in ((("-r",), False), (("-a",), True)):
        there = f"/srv/odd{words[0]}"
        done = dockshell("cp", *words, str(source), f"{name}:{there}", engine=docker)
        assert done.returncode == 0 and (b"1 FIFO, 1 device " in done.stderr) is not kept
        back = tmp_path / f"back{words[0]}"
        assert dockshell("cp", *words, f"{name}:{there}", str(back), engine=docker).returncode == 0
        assert os.getxattr(back / "file", "user.colour") == b"red\0\xff"
        assert ((back / "fifo").is_fifo(), (back / "null").is_char_device()) == (kept, kept)


def test_streams(docker: Peer, dockshell: Run, tree: Path, tmp_path: Path) -> None:
    """- is a tar that every tar reads, and one that any tar wrote."""
    name = _container(docker, "open")
    packed = subprocess.run(
        ["tar", "c", "--format=pax", "-C", str(tree.parent), "tree"], capture_output=True, check=True
    ).stdout
    for via in ("nsenter", "exec"):
        docker.ask("exec", name, "mkdir", f"/srv/stream-{via}")
        done = dockshell("cp", "--via", via, "-", f"{name}:/srv/stream-{via}", input=packed, engine=docker)
        assert (done.returncode, done.stderr) == (0, b"")
        done = dockshell("cp", "--via", via, "-r", f"{name}:/srv/stream-{via}/tree", "-", engine=docker)
        assert (done.returncode, done.stderr) == (0, b"")
        out = tmp_path / via
        out.mkdir()
        subprocess.run(["tar", "x", "-C", str(out)], input=done.stdout, check=True)
        assert _seen(out / "tree", nanoseconds=False) == _seen(tree, nanoseconds=False)
        done = dockshell("cp", "--via", via, "-", f"{name}:/srv", input=packed[: len(packed) // 2], engine=docker)
        assert done.returncode == 1 and b"tar" in done.stderr
        done = dockshell("cp", "--via", via, "-", f"{name}:/srv", input=b"no tar at all" * 100, engine=docker)
        assert done.returncode == 1 and b"it is no tar" in done.stderr


def test_hostile_tars(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Nothing in a tar leads out of the directory: not a "..", an absolute name, a link as a parent, nor a second name
    of what is not in it; the rest is copied."""
    name = _container(docker, "open")
    docker.ask("exec", name, "sh", "-c", "mkdir -p /srv/hostile /srv/kept; echo old > /srv/kept/file")
    for via in ("nsenter", "exec"):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:

            def add(path: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
                member = tarfile.TarInfo(path)
                member.type, member.linkname = kind, link
                member.size = 3 if kind == tarfile.REGTYPE else 0
                tar.addfile(member, io.BytesIO(b"bad"))

            add(f"good-{via}")
            add("../kept/file")
            add("/srv/kept/absolute")
            add(f"out-{via}", tarfile.SYMTYPE, "../kept")
            add(f"out-{via}/file")
            add(f"away-{via}", tarfile.SYMTYPE, "/srv/kept")
            add(f"away-{via}/new")
            add(f"second-{via}", tarfile.LNKTYPE, "../kept/file")
            add(f"third-{via}", tarfile.LNKTYPE, f"out-{via}/file")
            add(f"also-good-{via}")
        done = dockshell("cp", "--via", via, "-", f"{name}:/srv/hostile", input=packed.getvalue(), engine=docker)
        assert done.returncode == 1, via
        assert docker.ask("exec", name, "sh", "-c", "cat /srv/kept/*; ls /srv/kept") == "old\nfile", via
        if via == "nsenter":
            assert docker.ask("exec", name, "ls", "/srv/hostile").split() == sorted(
                f"{each}-{via}" for each in ("also-good", "away", "good", "out")
            )


def test_a_hostile_container(world: World, docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Links inside, absolute or by "..", stay inside when they are followed; and what somebody swaps for a link while a
    copy is under way leads nowhere else: not in reading, not in writing."""
    world.need_root()
    name = docker.run("busybox")
    secret = tmp_path / "secret"
    secret.write_text("ours")
    script = f"""
        mkdir -p /race/d; i=0
        while [ $i -lt 200 ]; do i=$((i+1)); echo > /race/d/$i; done
        ln -s {tmp_path} /race/l
        while :; do
            mv -T /race/d /race/x; mv -T /race/l /race/d; mv -T /race/d /race/l; mv -T /race/x /race/d
        done
    """
    docker.ask("exec", "-d", name, "sh", "-c", script)
    for number in range(15):
        dockshell("cp", "-r", f"{name}:/race/d/.", str(tmp_path / f"out{number}"), engine=docker)
        assert not (tmp_path / f"out{number}" / "secret").exists()
        dockshell("cp", str(secret), f"{name}:/race/d/stolen", engine=docker)
        assert not (tmp_path / "stolen").exists()


def _big(path: Path, size: int = 400 << 20) -> None:
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 10) * 1024)


def test_cut_off(world: World, engine: Peer, environment: dict[str, str], tmp_path: Path) -> None:
    """Whatever ends it in the middle, there is no half file under the final name, and soon nothing else either: here,
    there, in a tmpfs, and of a sidecar."""
    world.need_root()
    name, bare = _container(engine, "open"), _container(engine, "scratch")
    big = tmp_path / "big"
    _big(big)
    engine.ask("exec", name, "sh", "-c", "dd if=/dev/zero of=/srv/big bs=1M count=400 2>/dev/null")
    inward, outward = (str(big), f"{name}:/vol/cut"), (f"{name}:/srv/big", str(tmp_path / "cut"))
    for via, words, number in (
        ("nsenter", inward, signal.SIGKILL),
        ("nsenter", outward, signal.SIGTERM),
        ("exec", inward, signal.SIGKILL),
        ("exec", inward, signal.SIGINT),
        ("exec", (str(big), f"{bare}:/t/cut"), signal.SIGKILL),
        ("exec", outward, signal.SIGKILL),
    ):
        started = subprocess.Popen(
            [*COMMAND, "cp", "--via", via, *words], env={**environment, "DOCKER_HOST": engine.url},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(0.2 if via == "nsenter" else 1.0 if bare in words[1] else 0.5)
        started.send_signal(number)
        code = started.wait(60)
        places = [Path(f"/proc/{engine.pid(name)}/root/vol"), Path(f"/proc/{engine.pid(bare)}/root/t"), tmp_path]
        until = time.monotonic() + 60
        while left := [
            str(each)
            for place in places
            for each in place.iterdir()
            if each.name.startswith(".dockshell") or (each.name == "cut" and code)
        ]:
            assert time.monotonic() < until, (via, words, left)
            time.sleep(0.1)
        for place in places:
            (place / "cut").unlink(missing_ok=True)
    while engine.ask(*_SIDECARS):
        assert time.monotonic() < until + 60
        time.sleep(0.1)
    engine.ask("exec", name, "rm", "/srv/big")


def test_what_is_there_is_replaced_at_once(world: World, docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """Who has the old file open reads all of the old one; its name leads to all of the new one; a link in its place is
    replaced, not followed, and no temporary name stays."""
    world.need_root()
    name = docker.run("busybox")
    (tmp_path / "file").write_text("new")
    for via in ("nsenter", "exec"):
        docker.ask(
            "exec",
            name,
            "sh",
            "-c",
            "mkdir -p /d; rm -f /d/*; echo old > /d/file; echo kept > /kept; ln -s /kept /d/link",
        )
        held = open(f"/proc/{docker.pid(name)}/root/d/file", encoding="ascii")  # noqa: SIM115
        (tmp_path / "link").write_text("new")
        words = (str(tmp_path / "file"), str(tmp_path / "link"), f"{name}:/d")
        done = dockshell("cp", "--via", via, *words, engine=docker)
        assert (done.returncode, done.stderr) == (0, b"")
        with held:
            assert held.read() == "old\n"
        told = docker.ask("exec", name, "sh", "-c", "cat /d/file /d/link /kept; ls -A /d")
        assert told == "newnewkept\nfile\nlink", via


def test_containers_that_do_not_run(docker: Peer, dockshell: Run, tree: Path, tmp_path: Path) -> None:
    """A stopped one is copied to and from by the engine's archive, and read back; a paused one too, and as root by the
    kernel."""
    name = docker.run("busybox")
    for state in ("pause", "stop"):
        docker.sh(state, name)
        for via in ("nsenter", "exec") if state == "pause" else ("auto",):
            there, back = f"/srv/{state}-{via}", tmp_path / f"{state}-{via}"
            for words in ((str(tree), f"{name}:{there}"), (f"{name}:{there}", str(back))):
                done = dockshell("cp", "-r", "--via", via, *words, engine=docker)
                assert (done.returncode, done.stderr) == (0, b""), (state, words)
            assert _seen(back, nanoseconds=False) == _seen(tree, nanoseconds=False)
        if state == "pause":
            docker.sh("unpause", name)
    done = dockshell("cp", "--via", "nsenter", f"{name}:/etc/hosts", str(tmp_path), engine=docker)
    assert done.returncode == 125


def test_the_unseen_mount(world: World, docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """A tmpfs of which the engine tells nothing would swallow what its archive is given; that is seen before, and a
    program inside does it instead. Of another file system it is seen by what has not arrived."""
    world.need_root()
    name = docker.run("busybox")
    pid = str(docker.pid(name))
    (tmp_path / "file").write_text("seen")
    for kind, place in (("tmpfs", "/srv"), ("bind", "/var")):
        source = ["-t", "tmpfs", "none"] if kind == "tmpfs" else ["--bind", "/home/app"]
        subprocess.run(["nsenter", "-t", pid, "-m", "mount", *source, place], check=True)
        done = dockshell("cp", "-v", "--via", "exec", str(tmp_path / "file"), f"{name}:{place}/", engine=docker)
        assert done.returncode == 0 and (b"once more by a program inside" in done.stderr) is (kind == "bind")
        assert docker.ask("exec", name, "cat", f"{place}/file") == "seen"
    subprocess.run(["nsenter", "-t", pid, "-m", "umount", "/srv"], check=True)
    assert docker.ask("exec", name, "ls", "-A", "/srv") == "app"


def test_progress(docker: Peer, dockshell: Run, environment: dict[str, str], tmp_path: Path) -> None:
    """A bar at a terminal, once it takes more than a second, and gone at the end with the cursor as it was; none in a
    pipe; -v says what was copied and how it was compared."""
    name = _container(docker, "open")
    (tmp_path / "large").write_bytes(os.urandom(3 << 20))
    packed = subprocess.run(["tar", "c", "-C", str(tmp_path), "large"], capture_output=True, check=True).stdout
    master, peer = os.openpty()
    started = subprocess.Popen(
        [*COMMAND, "cp", "-v", "-", f"{name}:/t"],
        env={**environment, "DOCKER_HOST": docker.url}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=peer,
    )  # fmt: skip
    os.close(peer)
    assert started.stdin
    sent, shown = 0, b""
    while b"MiB" not in shown:  # however long it takes to begin
        assert sent < 2 << 20
        started.stdin.write(packed[sent : sent + (1 << 13)])
        started.stdin.flush()
        sent += 1 << 13
        if select.select([master], [], [], 0.2)[0]:
            shown += os.read(master, 1 << 16)
    started.stdin.write(packed[sent:])
    started.stdin.close()
    with contextlib.suppress(OSError):  # a terminal that nobody has open any more
        while piece := os.read(master, 1 << 16):
            shown += piece
    os.close(master)
    assert started.wait(60) == 0
    assert b"MiB" in shown and b"copied: 1 entries, 3145728 bytes; each byte was compared" in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")
    done = dockshell("cp", "-", f"{name}:/t", input=packed, engine=docker)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
