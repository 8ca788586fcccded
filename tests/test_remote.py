"""Engines elsewhere: over TCP, over TLS, through ssh. Each promise is kept on every way to an engine, with real daemons
and a real sshd."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

from dockshell.engines import containers, dial
from dockshell.engines.docker import DockerEngine
from dockshell.engines.sdk import SdkApi
from dockshell.engines.where import Tls
from dockshell.errors import EngineError
from dockshell.model import Size, Target
from tests.busy import slowdown
from tests.conftest import COMMAND
from tests.contract.watching import end_all, leads, processes, unique, until
from tests.world import World
from tests.world.images import IMAGES
from tests.world.remote import Remote, certificates, over_ssh, over_tcp, over_tls, over_unix

WAYS = ("unix", "podman", "tcp", "tls", "ssh")
_MAKERS: dict[str, Callable[[World, str], Remote]] = {
    "unix": lambda world, directory: over_unix(world.docker),
    "podman": lambda world, directory: over_unix(world.podman),
    "tcp": over_tcp,
    "tls": over_tls,
    "ssh": over_ssh,
}


@pytest.fixture(scope="module")
def remotes(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Remote]]:
    """remotes(way): the engine that is reached that way, with a container that runs; made at its first use."""
    made: dict[str, Remote] = {}

    def get(way: str) -> Remote:
        if way not in made:
            made[way] = _MAKERS[way](world, str(tmp_path_factory.mktemp(way)))
        return made[way]

    yield get
    for remote in made.values():
        remote.close()


@pytest.fixture(scope="module", params=WAYS)
def remote(request: pytest.FixtureRequest, remotes: Callable[[str], Remote]) -> Remote:
    """Each way to an engine."""
    return remotes(request.param)


@pytest.fixture
def api(remote: Remote) -> Iterator[SdkApi]:
    """The API, that way."""
    made = SdkApi(remote.address, remote.tls)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tls(remotes: Callable[[str], Remote]) -> Remote:
    return remotes("tls")


@pytest.fixture(scope="module")
def ssh(remotes: Callable[[str], Remote]) -> Remote:
    return remotes("ssh")


def _start(
    api: SdkApi, container: str, *argv: str, terminal: bool = False, env: tuple[str, ...] = ()
) -> tuple[str, dial.Connection]:
    attached = dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), True)
    body = {"Cmd": list(argv), "Tty": terminal, "Env": list(env), **attached}
    number = api.exec_create(container, body)
    return number, api.exec_start(number, terminal=terminal)


def _drive(stream: dial.Connection, data: bytes = b"", *, end: bool = True, until: bytes = b"") -> bytes:
    """Polls the stream as a session does: sends data, then (end) that there is no more, and reads to the end, or up to
    `until`."""
    received = bytearray()
    ending = time.monotonic() + 60
    view = memoryview(data)
    if not data and end:
        stream.shutdown(socket.SHUT_WR)
    while not (until and until in received):
        assert time.monotonic() < ending, f"nothing more came after {bytes(received[-200:])!r}"
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLIN | (select.POLLOUT if view else 0))
        for _, events in poll.poll(1000):
            if events & select.POLLOUT and view:
                view = view[stream.send(view[: 1 << 16]) :]
                if not view and end:
                    stream.shutdown(socket.SHUT_WR)
            if events & ~select.POLLOUT:
                piece = stream.recv(1 << 16)
                if not piece:
                    return bytes(received)
                received += piece
    return bytes(received)


def _streams(framed: bytes) -> dict[int, bytes]:
    """Undoes the 8-byte headers: stream → its bytes."""
    found: dict[int, bytes] = {}
    while framed:
        length = int.from_bytes(framed[4:8], "big")
        found[framed[0]] = found.get(framed[0], b"") + framed[8 : 8 + length]
        framed = framed[8 + length :]
    return found


def _exit_code(api: SdkApi, number: str) -> int:
    until = time.monotonic() + 60
    while (facts := api.exec_inspect(number))["Running"] and time.monotonic() < until:
        time.sleep(0.02)
    return int(facts["ExitCode"])


def test_the_engine_says_what_it_is(api: SdkApi, remote: Remote) -> None:
    """Podman's service is told from Docker by what it says of itself, and a version of the API is found that it
    speaks."""
    assert api.server() == remote.kind
    assert api.local is remote.address.startswith("unix:")


def test_containers_are_found(api: SdkApi, remote: Remote) -> None:
    """A container is listed, inspected and found by name, by the beginning of its id, and as the newest; filters and
    limits count."""
    engine = DockerEngine(api)
    [found] = engine.find(Target("name", remote.container))
    assert (found.name, found.state) == (remote.container, "running")
    assert engine.find(Target("name", found.id[:16])) == [found]
    assert remote.container in [each.name for each in engine.all()]
    assert api.inspect(found.id)["Id"] == found.id
    assert len(api.containers(limit=1, filters={"status": ["running"]})) == 1
    assert api.containers(everything=True, filters={"label": ["no-such-label"]}) == []


def test_what_is_not_there_is_a_404(api: SdkApi) -> None:
    """A name that fits nothing is an EngineError with the status, and one printable line."""
    with pytest.raises(EngineError) as caught:
        api.inspect("no-such-container")
    assert caught.value.status == 404
    assert str(caught.value).isprintable()


def test_streams_stay_apart_and_the_exit_code_comes(api: SdkApi, remote: Remote) -> None:
    """Without a terminal stdout and stderr arrive each as its own, and the exit code is the command's."""
    number, stream = _start(api, remote.container, "sh", "-c", 'echo "$A"; echo err >&2; exit 7', env=("A=two  words",))
    with stream:
        assert _streams(_drive(stream)) == {1: b"two  words\n", 2: b"err\n"}
    assert _exit_code(api, number) == 7


def test_end_of_input_reaches_the_command_and_output_still_comes(api: SdkApi, remote: Remote) -> None:
    """Shutting down one direction is the command's end of file; what it writes after that arrives."""
    number, stream = _start(api, remote.container, "sh", "-c", "wc -c; sleep 0.5; echo after; exit 3")
    with stream:
        assert _streams(_drive(stream, b"12345")) == {1: b"5\nafter\n"}
    assert _exit_code(api, number) == 3


def test_ten_megabytes_go_each_way_at_once(api: SdkApi, remote: Remote) -> None:
    """Any bytes pass unchanged in both directions, with the end of input amidst what comes back."""
    data = os.urandom(10 << 20)
    _, stream = _start(api, remote.container, "cat")
    with stream:
        back = _streams(_drive(stream, data))
    assert hashlib.sha256(back[1]).digest() == hashlib.sha256(data).digest()


def test_nothing_is_lost_at_the_beginning(api: SdkApi, remote: Remote) -> None:
    """A command that writes at once is heard from its first byte, though that may travel with the answer's head."""
    for turn in range(4 if remote.address.startswith("ssh") else 15):
        _, stream = _start(api, remote.container, "echo", str(turn))
        with stream:
            assert _streams(_drive(stream, end=False)) == {1: b"%d\n" % turn}


def test_a_stream_neither_blocks_nor_hides_bytes(api: SdkApi, remote: Remote) -> None:
    """recv() with nothing there raises instead of waiting; small reads leave the rest for poll() to see."""
    _, stream = _start(api, remote.container, "sh", "-c", "read x; echo 0123456789")
    with stream:
        with pytest.raises(BlockingIOError):
            stream.recv(1)
        stream.send(b"\n")
        taken = b""
        while len(taken) < 8 + 11:
            assert select.select([stream], [], [], 60)[0], f"poll() saw nothing after {taken!r}"
            taken += stream.recv(1)
        assert taken.endswith(b"0123456789\n")


def test_a_command_that_does_not_read_makes_us_wait_not_fail(api: SdkApi, remote: Remote) -> None:
    """What nobody reads is held back: send() takes no more after some time, in bounded memory, and the stream still
    closes."""
    _, stream = _start(api, remote.container, "sleep", "30")
    sent, chunk = 0, bytes(1 << 16)
    with stream:
        while select.select([], [stream], [], 1.0)[1]:
            sent += stream.send(chunk)
            assert sent < 100 << 20, "no end to what is taken"


def test_a_terminal_has_the_size_it_is_given(api: SdkApi, remote: Remote) -> None:
    """With a terminal bytes come bare, it is a terminal inside, and its size is what resize said."""
    number, stream = _start(api, remote.container, "sh", "-c", "test -t 0 && read x; stty size", terminal=True)
    with stream:
        api.exec_resize(number, Size(132, 43))
        stream.send(b"go\n")
        assert b"43 132" in _drive(stream, end=False)
    assert _exit_code(api, number) == 0


def test_an_idle_stream_outlives_every_limit(remote: Remote) -> None:
    """The patience for answers doesn't count for a session: one that is silent for longer goes on."""
    api = SdkApi(remote.address, remote.tls, patience=3)
    _, stream = _start(api, remote.container, "sh", "-c", "sleep 4.5; echo late; cat")
    with stream:
        assert _streams(_drive(stream, b"still here\n")) == {1: b"late\nstill here\n"}
    api.close()


def test_a_detached_command_runs_on(api: SdkApi, remote: Remote) -> None:
    """exec_detached returns at once, and the command does its work."""
    mark = f"/tmp/{os.urandom(4).hex()}"
    api.exec_detached(api.exec_create(remote.container, {"Cmd": ["sh", "-c", f"sleep 0.2; echo done > {mark}"]}))
    until = time.monotonic() + 60
    while not (found := api.archive(remote.container, mark, 1 << 16)):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert b"done\n" in found


def test_files_come_from_afar(api: SdkApi, remote: Remote) -> None:
    """The container's files are read through the engine: whole, cut at a limit, or not at all."""
    engine = DockerEngine(api)
    [container] = engine.find(Target("name", remote.container))
    if remote.address.startswith("unix:"):
        assert api.archive(container.id, "/etc/passwd", 1 << 20)
    else:
        assert (engine.files(container).read("/etc/passwd") or b"").startswith(b"root:")
        assert engine.files(container).executable("/bin/busybox")
    assert len(api.archive(container.id, "/bin/busybox", 5000) or b"") == 5000
    assert api.archive(container.id, "/no/such/file", 5000) is None
    assert api.inspect(container.id)["Id"] == container.id, "a cut archive leaves the next request alone"


def test_an_exec_that_is_gone_is_an_error(api: SdkApi) -> None:
    """Starting what isn't there is an EngineError with a status, and no connection is left open."""
    with pytest.raises(EngineError) as caught:
        api.exec_start("f" * 64, terminal=False)
    assert caught.value.status in (404, 500)


def test_an_image_becomes_a_container_and_both_go(world: World) -> None:
    """What the demonstration does: import, create, start, remove; on the engine's socket."""
    api = SdkApi(world.docker.url)
    name = f"dsh-import-{os.getpid()}"
    api.import_image(IMAGES["busybox"].layers(world.scratch, print)[0], f"{name}:one", ['CMD ["sleep", "100"]'])
    try:
        container = containers.create(api, {"Image": f"{name}:one"}, name)
        containers.start(api, container)
        assert api.inspect(name)["State"]["Running"]
    finally:
        containers.remove(api, name)
        containers.remove_image(api, f"{name}:one")
        api.close()
    assert world.docker.sh("inspect", name, check=False).returncode != 0


def test_dockshell_runs_a_command_there(
    remote: Remote, dockshell: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    """The whole program, with -H: input, both outputs and the exit code, by the engine's exec where the engine is
    elsewhere."""
    words = (
        "exec",
        "--via",
        "exec",
        "-H",
        remote.address,
        remote.container,
        "--",
        "sh",
        "-c",
        "cat; echo err >&2; exit 4",
    )
    done = dockshell(*words, input=b"in\0put", env=remote.environment)
    assert (done.stdout, done.stderr, done.returncode) == (b"in\0put", b"err\n", 4)


@pytest.mark.parametrize("remote", ["tcp", "tls", "ssh"], indirect=True)
def test_signals_and_death_reach_a_command_there(remote: Remote, environment: dict[str, str]) -> None:
    """TERM reaches the command, and a KILL of dockshell ends its session, though no process there is ours to see; what
    made itself a session of its own lives on."""
    number, daemon = unique(), unique()
    script = f"trap 'echo caught' TERM; setsid sleep {daemon} & sleep {number} & echo begun; while :; do wait; done"
    words = ["exec", "-H", remote.address, remote.container, "--", "sh", "-c", script]
    env = {**environment, **remote.environment}
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        try:
            assert process.stdout and process.stderr
            assert process.stdout.readline() == b"begun\n", process.stderr.read()
            process.terminate()
            assert process.stdout.readline() == b"caught\n"
            until(lambda: leads(daemon))
            process.kill()
            process.wait(60)
            until(lambda: not processes(number))
            assert processes(daemon)
        finally:
            process.kill()
            end_all(number)
            end_all(daemon)


def _handshakes(world: World, remote: Remote) -> int:
    """How many connections the sshd there has taken, by the kernel's own count (proc_net_snmp(5), PassiveOpens)."""
    lines = world.docker.ask("exec", remote.host, "grep", "^Tcp:", "/proc/net/snmp").splitlines()
    return int(dict(zip(lines[0].split(), lines[1].split(), strict=True))["PassiveOpens"])


@pytest.fixture
def runtime() -> Iterator[str]:
    """A directory of our own in the place of /run/user/UID, where connections are shared."""
    with tempfile.TemporaryDirectory() as directory:
        yield directory


def _shared(runtime: str) -> list[str]:
    """What is in there, and the processes that listen there."""
    found = os.listdir(runtime)
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            if f"ControlPath={runtime}/".encode() in (words := file.read()) and b"ControlMaster=yes" in words:
                found.append(name)
    return found


Run = Callable[..., subprocess.CompletedProcess[bytes]]


def test_a_command_there_takes_one_handshake(world: World, ssh: Remote, dockshell: Run, runtime: str) -> None:
    """All that it wants of the engine, and an sshd in a container there, goes by one connection; nothing is left."""
    web, env = world.docker.shared("baseimage"), {**ssh.environment, "XDG_RUNTIME_DIR": runtime}
    for via, container in (("exec", ssh.container), ("ssh", web)):
        before = _handshakes(world, ssh)
        done = dockshell("exec", "--via", via, "-H", ssh.address, container, "echo", "in", env=env)
        assert done.stdout == b"in\n", done.stderr
        # The key is let in and taken out by a process that may outlive us, with a connection of its own.
        assert _handshakes(world, ssh) - before == (2 if via == "ssh" else 1)
    until(lambda: not _shared(runtime))


def test_many_there_are_asked_at_once(world: World, ssh: Remote, dockshell: Run) -> None:
    """`ls -v`: each process that asks has a connection of its own, and what it opened ends with it."""
    names = {world.docker.run("busybox") for _ in range(4)}
    done = dockshell("ls", "-v", "--json", env={"DOCKER_HOST": ssh.address, **ssh.environment}, timeout=120)
    rows = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0 and names <= rows.keys()
    for name in names:
        assert rows[name]["shell"] == "sh" and rows[name]["routes"]["exec"] == {"open": True, "reason": ""}
        assert "another machine" in rows[name]["routes"]["nsenter"]["reason"]


def test_an_sshd_there_is_reached_through_its_host(world: World, ssh: Remote, dockshell: Run) -> None:
    """By the container's address, which the host reaches and we need not; by what is published on the host's own
    loopback; and the insecure key where it stands."""
    web = world.docker.baseimage()
    ask = ("sh", "-c", "echo ${SSH_CONNECTION%% *}; id -un")
    done = dockshell("exec", "-v", "--via", "ssh", "-H", ssh.address, web, *ask, env=ssh.environment)
    host = world.docker.inspect(ssh.host)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert done.stdout.decode().split() == [host, "root"], done.stderr
    assert world.docker.ask("exec", web, "sh", "-c", "cat /root/.ssh/authorized_keys").count("ssh-") == 1
    shell = dockshell("-v", "-H", ssh.address, web, input=b"echo ${SSH_CONNECTION%% *}\n", env=ssh.environment)
    assert host.encode() in shell.stdout and b"ssh: taken" in shell.stderr


def test_a_killed_command_leaves_no_connection(ssh: Remote, environment: dict[str, str], runtime: str) -> None:
    """KILL ends the shared connection too, and its directory, which only we may look into, goes."""
    words = ["exec", "-H", ssh.address, ssh.container, "--", "sh", "-c", "echo begun; exec sleep 60"]
    env = {**environment, **ssh.environment, "XDG_RUNTIME_DIR": runtime}
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        directory, _ = _shared(runtime)
        assert os.stat(os.path.join(runtime, directory)).st_mode & 0o777 == 0o700
        process.kill()
    until(lambda: not _shared(runtime))


def test_who_shares_connections_already_is_left_alone(
    ssh: Remote, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ControlPath in the person's own configuration is used as ssh uses it, and none of ours is made."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    api = SdkApi("ssh://sharing")
    try:
        assert api.server() == "docker"
        assert not _shared(runtime)
        subprocess.run(["ssh", "-O", "check", "sharing"], check=True, capture_output=True)
    finally:
        api.close()
        subprocess.run(["ssh", "-O", "exit", "sharing"], check=False, capture_output=True)


# What goes wrong.


def test_a_port_where_nobody_listens_is_said_at_once() -> None:
    """One sentence with the address and the remedy, in no time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = time.monotonic()
    with pytest.raises(EngineError, match=rf"no engine answers at tcp://127.0.0.1:{port} .*-H"):
        SdkApi(f"tcp://127.0.0.1:{port}").server()
    assert time.monotonic() - before < 2 * slowdown()


@pytest.mark.parametrize("address", ["tcp://there:99999", "tcp://there:port", "tcp://:2375", "tcp://[::1"])
def test_an_address_that_is_none_is_said(address: str) -> None:
    """What can't be a host and a port is refused before anything is connected."""
    with pytest.raises(EngineError, match="is no engine's address: tcp://HOST:PORT is one"):
        SdkApi(address).server()


def test_an_engine_may_have_an_address_of_version_6() -> None:
    """Square brackets around a host are understood."""
    with pytest.raises(EngineError, match=r"no engine answers at tcp://\[::1\]:1 "):
        SdkApi("tcp://[::1]:1").server()


def test_a_host_that_swallows_everything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting ends after its limit with a sentence that says so."""
    monkeypatch.setattr("dockshell.engines.sdk._CONNECTING", 0.5)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        before = time.monotonic()
        with pytest.raises(EngineError, match="did not answer in time"):
            SdkApi(f"tcp://127.0.0.1:{full.getsockname()[1]}").server()
        assert time.monotonic() - before < 5 * slowdown()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "nothing came for 1 seconds"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "does not speak Docker's API"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "does not speak Docker's API"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n\x1b[31mbusy", r"refused: .*\\x1b\[31mbusy"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer"),
    ],
)
def test_what_is_no_engine_is_said_so(answer: bytes, sentence: str) -> None:
    """A server that is silent, or speaks something else, is an EngineError in one printable line."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        pid = os.fork()
        if not pid:
            connection, _ = server.accept()
            connection.recv(4096)
            if answer:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
            time.sleep(30)
            os._exit(0)
        api = SdkApi(f"tcp://127.0.0.1:{server.getsockname()[1]}", patience=1)
        try:
            with pytest.raises(EngineError, match=sentence) as caught:
                api.server()
        finally:
            api.close()
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    assert str(caught.value).isprintable()


def test_the_web_s_proxies_and_passwords_are_not_an_engine_s(
    remotes: Callable[[str], Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY and ~/.netrc change nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    api = SdkApi(remotes("tcp").address)
    assert api.server() == "docker"
    assert api.client.trust_env is False
    api.close()


def test_a_certificate_of_another_authority_is_refused(tls: Remote, tmp_path: os.PathLike[str]) -> None:
    """An engine whose certificate another authority signed is not spoken to."""
    other = certificates(str(tmp_path))
    assert tls.tls
    with pytest.raises(EngineError, match=r"can't be trusted .*check ca\.pem"):
        SdkApi(tls.address, Tls(other.ca, tls.tls.cert, tls.tls.key)).server()


def test_a_certificate_for_another_name_is_refused(tls: Remote) -> None:
    """The certificate is for 127.0.0.1, so it is none for localhost; without verification it will do."""
    address = tls.address.replace("127.0.0.1", "localhost")
    assert tls.tls
    with pytest.raises(EngineError, match="can't be trusted"):
        SdkApi(address, tls.tls).server()
    lenient = SdkApi(address, Tls(tls.tls.ca, tls.tls.cert, tls.tls.key, verify=False))
    assert lenient.server() == "docker"
    lenient.close()


def test_an_engine_that_takes_no_strangers_is_said_so(tls: Remote) -> None:
    """Without a certificate of ours the engine refuses, and the sentence says that it was TLS."""
    assert tls.tls
    api = SdkApi(tls.address, Tls(tls.tls.ca))
    with pytest.raises(EngineError, match=r"TLS.*certificate"):
        api.server()
    api.close()


def test_tls_is_not_spoken_to_one_who_speaks_none(remotes: Callable[[str], Remote], tls: Remote) -> None:
    """TLS to a plain port, and plain to a TLS port, are errors with a sentence, not hangs."""
    with pytest.raises(EngineError, match="no TLS with the engine"):
        SdkApi(remotes("tcp").address, tls.tls).server()
    plain = SdkApi(tls.address)
    with pytest.raises(EngineError, match="refused"):
        plain.server()
    plain.close()


@pytest.mark.parametrize("files", [("nowhere.pem", "", ""), ("", "nowhere.pem", "nowhere.pem")])
def test_certificates_that_are_not_there_are_named(tls: Remote, files: tuple[str, str, str]) -> None:
    """A missing file is an error that names it."""
    with pytest.raises(EngineError, match=r"certificates for TLS can't be used .*nowhere\.pem"):
        SdkApi(tls.address, Tls(*files)).server()


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("stranger", "Host key verification failed"),
        ("impostor", "Host key verification failed"),
        ("locked-out", "Permission denied"),
        ("engine/no/such.sock", "over there .* ended with 1, .*such.sock"),
        ("nobody-there", "Connection refused"),
    ],
)
def test_ssh_that_fails_tells_why(ssh: Remote, host: str, sentence: str) -> None:
    """An unknown host key is refused, never taken in silence, a changed one too; what ssh or the other end said is in
    the sentence."""
    api = SdkApi(f"ssh://{host}")
    before = time.monotonic()
    with pytest.raises(EngineError, match=sentence) as caught:
        api.server()
    assert time.monotonic() - before < 8 * slowdown()
    assert str(caught.value).isprintable()
    api.close()


def test_tls_by_options(tls: Remote, dockshell: Callable[..., subprocess.CompletedProcess[bytes]]) -> None:
    """`--tlsverify` with the three files, as docker's own client has it, before the verb or behind it; without them the
    certificate isn't trusted."""
    assert tls.tls
    files = ["--tlscacert", tls.tls.ca, "--tlscert", tls.tls.cert, f"--tlskey={tls.tls.key}"]
    host = ["-H", tls.address]
    for words in (["--tlsverify", *files, *host, "exec"], [*host, "exec", "--tls", *files]):
        done = dockshell(*words, tls.container, "echo", "hi")
        assert (done.returncode, done.stdout) == (0, b"hi\n"), words
    done = dockshell(*host, "--tlsverify", "exec", tls.container, "true")
    assert done.returncode == 125 and b"certificate that can't be trusted" in done.stderr


def test_ssh_reaches_an_engine_s_socket_elsewhere(ssh: Remote) -> None:
    """A path in the address is the socket's over there."""
    api = SdkApi(f"{ssh.address}/other/engine.sock")
    assert api.server() == "docker"
    api.close()


def test_without_an_ssh_program_that_is_said(ssh: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ssh on the PATH is an error with its remedy."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EngineError, match="not installed: install it"):
        SdkApi(ssh.address).server()
