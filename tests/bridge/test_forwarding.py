"""What ssh forwards into a container and out of it, with nothing inside that would take part."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockshell.ssh.listening import parse_table
from tests.bridge.conftest import Way
from tests.contract.watching import until
from tests.world import World


@contextlib.contextmanager
def _forwarding(way: Way, name: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`ssh -N` with these options, once it is connected."""
    marker = ["-o", "ExitOnForwardFailure=yes", "-v", "-N", *options, f"{name}.dockshell"]
    process = way.started(*marker)
    try:
        assert process.stderr
        awaited = {b"Entering interactive session": 1, b"remote forward success": options.count("-R")}
        while any(count > 0 for count in awaited.values()) and (line := process.stderr.readline()):
            for words in awaited:
                awaited[words] -= words in line
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield process
    finally:
        # More than once: ssh looks for a signal before it waits, and may miss one that comes in between.
        until(lambda: process.send_signal(signal.SIGTERM) or process.poll() is not None or time.sleep(0.2))
        drain.join(60)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _echo(way: Way, name: str, port: int) -> None:
    """A server inside, on its loopback, that answers with what it gets, as often as it is asked."""
    pid = way.peer.pid(name)
    # Ours, for busybox's nc knows no address to listen on; it joins no namespace but the network's.
    script = f"""
import os, socket, sys, threading
os.close(1)
listener = socket.create_server(("127.0.0.1", {port}), backlog=1024)
def serve(connection):
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""
    argv = ["nsenter", "--net", "--target", str(pid), sys.executable, "-c", script]
    server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    _servers.append(server)
    assert server.stdout and server.stdout.read() == b""


_servers: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _end_servers() -> Iterator[None]:
    yield
    while _servers:
        server = _servers.pop()
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()


def _exchange(address: tuple[str, int] | str, content: bytes) -> bytes:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(60)
        connection.connect(address)
        sender = threading.Thread(target=lambda: (connection.sendall(content), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
        sender.join()
        return received


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_local(ways: object, engine: str) -> None:
    """-L leads to the container's own loopback, which nothing is published of; half a connection may end first."""
    way: Way = ways(engine, "root")  # type: ignore[operator]
    name = way.peer.run("static")
    _echo(way, name, 7001)
    port = _free_port()
    with _forwarding(way, name, "-L", f"{port}:localhost:7001"):
        content = os.urandom(3_000_000)
        assert _exchange(("127.0.0.1", port), content) == content
        assert _exchange(("127.0.0.1", port), b"again") == b"again"


def test_local_without_root(ways: object) -> None:
    """Without root a program inside carries it, where one is there."""
    way: Way = ways("docker", "group")  # type: ignore[operator]
    name = way.peer.run("busybox")
    _echo(way, name, 7002)
    port = _free_port()
    with _forwarding(way, name, "-L", f"{port}:127.0.0.1:7002"):
        assert _exchange(("127.0.0.1", port), b"carried") == b"carried"


def test_local_without_root_by_bash(ways: object) -> None:
    """… where that is bash, which can't end half of a connection, but all of it."""
    way: Way = ways("docker", "group")  # type: ignore[operator]
    name = way.peer.kept("workshop", lambda: way.peer.run("workshop"))
    _echo(way, name, 7009)
    port = _free_port()
    with _forwarding(way, name, "-L", f"{port}:127.0.0.1:7009"):
        for content in (b"by bash", b"again"):
            with socket.create_connection(("127.0.0.1", port), 20) as connection:
                connection.sendall(content)
                assert connection.recv(100) == content


def test_names_are_the_container_s(rooted: Way) -> None:
    """A host's name means what it means in there: by its own hosts file."""
    name = rooted.peer.run("busybox", options=["--add-host", "elsewhere:127.0.0.1"])
    _echo(rooted, name, 7003)
    port = _free_port()
    with _forwarding(rooted, name, "-L", f"{port}:elsewhere:7003"):
        assert _exchange(("127.0.0.1", port), b"by name") == b"by name"


def test_names_by_the_engine_s_dns(rooted: Way) -> None:
    """… and by the server that its resolv.conf names, as Docker's own on a network where containers have names."""
    network = f"dsh-{os.getpid()}-dns"
    rooted.peer.sh("network", "create", network)
    try:
        name = rooted.peer.run("busybox", options=["--network", network, "--network-alias", "thedb"])
        _echo_everywhere(rooted, name, 7004)
        port = _free_port()
        with _forwarding(rooted, name, "-L", f"{port}:thedb:7004"):
            assert _exchange(("127.0.0.1", port), b"by dns") == b"by dns"
        rooted.peer.sh("rm", "-f", name)
    finally:
        rooted.peer.sh("network", "rm", network)


def _echo_everywhere(way: Way, name: str, port: int) -> None:
    way.peer.sh("exec", "-d", name, "nc", "-ll", "-p", str(port), "-e", "cat")
    until(lambda: b"LISTEN" in way.peer.sh("exec", name, "netstat", "-ltn").stdout)


# A name server on 127.0.0.1 that knows the names of argv[1], address by name, and writes down what it is asked for; a
# name without an address has none, and one that isn't there doesn't exist. And a server of port 7020 that says at which
# address it was reached.
_NAME_SERVER = """
import json, os, socket, sys, threading
import dns.message, dns.rcode, dns.rrset
known, log = json.loads(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
listener = socket.create_server(("0.0.0.0", 7020))
os.close(1)
def greet():
    while True:
        connection, _ = listener.accept()
        connection.sendall(connection.getsockname()[0].encode())
        connection.close()
threading.Thread(target=greet, daemon=True).start()
while True:
    packet, client = server.recvfrom(4096)
    query = dns.message.from_wire(packet)
    name, kind = query.question[0].name.to_text(), query.question[0].rdtype
    os.write(log, f"{name}\\n".encode())
    answer = dns.message.make_response(query)
    if known.get(name) and kind == 1:
        answer.answer.append(dns.rrset.from_text(name, 1, "IN", "A", known[name]))
    answer.set_rcode(dns.rcode.NOERROR if name in known else dns.rcode.NXDOMAIN)
    server.sendto(answer.to_wire(), client)
"""
_KNOWN = {
    "db.one.test.": "127.0.0.11",
    "db.two.test.": "127.0.0.12",
    "db.sub.": "127.0.0.13",
    "db.sub.two.test.": "127.0.0.14",
    "web.one.test.": "",
    "web.two.test.": "127.0.0.15",
}


@contextlib.contextmanager
def _named(way: Way, name: str, log: Path) -> Iterator[None]:
    """The name server, in that container's network."""
    argv = ["nsenter", "--net", "--target", str(way.peer.pid(name)), sys.executable, "-c", _NAME_SERVER]
    with subprocess.Popen([*argv, json.dumps(_KNOWN), str(log)], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout and server.stdout.read() == b""
            yield
        finally:
            server.kill()


def test_names_as_resolv_conf_has_them(rooted: Way, tmp_path: Path) -> None:
    """The last search line counts, ndots says what is asked for first, a dot at the end makes a name absolute, and a
    name that has no address somewhere is looked for further on: resolv.conf(5)."""
    name, log = rooted.peer.run("busybox"), tmp_path / "asked"
    search = "nameserver 127.0.0.1\nsearch one.test\nsearch nowhere.test two.test\n"
    cases = [
        (search, "db", "127.0.0.12", ["db.nowhere.test.", "db.two.test."]),
        (search, "db.sub", "127.0.0.13", ["db.sub."]),
        (search + "options ndots:2\n", "db.sub", "127.0.0.14", ["db.sub.nowhere.test.", "db.sub.two.test."]),
        (search, "db.one.test.", "127.0.0.11", ["db.one.test."]),
        (search + "domain one.test\n", "db", "127.0.0.11", ["db.one.test."]),
        ("search one.test two.test\n", "web", "127.0.0.15", ["web.one.test.", "web.one.test.", "web.two.test."]),
    ]
    with _named(rooted, name, log):
        for text, host, address, names in cases:
            log.write_bytes(b"")
            rooted.peer.sh("exec", "-i", name, "sh", "-c", "cat > /etc/resolv.conf", input=text.encode())
            done = rooted.ssh(name, options=["-W", f"{host}:7020"])
            assert done.stdout.decode() == address, (text, host, done.stderr)
            assert log.read_text().split() == names, (text, host)


def test_a_resolv_conf_that_means_harm(rooted: Way, tmp_path: Path) -> None:
    """Twenty thousand domains are not all asked for, and servers that say nothing are given up; then nothing of ours
    goes on."""
    name, log = rooted.peer.run("busybox"), tmp_path / "asked"
    domains = " ".join(f"d{number}.test" for number in range(20_000))
    with _named(rooted, name, log):
        for servers, why in (("127.0.0.1", b"no such name"), ("192.0.2.1", b"don't answer")):
            text = f"nameserver {servers}\nsearch {domains}\noptions timeout:1 attempts:1\n"
            rooted.peer.sh("exec", "-i", name, "sh", "-c", "cat > /etc/resolv.conf", input=text.encode())
            done = rooted.ssh(name, options=["-v", "-W", "lost:7020"])
            assert done.returncode == 255 and why in done.stderr, done.stderr
    assert len(log.read_text().split()) == 33


def test_refused_is_refused(rooted: Way) -> None:
    """Where nothing listens the connection ends, and the others go on."""
    name = rooted.peer.run("static")
    _echo(rooted, name, 7005)
    dead, live = _free_port(), _free_port()
    with _forwarding(rooted, name, "-L", f"{dead}:localhost:1", "-L", f"{live}:localhost:7005"):
        with contextlib.suppress(ConnectionError):
            assert _exchange(("127.0.0.1", dead), b"") == b""
        assert _exchange(("127.0.0.1", live), b"alive") == b"alive"


def test_dynamic(each_rooted: Way) -> None:
    """-D: a SOCKS proxy into the container's network."""
    name = each_rooted.peer.run("static")
    _echo(each_rooted, name, 7006)
    port = _free_port()
    with (
        _forwarding(each_rooted, name, "-D", str(port)),
        socket.create_connection(("127.0.0.1", port), 10) as connection,
    ):
        connection.sendall(b"\x05\x01\x00")
        assert connection.recv(2) == b"\x05\x00"
        connection.sendall(b"\x05\x01\x00\x01" + bytes((127, 0, 0, 1)) + (7006).to_bytes(2, "big"))
        assert connection.recv(10)[:2] == b"\x05\x00"
        connection.sendall(b"socks")
        assert connection.recv(10) == b"socks"


def _listens(way: Way, name: str, port: int) -> bool:
    """Does anybody in there?"""
    lines = Path(f"/proc/{way.peer.pid(name)}/net/tcp").read_text().splitlines()
    return port in dict(parse_table(lines))


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_remote(ways: object, engine: str) -> None:
    """-R listens on the container's loopback; what comes there reaches us; with the client it goes."""
    way: Way = ways(engine, "root")  # type: ignore[operator]
    name = way.peer.run("busybox")
    with socket.create_server(("127.0.0.1", 0)) as ours:
        ours.settimeout(60)
        port = ours.getsockname()[1]
        with (
            _forwarding(way, name, "-R", f"7007:127.0.0.1:{port}"),
            subprocess.Popen(
                [*way.peer.cli, "exec", "-i", name, "nc", "127.0.0.1", "7007"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **way.peer.env},
            ) as inside,
        ):
            connection, _ = ours.accept()
            with connection:
                connection.sendall(b"from outside\n")
                assert inside.stdout and inside.stdout.readline() == b"from outside\n"
            inside.kill()
        until(lambda: not _listens(way, name, 7007))


def test_remote_without_root_is_refused(ways: object) -> None:
    """Nobody can listen in there for somebody without root, and that is said, not passed over."""
    way: Way = ways("docker", "group")  # type: ignore[operator]
    options = ["-o", "ExitOnForwardFailure=yes", "-R", "7008:localhost:1"]
    done = way.ssh(way.peer.shared("busybox"), "sleep 10", options=options)
    assert done.returncode == 255 and b"remote port forwarding failed" in done.stderr


def test_low_ports_take_a_capability(rooted: Way) -> None:
    """Whoever logs in as somebody else may not listen where the kernel lets nobody without NET_BIND_SERVICE; nor may
    root, where root inside has not got it either."""
    fixed = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"]
    name = rooted.peer.run("busybox", options=fixed)
    options = ["-v", "-o", "ExitOnForwardFailure=yes", "-R", "81:localhost:1"]
    assert rooted.ssh(f"app@{name}", "sleep 60", options=options).returncode == 255
    assert b"remote forward success" in rooted.ssh(f"root@{name}", "sleep 1", options=options).stderr
    bare = rooted.peer.run("busybox", options=[*fixed, "--cap-drop", "NET_BIND_SERVICE"])
    done = rooted.ssh(f"root@{bare}", "sleep 60", options=options)
    assert done.returncode == 255 and b"NET_BIND_SERVICE" in done.stderr


def test_unix_sockets(each_rooted: Way, tmp_path: Path) -> None:
    """Both ways, as the user inside: with their rights, and theirs to see."""
    name = each_rooted.peer.run("busybox")
    ours = str(tmp_path / "ours")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(ours)
        listener.listen()
        listener.settimeout(60)
        options = ["-R", f"/tmp/in.sock:{ours}", "-L", f"{tmp_path}/loop:/tmp/in.sock"]
        with _forwarding(each_rooted, f"app@{name}", *options):
            kind = each_rooted.peer.ask("exec", name, "stat", "-c", "%F %U %a", "/tmp/in.sock")
            assert kind == "socket app 600"
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(str(tmp_path / "loop"))  # in, and out again
                client.sendall(b"round")
                connection, _ = listener.accept()
                with connection:
                    assert connection.recv(10) == b"round"
    until(lambda: each_rooted.peer.sh("exec", name, "test", "-e", "/tmp/in.sock", check=False).returncode)


def test_unix_sockets_of_others_stay_closed(rooted: Way, tmp_path: Path) -> None:
    """What the user may not connect to, they don't get to by us."""
    name = rooted.peer.run("busybox")
    roots = _forwarding(rooted, f"root@{name}", "-R", "/tmp/roots.sock:/nowhere")
    mine = _forwarding(rooted, f"app@{name}", "-L", f"{tmp_path}/mine:/tmp/roots.sock")
    with roots:
        with mine, contextlib.suppress(ConnectionError):
            assert _exchange(str(tmp_path / "mine"), b"") == b""
        path = rooted.peer.ask("exec", name, "stat", "-c", "%U", "/tmp/roots.sock")
        assert path == "root"


def test_agent(each_rooted: Way, world: World, tmp_path: Path) -> None:
    """-A: the client's agent, at a socket inside that is its user's alone, gone with the connection."""
    key, path = str(tmp_path / "key"), str(tmp_path / "agent")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "carried", "-f", key], check=True)
    with subprocess.Popen([world.need_program("ssh-agent"), "-D", "-a", path], stdout=subprocess.DEVNULL) as agent:
        try:
            until(lambda: os.path.exists(path))
            env = {**each_rooted.environment, "SSH_AUTH_SOCK": path}
            subprocess.run(["ssh-add", "-q", key], env=env, check=True)
            name = each_rooted.peer.shared("baseimage")
            argv = each_rooted.argv(
                "ssh", "-A", f"app@{name}.dockshell", "ssh-add -l; stat -c '%U %a' $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK"
            )
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)
            listed, mode, inside = done.stdout.splitlines()
            assert "carried (ED25519)" in listed and mode == "app 600", done
            until(lambda: each_rooted.peer.sh("exec", name, "test", "-e", inside, check=False).returncode)
        finally:
            agent.terminate()
