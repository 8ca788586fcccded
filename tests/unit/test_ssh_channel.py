"""The client against servers that no honest sshd would be: paramiko's own server over a socketpair, made odd."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paramiko
import pytest

from dockshell.errors import HostKeyError, LoginError, SessionLost
from dockshell.model import Command, Size
from dockshell.session import Session
from dockshell.ssh import channel, connect, keys
from dockshell.ssh.forwarding import Forwarding
from dockshell.ssh.forwards import Forward, Spot
from dockshell.voice import Voice

_HOST_KEY = paramiko.ECDSAKey.generate()
_HOST_KEYS = {"ecdsa-sha2-nistp256": {_HOST_KEY.asbytes()}}

Behaviour = Callable[["Server", paramiko.Channel], None]


class Server(paramiko.ServerInterface):
    """Takes any key; runs `behave` for the first command, and records what else is asked of it."""

    def __init__(self, behave: Behaviour, takes: int = 99) -> None:
        self.behave, self.takes = behave, takes
        self.logins: list[str] = []
        self.commands: list[bytes] = []
        self.sizes: list[tuple[int, int]] = []
        self.signals: list[bytes] = []
        self.term = b""
        self.shell = False
        self.transport: Any = None

    def check_port_forward_request(self, address: str, port: int) -> int:
        return port

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.logins.append(username)
        return paramiko.AUTH_SUCCESSFUL if self.takes > 0 else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.takes -= 1
        return paramiko.OPEN_SUCCEEDED if self.takes >= 0 else paramiko.OPEN_FAILED_RESOURCE_SHORTAGE

    def check_channel_pty_request(self, channel: Any, term: bytes, width: int, height: int, *_: Any) -> bool:  # type: ignore[override]
        self.term = term
        self.sizes.append((width, height))
        return True

    def check_channel_window_change_request(self, channel: Any, width: int, height: int, *_: Any) -> bool:  # type: ignore[override]
        self.sizes.append((width, height))
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        self.shell = True
        return self._start(channel)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.commands.append(command)
        return self._start(channel)

    def _start(self, channel: paramiko.Channel) -> bool:
        def later() -> None:
            time.sleep(0.05)  # until paramiko has said that the request was granted
            self.behave(self, channel)

        threading.Thread(target=later, daemon=True).start()
        return True


class _Recording(paramiko.Transport):
    """The server's side, which notes the signals that it is asked to send."""

    def request(self, channel: Any, message: Any) -> None:
        copy = paramiko.Message(message.get_remainder())
        if copy.get_string() == b"signal":
            copy.get_boolean()
            self.server_object.signals.append(copy.get_string())
        paramiko.Channel._handle_request(channel, message)

    _channel_handler_table = {**paramiko.Transport._channel_handler_table, 98: lambda c, m: c.transport.request(c, m)}


@pytest.fixture
def serve() -> Iterator[Callable[[Server], socket.socket]]:
    """serve(server) → the client's end of a connection to it."""
    ends: list[Any] = []
    made: list[paramiko.Transport] = []

    def start(server: Server) -> socket.socket:
        ours, theirs = socket.socketpair()
        server.transport = _Recording(theirs)
        server.transport.add_server_key(_HOST_KEY)
        ends.extend((server.transport, ours))
        made.append(server.transport)
        server.transport.start_server(event=threading.Event(), server=server)
        return ours

    yield start
    for transport in made:
        transport.packetizer.complete_handshake()
    for end in ends:
        end.close()


Serve = Callable[[Server], socket.socket]


def _log_in(serve: Serve, server: Server) -> paramiko.Transport:
    transport = connect.connect(serve(server), _HOST_KEYS, "web")
    connect.log_in(transport, "root", keys.candidates(), "web")
    return transport


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def _drain(session: Session, limit: float = 20) -> dict[int, bytes]:
    """What relay.py does, without a caller: everything that arrives until the end."""
    out: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
    until = time.monotonic() + limit
    while session.ready:
        assert time.monotonic() < until, "the session did not end"
        for descriptor in select.select(session.ready, [], [], 1)[0]:
            for stream, data in session.receive(descriptor):
                out[stream] += data
    return {stream: bytes(data) for stream, data in out.items()}


def _say(stream: int, data: bytes, code: int) -> Behaviour:
    def behave(server: Server, channel: paramiko.Channel) -> None:
        (channel.sendall if stream == 1 else channel.sendall_stderr)(data)
        channel.send_exit_status(code)
        channel.close()

    return behave


def test_another_host_key_stops_before_anything_is_sent(serve: Serve) -> None:
    """A server that shows a key which isn't the container's gets no login to see, and the error names the key."""
    server = Server(_say(1, b"", 0))
    other = paramiko.ECDSAKey.generate()
    with pytest.raises(HostKeyError) as caught:
        connect.connect(serve(server), {"ecdsa-sha2-nistp256": {other.asbytes()}}, "web")
    assert keys.fingerprint(_HOST_KEY.asbytes()) in str(caught.value)
    assert server.logins == [] and server.commands == []


def test_a_kind_of_host_key_that_the_container_lacks_is_not_taken(serve: Serve) -> None:
    """Only the kinds that the container has are negotiated."""
    ed25519 = {"ssh-ed25519": {b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)}}
    with pytest.raises(LoginError, match="before the login"):
        connect.connect(serve(Server(_say(1, b"", 0))), ed25519, "web")


def test_what_speaks_no_ssh_is_one_sentence() -> None:
    """Garbage in the greeting is an error whose text can't drive a terminal."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"HTTP/1.0 400 \x1b[31mBad\r\n\r\n" * 200)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(LoginError) as caught:
            connect.connect(ours, _HOST_KEYS, "web")
    assert "\x1b" not in str(caught.value)


def test_no_key_taken_says_which_were_tried(serve: Serve) -> None:
    """The keys, the user and the remedy."""
    transport = connect.connect(serve(Server(_say(1, b"", 0), takes=0)), _HOST_KEYS, "web")
    with pytest.raises(LoginError, match=r"did not let app in: it took none of the insecure key; give one with --key"):
        connect.log_in(transport, "app", keys.candidates(), "web")
    assert not transport.is_active()


def test_output_and_code_arrive(serve: Serve) -> None:
    """Both streams, apart and whole, and the command's own exit code."""
    server = Server(_say(2, b"\0\xff" * 500_000, 7))
    session = channel.start(_log_in(serve, server), b"a line", Command((b"x",)))
    assert _drain(session) == {1: b"", 2: b"\0\xff" * 500_000}
    assert (session.wait(), session.ended_by()) == (7, 0)
    session.close()
    assert server.commands == [b"a line"]


def test_both_streams_at_once_lose_nothing(serve: Serve) -> None:
    """Two threads of the server's feed both streams in small pieces: each byte is noticed, none waits for the next."""
    pieces = 3000

    def behave(server: Server, channel: paramiko.Channel) -> None:
        def feed(send: Callable[[bytes], None], data: bytes) -> None:
            for _ in range(pieces):
                send(data)

        both = [
            threading.Thread(target=feed, args=a) for a in ((channel.sendall, b"o"), (channel.sendall_stderr, b"e"))
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        channel.send_exit_status(0)
        channel.close()

    session = channel.start(_log_in(serve, Server(behave)), b"x", Command((b"x",)))
    assert _drain(session) == {1: b"o" * pieces, 2: b"e" * pieces}
    session.close()


@pytest.mark.parametrize(("name", "code"), [("KILL", 137), ("TERM", 143), ("USR1", 138), ("SIG@openssh.com", 128)])
def test_a_signal_that_ended_the_command_is_its_code(serve: Serve, name: str, code: int) -> None:
    """`exit-signal` (RFC 4254, 6.10), which paramiko drops, is read."""

    def behave(server: Server, channel: paramiko.Channel) -> None:
        message = paramiko.Message()
        message.add_byte(bytes((98,)))
        message.add_int(channel.remote_chanid)
        message.add_string("exit-signal")
        message.add_boolean(False)
        message.add_string(name)
        message.add_boolean(False)
        message.add_string("")
        message.add_string("")
        server.transport._send_user_message(message)
        channel.close()

    session = channel.start(_log_in(serve, Server(behave)), b"x", Command((b"x",)))
    _drain(session)
    assert session.wait() == code
    assert session.ended_by() == code - 128
    session.close()


@pytest.mark.parametrize("politely", [True, False])
def test_an_end_without_a_code_is_a_loss(serve: Serve, politely: bool) -> None:
    """A channel that is closed, or a connection that breaks, before the exit code came; what arrived is given out
    first."""

    def behave(server: Server, channel: paramiko.Channel) -> None:
        channel.sendall(b"so far")
        if politely:
            channel.close()
        else:
            time.sleep(0.2)
            server.transport.close()

    session = channel.start(_log_in(serve, Server(behave)), b"x", Command((b"x",)))
    got = b""
    with pytest.raises(SessionLost):
        while session.ready:
            for descriptor in select.select(session.ready, [], [], 5)[0]:
                got += b"".join(data for _, data in session.receive(descriptor))
    assert got == b"so far"
    session.close()


def test_a_refused_session_is_an_error(serve: Serve) -> None:
    """An sshd that lets us in and gives us nothing."""
    server = Server(_say(1, b"", 0), takes=1)
    transport = _log_in(serve, server)
    server.takes = 0
    with pytest.raises(LoginError, match="refused a session"):
        channel.start(transport, b"x", Command((b"x",)))
    assert not transport.is_active()


def test_input_arrives_with_its_end(serve: Serve) -> None:
    """What send() took, all of it, and then end of file."""

    def behave(server: Server, channel: paramiko.Channel) -> None:
        got = 0
        while data := channel.recv(1 << 16):
            got += len(data)
        channel.sendall(str(got).encode())
        channel.send_exit_status(0)
        channel.close()

    session = channel.start(_log_in(serve, Server(behave)), b"x", Command((b"x",)))
    left = 5_000_000
    while left:
        assert session.input is not None
        select.select([], [session.input], [], 5)
        left -= session.send(bytes(min(left, 1 << 16)))
    session.end_input()
    assert session.input is None
    assert _drain(session)[1] == b"5000000"
    session.close()


def test_input_that_nobody_reads_waits(serve: Serve) -> None:
    """No more is taken than the window and a pipe hold, send() returns 0 then, and the descriptor isn't writable."""
    done = threading.Event()

    def behave(server: Server, channel: paramiko.Channel) -> None:
        done.wait(60)
        channel.send_exit_status(0)
        channel.close()

    session = channel.start(_log_in(serve, Server(behave)), b"x", Command((b"x",)))
    taken = 0
    assert session.input is not None
    while select.select([], [session.input], [], 0.5)[1]:
        taken += session.send(bytes(1 << 16))
        assert taken < 1 << 23
    assert session.send(b"x" * (1 << 16)) == 0
    done.set()
    _drain(session)
    session.close()


def test_output_that_nobody_reads_waits(serve: Serve) -> None:
    """The server is held back by the window: memory does not grow with what a command prints."""
    sent = [0]

    def behave(server: Server, channel: paramiko.Channel) -> None:
        channel.settimeout(1)
        try:
            while sent[0] < 1 << 26:
                sent[0] += channel.send(bytes(1 << 15))
        except OSError:
            channel.close()

    session = channel.start(_log_in(serve, Server(behave)), b"x", Command((b"x",)))
    time.sleep(2)
    assert 0 < sent[0] <= 1 << 22
    with pytest.raises(SessionLost):
        _drain(session)
    session.close()


def test_a_terminal_has_its_size_its_name_and_every_change(serve: Serve) -> None:
    """TERM and the size go with the request, a change of size reaches the server, and the end of input is Ctrl-D."""
    got: list[bytes] = []

    def behave(server: Server, channel: paramiko.Channel) -> None:
        got.append(channel.recv(100))
        channel.send_exit_status(0)
        channel.close()

    command = Command(terminal=Size(101, 33), env=(("TERM", "vt220"),))
    server = Server(behave)
    session = channel.start(_log_in(serve, server), None, command)
    session.resize(Size(90, 20))
    until = time.monotonic() + 5
    while len(server.sizes) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    session.end_input()
    _drain(session)
    session.close()
    assert server.term == b"vt220" and server.sizes == [(101, 33), (90, 20)] and server.shell
    assert got == [b"\x04"]


def test_a_signal_goes_by_the_protocol_where_no_second_channel_is_given(serve: Serve) -> None:
    """RFC 4254's `signal` request, for a server that refuses another session."""
    done = threading.Event()

    def behave(server: Server, channel: paramiko.Channel) -> None:
        done.wait(60)
        channel.send_exit_status(0)
        channel.close()

    server = Server(behave, takes=1)
    session = channel.start(_log_in(serve, server), b"x", Command((b"x",)))
    assert session.signal(15)
    assert not session.signal(28)
    until = time.monotonic() + 5
    while not server.signals and time.monotonic() < until:
        time.sleep(0.01)
    done.set()
    _drain(session)
    session.close()
    assert server.signals == [b"TERM"]


def test_no_input_is_an_empty_one(serve: Serve) -> None:
    """-n: the command reads end of file at once."""

    def behave(server: Server, channel: paramiko.Channel) -> None:
        channel.sendall(b"empty" if channel.recv(1) == b"" else b"not")
        channel.send_exit_status(0)
        channel.close()

    session = channel.start(_log_in(serve, Server(behave)), b"x", Command((b"x",), input=False))
    assert session.input is None
    assert _drain(session)[1] == b"empty"
    session.close()


def test_a_server_opens_nothing_that_nobody_asked_for(serve: Serve) -> None:
    """Without -A and -R it can open no channel to us; with -R none but for what that named, and none to the agent."""
    tried: dict[str, bool] = {}

    def behave(server: Server, command: paramiko.Channel) -> None:
        transport = server.transport
        kinds = {
            "agent": lambda: transport.open_channel("auth-agent@openssh.com", timeout=5),
            "named": lambda: transport.open_forwarded_tcpip_channel(("127.0.0.1", 1), ("localhost", 2300)),
            "other": lambda: transport.open_forwarded_tcpip_channel(("127.0.0.1", 1), ("localhost", 2301)),
        }
        for name, open_channel in kinds.items():
            try:
                with open_channel() as opened:
                    opened.settimeout(5)
                    tried[name] = opened.recv(1) == b"!"
            except paramiko.SSHException:
                tried[name] = False
        command.send_exit_status(0)
        command.close()

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.sendall(b"!")
        connection.close()

    for forwards in (False, True):
        tried.clear()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            here = Spot("127.0.0.1", listener.getsockname()[1])
            forwarding = Forwarding([Forward("R", Spot("", 2300), here)] if forwards else [], "", Voice())
            answering = threading.Thread(target=answer, args=(listener,), daemon=True)
            if forwards:
                answering.start()
            session = channel.start(
                _log_in(serve, Server(behave)), b"x", Command((b"x",)), forwarding=forwarding if forwards else None
            )
            _drain(session)
            session.close()
            forwarding.close()
            if forwards:
                answering.join(5)
        assert tried == {"agent": False, "named": forwards, "other": False}
