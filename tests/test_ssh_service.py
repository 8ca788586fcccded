"""`dockshell ssh`: a real sshd in a real container that is laid out like baseimage-docker, switched on and off."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.contract.watching import until
from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

# All that may differ: runit's own notes in supervise/.
_LISTING = (
    "find /etc /var/lib /run -name supervise -prune -o -printf '%p %y %m %U %G %l\\n' | sort; "
    "find /etc /var/lib /run -name supervise -prune -o -type f -exec sha256sum {} + | sort"
)


def _listing(peer: Peer, name: str) -> list[str]:
    return peer.ask("exec", name, "sh", "-c", _LISTING).splitlines()


@pytest.fixture
def web(engine: Peer) -> str:
    """A container whose sshd is switched off, as its image has it, on each engine."""
    return _off(engine)


def _off(peer: Peer, *, insecure_key: bool = False, options: tuple[str, ...] = ()) -> str:
    """Starts one, and waits until its services are looked after: then nothing more changes by itself."""
    name = peer.baseimage(sshd=False, insecure_key=insecure_key, options=options)
    until = time.monotonic() + 60
    while peer.sh("exec", name, "sv", "status", "/etc/service/sshd", check=False).returncode:
        assert time.monotonic() < until, "no runsv came"
        time.sleep(0.1)
    return name


def _went_well(done: subprocess.CompletedProcess[bytes], says: str = "") -> list[str]:
    """The lines that were printed by a command that ended with 0 and said that on stderr."""
    assert done.returncode == 0, done.stderr
    assert says in done.stderr.decode()
    return done.stdout.decode().splitlines()


def _fingerprints(peer: Peer, name: str) -> set[str]:
    """By the container's own ssh-keygen."""
    script = "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -f $key; done"
    return {line.split()[1] for line in peer.ask("exec", name, "sh", "-c", script).splitlines()}


def _listens(peer: Peer, name: str) -> bool:
    return not peer.sh("exec", name, "bash", "-c", "</dev/tcp/127.0.0.1/22", check=False).returncode


def test_enable_makes_it_reachable(engine: Peer, web: str, dockshell: Run) -> None:
    """One command: the sshd listens, its address and its host keys' fingerprints are printed, a login works."""
    engine.sh("exec", web, "/usr/sbin/enable_insecure_key")
    lines = _went_well(dockshell("ssh", "enable", web, engine=engine), f"`dockshell ssh disable {web}` undoes it")
    assert _listens(engine, web)
    assert "listening: 0.0.0.0:22, [::]:22" in lines
    addresses = [each["IPAddress"] for each in engine.inspect(web)["NetworkSettings"]["Networks"].values()]
    assert f"reached at: {addresses[0]}:22" in lines
    assert {line.split()[2] for line in lines if line.startswith("host key: ")} == _fingerprints(engine, web)
    done = dockshell("exec", "--via", "ssh", web, "echo", "in", engine=engine)
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr


def test_disable_undoes_it_exactly(engine: Peer, web: str, dockshell: Run) -> None:
    """Nothing in /etc, /var/lib or /run is other than before, to the modes and contents; the sshd is gone."""
    before = _listing(engine, web)
    _went_well(dockshell("ssh", "enable", web, engine=engine))
    assert _listing(engine, web) != before
    _went_well(dockshell("ssh", "disable", web, engine=engine), "as it was before")
    assert _listing(engine, web) == before
    assert not _listens(engine, web)
    assert engine.sh("exec", web, "pgrep", "-x", "sshd", check=False).returncode == 1


def test_each_twice(engine: Peer, web: str, dockshell: Run) -> None:
    """Done again, or without the other before it: it is said so, ends with 0, and changes nothing."""
    before = _listing(engine, web)
    assert _went_well(dockshell("ssh", "disable", web, engine=engine), "is off already") == []
    assert _listing(engine, web) == before
    first = _went_well(dockshell("ssh", "enable", web, engine=engine))
    enabled = _listing(engine, web)
    assert _went_well(dockshell("ssh", "enable", web, engine=engine), "is on already") == first
    assert _listing(engine, web) == enabled
    _went_well(dockshell("ssh", "disable", web, engine=engine))
    assert _went_well(dockshell("ssh", "disable", web, engine=engine), "is off already") == []
    assert _listing(engine, web) == before


def test_the_down_file_comes_back_as_it_was(docker: Peer, dockshell: Run) -> None:
    """With its content, its mode and its owner, whatever those were."""
    name = _off(docker)
    script = "cd /etc/service/sshd && echo mine >down && chmod 0604 down && chown app: down"
    docker.sh("exec", name, "sh", "-c", script)
    before = _listing(docker, name)
    _went_well(dockshell("ssh", "enable", name, engine=docker))
    assert docker.sh("exec", name, "test", "-e", "/etc/service/sshd/down", check=False).returncode == 1
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _listing(docker, name) == before


def test_a_restart_in_between(docker: Peer, dockshell: Run) -> None:
    """Enabled lasts as long as the container; disable undoes it all the same."""
    name = _off(docker)
    before = _listing(docker, name)
    _went_well(dockshell("ssh", "enable", name, engine=docker))
    docker.sh("restart", "-t", "3", name)
    until = time.monotonic() + 60
    while dockshell("ssh", "status", name, engine=docker).returncode:
        assert time.monotonic() < until
        time.sleep(0.2)
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _listing(docker, name) == before


def test_keys_that_were_there_stay(docker: Peer, dockshell: Run) -> None:
    """No key is made where the container has one, and none taken away that somebody put in the place of one of ours."""
    name = _off(docker)
    make = "rm -f /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key"
    docker.sh("exec", name, "sh", "-c", make)
    before = _listing(docker, name)
    _went_well(dockshell("ssh", "enable", name, engine=docker))
    assert len(_fingerprints(docker, name)) == 1
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _listing(docker, name) == before
    docker.sh("exec", name, "sh", "-c", "rm /etc/ssh/ssh_host_*")
    _went_well(dockshell("ssh", "enable", name, engine=docker))
    docker.sh("exec", name, "sh", "-c", make)
    theirs = docker.ask("exec", name, "ssh-keygen", "-l", "-f", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _fingerprints(docker, name) == {theirs}


def test_the_images_own_way_to_make_keys(docker: Peer, dockshell: Run) -> None:
    """Where ssh-keygen -A can't, the image's script is what makes them, and they go like any others."""
    name = _off(docker)
    script = (
        "mv /usr/bin/ssh-keygen /usr/bin/key-maker; "
        "printf '#!/bin/sh\\n[ ! -e /etc/service/sshd/down ] || exit 0\\n"
        'exec key-maker -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key\\n\' '
        ">/etc/my_init.d/00_regen_ssh_host_keys.sh"
    )
    docker.sh("exec", name, "sh", "-c", script)
    before = _listing(docker, name)
    lines = _went_well(dockshell("ssh", "enable", name, engine=docker))
    assert len([line for line in lines if line.startswith("host key: SHA256:")]) == 1
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _listing(docker, name) == before


def test_what_failed_halfway_is_undone_too(docker: Peer, dockshell: Run) -> None:
    """Without a way to make host keys: an error that names the reason and the remedy; disable cleans up after it."""
    name = _off(docker)
    docker.sh("exec", name, "sh", "-c", "rm /usr/bin/ssh-keygen /etc/my_init.d/00_regen_ssh_host_keys.sh")
    before = _listing(docker, name)
    done = dockshell("ssh", "enable", name, engine=docker)
    assert (done.returncode, done.stdout) == (125, b"")
    line = done.stderr.decode()
    assert line.count("\n") == 1 and f"`dockshell ssh disable {name}` undoes" in line and "not found" in line
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _listing(docker, name) == before


def test_one_that_dies_is_told_of(docker: Peer, dockshell: Run) -> None:
    """An sshd that starts and doesn't listen is an error with where to look, after a line that says what is waited
    for."""
    name = _off(docker)
    docker.sh("exec", name, "sh", "-c", "echo Nonsense >>/etc/ssh/sshd_config")
    before = _listing(docker, name)
    done = dockshell("ssh", "enable", name, engine=docker, timeout=60)
    waiting, failed = done.stderr.decode().splitlines()
    assert (done.returncode, waiting) == (125, f"dockshell: starting the sshd in {name} ...")
    assert f"`docker logs {name}`" in failed
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _listing(docker, name) == before


def test_one_that_was_on_stays_on(docker: Peer, dockshell: Run) -> None:
    """Neither verb touches an sshd that somebody else switched on."""
    name = docker.baseimage(insecure_key=False)
    before = _listing(docker, name)
    _went_well(dockshell("ssh", "enable", name, engine=docker), "on already, and not by dockshell")
    assert _went_well(dockshell("ssh", "disable", name, engine=docker), "it is left on") == []
    assert _listing(docker, name) == before and _listens(docker, name)


def test_one_that_was_started_by_hand_stays_up(docker: Peer, dockshell: Run) -> None:
    """Up in spite of a `down` file: enable makes that last, disable only undoes this."""
    name = _off(docker)
    docker.sh("exec", name, "sh", "-c", "ssh-keygen -A && sv start /etc/service/sshd")
    until = time.monotonic() + 60
    while not _listens(docker, name):
        assert time.monotonic() < until
        time.sleep(0.1)
    before = _listing(docker, name)
    _went_well(dockshell("ssh", "enable", name, engine=docker), "undoes it")
    assert docker.sh("exec", name, "test", "-e", "/etc/service/sshd/down", check=False).returncode == 1
    _went_well(dockshell("ssh", "disable", name, engine=docker))
    assert _listing(docker, name) == before and _listens(docker, name)


@pytest.mark.parametrize(
    ("image", "lacks"), [("busybox", "the service /etc/service/sshd and runit's sv"), ("static", "a /bin/sh")]
)
def test_others_are_told_what_they_lack(engine: Peer, dockshell: Run, image: str, lacks: str) -> None:
    """A container that isn't laid out so: what it lacks, and the way that any container has; status says it is off."""
    name = engine.run(image)
    for verb in ("enable", "disable"):
        done = dockshell("ssh", verb, name, engine=engine)
        assert (done.returncode, done.stdout) == (125, b"")
        line = done.stderr.decode()
        assert line.count("\n") == 1 and f"it lacks {lacks}" in line
        assert "dockshell ssh-config --install" in line and f"ssh {name}.dockshell" in line
    done = dockshell("ssh", "status", name, engine=engine)
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout.decode().splitlines() == [
        "service: none that runit looks after", "listening: no", "host key: none", "insecure key: not taken by root",
    ]  # fmt: skip


def test_another_first_process_is_told_of(docker: Peer, dockshell: Run) -> None:
    """The right image, and no runsv in it: nothing is changed."""
    name = docker.run("baseimage", "sleep", "1000")
    before = _listing(docker, name)
    done = dockshell("ssh", "enable", name, engine=docker)
    assert done.returncode == 125 and b"a runsv that looks after /etc/service/sshd" in done.stderr
    assert _listing(docker, name) == before


def test_status_tells_how_it_is(engine: Peer, web: str, dockshell: Run) -> None:
    """A line per fact; 3 where no sshd listens, 0 where one does."""
    done = dockshell("ssh", "status", web, engine=engine)
    assert (done.returncode, done.stderr) == (3, b"")
    off = ["service: down, disabled", "listening: no", "host key: none", "insecure key: not taken by root"]
    assert done.stdout.decode().splitlines() == off
    _went_well(dockshell("ssh", "enable", web, engine=engine))
    lines = _went_well(dockshell("ssh", "status", web, engine=engine))
    pid = engine.ask("exec", web, "cat", "/etc/service/sshd/supervise/pid")
    assert lines[0] == f"service: up (pid {pid}), enabled by dockshell"
    assert lines[1].startswith("listening: 0.0.0.0:22")
    assert len([line for line in lines if line.startswith("host key: SHA256:")]) == len(_fingerprints(engine, web))
    engine.sh("exec", web, "sv", "stop", "/etc/service/sshd")
    done = dockshell("ssh", "status", web, engine=engine)
    assert done.returncode == 3 and done.stdout.startswith(b"service: down, enabled by dockshell\nlistening: no\n")


def test_only_an_sshds_socket_counts(docker: Peer, dockshell: Run) -> None:
    """Something else that listens at port 22 is no sshd; what a login forwards isn't where the sshd listens."""
    name = docker.run("busybox")
    docker.sh("exec", "-d", name, "nc", "-ll", "-p", "22", "-e", "cat")
    until(lambda: b":22 " in docker.sh("exec", name, "netstat", "-ltn").stdout)
    assert dockshell("ssh", "status", name, engine=docker).returncode == 3


@pytest.mark.parametrize(
    ("published", "word"), [("0.0.0.0::22", "DANGER"), ("127.0.0.1::22", "warning"), ("", "warning")]
)
def test_the_insecure_key_is_warned_of(docker: Peer, dockshell: Run, published: str, word: str) -> None:
    """Where root takes the key that everybody has: the risk and the remedy, the louder the farther it can be reached
    from."""
    options = ("--publish", published) if published else ()
    name = _off(docker, insecure_key=True, options=options)
    for verb in ("enable", "status"):
        done = dockshell("ssh", verb, name, engine=docker)
        assert done.returncode == 0
        warning = done.stderr.decode().splitlines()[-1]
        assert warning.startswith(f"dockshell: {word}: ")
        assert "can become root" in warning and "/root/.ssh/authorized_keys" in warning
    lines = done.stdout.decode().splitlines()
    assert "insecure key: root takes it" in lines
    if published:
        port = docker.inspect(name)["NetworkSettings"]["Ports"]["22/tcp"][0]["HostPort"]
        assert f"127.0.0.1:{port}" in next(line for line in lines if line.startswith("reached at: "))
        assert (f"0.0.0.0:{port}" in warning) == (word == "DANGER")
    docker.sh("exec", name, "sed", "-i", "s/^/# /", "/root/.ssh/authorized_keys")
    done = dockshell("ssh", "status", name, engine=docker)
    assert done.stderr == b"" and b"insecure key: not taken by root" in done.stdout


def test_wrong_words(dockshell: Run) -> None:
    """Another word than the three is wrong usage, and they are named."""
    done = dockshell("ssh", "start", "web")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"enable, disable or status" in done.stderr
