"""The ssh route into real containers with a real sshd: what is particular to it. That it keeps the session contract is
tested with the other routes (tests/contract)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dockshell.engines.docker import DockerEngine
from dockshell.engines.local import LocalApi
from dockshell.model import Command, Target, replace
from dockshell.routes import Login
from dockshell.routes.ssh import route
from dockshell.session import Session
from tests.busy import slowdown
from tests.conftest import COMMAND
from tests.world import Peer, World

Run = Callable[..., subprocess.CompletedProcess[bytes]]
AS_ROOT = ("exec", "--via", "ssh")


@pytest.fixture
def key(tmp_path: Path, world: World) -> str:
    """The path of a private key of our own."""
    path = str(tmp_path / "key")
    subprocess.run(
        [world.need_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", path],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def _allow(peer: Peer, name: str, key: str, user: str, home: str, options: str = "") -> None:
    """Puts the key into a user's authorized_keys inside."""
    line = options + Path(key + ".pub").read_text()
    script = (
        f"mkdir -p {home}/.ssh; cat >> {home}/.ssh/authorized_keys; chown -R {user}: {home}; chmod -R go= {home}/.ssh"
    )
    peer.sh("exec", "-i", name, "sh", "-c", script, input=line.encode())


def _connections(peer: Peer, name: str) -> int:
    """How many connections the sshd inside has seen, by the kernel's own count (proc_net_snmp(5), PassiveOpens)."""
    lines = peer.ask("exec", name, "grep", "^Tcp:", "/proc/net/snmp").splitlines()
    return int(dict(zip(lines[0].split(), lines[1].split(), strict=True))["PassiveOpens"])


def test_a_login_takes_no_option(engine: Peer, dockshell: Run) -> None:
    """No option, no file, no agent: root, with the container's own sshd as the parent, and not a word besides."""
    name = engine.shared("baseimage")
    done = dockshell(*AS_ROOT, name, "sh", "-c", 'id -un; echo "$SSH_CONNECTION"', engine=engine)
    user, connection = done.stdout.decode().splitlines()
    assert (done.returncode, user, connection.split()[-1], done.stderr) == (0, "root", "22", b"")


def test_auto_takes_ssh_for_a_shell(engine: Peer, dockshell: Run) -> None:
    """Where an sshd listens and our key stands in root's file, a shell comes by ssh; a command doesn't."""
    name = engine.shared("baseimage")
    shell = dockshell("-v", name, input=b"echo $SSH_CONNECTION\n", engine=engine)
    assert b"ssh: taken" in shell.stderr and b" 22\n" in shell.stdout
    assert b"ssh" not in dockshell("exec", "-v", name, "true", engine=engine).stderr


def test_auto_shows_a_stranger_nothing(engine: Peer, dockshell: Run, key: str) -> None:
    """Without a key of ours in authorized_keys, or with one that gives no full login, no connection is made at all."""
    name = engine.baseimage(insecure_key=False)
    _allow(engine, name, key, "root", "/root", 'command="/bin/false" ')
    before = _connections(engine, name)
    done = dockshell("-v", "--key", key, name, input=b"echo in\n", engine=engine)
    assert done.stdout == b"in\n"
    assert b"ssh: no key of ours stands in the authorized_keys of root inside" in done.stderr
    assert _connections(engine, name) == before


def test_no_sshd_is_no_route(engine: Peer, dockshell: Run) -> None:
    """Asked for, it says so and what to do; nothing is waited for."""
    began = time.monotonic()
    done = dockshell(*AS_ROOT, engine.shared("busybox"), "true", engine=engine)
    assert done.returncode == 125
    assert b"no sshd listens inside on port 22: start one, or name its port with --port" in done.stderr
    assert time.monotonic() - began < 5 * slowdown()


def test_another_host_key_stops(engine: Peer, dockshell: Run) -> None:
    """The sshd shows keys that aren't those in the container's files: an error, and nobody is let in."""
    name = engine.baseimage()
    others = "for f in /etc/ssh/ssh_host_*_key.pub; do k=${f##*host_}; k=${k%%_*}; rm -f /tmp/k*; "
    others += "ssh-keygen -q -N '' -t $k -f /tmp/k; cp /tmp/k.pub $f; done"
    engine.sh("exec", name, "sh", "-c", others)
    done = dockshell(*AS_ROOT, name, "echo", "in", engine=engine)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"is not the sshd of" in done.stderr and b"SHA256:" in done.stderr


def test_no_host_keys_is_no_trust(engine: Peer, dockshell: Run) -> None:
    """Where none can be read, none is accepted in silence; `auto` goes another way."""
    name = engine.baseimage()
    engine.sh("exec", name, "sh", "-c", "rm /etc/ssh/ssh_host_*.pub")
    done = dockshell(*AS_ROOT, name, "echo", "in", engine=engine)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"host keys" in done.stderr and b"ssh-keygen -A" in done.stderr
    done = dockshell("-v", name, input=b"echo in\n", engine=engine)
    assert done.stdout == b"in\n" and b"ssh: the container's host keys" in done.stderr


def test_another_user_with_a_key_of_ours(engine: Peer, dockshell: Run, key: str) -> None:
    """-u and --key: the user's own name, home and groups; with a key that isn't there the sshd's no is told, with the
    remedy, and nothing is put in its place."""
    name = engine.baseimage()
    engine.sh("exec", name, "useradd", "-m", "-s", "/bin/bash", "-u", "4321", "somebody")
    _allow(engine, name, key, "somebody", "/home/somebody")
    words = ("-u", "somebody", name, "sh", "-c", "id -un; echo $HOME $USER $LOGNAME $SHELL")
    done = dockshell(*AS_ROOT, "--key", key, *words, engine=engine)
    assert done.stdout == b"somebody\n/home/somebody somebody somebody /bin/bash\n", done.stderr
    done = dockshell(*AS_ROOT, "--key", key, "-u", "4321", name, "id", "-un", engine=engine)
    assert done.stdout == b"somebody\n"
    engine.sh("exec", name, "rm", "-r", "/home/somebody/.ssh")
    done = dockshell(*AS_ROOT, "--key", key, *words, engine=engine)
    assert done.returncode == 125 and b"did not let somebody in" in done.stderr and b"--key" in done.stderr
    assert engine.sh("exec", name, "test", "-e", "/home/somebody/.ssh", check=False).returncode == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-u", "root:daemon"), b"leave out the one after the colon"),
        (("-u", "nobodyatall"), b"no user 'nobodyatall' inside"),
        (("-u", "9999"), b"a login needs a name"),
        (("-d",), b"--via exec"),
        (("--privileged",), b"--via exec"),
        (("--port", "2"), b"on port 2"),
        (("--key", "/no/such/key"), b"can't be read"),
    ],
)
def test_what_a_login_can_not_do_is_said(docker: Peer, dockshell: Run, words: tuple[str, ...], reason: bytes) -> None:
    """Each gets one line with its reason, and nothing is run."""
    done = dockshell(*AS_ROOT, *words, docker.shared("baseimage"), "echo", "in", engine=docker)
    assert done.returncode in (2, 125) and done.stdout == b""
    assert reason in done.stderr and done.stderr.count(b"\n") == 1


def test_a_network_of_its_own(engine: Peer, dockshell: Run) -> None:
    """An address on a user-defined network is found."""
    network = f"dsh-{os.getpid()}"
    engine.sh("network", "create", network)
    try:
        name = engine.baseimage(options=("--network", network))
        assert dockshell(*AS_ROOT, name, "echo", "in", engine=engine).stdout == b"in\n"
        engine.sh("rm", "-f", name)
    finally:
        engine.sh("network", "rm", network, check=False)


def test_an_sshd_on_loopback_alone(engine: Peer, dockshell: Run) -> None:
    """Root reaches it from inside the container's network, where it listens on no other address; so it does where the
    container has no network at all. `auto` does too."""
    apart = engine.baseimage(options=("--network", "none"))
    alone = engine.baseimage(sshd=False)
    engine.sh("exec", alone, "sh", "-c", "mkdir -p /run/sshd; ssh-keygen -A")
    for address, port in (("127.0.0.1", "2022"), ("127.0.0.9", "2023")):
        engine.sh("exec", alone, "/usr/sbin/sshd", "-o", f"ListenAddress={address}:{port}")
    ask = ("sh", "-c", "echo ${SSH_CONNECTION% *}")
    assert dockshell(*AS_ROOT, apart, *ask, engine=engine).stdout.split()[::2] == [b"127.0.0.1", b"127.0.0.1"]
    assert dockshell(*AS_ROOT, "--port", "2022", alone, *ask, engine=engine).stdout.startswith(b"127.0.0.1 ")
    assert dockshell(*AS_ROOT, "--port", "2023", alone, *ask, engine=engine).stdout.endswith(b" 127.0.0.9\n")
    assert b"ssh: taken" in dockshell("-v", apart, input=b"exit\n", engine=engine).stderr


def test_the_host_s_own_sshd_is_nobody_s_container(docker: Peer, dockshell: Run) -> None:
    """In a container that shares the host's network `auto` connects to nothing; asked for, its sshd is found, and shows
    its key."""
    name = docker.baseimage(sshd=False, options=("--network", "host"))
    docker.sh(
        "exec", name, "sh", "-c", "mkdir -p /run/sshd; ssh-keygen -A; /usr/sbin/sshd -o ListenAddress=127.0.0.1:2299"
    )
    assert b"ssh: the sshd inside" in dockshell("-v", "--port", "2299", name, input=b"exit\n", engine=docker).stderr
    assert dockshell(*AS_ROOT, "--port", "2299", name, "echo", "in", engine=docker).stdout == b"in\n"


def _opened(peer: Peer, name: str, command: Command, *, addresses: bool = True) -> Session:
    """The route itself, without the command line. addresses: False for a container that has none of its own."""
    api = LocalApi(peer.url.removeprefix("unix://"))
    (container,) = DockerEngine(api).find(Target("name", name))
    if not addresses:
        container = replace(container, addresses=())
    way = route(Login())
    assert way.refuses(container, command, asked=True) is None
    return way.open(container, command)


def test_a_published_port(docker: Peer) -> None:
    """Where no address of the container can be reached, what the engine published of it leads there."""
    name = docker.baseimage(options=("--publish", "127.0.0.1::22"))
    session = _opened(docker, name, Command((b"true",)), addresses=False)
    while session.ready:
        list(session.receive(session.ready[0]))
    assert session.wait() == 0
    session.close()


def test_closing_ends_what_still_runs(docker: Peer) -> None:
    """A session that is given up takes its command and what that started along, even where they ignore HUP and TERM."""
    name = docker.baseimage()
    script = b"trap '' HUP TERM; sleep 1234 & sleep 1235 & echo ready; wait; wait"
    session = _opened(docker, name, Command((b"sh", b"-c", script)))
    got = b""
    while b"ready" not in got:
        got += b"".join(data for _, data in session.receive(session.ready[0]))
    session.close()
    until = time.monotonic() + 60
    while docker.sh("exec", name, "pgrep", "-f", "sleep 123[45]", check=False).returncode == 0:
        assert time.monotonic() < until, docker.ask("exec", name, "ps", "-ef")
        time.sleep(0.1)


def test_a_port_of_its_own(engine: Peer, dockshell: Run) -> None:
    """The port in the sshd's configuration is found without being told, and --port names any other."""
    name = engine.baseimage(sshd=False)
    engine.sh("exec", name, "sh", "-c", "mkdir -p /run/sshd; ssh-keygen -A; echo Port 2022 >> /etc/ssh/sshd_config")
    engine.sh("exec", name, "/usr/sbin/sshd")
    engine.sh("exec", name, "/usr/sbin/sshd", "-p", "2023")
    for options, port in (((), b"2022"), (("--port", "2023"), b"2023")):
        done = dockshell(*AS_ROOT, *options, name, "sh", "-c", "echo ${SSH_CONNECTION##* }", engine=engine)
        assert done.stdout == port + b"\n", done.stderr


def test_the_agent_s_key_is_taken(docker: Peer, dockshell: Run, world: World, key: str, tmp_path: Path) -> None:
    """A key that only a real ssh-agent holds logs in."""
    name = docker.baseimage(insecure_key=False)
    _allow(docker, name, key, "root", "/root")
    agent = subprocess.Popen(
        [world.need_program("ssh-agent"), "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL
    )
    try:
        while not (tmp_path / "agent").exists():
            time.sleep(0.01)
        env = {"SSH_AUTH_SOCK": str(tmp_path / "agent")}
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, **env}, check=True)
        os.unlink(key)
        assert dockshell(*AS_ROOT, name, "echo", "in", engine=docker, env=env).stdout == b"in\n"
        assert b"ssh: taken" in dockshell("-v", name, input=b"exit\n", engine=docker, env=env).stderr
    finally:
        agent.terminate()
        agent.wait()


def test_a_login_shell_of_the_sshd_s_own(docker: Peer, terminal: Callable[..., Any]) -> None:
    """A shell is the user's login shell, in HOME, with the baseimage's environment, on a terminal of the right size."""
    name = docker.baseimage()
    docker.sh("exec", name, "sh", "-c", "printf 'from a file\\n' > /etc/container_environment/GIVEN")
    child = terminal("--via", "ssh", name, dimensions=(31, 97), engine=docker)
    child.send(b'shopt -q login_shell && echo "lo""gin $(pwd) $(stty size) $GIVEN $TERM"\r')
    child.expect_exact(b"login /root 31 97 from a file xterm-256color\r\n")
    child.setwinsize(20, 61)
    child.send(b"sleep 0.5; stty size\r")
    child.expect_exact(b"20 61\r\n")
    child.send(b"exit 5\r")
    child.expect(b"$")
    child.wait()
    assert child.exitstatus == 5


@pytest.fixture
def running(docker: Peer, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """running(*words): the real command in the background."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        argv = [*COMMAND, *AS_ROOT, *words]
        pipe = subprocess.PIPE
        env = {**environment, "DOCKER_HOST": docker.url}
        started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("user", ["root", "somebody"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_command(docker: Peer, running: Any, key: str, user: str, number: int) -> None:
    """Root's too, for whom an OpenSSH sshd turns the protocol's own request down; the code says which signal it was."""
    name = docker.baseimage()
    docker.sh("exec", name, "useradd", "-m", "somebody")
    _allow(docker, name, key, user, "/root" if user == "root" else "/home/somebody")
    process = running("--key", key, "-u", user, name, "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(60) == 128 + number


def test_a_reader_that_leaves_ends_the_command(docker: Peer, running: Any) -> None:
    """As in any pipe: the command gets SIGPIPE, and nothing goes on inside."""
    name = docker.baseimage()
    process = running(name, "yes")
    process.stdout.read(1 << 20)
    process.stdout.close()
    process.stderr.read()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert docker.sh("exec", name, "pgrep", "-x", "yes", check=False).returncode == 1


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_container_that_stops_is_noticed(docker: Peer, running: Any, how: str) -> None:
    """The session ends at once, with a line that says so."""
    name = docker.baseimage()
    process = running(name, "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout.readline() == b"ready\n"
    subprocess.run([*docker.cli, how, *(("-t", "1") if how == "stop" else ()), name], check=True, capture_output=True)
    assert process.wait(60) in (137, 143)
    if process.returncode == 137:
        assert b"stopped" in process.stderr.read()


def test_the_import_of_paramiko_is_without_what_it_needs_not() -> None:
    """More than half of the import's time, for nothing that is used here; what is imported later is left alone."""
    code = (
        "import sys; from dockshell.ssh import library; library.load();"
        "assert 'paramiko' in sys.modules and not {'invoke', 'importlib.metadata'} & set(sys.modules);"
        "import invoke; from importlib import metadata; assert metadata.version('paramiko')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
