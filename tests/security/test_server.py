"""`dockshell serve` against the network and against holders of keys. Each test has a control, which shows that the
attack works where nothing guards against it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockshell.linux.namespaces import governs_network
from tests.conftest import COMMAND
from tests.contract.watching import children, end_all, processes, unique, until
from tests.world import Peer, World
from tests.world.serving import Serve, Server

_NO_ENGINE: Any = SimpleNamespace(url="unix:///nowhere/docker.sock")  # for what ends before a container is asked for


def _without(guard: str) -> list[str]:
    """What is run in place of `dockshell`: the same, once a guard has been taken out of it by this statement."""
    script = (
        "import sys; from dockshell.bridge import library; library.load();"
        f"{guard};"
        "from dockshell.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    return [sys.executable, "-P", "-c", script]


@contextlib.contextmanager
def _idle_connections(server: Server, address: str, count: int) -> Iterator[list[socket.socket]]:
    """So many connections from that address that say nothing; each that ends is begun anew at once."""
    held: list[socket.socket] = []
    over = threading.Event()

    def dial() -> socket.socket:
        made = socket.socket()
        made.bind((address, 0))
        made.connect(("127.0.0.1", server.port))
        return made

    def hold() -> None:
        while not over.wait(0.01):
            for each in list(held):
                each.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    ended = True
                    with contextlib.suppress(ConnectionError):
                        ended = not each.recv(100)
                    if ended:
                        each.close()
                        held.remove(each)
            while len(held) < count and not over.is_set():
                with contextlib.suppress(OSError):
                    held.append(dial())

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield held
    finally:
        over.set()
        thread.join()
        for each in held:
            each.close()


def _logins(server: Server, directory: Path, count: int, address: str, **options: Any) -> int:
    """How many of so many logins with a valid key succeed, two at a time, each tried once."""
    import asyncssh

    key = asyncssh.read_private_key(directory / "key")

    async def log_in() -> bool:
        try:
            async with asyncssh.connect(
                "127.0.0.1",
                server.port,
                username="any",
                client_keys=[key],
                known_hosts=None,
                config=None,
                local_addr=(address, 0),
                login_timeout=120,
                **options,
            ):
                return True
        except (asyncssh.Error, OSError):
            return False

    async def main() -> int:
        succeeded = 0
        for _ in range(count // 2):
            succeeded += sum(await asyncio.gather(log_in(), log_in()))
        return succeeded

    return asyncio.run(main())


_NEWCOMERS_GO = "from dockshell.bridge import reception; reception.victim = lambda *_: -1"


@pytest.mark.parametrize(
    ("guard", "least", "most"), [("", 0.95, 1.0), (_NEWCOMERS_GO, 0.0, 0.5)], ids=["attack", "control"]
)
def test_idle_connections_keep_nobody_out(
    serve: Serve, keys: Callable[..., Path], tmp_path: Path, guard: str, least: float, most: float
) -> None:
    """Somebody holds more connections than there are places, from one address, without ever logging in: at most one
    valid login of twenty from elsewhere fails. (Control: the newcomer is the one that is dropped, as by sshd.)"""
    command = _without(guard) if guard else ()
    with (
        serve(_NO_ENGINE, keys("{key}"), "--most", "20", command=command) as server,
        _idle_connections(server, "127.0.1.7", 30),
    ):
        until(lambda: any("too many" in each["why"] for each in server.journal("refusal")))
        count = 20 if not guard else 6
        assert least <= _logins(server, tmp_path, count, "127.0.0.1") / count <= most


def test_a_log_is_not_filled_by_refusals(serve: Serve, keys: Callable[..., Path]) -> None:
    """Hundreds of connections that are turned away at once write a bounded number of lines, and a later line says how
    many there were. (Control: by that count, most were turned away.)"""
    with serve(_NO_ENGINE, keys("{key}"), "--most", "1") as server:

        def knock(times: int) -> None:
            for _ in range(times):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", server.port), 60).close()

        def counted() -> int:
            return sum(1 + each.get("more", 0) for each in server.journal("refusal"))

        knock(400)
        assert len(server.journal("refusal")) < 200
        until(lambda: knock(1) or counted() > 300)


class _Raw:
    """A client that sends what it likes before anything is encrypted: RFC 4253, 6 and 7."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(b"SSH-2.0-raw\r\n")
        assert self._file.readline().startswith(b"SSH-2.0-")

    def send(self, payload: bytes) -> None:
        padding = 8 - (len(payload) + 5) % 8
        padding += 8 if padding < 4 else 0
        length = (len(payload) + padding + 1).to_bytes(4, "big")
        self._socket.sendall(length + bytes([padding]) + payload + bytes(padding))

    def receive(self) -> bytes:
        """The next message; empty where the connection has ended."""
        with contextlib.suppress(ConnectionError):
            head = self._file.read(5)
            if len(head) == 5:
                rest = self._file.read(int.from_bytes(head[:4], "big") - 1)
                return rest[: len(rest) - head[4]]
        return b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _lists(kexinit: bytes) -> list[list[str]]:
    """The ten lists of names of an SSH_MSG_KEXINIT (20), after its cookie of 16 bytes."""
    at, found = 17, []
    for _ in range(10):
        length = int.from_bytes(kexinit[at : at + 4], "big")
        found.append(kexinit[at + 4 : at + 4 + length].decode().split(","))
        at += 4 + length
    return found


_KEXINIT, _ECDH_INIT, _ECDH_REPLY, _DISCONNECT, _IGNORE = 20, 30, 31, 1, b"\x02" + _string(b"x")
_ATTACKS = {
    "ignored": _IGNORE,
    "extension": b"\x07" + (1).to_bytes(4, "big") + _string(b"server-sig-algs") + _string(b"ssh-rsa"),
    "service": b"\x05" + _string(b"ssh-userauth"),
    "login": b"\x32" + _string(b"root") + _string(b"ssh-connection") + _string(b"none"),
}


def _negotiated(server: Server, strict: bool, injected: bytes) -> int:
    """What comes back where that message is put between the first two of a key exchange: the type of the message, 0 for
    the end of the connection."""
    client = _Raw(server.port)
    try:
        assert client.receive()[0] == _KEXINIT
        methods = b"curve25519-sha256" + (b",kex-strict-c-v00@openssh.com" if strict else b"")
        names = [methods, b"ssh-ed25519", *[b"aes128-gcm@openssh.com"] * 2, *[b"hmac-sha2-256"] * 2, *[b"none"] * 2]
        lists = b"".join(map(_string, [*names, b"", b""]))
        client.send(bytes([_KEXINIT]) + bytes(16) + lists + bytes(5))
        client.send(injected)
        with contextlib.suppress(OSError):
            client.send(bytes([_ECDH_INIT]) + _string(b"\x09" + bytes(31)))
        return (client.receive() or b"\0")[0]
    finally:
        client.close()


def test_nothing_is_put_into_a_key_exchange(serve: Serve, keys: Callable[..., Path]) -> None:
    """Who sits in between injects a message before anything is encrypted (CVE-2023-48795), one of which asyncssh once
    took for the extensions (CVE-2023-46445) or the login (CVE-2023-46446) of the client: that ends the connection.
    (Control: a client that doesn't know strict key exchange may send one that is to be ignored.)"""
    with serve(_NO_ENGINE, keys("{key}")) as server:
        for message in _ATTACKS.values():
            assert _negotiated(server, True, message) in (0, _DISCONNECT)
        for name in ("extension", "service", "login"):
            assert _negotiated(server, False, _ATTACKS[name]) in (0, _DISCONNECT), name
        assert _negotiated(server, False, _IGNORE) == _ECDH_REPLY


def test_algorithms(serve: Serve, keys: Callable[..., Path]) -> None:
    """What is offered: no finite fields, by which a client that does little makes us do much (CVE-2002-20001), no SHA-1
    and no CBC."""
    with serve(_NO_ENGINE, keys("{key}")) as server:
        client = _Raw(server.port)
        methods, host_keys, ciphers, _, macs, *_ = _lists(client.receive())
        client.close()
    assert "kex-strict-s-v00@openssh.com" in methods and "curve25519-sha256" in methods
    known = ("curve25519-", "ecdh-sha2-nistp", "mlkem768x25519-", "kex-strict-s-", "ext-info-s")
    assert all(name.startswith(known) for name in methods)
    assert host_keys == ["ssh-ed25519"]
    assert all("-gcm@" in name or "-ctr" in name or name.startswith("chacha20-") for name in ciphers)
    assert all(name.startswith("hmac-sha2-") for name in macs)


@pytest.mark.parametrize(
    ("strict", "cipher", "let_in"),
    [
        (False, "chacha20-poly1305@openssh.com", False),
        (False, "aes128-ctr", False),
        (False, "aes128-gcm@openssh.com", True),
        (True, "chacha20-poly1305@openssh.com", True),
    ],
)
def test_what_can_be_truncated_is_refused(
    serve: Serve,
    keys: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
    cipher: str,
    let_in: bool,
) -> None:
    """A client without strict key exchange gets in by AES-GCM, with which CVE-2023-48795 doesn't work, and by nothing
    else. (Control: with strict key exchange, by ChaCha20 too.)"""
    import asyncssh

    if not strict:
        monkeypatch.setattr(
            asyncssh.connection.SSHClientConnection, "_get_extra_kex_algs", lambda self: [b"ext-info-c"]
        )
    with serve(_NO_ENGINE, keys("{key}")) as server:
        assert _logins(server, tmp_path, 2, "127.0.0.1", encryption_algs=[cipher]) == (2 if let_in else 0)


def test_capabilities_of_another_user_namespace_give_no_port(world: World) -> None:
    """Whoever is root in a user namespace has NET_BIND_SERVICE, but not in a network that isn't that namespace's own.
    (Control: in one that is.)"""
    world.need_root()
    unshare = world.need_program("unshare")
    for words, governs in ((["--user", "--map-root-user"], False), (["--user", "--map-root-user", "--net"], True)):
        process = subprocess.Popen([unshare, *words, "sh", "-c", "echo in; exec sleep 60"], stdout=subprocess.PIPE)
        with process:
            assert process.stdout and process.stdout.readline() == b"in\n"
            assert governs_network(process.pid) is governs
            process.kill()


def _server_of(client: _Raw, server: Server) -> int:
    """The process that serves that connection, the first one: after the steward and the admission."""
    return until(lambda: children(server.process.pid)[2:])[0]


def _holds(pid: int, secret: bytes) -> bool:
    """Are those bytes anywhere in that process's memory?"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(word, 16) for word in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(first)
                    if secret in memory.read(last - first):
                        return True
    return False


def test_who_reads_before_login_has_no_rights(
    world: World, serve: Serve, keys: Callable[..., Path], environment: dict[str, str]
) -> None:
    """The process that speaks with the network is nobody, without a capability, an own file, a network or the host key,
    before it reads a byte. (Control: the process that forks it has all of them, and the one that signs has the key.)"""
    world.need_root()
    with serve(_NO_ENGINE, keys("{key}")) as server:
        client = _Raw(server.port)
        pid = _server_of(client, server)
        until(lambda: _status(pid)["Seccomp"] == "2")
        theirs, ours = _status(pid), _status(server.process.pid)
        assert theirs["Uid"].split() == theirs["Gid"].split() == ["65534"] * 4 and not theirs["Groups"]
        assert ours["Uid"].split() == ["0"] * 4
        assert {theirs[name].strip("0") for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {""}
        assert (theirs["NoNewPrivs"], theirs["Seccomp"]) == ("1", "2") and ours["NoNewPrivs"] == "0"
        assert os.listdir(f"/proc/{pid}/root") == [] and os.listdir(f"/proc/{server.process.pid}/root")
        for kind in ("mnt", "net", "ipc", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/{server.process.pid}/ns/{kind}")
        held = {os.readlink(f"/proc/{pid}/fd/{number}").partition(":")[0] for number in os.listdir(f"/proc/{pid}/fd")}
        assert held <= {"/dev/null", "socket", "pipe", "anon_inode"}
        path = Path(environment["HOME"], ".local/share/dockshell/host_ed25519")
        secret = base64.b64decode("".join(path.read_text().splitlines()[1:-1]))[161:193]
        admission = children(server.process.pid)[1]
        assert not _holds(pid, secret) and not _holds(server.process.pid, secret) and _holds(admission, secret)
        client.close()


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# What somebody does who has taken over the process that speaks SSH, told to the client in place of a key exchange.
_TAKEN_OVER = """
import json, os, socket, sys
from dockshell.bridge import library
library.load()
from dockshell.bridge import reception
from dockshell.engines.json import encode
from dockshell.linux import passing
from dockshell.linux.libc import syscall

def attack(source, sink, gate, peer):
    def ask(*words):
        gate._channel.settimeout(20)
        gate._channel.send(encode([each.decode("latin-1") for each in words]))
        return passing.receive(gate._channel)

    def open_to_all():
        os.fork() or os._exit(0)
        return "a process of its own"

    tries = {
        "read": lambda: open("/etc/passwd").read(10),
        "write": lambda: open(MARK, "w").write("x"),
        "engine": lambda: socket.socket(socket.AF_UNIX).bind(MARK + ".sock"),
        "network": lambda: socket.create_connection(("127.0.0.1", PORT)).fileno(),
        "fork": open_to_all,
        "execute": lambda: os.fork() or os.execv("/bin/true", ["true"]),
        "signal": lambda: os.kill(os.getppid(), 0),
        "trace": lambda: open(f"/proc/{os.getppid()}/mem", "rb").fileno(),
        "rights": lambda: os.setresuid(0, 0, 0),
        "limits": lambda: __import__("resource").setrlimit(4, (1, 1)),
    }
    done = {}
    for name, act in tries.items():
        try:
            act()
            done[name] = True
        except Exception as error:
            done[name] = False
    asked = {
        "unsigned": (b"in", REQUEST, SIGNATURE),
        "errand": (b"command", b"web"),
    }
    if CHANNEL:
        for name, words in asked.items():
            try:
                content, given = ask(*words)
                done[name] = bool(given)
            except Exception:
                done[name] = False
    os.write(sink, json.dumps(done).encode() + b"\\n")
    os._exit(0)

reception.serve = attack
GUARD
from dockshell.cli import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("guarded", [True, False], ids=["attack", "control"])
def test_who_takes_over_a_server_before_login_gets_nothing(
    world: World, serve: Serve, keys: Callable[..., Path], tmp_path: Path, guarded: bool
) -> None:
    """Code of somebody else's in the process that reads what the network sends can't open, start, signal or reach
    anything, and isn't let in by a login that nobody signed for that session. (Control: the same without the
    confinement.)"""
    world.need_root()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        guard = "" if guarded else "reception.confine = lambda *_: None"
        values = {
            "MARK": str(tmp_path / "mark"),
            "PORT": listener.getsockname()[1],
            "CHANNEL": guarded,
            "REQUEST": b"\x32" + b"".join(map(_string, (b"web", b"ssh-connection", b"publickey"))),
            "SIGNATURE": _string(b"ssh-ed25519") + _string(bytes(64)),
        }
        script = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        script += _TAKEN_OVER.replace("GUARD", guard)
        with (
            serve(_NO_ENGINE, keys("{key}"), command=[sys.executable, "-P", "-c", script]) as server,
            socket.create_connection(("127.0.0.1", server.port), 60) as client,
            client.makefile() as told,
        ):
            done = json.loads(told.readline())
        assert set(done.values()) == {not guarded}, done
        assert os.path.exists(tmp_path / "mark") is not guarded


_LIES = """
import sys
from dockshell.bridge import library
library.load()
from dockshell.bridge import steward
from dockshell.bridge.errand import Errand
real = steward.Steward.send

def send(self, errand, given):
    lie = Errand("command", target=OTHER, user="root", line=b"hostname; id -un; echo forged >&2")
    forged = real(self, lie, [])
    forged.setblocking(True)
    forged.recv(1000)
    return real(self, lie, given)

steward.Steward.send = send
GUARD
from dockshell.cli import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("guarded", [True, False], ids=["attack", "control"])
def test_who_takes_over_a_server_after_login_gets_what_the_line_says(
    docker: Peer, serve: Serve, keys: Callable[..., Path], guarded: bool
) -> None:
    """It asks for root in another container, whatever the client asked for, and once gives no descriptors along, so
    that the command would write to serve's own stderr: what is done is what the key's line says, and nothing there.
    (Control: where it is believed, it gets all that.)"""
    mine, other = docker.shared("busybox"), docker.run("busybox")
    guard = "from dockshell.bridge import errands; errands._check = lambda *_: None"
    guard = "" if guarded else f"{guard}; steward.permitted = lambda errand, allowed: errand"
    script = f"OTHER = {other!r}\n" + _LIES.replace("GUARD", guard)
    line = f'container="{mine}",user="app",command="echo only; id -un" {{key}}'
    with serve(docker, keys(line), command=[sys.executable, "-P", "-c", script]) as server:
        said = server.ssh(mine, "true").stdout.decode().split()
        assert server.process.stderr
        os.set_blocking(server.process.stderr.fileno(), False)
        assert (b"forged" in (server.process.stderr.read() or b"")) is not guarded
    assert said == (["only", "app"] if guarded else [docker.ask("exec", other, "hostname"), "root"])


_NONSENSE = """
import os, sys
from dockshell.bridge import library
library.load()
from dockshell.bridge import reception, steward
from dockshell.linux import passing

MESSAGES = [
    b"x", b"[]", b"{}", b"[1]", b"null", b'["sign"]', b'["sign", 1]', b'["in", "a"]', b'["in", 1, 2]', b'["knows"]',
    b'["began", {}]', b'["refused"]', b'["refused", 1, [], 3]', b"[" * 50000, b"\\xff" * 100, b"x" * 150000,
]
real_serve, real_send = reception.serve, steward.Steward.send

def serve(source, sink, gate, peer):
    first = os.read(source, 1)
    if first < b"A":
        given = os.pipe() if int(first) % 2 else ()
        for message in MESSAGES[int(first)::10]:
            passing.send(gate._channel, message, given)
        os._exit(0)
    os.write(sink, b"real\\r\\n")
    real_serve(source, sink, gate, peer)

def send(self, errand, given):
    for message in MESSAGES:
        for descriptors in ((), os.pipe(), [0] * 8):
            passing.send(self._channel, message, descriptors)
    return real_send(self, errand, given)

reception.serve, steward.Steward.send = serve, send
from dockshell.cli import run
sys.exit(run(sys.argv[1:]))
"""


def test_nonsense_of_a_server_harms_nobody_else(
    docker: Peer, serve: Serve, keys: Callable[..., Path], tmp_path: Path
) -> None:
    """Whatever a server that was taken over sends to those who decide and enter, with whatever descriptors, they go on
    for others. (Control: it did send that, since its own connection has ended.)"""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}"), command=[sys.executable, "-P", "-c", _NONSENSE]) as server:
        for number in range(10):
            with socket.create_connection(("127.0.0.1", server.port), 60, ("127.0.0.2", 0)) as client:
                client.sendall(b"%d" % number)
                with contextlib.suppress(ConnectionError):
                    assert client.recv(100) == b""
        until(lambda: len(server.journal("disconnect")) == 10)

        async def main() -> str:
            with socket.create_connection(("127.0.0.1", server.port), 60) as client:
                client.sendall(b"A")
                assert client.recv(6) == b"real\r\n"
                client.setblocking(False)
                async with server.client(name, sock=client) as connection:
                    return str((await connection.run("echo fine")).stdout)

        assert asyncio.run(main()) == "fine\n"
        assert server.process.poll() is None


def test_serve_does_not_begin_with_rights_that_stay(
    world: World, environment: dict[str, str], keys: Callable[..., Path]
) -> None:
    """In a user namespace without nobody, root's rights can't be given up: that is said, and nothing listens. (Control:
    where there is nobody, it begins, as in all other tests.)"""
    world.need_root()
    argv = [world.need_program("unshare"), "--user", "--map-root-user", *COMMAND, "serve", "--listen", "127.0.0.1:0"]
    env = {**environment, "DOCKER_HOST": _NO_ENGINE.url}
    argv += ["--authorized-keys", str(keys("{key}"))]
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, check=False, timeout=60)
    assert done.returncode == 125 and b"can't become nobody" in done.stderr and b"listening" not in done.stderr


def test_serve_ends_with_its_steward(serve: Serve, keys: Callable[..., Path]) -> None:
    """Where the process is gone that enters containers, or the one that decides who may, nobody is turned away for
    ever: serve ends with a sentence, for whoever runs it to start it anew. (Control: until then it goes on.)"""
    for place in (0, 1):
        with serve(_NO_ENGINE, keys("{key}")) as server:
            client = _Raw(server.port)
            assert client.receive()[0] == _KEXINIT and server.process.poll() is None
            os.kill(children(server.process.pid)[place], signal.SIGKILL)
            assert server.process.wait(60) == 125
            assert server.process.stderr and b"start serve again" in server.process.stderr.peek()
            client.close()


_PATIENT = "from dockshell.bridge import errands, sockets; sockets._LONGEST = 600.0"


@pytest.mark.parametrize("guarded", [True, False], ids=["attack", "control"])
def test_names_that_nobody_knows_keep_no_process(
    docker: Peer, serve: Serve, keys: Callable[..., Path], tmp_path: Path, guarded: bool
) -> None:
    """A container names a server that says nothing and twenty thousand domains, and its client asks for a hundred
    connections and goes: a few at a time are made, and all of that is gone with the client, however long a name would
    take. (Control: where nobody watches who asked, the processes wait on.)"""
    name = docker.run("busybox")
    domains = " ".join(f"d{number}.test" for number in range(20_000))
    text = f"nameserver 192.0.2.1\nsearch {domains}\noptions timeout:5 attempts:5\n"
    docker.sh("exec", "-i", name, "sh", "-c", "cat > /etc/resolv.conf", input=text.encode())
    guard = _PATIENT if guarded else f"{_PATIENT}; errands._watch = lambda *_: None"
    with serve(docker, keys("{key}"), command=_without(guard)) as server:
        steward = children(server.process.pid)[0]

        async def main() -> None:
            async with server.client(name) as connection:
                asked = [asyncio.ensure_future(connection.open_connection("lost", 1)) for _ in range(100)]
                while not children(steward):
                    await asyncio.sleep(0.05)
                assert len(children(steward)) <= 8
                connection.abort()
                await asyncio.gather(*asked, return_exceptions=True)

        asyncio.run(main())
        until(lambda: server.journal("disconnect"))
        if guarded:
            until(lambda: not children(steward))
        else:
            left = children(steward)
            with pytest.raises(AssertionError):
                until(lambda: not children(steward), seconds=1)
            for pid in left:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("most", "runs"), [(8, 4), (60, 9)], ids=["attack", "control"])
def test_one_key_has_its_share_of_sessions(
    docker: Peer, serve: Serve, keys: Callable[..., Path], tmp_path: Path, most: int, runs: int
) -> None:
    """Whoever opens sessions without end, over several connections, gets half of them; another key has the rest; and
    more than three quarters are in no container. (Control: with room for all of them they all run.)"""
    name, another = docker.shared("busybox"), docker.run("busybox")
    with serve(docker, keys("{key}", "{other}"), "--sessions", str(most)) as server:
        steward = children(server.process.pid)[0]

        async def sessions(stack: contextlib.AsyncExitStack, name: str, count: int, key: str = "key") -> list[str]:
            """What each of so many in one connection says first."""
            connection = await stack.enter_async_context(server.client(name, key))
            begun = [await connection.create_process("echo in; exec cat") for _ in range(count)]
            return [await each.stdout.readline() or await each.stderr.read() for each in begun]

        async def main() -> None:
            async with contextlib.AsyncExitStack() as stack:
                said = [line for _ in range(3) for line in await sessions(stack, name, 3)]
                assert said.count("in\n") == runs == len(children(steward))
                assert all(line == "in\n" or "with one key are enough" in line for line in said)
                if most == 8:
                    said = await sessions(stack, name, 3, "other")
                    assert said.count("in\n") == 2 and "too many sessions and forwards in" in "".join(said)
                    said = await sessions(stack, another, 3, "other")
                    assert said.count("in\n") == 2 and "with one key are enough" in "".join(said)

        asyncio.run(main())
        until(lambda: not children(steward))


@pytest.mark.parametrize("guarded", [True, False], ids=["attack", "control"])
def test_a_connection_has_its_share_of_memory(
    docker: Peer, serve: Serve, keys: Callable[..., Path], tmp_path: Path, guarded: bool
) -> None:
    """Whoever begins many commands that don't read, and sends as much to each as may be on its way, is ended before
    that fills the memory; others go on. (Control: where nobody weighs it, it stays.)"""
    name = docker.shared("busybox")
    guard = f"from dockshell.commands import serve as verb; verb.total = lambda: {3 * (24 << 20)}"
    guard += "" if guarded else "; from dockshell.bridge import reception; reception.memory.heaviest = lambda *_: 0"
    with serve(docker, keys("{key}", "{other}"), "--sessions", "60", command=_without(guard)) as server:
        import asyncssh

        async def main() -> bool:
            async with server.client(name, "other") as quiet, server.client(name) as greedy:
                with contextlib.suppress(asyncssh.Error, ConnectionError):
                    for _ in range(25):
                        idle = await greedy.create_process("exec sleep 1000", encoding=None)
                        idle.stdin.write(bytes(3 << 20))
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(greedy.wait_closed(), 30 if guarded else 2)
                assert (await quiet.run("echo fine")).stdout == "fine\n"
                return bool(greedy.is_closed())

        assert asyncio.run(main()) is guarded
        if guarded:
            until(lambda: any("memory" in each["why"] for each in server.journal("refusal")))


@pytest.mark.parametrize("guarded", [True, False], ids=["attack", "control"])
def test_who_is_killed_for_their_memory_leaves_nothing(
    docker: Peer, serve: Serve, keys: Callable[..., Path], world: World, guarded: bool
) -> None:
    """A session is one process of ours, which is killed where it takes too much: then what it ran ends, and what that
    has started, though it ignores HUP and TERM. (Control: without the steward's part, that stays.)"""
    world.need_root()
    guard = "from dockshell.bridge import steward; steward.sessions.end_orphans = lambda *_: None"
    number, inner = unique(), unique()
    script = f"trap '' HUP TERM; sleep {inner} & echo in; exec sleep {number}"
    with serve(docker, keys("{key}"), command=None if guarded else _without(guard)) as server:
        steward = children(server.process.pid)[0]

        async def main() -> None:
            async with server.client(docker.shared("busybox")) as connection:
                process = await connection.create_process(script)
                assert await process.stdout.readline() == "in\n"
                [errand] = children(steward)
                until(lambda: processes(number) == children(errand))
                os.kill(errand, signal.SIGKILL)
                await process.wait()

        asyncio.run(main())
        until(lambda: not processes(number))
        if guarded:
            until(lambda: not processes(inner) and not children(steward))
        else:
            until(lambda: not children(steward))
            assert processes(inner)
            end_all(inner)


def test_a_signal_for_who_is_frozen(docker: Peer, serve: Serve, keys: Callable[..., Path], world: World) -> None:
    """Ends the session, and the command as it goes on; one that goes on in time gets just the signal."""
    world.need_root()
    name, number = docker.run("busybox"), unique()
    with serve(docker, keys("{key}")) as server:

        async def main() -> None:
            async with server.client(name) as connection:
                hears = await connection.create_process("trap 'echo heard' TERM; echo in; while :; do sleep 0.1; done")
                frozen = await connection.create_process(f"trap '' TERM; echo in; sleep {number}; :")
                assert await hears.stdout.readline() == await frozen.stdout.readline() == "in\n"
                docker.sh("pause", name)
                try:
                    frozen.send_signal("TERM")
                    assert (await asyncio.wait_for(frozen.wait(), 30)).exit_signal[0] == "TERM"
                finally:
                    docker.sh("unpause", name)
                hears.send_signal("TERM")
                assert await asyncio.wait_for(hears.stdout.readline(), 30) == "heard\n"
                await asyncio.sleep(1.5)
                hears.send_signal("TERM")
                assert await asyncio.wait_for(hears.stdout.readline(), 30) == "heard\n"

        asyncio.run(main())
        until(lambda: not processes(number))
