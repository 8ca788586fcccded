"""What `dockshell image build` puts in beside the init: sshd, cron, syslog, and the image without Python."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.busy import slowdown
from tests.conftest import COMMAND
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

_ALL = ("--ssh", "--cron", "--syslog")
_READ_ONLY = ("--read-only", "--tmpfs", "/run", "--tmpfs", "/var/log:size=1m")
# On top, as people write it: sshd on, the key put in twice; jobs; passenger-docker's user, a program behind wrappers.
_ON = r"""
RUN rm /etc/service/sshd/down && enable_insecure_key && enable_insecure_key
RUN useradd -m -u 9999 -s /bin/bash app
RUN printf '@reboot root logger booted; echo x >>/var/booted\n* * * * * app id -un >/tmp/minute\n' >/etc/cron.d/jobs \
    && echo '* * * * * id -un >/tmp/theirs' | crontab -u app -
RUN mkdir -p /opt/ruby/bin /opt/wrappers \
    && printf '#!/bin/sh\necho "$GEMS|$HOME|$USER|$(id -un)|$*"\n' >/opt/ruby/bin/ruby \
    && printf '#!/bin/sh\nexport GEMS=/opt/gems PATH=/opt/ruby/bin:$PATH\nexec ruby "$@"\n' >/opt/wrappers/ruby \
    && printf '#!/bin/sh\nexec /opt/wrappers/ruby "$@"\n' >/usr/bin/ruby \
    && chmod +x /opt/ruby/bin/ruby /opt/wrappers/ruby /usr/bin/ruby
"""
_built: set[tuple[Peer, str]] = set()


def _image(peer: Peer, dockshell: Run, kind: str) -> str:
    """The reference of an image, made when it is first asked for. kind: `all`, as it was built, with all parts; `on`,
    the same with sshd on and more; `bare`, without Python."""
    tag = f"dockshell-test/parts-{kind}-{os.getpid()}"
    if (peer, kind) in _built:
        return tag
    if kind == "on":
        peer.build(tag, f"FROM {_image(peer, dockshell, 'all')}\n{_ON}")
    else:
        words = _ALL if kind == "all" else (*_ALL, "--no-python")
        arguments = ("image", "build", "--from", peer.image("slim"), *words, "-t", peer.adopt(tag))
        done = dockshell(*arguments, engine=peer, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
    _built.add((peer, kind))
    return tag


def _on(peer: Peer, dockshell: Run) -> str:
    """A container of `on` that these tests share."""
    return peer.kept("parts", lambda: peer.run(_image(peer, dockshell, "on")))


def _until(peer: Peer, name: str, script: str, seconds: float = 60) -> str:
    """Waits until the script inside ends well; returns what it printed."""
    until = time.monotonic() + seconds
    while (done := peer.sh("exec", name, "sh", "-c", script, check=False)).returncode:
        assert time.monotonic() < until, (script, done.stdout, done.stderr, _log(peer, name))
        time.sleep(0.1)
    return done.stdout.decode()


def _log(peer: Peer, name: str) -> str:
    logs = peer.sh("logs", name)
    return (logs.stdout + logs.stderr).decode(errors="replace")


def _listens(peer: Peer, name: str) -> None:
    _until(peer, name, "grep -q ':0016 .* 0A ' /proc/net/tcp")


def _host_keys(peer: Peer, name: str, directory: str = "/etc/ssh") -> list[str]:
    """The lines of the public ones."""
    return peer.ask("exec", name, "sh", "-c", f"cat {directory}/ssh_host_*_key.pub").splitlines()


def _stop(peer: Peer, name: str) -> float:
    """Stops it as `docker stop` does, in more than its ten seconds → how many seconds that took."""
    begun = time.monotonic()
    peer.sh("stop", "--time", "60", name, timeout=120)
    return time.monotonic() - begun


def test_boot_is_quick(docker: Peer, dockshell: Run) -> None:
    """With sshd, cron and syslog, and host keys to make, the first command starts at most 0.5 s after process 1."""
    script = "cut -d ' ' -f 22 /proc/1/stat /proc/self/stat"  # in hundredths, proc_pid_stat(5)
    took = []
    for _ in range(3):
        words = ("run", "--rm", _image(docker, dockshell, "on"), "/sbin/my_init", "--quiet", "--", "sh", "-c", script)
        lines = [line for line in docker.ask(*words).splitlines() if line.isdigit()]
        took.append((int(lines[1]) - int(lines[0])) / os.sysconf("SC_CLK_TCK"))
    assert min(took) <= 0.5 * slowdown(), took


def test_sshd_takes_logins(docker: Peer, dockshell: Run, tmp_path: Path, world: World) -> None:
    """By dockshell, by docker-ssh and by OpenSSH's own ssh, as root and as a user; by keys alone, with a host key that
    is the container's own; and no log has a private key."""
    name = _on(docker, dockshell)
    _listens(docker, name)
    done = dockshell("exec", "--via", "ssh", name, "sh", "-c", "id -un; exit 3", engine=docker)
    assert (done.returncode, done.stdout) == (3, b"root\n"), done.stderr
    drop_in = Path(COMMAND[0]).with_name("docker-ssh")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "DOCKER_HOST": docker.url}
    done = subprocess.run([drop_in, name, "id -un | tr a-z A-Z"], env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"ROOT\n"), done.stderr
    ssh, key = world.need_program("ssh"), tmp_path / "key"
    subprocess.run([world.need_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    put = "umask 077; for home in /root /home/app; do mkdir -p $home/.ssh; "
    put += 'echo "$0" >>$home/.ssh/authorized_keys; done; chown -R app: /home/app'
    docker.sh("exec", name, "sh", "-c", put, key.with_suffix(".pub").read_text().strip())
    address = next(iter(docker.inspect(name)["NetworkSettings"]["Networks"].values()))["IPAddress"]
    keys = _host_keys(docker, name)
    (tmp_path / "known").write_text("".join(f"{address} {line}\n" for line in keys))
    options = ["-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={tmp_path}/known"]
    options += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]

    def by_ssh(user: str, *more: str) -> tuple[int, bytes, bytes]:
        words = [ssh, *options, *more, f"{user}@{address}", "id -un; exit 4"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    assert by_ssh("root")[:2] == (4, b"root\n") and by_ssh("app")[:2] == (4, b"app\n")
    code, _, said = by_ssh("app", "-o", "IdentityFile=none", "-o", "PreferredAuthentications=password")
    assert code == 255 and b"Permission denied (publickey)" in said
    assert {line.split()[0] for line in keys} == {"ssh-ed25519", "ecdsa-sha2-nistp256"}
    assert by_ssh("root", "-tt")[:2] == (4, b"root\r\n")
    log = _log(docker, name)
    assert "PRIVATE" not in log and "returned an error" not in log


def test_host_keys_are_each_containers_own(docker: Peer, dockshell: Run) -> None:
    """The image has none; two containers have different ones, and one that starts again keeps its own. The script makes
    them while sshd is off when told to, and none where there is one; where it can't, the boot goes on."""
    name, other = _on(docker, dockshell), docker.run(_image(docker, dockshell, "on"))
    for each in (name, other):
        _listens(docker, each)
    before = _host_keys(docker, other)
    assert before and not set(before) & set(_host_keys(docker, name))
    docker.sh("restart", other)
    _listens(docker, other)
    assert _host_keys(docker, other) == before
    script = """
        set -e
        regen=/etc/my_init.d/00_regen_ssh_host_keys.sh
        ls /etc/ssh | grep -c host_ || :
        $regen; ls /etc/ssh | grep -c host_ || :
        $regen -f; ls /etc/ssh | grep -c host_
        rm /etc/ssh/ssh_host_ecdsa*; $regen -f; ls /etc/ssh | grep -c host_
        stat -c %a /etc/ssh/ssh_host_*
    """
    told = docker.ask("run", "--rm", _image(docker, dockshell, "all"), "sh", "-c", script)
    assert told.split() == ["0", "0", "4", "2", "600", "644"]
    for words, code in (((), 0), (("-f",), 1)):
        run = ("run", "--rm", "--read-only", _image(docker, dockshell, "on"))
        done = docker.sh(*run, "/etc/my_init.d/00_regen_ssh_host_keys.sh", *words, check=False)
        assert done.returncode == code and b"no host keys" in done.stderr


def test_sshd_is_off_until_asked_for(docker: Peer, dockshell: Run) -> None:
    """As built it is down; removing `down` and `sv up` suffices, and `dockshell ssh enable` and `disable` do it too. A
    shell as process 1's forerunner tells no later one where it is."""
    name = docker.run(_image(docker, dockshell, "all"), "sh", "-c", "exec /sbin/my_init", options=("--workdir", "/srv"))
    _until(docker, name, "sv status sshd | grep ^down: && test ! -e /etc/ssh/ssh_host_ed25519_key")
    for verb, listening in (("enable", True), ("disable", False)):
        done = dockshell("ssh", verb, name, engine=docker, timeout=60)
        assert done.returncode == 0, done.stderr
        status = dockshell("ssh", "status", name, engine=docker)
        assert (status.returncode == 0) == listening, status.stdout
    docker.sh("exec", name, "sh", "-c", "rm /etc/service/sshd/down; sv up sshd")
    _listens(docker, name)
    assert len(_host_keys(docker, name)) == 2
    assert docker.ask("exec", "--workdir", "/tmp", name, "bash", "-lc", "echo $PWD") == "/tmp"


def test_insecure_key(docker: Peer, dockshell: Run) -> None:
    """Put in twice it stands there once, with the modes that sshd wants, below what was there; and a line warns."""
    script = """
        cd /root; grep -c . .ssh/authorized_keys; stat -c %a .ssh .ssh/authorized_keys
        printf 'ssh-x mine' >.ssh/authorized_keys; chmod 0664 .ssh/authorized_keys; enable_insecure_key
        cd .ssh; wc -l <authorized_keys; stat -c %a authorized_keys
        tail -n 1 authorized_keys | cmp - /etc/insecure_key.pub
    """
    done = docker.sh("run", "--rm", _image(docker, dockshell, "on"), "sh", "-c", script)
    assert done.stdout.split() == [b"1", b"700", b"600", b"2", b"600"]
    assert b"insecure key, which everybody has" in done.stderr


def test_services_shows_the_syslog(docker: Peer, dockshell: Run) -> None:
    """Its file is its log."""
    name = _on(docker, dockshell)
    _until(docker, name, "test -S /dev/log && logger shown && grep -q ': shown' /var/log/syslog")
    done = dockshell("services", name, "syslog", "log", engine=docker)
    assert done.returncode == 0 and b": shown\n" in done.stdout, done.stderr


def test_syslog_is_in_the_file_and_in_the_log(docker: Peer, dockshell: Run) -> None:
    """A line of logger(1) comes to both, at once; the file is put away at 4 MiB, and what was put away before goes."""
    name = _on(docker, dockshell)
    _until(docker, name, "test -S /dev/log && logger a-line && grep -q ': a-line' /var/log/syslog")
    assert ": a-line\n" in _log(docker, name)
    big = "head -c 4200000 /dev/zero | tr '\\0' 'x'"
    script = f"{big} >/var/log/syslog.0; {big} >/var/log/syslog; sv restart syslog/log; logger next; logger last"
    docker.sh("exec", name, "sh", "-c", script)
    _until(docker, name, "grep -q ': last$' /var/log/syslog && test $(wc -c </var/log/syslog) -lt 1000")
    assert docker.ask("exec", name, "sh", "-c", "cat /var/log/syslog.0 | wc -c; ls /var/log/syslog*").split() == [
        "4200000", "/var/log/syslog", "/var/log/syslog.0",
    ]  # fmt: skip


def test_the_next_debian(docker: Peer, dockshell: Run) -> None:
    """There all is the same, though its syslogd reads a configuration that would send lines elsewhere."""
    tag = docker.adopt(f"dockshell-test/parts-next-{os.getpid()}")
    words = ("image", "build", "--from", docker.image("trixie"), *_ALL, "-t", tag)
    done = dockshell(*words, engine=docker, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    script = "rm /etc/service/sshd/down; echo '@reboot root logger booted' >/etc/cron.d/job; exec /sbin/my_init"
    name = docker.run(tag, "sh", "-c", script)
    _listens(docker, name)
    done = dockshell("exec", "--via", "ssh", name, "logger", "by-ssh", engine=docker)
    assert done.returncode == 0, done.stderr
    _until(docker, name, "grep -q ': booted$' /var/log/syslog && grep -q ': by-ssh$' /var/log/syslog")
    assert ": booted\n" in _log(docker, name) and ": by-ssh\n" in _log(docker, name)
    assert _stop(docker, name) < 5 * slowdown() and docker.inspect(name)["State"]["ExitCode"] == 0


def test_read_only_root_and_a_full_disk(docker: Peer, dockshell: Run) -> None:
    """With tmpfs for /run and /var/log all is up; sshd's keys, in /run, are known to dockshell; where the disk is full
    the container's log has the lines still, and the file has them again when there is room."""
    name = docker.run(_image(docker, dockshell, "on"), options=_READ_ONLY)
    _listens(docker, name)
    done = dockshell("exec", "--via", "ssh", name, "id", "-un", engine=docker)
    assert (done.returncode, done.stdout) == (0, b"root\n"), done.stderr
    status = dockshell("ssh", "status", name, engine=docker)
    assert status.returncode == 0 and status.stdout.startswith(b"service: up"), status.stdout
    assert len(_host_keys(docker, name, "/run/sshd")) == 2
    _until(docker, name, "logger first; grep -q ': first$' /var/log/syslog && pgrep -x cron")
    many = "for i in 1 2 3 4 5 6 7 8 9; do logger without-room-$i $(printf %0900d 0); done"
    docker.sh("exec", name, "sh", "-c", f"head -c 2M /dev/zero >/var/log/full; {many}", check=False)
    until = time.monotonic() + 60
    while ": without-room-9 " not in _log(docker, name):
        assert time.monotonic() < until
        time.sleep(0.05)
    docker.sh("exec", name, "sh", "-c", "rm /var/log/full; logger with-room")
    _until(docker, name, "grep -q ': with-room$' /var/log/syslog && ! grep -q without-room-9 /var/log/syslog")
    assert _stop(docker, name) < 5 * slowdown() and docker.inspect(name)["State"]["ExitCode"] == 0


def test_jobs_at_boot(docker: Peer, dockshell: Run) -> None:
    """@reboot jobs run once for each start of the container, whatever starts cron anew, and what they log is there."""
    name = docker.run(_image(docker, dockshell, "on"))
    _until(docker, name, "test $(grep -c . /var/booted) = 1 && grep -q ': booted$' /var/log/syslog")
    docker.sh("exec", name, "sv", "restart", "cron")
    docker.sh("restart", name)
    _until(docker, name, "test $(grep -c . /var/booted) = 2 && test $(grep -c ': booted$' /var/log/syslog) = 2")


def test_a_user_and_wrappers_like_passengers(docker: Peer, dockshell: Run) -> None:
    """`app` and programs behind wrappers come out the same by exec, by a shell, by setuser inside and by ssh."""
    name = _on(docker, dockshell)
    _listens(docker, name)
    expected = b"/opt/gems|/home/app|app|app|-e x y\n"
    words = ("ruby", "-e", "x y")
    _until(docker, name, "test -s /etc/container_environment.sh")
    for way in (("--login",), ("--via", "ssh")):
        done = dockshell("exec", "-u", "app", *way, name, *words, engine=docker)
        assert (done.returncode, done.stdout) == (0, expected), (way, done.stderr)
    done = dockshell("exec", "-u", "app", name, "sh", "-c", 'test "$(id -u)" = 9999 && ruby', engine=docker)
    assert done.stdout.startswith(b"/opt/gems|/home/app|") and done.stdout.endswith(b"|app|\n"), done
    assert dockshell("exec", name, "setuser", "app", *words, engine=docker).stdout == expected
    for via in ("ssh", "nsenter", "exec"):
        shell = dockshell("shell", "-u", "app", "--via", via, name, input=b'ruby -e "x y"; echo $0\n', engine=docker)
        assert shell.stdout.startswith(expected) and b"bash" in shell.stdout, (via, shell.stderr)


def test_an_engine_with_a_login_uid(podman: Peer, dockshell: Run, world: World) -> None:
    """An engine that somebody started from a login hands on its login uid, which root inside can't change: logins work
    all the same."""
    world.need(os.path.exists("/proc/self/loginuid"), "this kernel knows no login uids")
    name = podman.baseimage()
    podman.sh("stop", name)
    argv = ["sh", "-c", 'echo 4321 >/proc/self/loginuid && exec "$@"', "sh", *podman.cli, "start", name]
    subprocess.run(argv, env={**os.environ, **podman.env}, check=True, capture_output=True, timeout=60)
    assert podman.ask("exec", name, "cat", "/proc/1/loginuid") == "4321"
    _listens(podman, name)
    done = dockshell("exec", "--via", "ssh", "-u", "app", name, "id", "-un", engine=podman)
    assert (done.returncode, done.stdout) == (0, b"app\n"), done.stderr


@pytest.mark.parametrize("options", [(), ("--init", *_READ_ONLY)])
def test_without_python(docker: Peer, dockshell: Run, options: Sequence[str]) -> None:
    """Services run, orphans are reaped, and at the stop each service has its TERM and the time that it takes; also on a
    read-only root with another init above."""
    image = docker.build(
        f"dockshell-test/parts-slow-{os.getpid()}",
        f"FROM {_image(docker, dockshell, 'bare')}\n"
        "RUN mkdir -p /etc/service/slow \\\n"
        '    && printf \'#!/bin/sh\\ntrap "sleep 1.5; echo all written; exit" TERM\\n'
        "while :; do sleep 1000 & wait $!; done\\n' >/etc/service/slow/run && chmod +x /etc/service/slow/run\n",
    )
    name = docker.run(image, options=options)
    up = "cd /run/service || cd /etc/service; "
    up += "for each in slow cron syslog; do sv status $PWD/$each | grep ^run: || exit; done"
    _until(docker, name, f"({up}) && logger a-line && grep -q a-line /var/log/syslog")
    docker.sh("exec", name, "sh", "-c", "i=0; while [ $i -lt 200 ]; do (sleep 0.01 &); i=$((i+1)); done")
    _until(docker, name, "! grep -q '^State:.Z' /proc/[0-9]*/status")
    assert _stop(docker, name) < 8 * slowdown()
    assert "all written" in _log(docker, name) and "Tini" not in _log(docker, name)
    assert docker.inspect(name)["State"]["ExitCode"] == 0


def test_without_python_a_command_is_just_run(docker: Peer, dockshell: Run) -> None:
    """A command of `docker run` takes the services' place; who isn't root is told to be."""
    image = _image(docker, dockshell, "bare")
    done = docker.sh("run", "--rm", image, "sh", "-c", "echo given; exit 4", check=False)
    assert (done.returncode, done.stdout) == (4, b"given\n")
    done = docker.sh("run", "--rm", "--user", "1000", image, check=False)
    assert done.returncode == 1 and b"run_services is for root" in done.stderr


def test_jobs_of_every_minute(docker: Peer, dockshell: Run) -> None:
    """A job in /etc/cron.d, and one of a user's own crontab, have run as who they are for. Last, for it takes a minute
    that the tests above have mostly used."""
    told = _until(docker, _on(docker, dockshell), "cat /tmp/minute /tmp/theirs", seconds=75)
    assert told.split() == ["app", "app"]
