"""Files through the bridge, by OpenSSH's scp and sftp, on containers that have nothing of the kind inside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.bridge.conftest import Way
from tests.contract.watching import until

PROTOCOLS = {"sftp": [], "scp": ["-O"]}


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> list[str]:
    """scp as it is now, which speaks sftp, and with its old protocol."""
    return PROTOCOLS[request.param]


def _scp(way: Way, *words: str, code: int = 0) -> bytes:
    done = way.run("scp", *words)
    assert done.returncode == code, done
    return done.stderr


@pytest.mark.parametrize("image", ["static", "busybox"])
def test_there_and_back(way: Way, protocol: list[str], image: str, tmp_path: Path) -> None:
    """A file comes back as it went, byte by byte, with its mode and time: on a scratch image too."""
    name = way.peer.run(image)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_001))
    source.chmod(0o640)
    os.utime(source, (1_600_000_000, 1_500_000_000))
    _scp(way, *protocol, "-p", str(source), f"{name}.dockshell:/there")
    _scp(way, *protocol, "-p", f"{name}.dockshell:/there", str(tmp_path / "back"))
    back = tmp_path / "back"
    assert back.read_bytes() == source.read_bytes()
    facts = back.stat()
    assert (stat.S_IMODE(facts.st_mode), int(facts.st_mtime)) == (0o640, 1_500_000_000)


def test_trees(way: Way, protocol: list[str], tmp_path: Path) -> None:
    """Directories, both ways, with odd names, empty files and links in them."""
    name = way.peer.run("busybox")
    tree = tmp_path / "tree"
    (tree / "sub dir" / "deeper").mkdir(parents=True)
    (tree / "empty").touch()
    (tree / "sub dir" / "naïve 'quoted' $name").write_text("content")
    (tree / "sub dir" / "deeper" / "script").write_text("#!/bin/sh\n")
    (tree / "sub dir" / "deeper" / "script").chmod(0o755)
    _scp(way, *protocol, "-r", str(tree), f"{name}.dockshell:/srv")
    _scp(way, *protocol, "-r", f"{name}.dockshell:/srv/tree", str(tmp_path / "back"))
    assert _listed(tmp_path / "back") == _listed(tree)


def _listed(top: Path) -> list[tuple[str, bytes, int]]:
    return sorted(
        (str(each.relative_to(top)), each.read_bytes() if each.is_file() else b"", each.stat().st_mode & 0o111)
        for each in top.rglob("*")
    )


def test_home_is_where_it_begins(way: Way, protocol: list[str], tmp_path: Path) -> None:
    """A path without a slash in front is in the user's home, and what is made there is theirs."""
    name = way.peer.run("busybox")
    source = tmp_path / "mine"
    source.write_text("x")
    _scp(way, *protocol, str(source), f"app@{name}.dockshell:")
    assert way.peer.ask("exec", name, "stat", "-c", "%U:%G %a", "/home/app/mine") == "app:app 644"


def test_nobody_gets_more_than_their_user(way: Way, protocol: list[str], tmp_path: Path) -> None:
    """What that user may not read or write inside is not to be had by files either."""
    name = way.peer.run("busybox")
    way.peer.sh("exec", name, "sh", "-c", "echo secret > /root/secret; chmod 600 /root/secret; chmod 700 /root")
    _scp(way, *protocol, f"app@{name}.dockshell:/root/secret", str(tmp_path / "got"), code=1)
    assert not (tmp_path / "got").exists()
    (tmp_path / "mine").write_text("x")
    _scp(way, *protocol, str(tmp_path / "mine"), f"app@{name}.dockshell:/etc/mine", code=1)
    assert way.peer.sh("exec", name, "test", "-e", "/etc/mine", check=False).returncode == 1


def test_links_stay_inside(way: Way, protocol: list[str], tmp_path: Path) -> None:
    """A link to a place of the host's leads to the container's place of that name."""
    name = way.peer.run("busybox")
    outside = tmp_path / "outside"
    outside.write_text("the host's")
    way.peer.sh("exec", name, "ln", "-s", str(outside), "/link")
    way.peer.sh("exec", name, "ln", "-s", "../../../../../../../.." + str(outside), "/climber")
    for link in ("link", "climber"):
        _scp(way, *protocol, f"{name}.dockshell:/{link}", str(tmp_path / "got"), code=1)
    _scp(way, *protocol, f"{name}.dockshell:/../../../..{outside}", str(tmp_path / "got"), code=1)
    assert not (tmp_path / "got").exists() and outside.read_text() == "the host's"


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_sftp(ways: object, engine: str, tmp_path: Path) -> None:
    """What people type at its prompt, on an image with nothing inside."""
    way: Way = ways(engine, "root")  # type: ignore[operator]
    name = way.peer.run("static")
    (tmp_path / "a").write_bytes(b"content of a")
    batch = f"""
put {tmp_path}/a /a
mkdir /d
rename /a /d/b
ln /d/b /d/c
ln -s c /d/l
chmod 600 /d/b
ls -l /d
get /d/l {tmp_path}/l
rm /d/c
df /
-rmdir /d
rm /d/b
rm /d/l
rmdir /d
ls -a /
"""
    done = way.run("sftp", "-b", "-", f"{name}.dockshell", input=batch.encode())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "l").read_bytes() == b"content of a"
    said = done.stdout.decode()
    assert "-rw-------" in said and "Avail" in said.replace("Available", "Avail")
    left = said.rpartition("ls -a /")[2].split()
    assert "/d" not in left and "/busybox" in left


def test_sftp_without_root(ways: object, tmp_path: Path) -> None:
    """Through the engine's API: what can be done on an image with nothing inside is, and the rest is said."""
    way: Way = ways("docker", "group")  # type: ignore[operator]
    name = way.peer.run("static")
    (tmp_path / "a").write_bytes(b"content of a")
    batch = f"put {tmp_path}/a /a\nmkdir /d\nls -l /\nget /a {tmp_path}/b\nchmod 600 /a\nls -l /a\n-rm /a\n"
    done = way.run("sftp", "-b", "-", f"{name}.dockshell", input=batch.encode())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b").read_bytes() == b"content of a"
    assert b"-rw-------" in done.stdout


@pytest.mark.parametrize("image", ["static", "busybox"])
def test_copy_without_root(ways: object, image: str, tmp_path: Path) -> None:
    """sftp's `cp` copies inside, by the archive and by the container's shell; of a file onto itself, by a second name
    or a link too, it says so in place of growing it for ever."""
    way: Way = ways("docker", "group")  # type: ignore[operator]
    name = way.peer.run(image)
    content = os.urandom(600_000)
    (tmp_path / "a").write_bytes(content)
    lines = [
        "mkdir /d",
        f"put {tmp_path}/a /d/a",
        "ln -s a /d/l",
        "cp /d/a /d/b",
        f"get /d/b {tmp_path}/b",
        "-cp /d/a /d/l",
    ]
    if image == "busybox":
        lines += ["ln /d/b /d/h", "-cp /d/b /d/h"]
    done = way.run("sftp", "-b", "-", f"{name}.dockshell", input="\n".join(lines).encode())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b").read_bytes() == content
    assert done.stderr.count(b"Couldn't copy file") == (2 if image == "busybox" else 1), done.stderr


def test_a_tmpfs(each_rooted: Way, tmp_path: Path) -> None:
    """Where `docker cp` loses the file without a word."""
    name = each_rooted.peer.run("static", options=["--tmpfs", "/t"])
    (tmp_path / "a").write_text("kept")
    _scp(each_rooted, str(tmp_path / "a"), f"{name}.dockshell:/t/a")
    assert each_rooted.ssh(name, "/busybox cat /t/a").stdout == b"kept"


def test_a_tmpfs_without_root_is_no_silent_loss(ways: object, tmp_path: Path) -> None:
    """There the engine can't; then scp fails."""
    way: Way = ways("docker", "group")  # type: ignore[operator]
    name = way.peer.run("static", options=["--tmpfs", "/t"])
    (tmp_path / "a").write_text("lost")
    assert way.run("scp", str(tmp_path / "a"), f"{name}.dockshell:/t/a").returncode != 0


def test_locked_down(each_rooted: Way, tmp_path: Path) -> None:
    """Read-only, no capabilities, a user without an entry: reading works, writing is refused as by the kernel, and a
    writable mount takes files of that user's."""
    name = each_rooted.peer.run("locked", options=["--tmpfs", "/t:mode=1777"])
    (tmp_path / "a").write_text("a")
    _scp(each_rooted, f"{name}.dockshell:/etc/passwd", str(tmp_path / "got"))
    _scp(each_rooted, str(tmp_path / "a"), f"{name}.dockshell:/srv/a", code=1)
    assert each_rooted.peer.sh("exec", name, "test", "-e", "/srv/a", check=False).returncode
    _scp(each_rooted, str(tmp_path / "a"), f"{name}.dockshell:/t/a")
    assert each_rooted.peer.ask("exec", name, "stat", "-c", "%u", "/t/a") == "65532"


def test_what_is_no_file_is_left_alone(rooted: Way, protocol: list[str], tmp_path: Path) -> None:
    """A FIFO or a device keeps nobody waiting."""
    name = rooted.peer.run("busybox")
    rooted.peer.sh("exec", name, "mkfifo", "/fifo")
    for path in ("/fifo", "/dev/zero"):
        _scp(rooted, *protocol, f"{name}.dockshell:{path}", str(tmp_path / "got"), code=1)


def test_who_serves_files_is_confined(rooted: Way) -> None:
    """The process that serves them is the user's, in the container's namespaces and under its seccomp filter, may not
    be looked into from inside, and has the capabilities of a command there."""
    name = rooted.peer.run("busybox")
    before = set(_inside(rooted, name))
    process = rooted.started("-s", f"app@{name}.dockshell", "sftp")
    try:
        assert process.stdin and process.stdout
        process.stdin.write(b"\0\0\0\5\1\0\0\0\3")  # SSH_FXP_INIT
        process.stdin.flush()
        assert process.stdout.read(5)[4:] == b"\2"  # it answers, so it has entered
        [pid] = set(_inside(rooted, name)) - before
        status = Path(f"/proc/{pid}/status").read_text()
        first = Path(f"/proc/{rooted.peer.pid(name)}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        theirs = dict(line.split(":\t", 1) for line in first.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == ["1000"] * 4 and fields["CapEff"].strip("0") == ""
        assert fields["CapBnd"] == theirs["CapBnd"] and fields["Seccomp"] == theirs["Seccomp"] == "2"
        for kind in ("mnt", "net", "pid", "ipc", "uts"):
            ours = os.readlink(f"/proc/{pid}/ns/{kind}")
            assert ours == os.readlink(f"/proc/{rooted.peer.pid(name)}/ns/{kind}")
        inside = fields["NSpid"].split()[-1]
        for word in ("exe", "root", "cwd", "fd/0"):
            assert rooted.peer.sh("exec", name, "readlink", f"/proc/{inside}/{word}", check=False).returncode
        assert not rooted.peer.sh("exec", name, "cat", f"/proc/{inside}/environ", check=False).stdout
        assert Path(f"/proc/{pid}/cgroup").read_text() == Path(f"/proc/{rooted.peer.pid(name)}/cgroup").read_text()
    finally:
        process.kill()
        process.communicate()
    until(lambda: set(_inside(rooted, name)) == before)


def _inside(way: Way, name: str) -> list[int]:
    """The processes of a container."""
    namespace = os.readlink(f"/proc/{way.peer.pid(name)}/ns/pid")
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                found.append(int(pid))
        except OSError:
            continue
    return found
