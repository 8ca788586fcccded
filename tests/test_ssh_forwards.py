"""-L, -R, -D and -A on the ssh route: real connections through a real sshd, for as long as the session lasts."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND
from tests.world import Peer, World

Run = Callable[..., subprocess.CompletedProcess[bytes]]
ECHO = 2200  # a port inside where what is sent comes back once it has ended
SINK = 2201  # one where nobody reads
# Debian's smallest perl is what there is in the image.
SERVERS = f"""
use IO::Socket::INET; use IO::Socket::UNIX; $SIG{{CHLD}} = 'IGNORE';
sub serve {{ my ($listener, $reads) = @_; return if fork; while (my $c = $listener->accept) {{ next if fork;
  sleep 600 unless $reads; local $/; my $all = <$c>; print $c $all; close $c; exit }} }}
serve(IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => {ECHO}, Listen => 99, ReuseAddr => 1), 1);
serve(IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => {SINK}, Listen => 99, ReuseAddr => 1), 0);
serve(IO::Socket::UNIX->new(Local => '/run/echo.sock', Listen => 99), 1);
"""


@pytest.fixture
def web(docker: Peer) -> str:
    """A container with an sshd, and servers that only its own loopback reaches."""

    def make() -> str:
        name = docker.baseimage()
        docker.sh("exec", "-d", name, "perl", "-e", SERVERS + "sleep 100000")
        until = time.monotonic() + 60
        while docker.sh("exec", name, "test", "-S", "/run/echo.sock", check=False).returncode:
            assert time.monotonic() < until
            time.sleep(0.05)
        return name

    return docker.kept("forwards", make)


@pytest.fixture
def session(docker: Peer, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """session(*words, env=None): `dockshell exec --via ssh WORDS`, which has said `ready`; it ends when its stdin
    does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        argv = [*COMMAND, "exec", "--via", "ssh", *words, "sh", "-c", "echo ready; cat"]
        pipe = subprocess.PIPE
        merged = {**environment, "DOCKER_HOST": docker.url, **(env or {})}
        started.append(subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=merged))
        assert started[-1].stdout and started[-1].stderr
        assert started[-1].stdout.readline() == b"ready\n", started[-1].stderr.read()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _exchange(connection: socket.socket, data: bytes) -> bytes:
    """Sends it, then its end, and reads what comes to its end: half of a connection outlives the other."""
    connection.settimeout(60)
    with connection:
        sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        got = bytearray()
        while piece := connection.recv(1 << 16):
            got += piece
        sender.join()
    return bytes(got)


def _unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except ConnectionRefusedError:
        return True
    return False


def test_local_ports_lead_inside(web: str, session: Any, tmp_path: Path) -> None:
    """-L from a port and from a Unix socket, to a port and to a Unix socket inside; megabytes, many at once, each with
    its own end. On loopback alone, of both kinds; and the Unix socket for the owner alone."""
    port, other, path = _free(), _free(), str(tmp_path / "here")
    words = ("-L", f"{port}:127.0.0.1:{ECHO}", "-L", f"127.0.0.1:{other}:/run/echo.sock")
    process = session(*words, "-L", f"{path}:localhost:{ECHO}", web)
    data = os.urandom(3 << 20)
    assert _exchange(socket.create_connection(("127.0.0.1", port)), data) == data
    assert _exchange(socket.create_connection(("::1", port)), b"six") == b"six"
    assert _exchange(socket.create_connection(("127.0.0.1", other)), b"a socket inside") == b"a socket inside"
    assert _exchange(_unix(path), b"a socket here") == b"a socket here"
    assert os.stat(path).st_mode & 0o777 == 0o600
    several = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    assert [_exchange(each, b"%d" % number) for number, each in enumerate(several)] == [b"%d" % n for n in range(40)]
    process.stdin.close()
    assert process.wait(60) == 0
    assert _refused(port) and _refused(other) and not os.path.exists(path)
    assert process.stderr.read() == b""


def test_ports_inside_lead_here(docker: Peer, web: str, session: Any, tmp_path: Path) -> None:
    """-R from a port, from one that the other side chose and said, and from a Unix socket inside, to servers here."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "served"))
        local.listen()
        for each in (server, local):
            threading.Thread(target=_answer, args=(each,), daemon=True).start()
        here = server.getsockname()[1]
        words = ("-R", f"2300:127.0.0.1:{here}", "-R", f"0:localhost:{here}", "-R", f"2301:{tmp_path}/served")
        process = session(*words, "-R", f"/run/back.sock:127.0.0.1:{here}", web)
        said = process.stderr.readline().decode()
        assert said.startswith("dockshell: -R: port ") and said.endswith(f" inside leads to localhost:{here}\n")
        for number in ("2300", said.split()[3], "2301"):
            ask = f"exec 3<>/dev/tcp/127.0.0.1/{number}; echo hello >&3; cat <&3"
            assert docker.ask("exec", web, "bash", "-c", ask) == "HELLO"
        ask = "$s = IO::Socket::UNIX->new('/run/back.sock') or die; print $s qq(hello\\n); print <$s>"
        assert docker.ask("exec", web, "perl", "-MIO::Socket::UNIX", "-e", ask) == "HELLO"
        process.stdin.close()
        assert process.wait(60) == 0
        assert docker.sh("exec", web, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2300", check=False).returncode
        docker.sh("exec", web, "rm", "-f", "/run/back.sock")
        for each in (server, local):
            each.shutdown(socket.SHUT_RDWR)


def _answer(server: socket.socket) -> None:
    """Sends each client its first line in capitals."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, connection.makefile("rwb") as file:
            file.write(file.readline().upper())


@pytest.mark.parametrize("version", ["4", "4a", "5 address", "5 name"])
def test_socks_leads_anywhere_inside(web: str, session: Any, version: str) -> None:
    """-D: a client that speaks any of SOCKS gets where it says, from inside; where nobody listens it is told so."""
    port = _free()
    session("-D", str(port), web)
    name = b"localhost"
    for number, answers in ((ECHO, True), (1, False)):
        wanted = number.to_bytes(2, "big")
        request = {
            "4": b"\4\1" + wanted + b"\x7f\0\0\1me\0",
            "4a": b"\4\1" + wanted + b"\0\0\0\1me\0" + name + b"\0",
            "5 address": b"\5\1\0\1\x7f\0\0\1" + wanted,
            "5 name": b"\5\1\0\3" + bytes((len(name),)) + name + wanted,
        }[version]
        connection = socket.create_connection(("127.0.0.1", port))
        connection.settimeout(60)
        if version.startswith("5"):
            connection.sendall(b"\5\1\0")
            assert connection.recv(2) == b"\5\0"
        connection.sendall(request)
        reply = connection.recv(10 if version.startswith("5") else 8, socket.MSG_WAITALL)
        assert (reply[1] in (0, 90)) == answers
        if answers:
            assert _exchange(connection, b"through") == b"through"
        connection.close()


def test_a_slow_reader_costs_no_memory(web: str, session: Any) -> None:
    """What nobody reads inside is held back here: no more is taken than windows and pipes hold."""
    port = _free()
    process = session("-L", f"{port}:127.0.0.1:{SINK}", web)
    before = _resident(process.pid)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(2)
        taken = 0
        with pytest.raises(TimeoutError):
            while taken < 200 << 20:
                taken += connection.send(bytes(1 << 16))
        assert _resident(process.pid) - before < 16 << 20


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_forwards_end_with_the_session(web: str, session: Any) -> None:
    """A connection that is still open neither holds the session up nor outlives it."""
    port = _free()
    process = session("-L", f"{port}:127.0.0.1:{SINK}", web)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"x")
        process.stdin.close()
        assert process.wait(60) == 0
        connection.settimeout(60)
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
    assert _refused(port)


def test_a_taken_port_stops_before_anything_runs(docker: Peer, web: str, dockshell: Run, tmp_path: Path) -> None:
    """Here or inside: one sentence with the address, and the command never began."""
    mark = f"/tmp/{os.urandom(4).hex()}"
    (tmp_path / "there").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for words, said in (
            (("-L", f"{port}:127.0.0.1:{ECHO}"), f"nothing can listen here at port {port} for -L (address already in"),
            (("-D", f"127.0.0.1:{port}"), f"nothing can listen here at 127.0.0.1:{port} for -D (address already in"),
            (("-L", f"{tmp_path}/there:localhost:{ECHO}"), f"nothing can listen here at {tmp_path}/there for -L"),
            (("-R", f"{ECHO}:127.0.0.1:{port}"), f"the sshd inside doesn't listen at port {ECHO} for -R"),
        ):
            done = dockshell("exec", "--via", "ssh", *words, web, "touch", mark, engine=docker)
            assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (125, b"", 1)
            assert said.encode() in done.stderr
    assert docker.sh("exec", web, "test", "-e", mark, check=False).returncode == 1


def test_the_agent_comes_along(docker: Peer, web: str, dockshell: Run, world: World, tmp_path: Path) -> None:
    """-A: what is inside can list and use the keys of the caller's real agent, by a socket that goes with the session;
    without -A there is none."""
    path, key = str(tmp_path / "agent"), str(tmp_path / "key")
    agent = subprocess.Popen([world.need_program("ssh-agent"), "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not os.path.exists(path):
            time.sleep(0.01)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key], check=True)
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": path}, check=True)
        env = {"SSH_AUTH_SOCK": path}
        script = "ssh-add -l; ssh-add -l; echo $SSH_AUTH_SOCK"
        done = dockshell("exec", "--via", "ssh", "-A", web, "sh", "-c", script, engine=docker, env=env)
        first, second, inside = done.stdout.decode().splitlines()
        assert first == second and " mine " in first, done.stderr
        assert docker.sh("exec", web, "test", "-e", inside, check=False).returncode == 1
        done = dockshell("exec", "--via", "ssh", web, "sh", "-c", "echo .$SSH_AUTH_SOCK", engine=docker, env=env)
        assert done.stdout == b".\n"
        forbidden = dockshell("-v", "-A", "--via", "nsenter", web, engine=docker, env=env)
        assert b"nsenter: forwarding is for ssh: take --via ssh" in forbidden.stderr
    finally:
        agent.terminate()
        agent.wait()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("exec", "--via", "ssh", "-A"), 2, b"-A passes an agent on, and there is none (SSH_AUTH_SOCK is not set)"),
        (("exec", "--via", "ssh", "-L", "80"), 2, b"-L '80' is not a forward: it takes [BIND:]PORT:HOST:HOSTPORT"),
        (("exec", "-d", "-L", "1:a:1"), 2, b"-d leaves the command to itself"),
        (("exec", "-L", "2999:localhost:1"), 125, b"nsenter: forwarding is for ssh: take --via ssh, or `ssh` itself"),
        (("exec", "--via", "exec", "-D", "2999"), 125, b"exec: forwarding is for ssh: take --via ssh"),
        (("exec", "--via", "nsenter", "-R", "2999:localhost:1"), 125, b"nsenter: forwarding is for ssh"),
    ],
)
def test_what_can_not_be_is_said(docker: Peer, dockshell: Run, words: tuple[str, ...], code: int, said: bytes) -> None:
    """One line with the remedy, before anything is done."""
    done = dockshell(*words, docker.shared("busybox"), "echo", "in", engine=docker)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (code, b"", 1)
    assert said in done.stderr


def test_an_agent_that_is_gone_is_said(docker: Peer, web: str, dockshell: Run) -> None:
    """SSH_AUTH_SOCK names a socket where nobody listens."""
    env = {"SSH_AUTH_SOCK": "/nonexistent/agent"}
    done = dockshell("exec", "--via", "ssh", "-A", web, "echo", "in", engine=docker, env=env)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"no agent answers at /nonexistent/agent (no such file or directory)" in done.stderr


def test_a_shell_takes_them_too(docker: Peer, web: str, dockshell: Run) -> None:
    """With `auto`, which goes by ssh where a key of ours stands."""
    port = _free()
    done = dockshell("-v", "-L", f"{port}:127.0.0.1:{ECHO}", web, input=b"echo in\n", engine=docker)
    assert done.stdout.endswith(b"in\n") and b"ssh: taken" in done.stderr
