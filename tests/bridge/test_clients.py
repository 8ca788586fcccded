"""Clients that nobody here wrote, through the bridge: rsync, git, Ansible, Fabric, asyncssh, sshfs."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bridge.conftest import Way
from tests.contract.watching import until
from tests.world import World

# Where tools that work remotely find what they want: the two engines as root, and one without.
CELLS = [("docker", "root"), ("podman", "root"), ("docker", "group")]


@pytest.fixture(params=CELLS, ids="-".join)
def workshop(request: pytest.FixtureRequest, ways: object) -> tuple[Way, str]:
    """Each way, and a container of its engine's that has rsync, git and Python but no sshd."""
    way: Way = ways(*request.param)  # type: ignore[operator]
    name = way.peer.kept("workshop", lambda: way.peer.run("workshop"))
    way.peer.sh("exec", name, "sh", "-c", "rm -rf /work; mkdir -m 777 /work")
    return way, name


def _tree(top: Path) -> Path:
    (top / "sub").mkdir(parents=True)
    (top / "one").write_bytes(os.urandom(300_000))
    (top / "sub" / "two words").write_text("two")
    return top


def _same(one: Path, other: Path) -> bool:
    def listed(top: Path) -> dict[str, bytes]:
        return {str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()}

    return listed(one) == listed(other) != {}


def test_rsync(workshop: tuple[Way, str], world: World, tmp_path: Path) -> None:
    """Both ways, and again with little to do."""
    way, name = workshop
    tree = _tree(tmp_path / "tree")
    rsh = shlex.join(["ssh", "-F", way.config, "-o", "BatchMode=yes"])
    rsync = [world.need_program("rsync"), "-a", "--stats", "-e", rsh]
    for source, sink in (
        (f"{tree}/", f"{name}.dockshell:/work/tree"),
        (f"{name}.dockshell:/work/tree/", f"{tmp_path}/back"),
    ):
        subprocess.run([*rsync, source, sink], env=way.environment, check=True, capture_output=True, timeout=60)
    assert _same(tree, tmp_path / "back")
    (tree / "one").write_bytes((tree / "one").read_bytes() + b"more")
    again = [*rsync, f"{tree}/", f"{name}.dockshell:/work/tree"]
    done = subprocess.run(again, env=way.environment, check=True, capture_output=True, timeout=60)
    assert b"Number of regular files transferred: 1\n" in done.stdout


def test_git(workshop: tuple[Way, str], world: World, tmp_path: Path) -> None:
    """push to a repository inside, and clone of it."""
    way, name = workshop
    here = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", "-c", "protocol.version=2"]
    git = [world.need_program("git"), *here]
    env = {**way.environment, "GIT_SSH_COMMAND": shlex.join(["ssh", "-F", way.config, "-o", "BatchMode=yes"])}

    def run(*words: str) -> bytes:
        done = subprocess.run([*git, *words], env=env, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    way.peer.sh("exec", name, "git", "-c", "init.defaultBranch=main", "init", "-q", "--bare", "/work/repository")
    tree = _tree(tmp_path / "tree")
    run("-C", str(tree), "init", "-q")
    run("-C", str(tree), "add", ".")
    run("-C", str(tree), "commit", "-qm", "first")
    url = f"{name}.dockshell:/work/repository"
    run("-C", str(tree), "push", "-q", url, "main")
    run("clone", "-q", url, str(tmp_path / "clone"))
    assert run("-C", str(tmp_path / "clone"), "log", "--format=%s") == b"first\n"


def test_ansible(workshop: tuple[Way, str], tmp_path: Path) -> None:
    """raw, command, copy and fetch, with ssh's own configuration and no word about dockshell."""
    way, name = workshop
    ansible = os.path.join(os.path.dirname(sys.executable), "ansible")
    assert os.path.exists(ansible)
    env = {
        **way.environment,
        "ANSIBLE_SSH_ARGS": f"-F {shlex.quote(way.config)} -o ControlMaster=auto -o ControlPersist=5s",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/dsh-ansible-{os.getpid()}",
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }

    def run(module: str, arguments: str) -> str:
        argv = [ansible, "all", "-i", f"{name}.dockshell,", "-m", module, "-a", arguments]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "source").write_text("copied by ansible\n")
    assert "raw went\n" in run("raw", "echo raw went")
    assert "uid=0(root)" in run("command", "id")
    run("copy", f"src={tmp_path}/source dest=/work/copied mode=0640")
    assert way.peer.ask("exec", name, "stat", "-c", "%a", "/work/copied") == "640"
    run("fetch", f"src=/work/copied dest={tmp_path}/fetched flat=true")
    assert (tmp_path / "fetched").read_text() == "copied by ansible\n"


def test_fabric(workshop: tuple[Way, str], tmp_path: Path) -> None:
    """run, put and get, through paramiko, which reads the same configuration."""
    way, name = workshop
    (tmp_path / "source").write_text("by fabric")
    script = """
import sys
from fabric import Config, Connection
from paramiko import RejectPolicy
from paramiko.config import SSHConfig
config, host, source, back = sys.argv[1:]
# paramiko begins with a key or a password, whatever it is; without either it gives up before it asked.
with Connection(host, config=Config(runtime_ssh_path=config), connect_kwargs={"password": ""}) as c:
    c.client.load_host_keys(SSHConfig.from_path(config).lookup(host)["userknownhostsfile"])
    # paramiko knows no HostKeyAlias: what is pinned under that name is the key for this host.
    keys = c.client.get_host_keys()
    keys.add(host, "ssh-ed25519", keys.lookup("dockshell")["ssh-ed25519"])
    c.client.set_missing_host_key_policy(RejectPolicy())
    print(c.run("id -un; exit 3", hide=True, warn=True))
    c.put(source, "/work/put")
    c.get("/work/put", back)
"""
    argv = [
        sys.executable,
        "-c",
        script,
        way.config,
        f"{name}.dockshell",
        str(tmp_path / "source"),
        str(tmp_path / "back"),
    ]
    done = subprocess.run(argv, env=way.environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "exited with status 3" in done.stdout and "root" in done.stdout
    assert (tmp_path / "back").read_text() == "by fabric"


def test_asyncssh(workshop: tuple[Way, str], tmp_path: Path) -> None:
    """Commands side by side, a forwarded connection, sftp and scp."""
    import asyncssh

    way, name = workshop
    (tmp_path / "source").write_text("by asyncssh")

    async def main() -> list[str]:
        known = next(
            line.split(None, 1)[1].strip('"')
            for line in Path(way.config).read_text().splitlines()
            if "UserKnownHostsFile" in line
        )
        options = {"config": [way.config], "known_hosts": known, "host_key_alias": "dockshell"}
        async with asyncssh.connect(f"{name}.dockshell", **options) as connection:
            ran = await asyncio.gather(*(connection.run(f"echo {number}") for number in range(5)))
            async with connection.start_sftp_client() as sftp:
                await sftp.put(str(tmp_path / "source"), "/work/a")
                await sftp.get("/work/a", str(tmp_path / "b"))
            await asyncssh.scp((connection, "/work/a"), str(tmp_path / "c"))
            return [str(each.stdout) for each in ran]

    assert asyncio.run(main()) == [f"{number}\n" for number in range(5)]
    assert (tmp_path / "b").read_text() == (tmp_path / "c").read_text() == "by asyncssh"


def test_sshfs(each_rooted: Way, world: World, tmp_path: Path) -> None:
    """A scratch container's files as a directory here."""
    world.need(os.path.exists("/dev/fuse"), "this machine has no fuse")
    sshfs = world.need_program("sshfs")
    name = each_rooted.peer.run("static")
    place = tmp_path / "mount"
    place.mkdir()
    argv = [sshfs, "-f", "-F", each_rooted.config, "-o", "BatchMode=yes", f"{name}.dockshell:/", str(place)]
    with subprocess.Popen(argv, env=each_rooted.environment, stderr=subprocess.PIPE) as mounted:
        try:
            until(lambda: os.path.ismount(place) or mounted.poll() is not None)
            assert mounted.poll() is None, mounted.stderr and mounted.stderr.read()
            (place / "made").write_text("by sshfs")
            (place / "made").rename(place / "renamed")
            assert (place / "renamed").read_text() == "by sshfs" and (place / "busybox").stat().st_size > 1_000_000
        finally:
            subprocess.run(["fusermount3", "-u", str(place)], check=False, capture_output=True)
            mounted.wait(60)
    assert each_rooted.ssh(name, "/busybox cat /renamed").stdout == b"by sshfs"
