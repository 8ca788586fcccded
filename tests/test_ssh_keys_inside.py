"""The key of our own, which --via ssh lets into a container for one login: what is written there, when, and that it
goes again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND
from tests.world import Peer

Run = Callable[..., subprocess.CompletedProcess[bytes]]
VIA_SSH = ("exec", "--via", "ssh")
KEYS = "/root/.ssh/authorized_keys"
RISK = b"the insecure key logged us in"
# What OpenSSH 7.1 knew: https://www.openssh.com/txt/release-7.1, and the manual page of that time.
OF_2015 = (
    "PubkeyAcceptedAlgorithms=ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,ssh-rsa",
    "HostKeyAlgorithms=ssh-ed25519,ecdsa-sha2-nistp256,ssh-rsa",
    "KexAlgorithms=curve25519-sha256@libssh.org,ecdh-sha2-nistp256,diffie-hellman-group14-sha1",
    "Ciphers=chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr",
    "MACs=umac-64-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha1",
)


def _files(peer: Peer, name: str, home: str = "/root") -> str:
    """Everything about .ssh: names, owners, modes, content."""
    script = f"cd {home} && find .ssh -exec stat -c '%n %U:%G %a' {{}} + 2>/dev/null; cat .ssh/* 2>/dev/null"
    return peer.reply(name, script).decode()


def _until(what: Callable[[], Any], limit: float = 60) -> Any:
    """What it says, once it says anything."""
    until = time.monotonic() + limit
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("before", ["nothing", "a key"])
def test_a_key_of_our_own_comes_and_goes(
    engine: Peer, dockshell: Run, environment: dict[str, str], before: str
) -> None:
    """No key of ours stands there, and yet we get in. The key is the person's, made once, for them alone to read; when
    the command has ended, and while it runs, the container has nothing of it."""
    name = engine.baseimage(insecure_key=False)
    if before == "a key":
        engine.sh("exec", name, "sh", "-c", f"mkdir -m 711 /root/.ssh; printf '# mine' > {KEYS}; chmod 644 {KEYS}")
    found = _files(engine, name)
    for _ in range(2):
        done = dockshell(*VIA_SSH, name, "sh", "-c", f"sleep 1; cat {KEYS}; id -un", engine=engine)
        assert done.stdout.replace(b"# mine", b"") == b"root\n", done.stderr
        assert _files(engine, name) == found
    home = Path(environment["HOME"]) / ".local" / "share" / "dockshell"
    assert sorted(os.listdir(home)) == ["id_ed25519", "id_ed25519.pub"]
    assert home.stat().st_mode & 0o777 == 0o700 and (home / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_a_user_s_file_stays_the_user_s(engine: Peer, dockshell: Run) -> None:
    """-u: it is written as that user, who could have done so."""
    name = engine.baseimage(insecure_key=False)
    script = "useradd -m -s /bin/bash somebody; cd /home/somebody; mkdir .ssh; echo '# x' > .ssh/authorized_keys"
    engine.sh("exec", name, "sh", "-c", f"{script}; chmod 600 .ssh/*; chown -R somebody: .ssh")
    found = _files(engine, name, "/home/somebody")
    done = dockshell(*VIA_SSH, "-u", "somebody", name, "id", "-un", engine=engine)
    assert done.stdout == b"somebody\n", done.stderr
    assert _files(engine, name, "/home/somebody") == found


def test_auto_never_writes(engine: Peer, dockshell: Run) -> None:
    """Without --via ssh nothing in there is touched, not for a moment: the directory's own time says so."""
    name = engine.baseimage(insecure_key=False)
    ask = ("exec", name, "stat", "-c", "%y %z", "/root")
    before = engine.ask(*ask)
    assert dockshell(name, input=b"echo in\n", engine=engine).stdout == b"in\n"
    assert dockshell("exec", name, "echo", "in", engine=engine).stdout == b"in\n"
    assert engine.ask(*ask) == before
    assert dockshell(*VIA_SSH, name, "true", engine=engine).returncode == 0
    assert engine.ask(*ask) != before


def test_the_line_says_until_when_it_counts(docker: Peer, dockshell: Run) -> None:
    """To the sshd, which is new enough, and to the next run; and it is in nobody's way who comes at the same time."""
    name = docker.baseimage(insecure_key=False)
    watch = f"echo ready; while ! cat {KEYS} 2>/dev/null; do sleep 0.01; done"
    with subprocess.Popen(
        [*docker.cli, "exec", name, "sh", "-c", watch], stdout=subprocess.PIPE, bufsize=0
    ) as watching:
        assert watching.stdout and watching.stdout.readline() == b"ready\n"
        now = time.time()
        assert dockshell(*VIA_SSH, name, "true", engine=docker).returncode == 0
        seen = watching.communicate(timeout=60)[0].decode()
    form = r'expiry-time="(\d{8})" ssh-ed25519 [\w+/=]+ dockshell expires=(\d+) token=[0-9a-f]{16} was=dir\n'
    match = re.fullmatch(form, seen)
    assert match, seen
    assert 0 < int(match[2]) - now < 600 and int(match[1]) - int(time.strftime("%Y%m%d", time.gmtime(now))) > 0


def test_many_logins_at_once(docker: Peer, dockshell: Run, environment: dict[str, str]) -> None:
    """Nobody loses their line to another, the key is made once for all, and after the last all is as it was."""
    name = docker.baseimage(insecure_key=False)
    env = {**environment, "DOCKER_HOST": docker.url}
    words = [*COMMAND, *VIA_SSH, name, "echo", "in"]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env) for _ in range(8)]
    assert [each.communicate(timeout=60)[0] for each in running] == [b"in\n"] * 8
    assert _files(docker, name) == ""


@pytest.fixture
def stopped(docker: Peer, environment: dict[str, str]) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """stopped(name): a dockshell that is about to log in there, where the sshd has been stopped; the line stands."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> subprocess.Popen[bytes]:
        docker.sh("exec", name, "pkill", "-STOP", "-x", "sshd")
        env = {**environment, "DOCKER_HOST": docker.url}
        words = [*COMMAND, *VIA_SSH, name, "true"]
        started.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env))
        _until(lambda: "token=" in _files(docker, name))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_death_before_the_login_leaves_nothing(docker: Peer, stopped: Any, number: int) -> None:
    """Killed while the line stands: it goes all the same, and the directory that was made for it."""
    name = docker.baseimage(insecure_key=False)
    process = stopped(name)
    process.send_signal(number)
    process.wait(60)
    _until(lambda: _files(docker, name) == "")


def test_a_login_that_fails_leaves_nothing(docker: Peer, stopped: Any) -> None:
    """An sshd that never answers: one sentence, and the line is out before we are."""
    name = docker.baseimage(insecure_key=False)
    process = stopped(name)
    assert process.wait(60) == 125
    assert _files(docker, name) == ""


def test_what_a_crash_left_goes_with_the_next_login(engine: Peer, dockshell: Run) -> None:
    """A line whose time is over is taken out by whoever comes next; every other line is left as it is."""
    name = engine.baseimage(insecure_key=False)
    mine = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAA me"
    late = "ssh-ed25519 AAAA dockshell expires=1600000000 token=deadbeef was=whole"
    engine.sh("exec", name, "sh", "-c", f"mkdir -m 700 /root/.ssh; printf '{mine}\\n{late}\\n' > {KEYS}")
    assert dockshell(*VIA_SSH, name, "echo", "in", engine=engine).stdout == b"in\n"
    assert engine.ask("exec", name, "cat", KEYS) == mine


def test_the_insecure_key_is_a_risk_that_is_named(engine: Peer, dockshell: Run) -> None:
    """`auto` uses it where it stands, and one line says what that means; asked for, our own is used and nothing is
    said."""
    name = engine.shared("baseimage")
    done = dockshell(name, input=b"echo $SSH_CONNECTION\n", engine=engine)
    assert done.stdout.endswith(b" 22\n")
    assert RISK in done.stderr and done.stderr.count(b"\n") == 1
    assert dockshell(*VIA_SSH, name, "true", engine=engine).stderr == b""


def test_a_link_is_not_followed(engine: Peer, dockshell: Run) -> None:
    """Where .ssh is a link our key isn't put there, -v says why, and the insecure key that stands there has to do."""
    name = engine.baseimage()
    engine.sh("exec", name, "sh", "-c", "mv /root/.ssh /root/elsewhere; ln -s elsewhere /root/.ssh; touch /root/x")
    found = engine.ask("exec", name, "sh", "-c", "stat -c '%n %z' /root /root/* /root/elsewhere/*")
    done = dockshell("-v", *VIA_SSH, name, "echo", "in", engine=engine)
    assert done.stdout == b"in\n" and RISK in done.stderr
    assert (
        b"own key can't be put into the authorized_keys of root: its .ssh or authorized_keys is a link" in done.stderr
    )
    assert engine.ask("exec", name, "sh", "-c", "stat -c '%n %z' /root /root/* /root/elsewhere/*") == found


def test_where_no_key_gets_in_that_is_said(docker: Peer, dockshell: Run) -> None:
    """The keys that were tried, and why our own wasn't among them."""
    name = docker.baseimage(insecure_key=False)
    docker.sh("exec", name, "sh", "-c", "mkdir /root/elsewhere; ln -s elsewhere /root/.ssh")
    done = dockshell(*VIA_SSH, name, "echo", "in", engine=docker)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"it took none of the insecure key" in done.stderr and b"is a link" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_our_own_key_may_stand_there_for_good(docker: Peer, dockshell: Run, environment: dict[str, str]) -> None:
    """Whoever puts its public half there themselves has it used by `auto` too, and nothing is written."""
    name = docker.baseimage(insecure_key=False)
    assert dockshell(*VIA_SSH, name, "true", engine=docker).returncode == 0
    public = Path(environment["HOME"]) / ".local" / "share" / "dockshell" / "id_ed25519.pub"
    script = f"mkdir -m 700 /root/.ssh; cat > {KEYS}; stat -c %z {KEYS} /root/.ssh"
    found = docker.sh("exec", "-i", name, "sh", "-c", script, input=public.read_bytes()).stdout
    done = dockshell("-v", name, input=b"exit\n", engine=docker)
    assert b"ssh: taken" in done.stderr and RISK not in done.stderr
    assert dockshell(*VIA_SSH, name, "echo", "in", engine=docker).stdout == b"in\n"
    assert docker.sh("exec", name, "stat", "-c", "%z", KEYS, "/root/.ssh").stdout == found


def test_an_sshd_of_2015(engine: Peer, dockshell: Run) -> None:
    """One from before RSA signatures with SHA-2, which can't take our insecure key: our own gets in. It knows no
    expiry-time, and gets none."""
    name = engine.baseimage(insecure_key=False, sshd=False)
    # The greeting is in the program, and goes into the key exchange.
    script = "mkdir -p /run/sshd; ssh-keygen -A; sed 's/OpenSSH_[0-9][.][0-9]p/OpenSSH_7.1p/g' /usr/sbin/sshd > /old"
    engine.sh("exec", name, "sh", "-c", f"{script}; chmod 755 /old")
    options = [word for each in OF_2015 for word in ("-o", each)]
    engine.sh("exec", name, "/old", "-p", "22", *options)
    watch = f"echo ready; while ! cat {KEYS} 2>/dev/null; do sleep 0.01; done"
    with subprocess.Popen(
        [*engine.cli, "exec", name, "sh", "-c", watch], stdout=subprocess.PIPE, bufsize=0
    ) as watching:
        assert watching.stdout and watching.stdout.readline() == b"ready\n"
        done = dockshell("-v", *VIA_SSH, name, "echo", "in", engine=engine)
        assert done.stdout == b"in\n", done.stderr
        seen = watching.communicate(timeout=60)[0]
    assert seen.startswith(b"ssh-ed25519 ")
    assert _files(engine, name) == ""
