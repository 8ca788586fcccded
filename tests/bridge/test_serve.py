"""`dockshell serve`: containers by SSH for people without an account here, by the keys that are let in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockshell.linux import limits
from tests.contract.watching import children, processes, unique, until
from tests.world import Peer, World
from tests.world.person import Person
from tests.world.serving import Serve, Server

_NOBODY, _STRANGER = 65534, 64017


def test_who_has_a_key_gets_in(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """The name is the container's; the exit code comes back; each step is in the journal, without the command."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}")) as server:
        done = server.ssh(name, "id -un; exit 6")
        assert (done.returncode, done.stdout) == (6, b"root\n"), done.stderr
        until(lambda: server.journal("disconnect"))
        events = server.journal()
    assert [each["event"] for each in events] == ["listening", "login", "session", "end", "disconnect"]
    login, session, end = events[1:4]
    assert login["target"] == name and login["key"].startswith("SHA256:") and login["comment"] == "the key"
    assert login["peer"].startswith("127.0.0.1:") and session["kind"] == "exec" and end["code"] == 6
    assert "id -un" not in json.dumps(events)


def test_keys_are_exchanged_again(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """As often as the client likes, long after the process that speaks SSH has given up all that it could read a key
    with."""
    with serve(docker, keys("{key}")) as server:
        size = 300_000
        done = server.ssh(docker.shared("busybox"), f"head -c {size} /dev/zero", options=["-o", "RekeyLimit=20K"])
        assert done.returncode == 0 and len(done.stdout) == size


def test_forwards(docker: Peer, serve: Serve, keys: Callable[..., Path], tmp_path: Path) -> None:
    """Both ways, by TCP and by Unix sockets, and the agent: by a process that can make no socket of its own."""
    name = docker.shared("busybox")

    async def echo(reader: Any, writer: Any) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def main(server: Server) -> None:
        agent = await asyncio.start_unix_server(echo, str(tmp_path / "agent"))
        options = {"agent_path": str(tmp_path / "agent"), "agent_forwarding": True}
        async with agent, server.client(name, **options) as connection:
            process = await connection.create_process("echo $SSH_AUTH_SOCK; cat")
            socket_inside = (await process.stdout.readline()).strip()
            port = await connection.start_server(lambda *_: echo, "127.0.0.1", 0, encoding=None)
            await connection.start_unix_server(lambda: echo, f"/tmp/{unique()}", encoding=None)
            opened = [
                await connection.open_unix_connection(socket_inside, encoding=None),
                await connection.open_connection("127.0.0.1", port.get_port(), encoding=None),
            ]
            for reader, writer in opened:  # in, and out again
                writer.write(b"round")
                assert await reader.read(100) == b"round"
                writer.close()

    with serve(docker, keys("{key}")) as server:
        asyncio.run(asyncio.wait_for(main(server), 120))


def test_podman_too(podman: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """… and a file by scp's protocol."""
    with serve(podman, keys("{key}")) as server:
        assert server.ssh(podman.shared("busybox"), "echo in").stdout == b"in\n"


def test_nobody_else_gets_in(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """Another key, none at all, a password: refused, and told in the journal."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}")) as server:
        done = server.ssh(name, "echo in", key="other")
        assert (done.returncode, done.stdout) == (255, b"") and b"Permission denied (publickey)" in done.stderr
        refusal = until(lambda: server.journal("refusal"))[0]
        assert refusal["target"] == name and "key" in refusal["why"]
        assert not server.journal("login")


@pytest.mark.parametrize(
    ("option", "target", "let"),
    [
        ('container="{name}"', "{name}", True),
        ('container="{name}"', "{id}", True),
        ('container="other-*,dsh-*"', "{name}", True),
        ('container="dsh-*,!{name}"', "{name}", False),
        ('container="other"', "{name}", False),
        ('container="other"', "{id}", False),
        ('container="other"', "@latest", False),
        ('container="*"', "kernel://pid:{pid}", False),
        ("", "kernel://pid:{pid}", False),
        ('from="10.0.0.0/8"', "{name}", False),
        ('from="127.0.0.0/8"', "{name}", True),
        ('expiry-time="20200101"', "{name}", False),
        ('containers="{name}"', "{name}", False),
    ],
)
def test_a_key_leads_where_its_line_says(
    docker: Peer, serve: Serve, keys: Callable[..., Path], option: str, target: str, let: bool
) -> None:
    """By the container's name, whatever words were typed for it; an option that isn't known makes the key worthless."""
    name = docker.shared("busybox")
    facts = {"name": name, "id": docker.inspect(name)["Id"][:12], "pid": str(docker.pid(name))}
    line = option.format(**facts)
    with serve(docker, keys(f"{line} {{key}}".strip())) as server:
        done = server.ssh(target.format(**facts), "echo in")
        assert (done.stdout == b"in\n") is let, done.stderr
        assert (done.returncode == 0) is let


def test_a_key_s_user(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """user= says who they are inside."""
    with serve(docker, keys('user="app" {key}')) as server:
        assert server.ssh(docker.shared("busybox"), "id -un").stdout == b"app\n"


def test_a_key_s_command(docker: Peer, serve: Serve, keys: Callable[..., Path], tmp_path: Path) -> None:
    """command= is all that runs, whatever was asked for, files included; what was asked for is in
    SSH_ORIGINAL_COMMAND."""
    name = docker.shared("busybox")
    with serve(docker, keys('command="echo \\"only: $SSH_ORIGINAL_COMMAND\\"" {key}')) as server:
        assert server.ssh(name, "cat /etc/passwd").stdout == b"only: cat /etc/passwd\n"
        assert server.ssh(name).stdout == b"only: \n"
        assert server.ssh(name, "sftp", options=["-s"]).stdout == b"only: \n"


def test_a_key_without_forwarding(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """no-forwarding: neither in nor out."""
    name = docker.shared("busybox")
    with serve(docker, keys("no-forwarding {key}")) as server:
        done = server.ssh(name, "sleep 10", options=["-o", "ExitOnForwardFailure=yes", "-R", "7100:localhost:1"])
        assert done.returncode == 255
        done = server.ssh(name, options=["-v", "-o", "LogLevel=VERBOSE", "-W", "localhost:1"])
        assert done.returncode == 255 and b"forwards nothing" in done.stderr


def test_keys_are_read_anew(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """A key that is taken out of the file no longer gets in."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}")) as server:
        assert server.ssh(name, "echo in").stdout == b"in\n"
        keys("{other}")
        assert server.ssh(name, "echo in").returncode == 255
        assert server.ssh(name, "echo in", key="other").stdout == b"in\n"


def test_beyond_loopback_only_with_keys(docker: Peer, dockshell: Callable[..., Any]) -> None:
    """An address that others reach takes --authorized-keys."""
    for address in ("0.0.0.0:0", "[::]:0"):
        done = dockshell("serve", "--listen", address, engine=docker)
        assert done.returncode == 2 and b"--authorized-keys" in done.stderr


def test_keys_that_others_may_change(docker: Peer, dockshell: Callable[..., Any], keys: Callable[..., Path]) -> None:
    """A file of keys that others may write is none to go by."""
    path = keys("{key}")
    path.chmod(0o666)
    done = dockshell("serve", "--listen", "127.0.0.1:0", "--authorized-keys", str(path), engine=docker)
    assert done.returncode in (2, 125) and b"others" in done.stderr


def test_limits(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """More connections than --most are turned away, and those that are in go on."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}"), "--most", "2") as server:
        pipe = subprocess.PIPE
        inside = [
            subprocess.Popen(server.argv(name, "echo in; cat"), stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(2)
        ]
        for process in inside:
            assert process.stdout and process.stdout.readline() == b"in\n"
        assert server.ssh(name, "true").returncode == 255
        assert "too many" in server.journal("refusal")[0]["why"]
        for process in inside:
            assert process.communicate(b"still", timeout=60)[0] == b"still"
        until(lambda: len(server.journal("disconnect")) == 2)
        until(lambda: server.ssh(name, "echo again").stdout == b"again\n")


def test_a_rate_for_each_address(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """Who fails to log in again and again is no longer listened to for a while."""
    with serve(docker, keys("{key}")) as server:

        def refused() -> bool:
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                for _ in range(10):  # at once, for each second forgives some of them
                    connection = socket.create_connection(("127.0.0.1", server.port), 60)
                    stack.enter_context(connection).sendall(b"SSH-2.0-knock\r\n")
            return any("this address" in each["why"] for each in server.journal("refusal"))

        until(refused)


def test_one_does_not_take_another_down(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """A connection's process that is killed takes its own command along, and no other."""
    name = docker.shared("busybox")
    word = unique()
    with serve(docker, keys("{key}")) as server:
        pipe = subprocess.PIPE
        first = subprocess.Popen(server.argv(name, f"echo in; sleep {word}"), stdin=pipe, stdout=pipe, stderr=pipe)
        assert first.stdout and first.stdout.readline() == b"in\n"
        before = set(children(server.process.pid))
        second = subprocess.Popen(server.argv(name, "echo in; cat"), stdin=pipe, stdout=pipe, stderr=pipe)
        assert second.stdout and second.stdout.readline() == b"in\n"
        newest = set(children(server.process.pid)) - before
        for pid in before:
            with contextlib.suppress(ProcessLookupError):
                if _serves(pid, first):
                    os.kill(pid, signal.SIGKILL)
        first.communicate(timeout=60)
        assert newest
        until(lambda: not processes(f"sleep\0{word}"))
        assert second.communicate(b"alive", timeout=60)[0] == b"alive"


def _serves(pid: int, client: subprocess.Popen[bytes]) -> bool:
    """Does that process hold a connection? (The steward holds none.)"""
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{number}").startswith("anon_inode:[eventpoll]"):
                return True
    return False


def test_the_end_of_the_server_ends_all(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """TERM: connections end, and what they ran."""
    name = docker.shared("busybox")
    word = unique()
    with serve(docker, keys("{key}")) as server:
        pipe = subprocess.PIPE
        client = subprocess.Popen(server.argv(name, f"echo in; sleep {word}"), stdin=pipe, stdout=pipe, stderr=pipe)
        assert client.stdout and client.stdout.readline() == b"in\n"
        server.process.terminate()
        server.process.wait(60)
        client.communicate(timeout=60)
        until(lambda: not processes(f"sleep\0{word}"))


def test_fifty_at_once(docker: Peer, serve: Serve, keys: Callable[..., Path]) -> None:
    """Each gets its own answer."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}"), "--most", "200", "--sessions", "200") as server:
        pipe = subprocess.PIPE
        running = [
            subprocess.Popen(server.argv(name, f"echo {number}; cat"), stdin=pipe, stdout=pipe, stderr=pipe)
            for number in range(50)
        ]
        answers = [process.communicate(b"in", timeout=120) for process in running]
    assert [answer[0] for answer in answers] == [b"%d\nin" % number for number in range(50)], answers


@pytest.fixture
def stranger(member: Person) -> Iterator[Person]:
    """The member of the engine's group under a number that nobody else has, whose processes are counted alone."""
    command = [word.replace(f"--reuid={_NOBODY}", f"--reuid={_STRANGER}") for word in member.command]
    assert command != member.command
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        shutil.chown(place, _STRANGER)
        until(lambda: not _processes_of(_STRANGER))  # those of another test, which count too
        yield Person(command, {**member.environment, "HOME": place}, place)


@pytest.fixture
def shared_connection(tmp_path: Path) -> Iterator[Callable[[Server, str], list[str]]]:
    """shared_connection(server, name): the words to which ssh's own are added for one more session in a connection that
    many share (ControlMaster), which ends with the test."""
    masters: list[list[str]] = []

    def start(server: Server, name: str) -> list[str]:
        path = str(tmp_path / "master")
        options = ["-N", "-o", "ControlMaster=yes", "-o", f"ControlPath={path}"]
        argv = server.argv(name, options=options)
        masters.append(["ssh", "-F", "none", "-o", f"ControlPath={path}", name])
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        running.append(process)
        until(lambda: os.path.exists(path) or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read()
        return masters[-1]

    running: list[subprocess.Popen[bytes]] = []
    yield start
    for process in running:
        process.terminate()
        process.communicate(timeout=60)


def _processes_of(user: int) -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if (
                os.stat(f"/proc/{name}").st_uid == user
                or f"\nUid:\t{user}\t" in Path(f"/proc/{name}/status").read_text()
            ):
                found.append(name)
    return found


class Held:
    """A session that goes on until it is ended: `cat`, by which one sees that it lives."""

    def __init__(self, argv: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*argv, "echo in; exec cat"], stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdin and self.process.stdout
        self.began = self.process.stdout.readline() == b"in\n"

    def answers(self) -> bool:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(b"still\n")
        self.process.stdin.flush()
        return self.process.stdout.readline() == b"still\n"

    def end(self) -> tuple[int, str]:
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said.decode()


def _held(argv: list[str], most: int) -> tuple[list[Held], Held]:
    """Sessions, begun one after another until one is refused → the others, and that one."""
    held: list[Held] = []
    while (latest := Held(argv)).began:
        held.append(latest)
        assert len(held) < most, "none is refused"
    return held, latest


def _go_on(held: list[Held], argv: list[str]) -> None:
    """Those that run still answer; when one has ended another can begin; then all end."""
    assert held[0].answers() and held[-1].answers()
    assert held.pop().end()[0] == 0
    again = until(lambda: _begun(argv))
    assert held[0].answers()
    for each in (again, *held):
        assert each.end()[0] == 0


def _low(world: World, limit: str) -> list[str]:
    world.need_root()
    return [world.need_program("prlimit"), limit]


def test_sessions_when_files_run_out(
    docker: Peer, world: World, serve: Serve, keys: Callable[..., Path], shared_connection: Callable[..., list[str]]
) -> None:
    """One more session than there are descriptors for is refused with a sentence, and so is a forward; those that run
    go on, and when one has ended there is room again."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}"), before=_low(world, "--nofile=64:64")) as server:
        argv = shared_connection(server, name)
        held, refused = _held(argv, 30)
        code, said = refused.end()
        assert code == 125 and "no more files can be opened (64)" in said and "ulimit -n" in said
        forward = subprocess.run([*argv[:-1], "-W", "127.0.0.1:1", name], capture_output=True, check=False, timeout=60)
        assert forward.returncode != 0
        until(lambda: {each["kind"] for each in server.journal("refusal")} == {"exec", "connect"})
        _go_on(held, argv)
        # Another connection never noticed.
        assert server.ssh(name, "echo in").stdout == b"in\n"


def test_the_limit_of_open_files_is_raised(
    docker: Peer, world: World, serve: Serve, keys: Callable[..., Path], shared_connection: Callable[..., list[str]]
) -> None:
    """A low soft limit, as a login has it, bounds nothing; and what enters a container has that of whoever started the
    server, not the server's."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}"), before=_low(world, "--nofile=50:4000")) as server:
        argv = shared_connection(server, name)
        held = [Held(argv) for _ in range(15)]
        assert all(each.began for each in held)
        steward, admission, *connections = children(server.process.pid)
        assert [_soft_limit(pid) for pid in (server.process.pid, steward, admission, *connections)] == [4000] * 4
        assert {_soft_limit(pid) for pid in children(steward)} == {50}
        for each in held:
            assert each.end()[0] == 0


def _soft_limit(pid: int) -> int:
    return limits.parse(Path(f"/proc/{pid}/limits").read_text())[resource.RLIMIT_NOFILE][0]


def test_connections_when_files_run_out(docker: Peer, world: World, serve: Serve, keys: Callable[..., Path]) -> None:
    """One more connection than there are descriptors for is told to come later, and costs no processor time; those that
    are in go on, and when some have gone there is room again."""
    name = docker.shared("busybox")
    with serve(docker, keys("{key}"), before=_low(world, "--nofile=48:48")) as server, contextlib.ExitStack() as stack:
        first = Held(server.argv(name))
        count, heard = _knocked(server, stack)
        assert count and heard == b"dockshell: too many connections, try again later\r\n"
        assert "no more files can be opened (48)" in server.journal("refusal")[0]["why"]
        assert server.ssh(name, "true").returncode == 255
        assert first.answers()
        stack.close()
        until(lambda: len(server.journal("disconnect")) == count)
        until(lambda: server.ssh(name, "echo again").stdout == b"again\n")
        assert first.answers() and first.end()[0] == 0


def test_without_root_few_system_calls_are_left(stranger: Person, serve: Serve, keys: Callable[..., Path]) -> None:
    """What reads from the network is the same user, without root to give up, but with a filter and no way to more."""
    path = Path(shutil.copy(keys("{key}"), stranger.place))
    shutil.chown(path, _STRANGER)
    with (
        serve(SimpleNamespace(url="unix:///nowhere"), path, caller=stranger) as server,
        socket.create_connection(("127.0.0.1", server.port), 60) as client,
    ):
        assert client.recv(4) == b"SSH-"
        status = Path(f"/proc/{children(server.process.pid)[2]}/status").read_text()
    assert "\nNoNewPrivs:\t1\n" in status and "\nSeccomp:\t2\n" in status


@pytest.mark.parametrize("most", [13, 14])
def test_when_processes_run_out(
    docker: Peer,
    world: World,
    stranger: Person,
    serve: Serve,
    keys: Callable[..., Path],
    shared_connection: Callable[..., list[str]],
    most: int,
) -> None:
    """Where no process can be forked any more, that session or that connection is refused; those that run go on, and
    when one has ended there is room again. (Each session takes two processes, of which one or the other is the one too
    many; the kernel counts them for each user but root.)"""
    name = docker.shared("busybox")
    path = Path(shutil.copy(keys("{key}"), stranger.place))
    shutil.chown(path, _STRANGER)
    with serve(docker, path, before=_low(world, f"--nproc={most}"), caller=stranger) as server:
        argv = shared_connection(server, name)
        held, refused = _held(argv, most)
        assert len(held) > 1
        code, said = refused.end()
        assert code == 125 and "no more processes can be started" in said
        until(lambda: any("no more processes" in each["why"] for each in server.journal("refusal")))
        with contextlib.ExitStack() as stack:
            assert _knocked(server, stack)[1].startswith(b"dockshell: too many connections")
        assert sum("no more processes" in each["why"] for each in server.journal("refusal")) == 2
        _go_on(held, argv)


def _knocked(server: Server, stack: contextlib.ExitStack) -> tuple[int, bytes]:
    """Connections that ask for nothing, as many as there may be → how many, and what the one too many hears."""
    for count in range(30):
        # By another address than the others: who hangs up again and again is not listened to for a while.
        made = socket.create_connection(("127.0.0.1", server.port), 30, ("127.0.0.2", 0))
        heard = stack.enter_context(made).recv(100)
        if not heard.startswith(b"SSH-2.0-"):
            return count, heard
    raise AssertionError("none is refused")


def _begun(argv: list[str]) -> Held | None:
    """A session, if it begins: what another took may not have been given back yet."""
    held = Held(argv)
    if not held.began:
        held.end()
    return held if held.began else None
