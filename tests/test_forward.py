"""`dockshell forward`: real connections, through the real command, to what listens in real containers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.contract.watching import memory, until
from tests.world import Peer, World
from tests.world.images import LOCKED
from tests.world.own_rootless_podman import USER as OWNER
from tests.world.person import Person, let_in, person
from tests.world.remote import Remote, over_ssh, over_tls

Run = Callable[..., subprocess.CompletedProcess[bytes]]

NOBODY = 65534
# Ports of the container's loopback alone.
ECHO = 7100  # what is sent comes back as it comes, and so does its end
SINK = 7101  # nobody reads
FIRST = 7102  # says `bye` and ends its half, then reads all; the next on ASK is told how much that was
ASK = 7103
RESET = 7104  # sends a good deal, and resets the connection once that has arrived at whoever is next
SIX = 7105  # an echo on ::1
FAR = 7106  # one at the address of its network alone
GOOD_DEAL = 1 << 20
_STOPPED = "dockshell: {} stopped, and what was forwarded to it with it"
_SERVERS = f"""
import fcntl, os, resource, socket, struct, sys, termios, threading, time

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
socket.setdefaulttimeout(30)
told = []

def serve(host, port, act):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=4096)
    listener.settimeout(None)
    threading.Thread(target=accept, args=(listener, act), daemon=True).start()

def accept(listener, act):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=act, args=(connection,), daemon=True).start()

def echo(connection):
    with connection:
        while data := connection.recv(1 << 16):
            connection.sendall(data)

def first(connection):
    with connection:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        size = 0
        while data := connection.recv(1 << 16):
            size += len(data)
        told.append(size)

def ask(connection):
    with connection:
        connection.sendall(str(told).encode())

def reset(connection):
    connection.sendall(bytes({GOOD_DEAL}))
    connection.recv(1)
    while any(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))):
        time.sleep(0.01)  # what is on its way yet would be lost: socket(7), SO_LINGER
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

with open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "w") as file:
    file.write("0")  # Docker switches it off where its network has none
held = []
threading.stack_size(1 << 17)
serve("127.0.0.1", {ECHO}, echo)
serve("127.0.0.1", {SINK}, held.append)
serve("127.0.0.1", {FIRST}, first)
serve("127.0.0.1", {ASK}, ask)
serve("127.0.0.1", {RESET}, reset)
serve("::1", {SIX}, echo)
if len(sys.argv) > 1:
    serve(sys.argv[1], {FAR}, echo)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _servers(peer: Peer, name: str) -> Iterator[None]:
    """Servers in that container's network, which are none of its processes: it needs nothing for them."""
    networks = peer.inspect(name)["NetworkSettings"]["Networks"].values()
    addresses = [each["IPAddress"] for each in networks if each["IPAddress"]]
    argv = ["nsenter", f"--net=/proc/{peer.pid(name)}/ns/net", sys.executable, "-c", _SERVERS, *addresses[:1]]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == b"ready\n"
        yield
        process.stdin.close()


@pytest.fixture
def web(world: World, engine: Peer) -> Iterator[str]:
    """A container with servers, on each engine."""
    world.need_root()
    name = _home(engine)
    with _servers(engine, name):
        yield name


def _home(peer: Peer) -> str:
    return peer.kept("forward", lambda: peer.run("busybox"))


@pytest.fixture(params=["docker", "docker26", "podman", "rootless-podman"])
def any_engine(request: pytest.FixtureRequest, world: World) -> Peer:
    """Every engine that there is."""
    peer: Peer = getattr(world, request.param.replace("-", "_"))
    return peer


class Forwarded:
    """A forward that has said where it listens. places: what it said, as address and port or as a path."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], count: int) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env, cwd="/")
        assert self.process.stdout
        self.lines = [self.process.stdout.readline().decode().rstrip("\n") for _ in range(count)]
        if not all(self.lines):
            raise AssertionError(self.end(signal.SIGKILL))
        self.places = [line.partition(" -> ")[0] for line in self.lines]

    def connect(self, number: int = 0) -> socket.socket:
        """A connection to its number-th place."""
        place = self.places[number]
        if place.startswith("/"):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(place)
        else:
            host, _, port = place.rpartition(":")
            connection = socket.create_connection((host.strip("[]"), int(port)))
        connection.settimeout(60)
        return connection

    def end(self, number: int = signal.SIGTERM) -> str:
        """Ends it → what it had to say."""
        self.process.send_signal(number)
        return self.said()

    def said(self) -> str:
        """All that it has to say, once it has ended."""
        assert self.process.stdout and self.process.stderr
        with self.process.stdout, self.process.stderr:
            text = self.process.stderr.read().decode()
        self.process.wait(60)
        return text


@pytest.fixture
def forward(environment: dict[str, str]) -> Iterator[Callable[..., Forwarded]]:
    """forward(peer, *words, options=(), caller=None): `dockshell forward`, running."""
    started: list[Forwarded] = []

    def start(
        peer: Peer,
        *words: str,
        options: Sequence[str] = (),
        caller: Person | None = None,
        env: dict[str, str] | None = None,
    ) -> Forwarded:
        command, own = (caller.command, caller.environment) if caller else (COMMAND, environment)
        argv = [*command, "forward", *options, *words]
        started.append(Forwarded(argv, {**own, "DOCKER_HOST": peer.url, **(env or {})}, len(words) - 1))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end()


@pytest.fixture
def member(world: World, docker: Peer) -> Iterator[Person]:
    """Somebody without any right but the socket's."""
    world.need_root()
    path = docker.url.removeprefix("unix://")
    let_in(os.path.dirname(path), os.path.dirname(world.scratch))
    with person(NOBODY, [NOBODY, os.stat(path).st_gid]) as somebody:
        yield somebody


def _exchange(connection: socket.socket, data: bytes) -> bytes:
    """Sends it, then its end, and reads what comes to its end."""

    def send() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    got = _rest(connection)
    sender.join()
    return got


def _rest(connection: socket.socket) -> bytes:
    got = bytearray()
    with connection:
        while piece := connection.recv(1 << 16):
            got += piece
    return bytes(got)


def _same(connection: socket.socket, size: int) -> bool:
    """Does so much come back from an echo as it was sent?"""
    data = os.urandom(size)
    return hashlib.sha256(_exchange(connection, data)).digest() == hashlib.sha256(data).digest()


def _refused(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
    except ConnectionRefusedError:
        return True
    return False


def _state(peer: Peer, name: str) -> tuple[str, list[bytes]]:
    """What is changed in the container's files, and its processes."""
    return peer.ask("diff", name), _processes(peer, name)


def _settled(peer: Peer, name: str, before: tuple[str, list[bytes]]) -> None:
    """Is it, within a moment, as it was before?"""
    end = time.monotonic() + 60
    while _state(peer, name) != before and time.monotonic() < end:
        time.sleep(0.1)
    assert _state(peer, name) == before


def _processes(peer: Peer, name: str) -> list[bytes]:
    """The words of all in the container's pid namespace, the dead that nobody waited for included."""
    first, found = os.readlink(f"/proc/{peer.pid(name)}/ns/pid"), list[bytes]()
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{number}/ns/pid") == first:
                found.append(Path(f"/proc/{number}/cmdline").read_bytes())
    return found


def _sidecars(peer: Peer) -> str:
    return peer.ask("ps", "-aq", "--filter", "label=dockshell.sidecar")


def _locked(peer: Peer, image: str, *more: str) -> str:
    """A container of the image in which nothing is allowed, with an echo at port 8080 that ends with its input."""

    def make() -> str:
        serve = ["/busybox", "nc", "-ll", "-p", "8080", "-e", "/busybox", "cat"]
        options = [*(LOCKED if not more else LOCKED[:-2]), *more, "--user", "65532", "--tmpfs", "/tmp:mode=1777"]
        name = peer.run(image, *serve, options=options)
        ask = ("exec", name, "/busybox", "nc", "127.0.0.1", "8080")
        until(lambda: peer.sh(*ask, check=False).returncode == 0)
        # The child for its first client may stay behind as a zombie; a runtime may be in there for a moment.
        until(lambda: len([words for words in _processes(peer, name) if words]) == 1)
        return name

    return peer.kept(" ".join(("forward", image, *more)), make)


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_a_port_of_a_locked_scratch_container(
    any_engine: Peer, forward: Callable[..., Forwarded], world: World, via: str
) -> None:
    """Nothing but one program inside, read-only, no capability, no network: a megabyte there and back and its end, by
    either way, and neither leaves anything in the container or beside it."""
    world.need_root()
    engine, name = any_engine, _locked(any_engine, "static")
    before = _state(engine, name)
    running = forward(engine, name, ":8080", options=["-v", "--via", via])
    assert running.lines[0] == f"{running.places[0]} -> {name}:8080"
    for size in (0, 1, 1 << 20):
        assert _same(running.connect(), size)
    every = bytes(range(256)) + b"\x10\x11"  # an engine's detach keys among them
    assert _exchange(running.connect(), every) == every
    said = running.end()
    assert running.process.returncode == 0
    assert said.splitlines()[-1] == f"dockshell: 8080: {via}: taken"
    _settled(engine, name, before)
    assert _sidecars(engine) == "" and _refused(running.places[0])


@pytest.mark.parametrize("make", [over_tls, over_ssh], ids=["tls", "ssh"])
def test_an_engine_elsewhere(
    world: World, forward: Callable[..., Forwarded], tmp_path: Path, make: Callable[[World, str], Remote]
) -> None:
    """Through the engine's own connection, be it TLS or ssh; the forward ends with the container there, too."""
    remote = make(world, str(tmp_path))
    with contextlib.closing(remote):
        peer = remote.peer or world.docker
        name = peer.run("busybox", "nc", "-ll", "-p", "8080", "-e", "cat", options=["--network", "none"])
        options = ["-v", "-H", remote.address]
        running = forward(peer, name, ":8080", options=options, env=dict(remote.environment))
        assert _same(running.connect(), 1 << 20)
        several = [running.connect() for _ in range(10)]
        assert [_exchange(each, b"%d" % number) for number, each in enumerate(several)] == [
            b"%d" % n for n in range(10)
        ]
        peer.sh("kill", name)
        said = running.said().splitlines()
    assert running.process.returncode == 137
    assert said[-2:] == ["dockshell: 8080: exec: taken", _STOPPED.format(name)]


def test_without_root(docker: Peer, forward: Callable[..., Forwarded], member: Person) -> None:
    """A member of the docker group goes by the container's address; where there is none, through the engine: -v tells
    why. The root's way takes root, and says so."""
    near, far = _locked(docker, "static", "--network", "bridge"), _locked(docker, "static")
    before = _state(docker, near), _state(docker, far)
    running = forward(docker, near, ":8080", options=["-v"], caller=member)
    assert _same(running.connect(), 1 << 20)
    said = running.end().splitlines()
    assert "nsenter: entering namespaces takes root: use sudo" in said[1] and said[2].endswith("8080: address: taken")
    running = forward(docker, far, ":8080", options=["-v"], caller=member)
    assert _same(running.connect(), 1 << 20)
    said = running.end().splitlines()
    assert said[2].endswith("address: it has no address of its own") and said[3].endswith("8080: exec: taken")
    _settled(docker, near, before[0])
    _settled(docker, far, before[1])
    assert _sidecars(docker) == ""


def test_the_owner_of_a_rootless_engine(world: World, forward: Callable[..., Forwarded]) -> None:
    """Without root on either side: through the engine."""
    peer = world.rootless_podman
    name = _locked(peer, "static")
    let_in(os.path.dirname(peer.url.removeprefix("unix://")), os.path.dirname(world.scratch))
    with person(OWNER) as owner:
        running = forward(peer, name, ":8080", caller=owner)
        assert _same(running.connect(), 1 << 16)
        assert running.end() == ""


def test_without_root_the_loopback_alone(
    docker: Peer, forward: Callable[..., Forwarded], member: Person, dockshell: Run, world: World
) -> None:
    """What listens on its loopback only answers at no address: that way says so, and the engine's is taken."""
    world.need_root()
    name = _home(docker)
    with _servers(docker, name):
        running = forward(docker, name, f":{ECHO}", options=["-v"], caller=member)
        assert _same(running.connect(), 1 << 16)
        assert "what listens on its loopback alone can't be reached so" in running.end()
        done = dockshell("forward", "--via", "address", name, f":{ECHO}", engine=docker)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (125, b"", 1)
        assert b"port 7100 (connection refused): what listens on its loopback alone" in done.stderr


def test_each_end_is_kept(web: str, engine: Peer, forward: Callable[..., Forwarded]) -> None:
    """A half that ended leaves the other open, whichever side ended it; a reset arrives as a reset, after all that was
    sent before."""
    running = forward(engine, web, *(f":{port}" for port in (ECHO, FIRST, ASK, RESET)))
    assert _same(running.connect(0), 5 << 20)
    connection = running.connect(1)
    assert connection.recv(10) == b"bye" and connection.recv(10) == b""
    connection.sendall(bytes(3 << 20))
    connection.close()
    assert until(lambda: str(3 << 20) in _rest(running.connect(2)).decode())
    connection = running.connect(3)
    connection.sendall(b"x")
    time.sleep(0.5)
    got = 0
    with pytest.raises(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            got += len(piece)
    connection.close()
    assert got == GOOD_DEAL


def test_all_that_listens_inside_is_found(
    web: str, engine: Peer, forward: Callable[..., Forwarded], dockshell: Run
) -> None:
    """As root: on 127.0.0.1, on ::1, and at the address of its network alone. Where nobody listens the client is
    reset, and -v tells why."""
    running = forward(engine, web, f":{ECHO}", f"[::1]::{SIX}", f":{FAR}", ":1", options=["-v"])
    assert running.places[1].startswith("[::1]:")
    for number in range(3):
        assert _same(running.connect(number), 1 << 10)
    connection = running.connect(3)
    with connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert "dockshell: 1: not connected: connection refused\n" in running.end()


def test_a_thousand_at_once(web: str, engine: Peer, forward: Callable[..., Forwarded]) -> None:
    """All are open together and each gets its own answer, in little memory; by the container's address too."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    for via, port in (("nsenter", ECHO), ("address", FAR)):
        running = forward(engine, web, f":{port}", options=["--via", via])
        _thousand(running)
        assert memory(running.process.pid) < 60 << 20
        assert running.end() == ""


def _thousand(running: Forwarded) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(running.connect()) for _ in range(1000)]
        for number, each in enumerate(connections):
            each.sendall(b"%6d" % number)
        for number, each in enumerate(connections):
            assert each.recv(10) == b"%6d" % number
        for each in connections:
            each.shutdown(socket.SHUT_WR)
        assert {each.recv(10) for each in connections} == {b""}


def test_few_open_files(docker: Peer, forward: Callable[..., Forwarded], world: World) -> None:
    """Where the limit is too low for all they are served in turn, and a line says what to raise."""
    world.need_root()
    name = _home(docker)
    with _servers(docker, name):
        prlimit = [world.need_program("prlimit"), "--nofile=128:128"]
        few = Person([*prlimit, *COMMAND], {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, "")
        running = forward(docker, name, f":{ECHO}", caller=few)
        connections = [running.connect() for _ in range(60)]
        for each in connections:
            each.sendall(b"x")
        assert sum(bool(select.select([each], [], [], 0)[0]) for each in connections) < 60
        for each in connections:
            assert _exchange(each, b"y") == b"xy"
        said = running.end()
        assert said.count("\n") == 1 and "the limit of open files (128) allows; raise it" in said


def test_who_stalls_costs_no_memory(docker: Peer, forward: Callable[..., Forwarded], world: World) -> None:
    """What nobody reads inside is held back, and others are served meanwhile; who then goes away by force is let go of
    inside as well."""
    world.need_root()
    name = _home(docker)
    with _servers(docker, name):
        running = forward(docker, name, f":{SINK}", f":{ECHO}")
        assert _same(running.connect(1), 1)  # what is opened once, for good, is open from here on
        time.sleep(0.3)
        before = len(os.listdir(f"/proc/{running.process.pid}/fd"))
        connection = running.connect(0)
        connection.settimeout(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with connection, pytest.raises(TimeoutError):
            while True:
                connection.send(bytes(1 << 20))
        assert _same(running.connect(1), 1 << 20)
        assert memory(running.process.pid) < 40 << 20
        until(lambda: len(os.listdir(f"/proc/{running.process.pid}/fd")) <= before)


def _listening_inside(peer: Peer, name: str, path: str, mode: int, owner: int) -> socket.socket:
    """A server's Unix socket among the container's files."""
    made = socket.socket(socket.AF_UNIX)
    there = f"/proc/{peer.pid(name)}/root{path}"
    made.bind(there)
    os.chmod(there, mode)
    os.chown(there, owner, owner)
    made.listen(1)
    return made


def _answer(listener: socket.socket, times: int, callers: list[int]) -> None:
    """Echoes for so many clients, whose users it takes down."""
    for _ in range(times):
        connection, _ = listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        callers.append(struct.unpack("3i", credentials)[1])
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)


def test_unix_sockets_on_either_side(
    engine: Peer, forward: Callable[..., Forwarded], world: World, tmp_path: Path
) -> None:
    """Inside as the container's own user, whose rights count and whom the server sees; here for the owner alone, and
    gone at the end. More clients than the server's queue holds only wait."""
    world.need_root()
    name = _locked(engine, "static")
    before, here, callers = _state(engine, name), str(tmp_path / "app.sock"), list[int]()
    with (
        _listening_inside(engine, name, "/tmp/app.sock", 0o600, 65532) as server,
        _listening_inside(engine, name, "/tmp/root.sock", 0o600, 0),
    ):
        thread = threading.Thread(target=_answer, args=(server, 22, callers))
        thread.start()
        words = (f"{here}:/tmp/app.sock", ":/tmp/app.sock", ":/tmp/root.sock", ":/tmp/none.sock")
        running = forward(engine, name, *words, options=["-v"])
        assert running.lines[0] == f"{here} -> {name}:/tmp/app.sock"
        assert stat.S_IMODE(os.stat(here).st_mode) == 0o600
        assert _same(running.connect(0), 1 << 20)
        assert _same(running.connect(1), 1 << 20)
        several = [running.connect(0) for _ in range(20)]
        for number, each in enumerate(several):
            each.sendall(b"%d" % number)
            each.shutdown(socket.SHUT_WR)
        assert [_rest(each) for each in several] == [b"%d" % number for number in range(20)]
        for number in (2, 3):
            connection = running.connect(number)
            with connection, pytest.raises(ConnectionResetError):
                connection.recv(1)
        said = running.end()
        thread.join()
    assert set(callers) == {65532}
    assert "/tmp/root.sock: not connected: permission denied" in said
    assert "/tmp/none.sock: not connected: no such file or directory" in said
    assert not os.path.exists(here)
    for path in ("app", "root"):
        os.unlink(f"/proc/{engine.pid(name)}/root/tmp/{path}.sock")
    _settled(engine, name, before)


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_killed_in_the_middle(
    engine: Peer, forward: Callable[..., Forwarded], world: World, tmp_path: Path, via: str
) -> None:
    """KILL with connections open, one of which nobody inside will ever end: no process, no sidecar and no listener is
    left, and the next one takes the Unix socket's file over, which nobody listens at. One that is in use it leaves
    alone."""
    world.need_root()
    name, here = _locked(engine, "static"), str(tmp_path / "app.sock")
    before = _state(engine, name)
    sleeper = engine.run("static", "/busybox", "nc", "-ll", "-p", "8080", "-e", "/busybox", "sleep", "100000")
    for target in (name, sleeper):
        running = forward(engine, target, ":8080", f"{here}:8080", options=["--via", via])
        connections = [running.connect(0), running.connect(1)]
        if target == name:
            for each in connections:
                each.sendall(b"x")
                assert each.recv(1) == b"x"
        else:
            time.sleep(0.5)
        with pytest.raises(AssertionError, match="in use: name another path"):
            forward(engine, target, f"{here}:8080")
        running.end(signal.SIGKILL)
        for each in connections:
            each.close()
        assert _refused(running.places[0]) and os.path.exists(here)
        until(lambda: _sidecars(engine) == "")
    _settled(engine, name, before)
    until(lambda: not any(b"nc\0-w" in words for words in _processes(engine, sleeper)))
    forward(engine, name, f"{here}:8080").end()
    assert not os.path.exists(here)


@pytest.mark.parametrize("via", ["nsenter", "address", "exec"])
def test_a_container_that_stops_ends_it(
    engine: Peer, forward: Callable[..., Forwarded], world: World, via: str
) -> None:
    """At once, with 137 and a line, also where it is started anew; its connections are reset."""
    world.need_root()
    name = engine.run("static", "/busybox", "nc", "-ll", "-p", "8080", "-e", "/busybox", "cat")
    until(
        lambda: engine.sh("exec", name, "/busybox", "nc", "127.0.0.1", "8080", check=False, input=b"").returncode == 0,
        5,
    )
    running = forward(engine, name, ":8080", options=["--via", via])
    connection = running.connect()
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    engine.sh("restart", "-t", "0", name)
    said = running.said()
    assert running.process.returncode == 137
    assert said == _STOPPED.format(name) + "\n"
    with connection, contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    assert _sidecars(engine) == ""


def test_a_sidecar_that_is_removed_ends_it(docker: Peer, forward: Callable[..., Forwarded]) -> None:
    """While the container lives on: an error says so."""
    running = forward(docker, _locked(docker, "static"), ":8080", options=["--via", "exec"])
    docker.sh("rm", "-f", _sidecars(docker))
    assert "by which its ports were reached, is gone: start it again" in running.said()
    assert running.process.returncode == 125


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_well_when_told_to(docker: Peer, forward: Callable[..., Forwarded], number: int) -> None:
    """Ctrl-C and the like are how it ends: 0, with nothing to say, whatever is open."""
    running = forward(docker, _locked(docker, "static"), ":8080")
    with running.connect() as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        assert running.end(number) == ""
    assert running.process.returncode == 0


def test_what_is_open_to_others_is_said(docker: Peer, forward: Callable[..., Forwarded]) -> None:
    """One line, and only where it is wider than loopback."""
    name = _locked(docker, "static")
    running = forward(docker, name, "*::8080", "127.0.0.2::8080")
    assert running.places[0].startswith("0.0.0.0:") and running.places[1].startswith("127.0.0.2:")
    assert _same(running.connect(0), 10)
    wide = running.places[0]
    said = running.end()
    assert said == f"dockshell: {wide}: whoever can reach this machine there can reach {name}:8080\n"


def test_what_can_not_listen_is_said(docker: Peer, dockshell: Run, tmp_path: Path) -> None:
    """One sentence with the remedy, and nothing is printed that a script could take for a port."""
    name, there = _locked(docker, "static"), tmp_path / "there"
    there.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for word, said in (
            (f"{port}:8080", f"nothing can listen at 127.0.0.1:{port}: somebody listens there already: name another"),
            ("203.0.113.9:0:8080", "this machine has no such address"),
            ("nowhere.invalid:0:8080", "nothing can listen at nowhere.invalid:0: "),
            (f"{there}:8080", f"nothing can listen at {there}: it is there already, and in use: name another path"),
            (f"{tmp_path}/no/where:8080", "there is no such directory: make it first"),
        ):
            done = dockshell("forward", name, ":8080", word, engine=docker)
            assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (125, b"", 1)
            assert said.encode() in done.stderr
    assert there.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("web", "http"), 2, "'http' is not a forward: it takes [BIND:]PORT[:PORT], as in 8080:80"),
        (("web", "80", "--open"), 2, "--open comes too late: options stand before TARGET"),
        (("web",), 2, "usage: dockshell forward [OPTIONS] TARGET [BIND:]PORT[:PORT]..."),
        (("--via", "ssh", "{}", ":80"), 2, "--via takes auto, nsenter, address, exec here; not 'ssh'"),
        (("--via", "address", "{}", ":/run/x"), 125, "address: a Unix socket is at no address"),
        (("--via", "exec", "{}", ":/run/x"), 125, "exec: a Unix socket is out of a sidecar's reach: use sudo"),
        (("--via", "address", "{}", ":80"), 125, "address: it has no address of its own"),
        (("-u", "nobody-here", "{}", ":/run/x"), 125, "nobody-here"),
    ],
)
def test_bad_words(docker: Peer, dockshell: Run, words: tuple[str, ...], code: int, said: str) -> None:
    """One line with the remedy, before anything listens."""
    target = _locked(docker, "static")
    done = dockshell("forward", *(word.replace("{}", target) for word in words), engine=docker)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (code, b"", 1)
    assert said in done.stderr.decode()


def test_the_browser_is_opened(
    docker: Peer, forward: Callable[..., Forwarded], environment: dict[str, str], tmp_path: Path
) -> None:
    """--open: at the first port, by the one that BROWSER names, which has the caller's limit of open files and not our
    own; as root for somebody else, or with none, the URL is said."""
    name, seen = _locked(docker, "static"), tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1 $(ulimit -Sn)" >>{seen}\n')
    browser.chmod(0o755)
    few = Person(["prlimit", "--nofile=200:", *COMMAND], environment, "")
    spots = (f"{tmp_path}/s:8080", ":8080")
    running = forward(docker, name, *spots, options=["--open"], env={"BROWSER": str(browser)}, caller=few)
    until(seen.exists)
    assert until(seen.read_text) == f"http://{running.places[1]}/ 200\n"
    assert running.end() == ""
    seen.unlink()
    for env in ({}, {"BROWSER": str(browser), "SUDO_UID": "1000"}):
        running = forward(docker, name, "0.0.0.0:0:8080", options=["--open"], env=env)
        port = running.places[0].rpartition(":")[2]
        sentence = f"open http://127.0.0.1:{port}/ in a browser of yours: as root none is started\n".encode()
        assert running.process.stderr and any(line.endswith(sentence) for line in running.process.stderr)
        assert running.end() == ""
    assert not seen.exists()


def test_the_ways_are_completed(dockshell: Run) -> None:
    """--via offers those that lead to ports."""
    done = dockshell("__complete", "--", "dockshell", "forward", "--via", "")
    assert [line.split(b"\t")[0] for line in done.stdout.splitlines()] == [b"auto", b"nsenter", b"address", b"exec"]
