"""What is read out of a container for ssh: its host keys, authorized_keys and configuration. All of it is hostile."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Mapping

import pytest

from dockshell.model import Container, Port
from dockshell.ssh import authorized, hostkeys, listening
from dockshell.ssh.listening import Endpoint

_ED = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
_LINE = b"ssh-ed25519 " + base64.b64encode(_ED)


class _Files:
    def __init__(self, content: Mapping[str, bytes]) -> None:
        self._content = content

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        content = self._content.get(path)
        return None if content is None else content[:limit]

    def names(self, path: str) -> list[str]:
        return sorted(name.rpartition("/")[2] for name in self._content if name.rpartition("/")[0] == path)

    def executable(self, path: str) -> bool:
        return path in self._content


class _Engine:
    name = "docker"
    api = None

    def __init__(self, address: str) -> None:
        self.address = address


def test_host_keys_are_read() -> None:
    """Each ssh_host_*_key.pub counts, under its type."""
    files = _Files(
        {"/etc/ssh/ssh_host_ed25519_key.pub": _LINE + b" root@box\n", "/etc/ssh/ssh_host_ed25519_key": b"private"}
    )
    assert hostkeys.read(files) == {"ssh-ed25519": {_ED}}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"ssh-ed25519",
        b"ssh-ed25519 !!!!",
        b"ssh-ed25519 " + base64.b64encode(b"\0\0\0\x07ssh-rsa" + bytes(32)),
        b"ssh-dss " + base64.b64encode(b"\0\0\0\x07ssh-dss" + bytes(32)),
        b"ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519"),
        b"\xff\xfe " + base64.b64encode(_ED),
        b"restrict " + _LINE,
    ],
)
def test_what_is_no_host_key_counts_for_nothing(line: bytes) -> None:
    """A line that is malformed, of another kind than it says, or of a kind that is no longer sound, is left out."""
    assert hostkeys.read(_Files({"/etc/ssh/ssh_host_ed25519_key.pub": line})) == {}


@pytest.mark.parametrize(
    "options",
    [
        b"",
        b"no-port-forwarding ",
        b'environment="A=b c",no-X11-forwarding ',
        b'permitopen="host:1" ',
        b'environment="A=\\"q\\" x" ',
    ],
)
def test_keys_with_harmless_options_stand_there(options: bytes) -> None:
    """A line with options that leave the login whole counts, blanks within quotes and all."""
    assert authorized.parse(b"# mine\n\n" + options + _LINE + b" me@here\n") == {_ED}


@pytest.mark.parametrize(
    "options",
    [
        b'command="/bin/backup" ',
        b"restrict ",
        b'from="10.0.0.1" ',
        b"no-pty ",
        b"cert-authority ",
        b'environment="A=b,c",command="x" ',
        b'expiry-time="20200101" ',
        b"future-option ",
        b'"unfinished ',
    ],
)
def test_keys_with_other_options_do_not(options: bytes) -> None:
    """A login that would fail or be something else is none that `auto` should try."""
    assert authorized.parse(options + _LINE) == set()


def test_both_of_sshd_s_files_are_read() -> None:
    """authorized_keys and authorized_keys2, in the home whatever its slashes."""
    files = _Files({"/home/app/.ssh/authorized_keys2": _LINE})
    assert authorized.keys(files, "/home/app/") == {_ED}
    assert authorized.keys(_Files({"/.ssh/authorized_keys": _LINE}), "/") == {_ED}


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (b"Port 2222\nPort 2223\n", 2222),
        (b"#Port 1\n  port=2022 # here\n", 2022),
        (b"", 22),
        (b"Port 99999\n", 22),
        (b"PortX 5\n", 22),
    ],
)
def test_the_port_is_read_from_the_configuration(text: bytes, port: int) -> None:
    """As sshd_config(5) has it; the first counts, nonsense doesn't."""
    assert listening.configured_port(_Files({"/etc/ssh/sshd_config": text})) == port


def test_listening_sockets_are_found() -> None:
    """The kernel's own tables: the port and the address of a socket that listens, and none that doesn't."""
    here = Container("id", "name", _Engine("unix:///x"), pid=os.getpid(), local=True)  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        found = listening.listeners(here)
        assert found is not None
        assert found[server.getsockname()[1]] == {"127.0.0.1"}
        assert idle.getsockname()[1] not in found


def test_addresses_of_version_6_are_understood() -> None:
    """Each word is in the machine's byte order; a mapped address is the one of version 4."""
    lines = [
        "  sl  local_address remote_address st",
        "   0: B80D0120000000000000000001000000:0016 0:0 0A",
        "   1: 0000000000000000FFFF00000100007F:0017 0:0 0A",
        "   2: 00000000000000000000000000000000:0018 0:0 01",
    ]
    assert listening.parse_table(lines) == [(22, "2001:db8::1"), (23, "127.0.0.1")]


@pytest.mark.parametrize(("runtime", "local"), [("kata", True), ("runsc", True), ("runc", False)])
def test_no_tables_are_believed_but_the_container_s(runtime: str, local: bool) -> None:
    """A container with a kernel of its own, or on another machine, is not judged by this machine's tables."""
    there = Container("id", "n", _Engine(""), pid=os.getpid(), local=local, runtime=runtime)  # type: ignore[arg-type]
    assert listening.listeners(there) is None


def test_the_ways_to_a_port_here() -> None:
    """Every address on every network first, then what is published; an unspecific address is the loopback."""
    ports = (Port(22, "0.0.0.0", 2200), Port(22, "::", 2200), Port(22, "10.9.9.9", 2201), Port(80, "", 8080))
    addresses = (("bridge", "172.17.0.2"), ("mine", "fd00::2"))
    here = Container(
        "id",
        "n",
        _Engine("unix:///x"),
        addresses=addresses,
        ports=ports,
        local=True,  # type: ignore[arg-type]
    )
    assert [str(way) for way in listening.endpoints(here, 22)] == [
        "172.17.0.2:22", "[fd00::2]:22", "127.0.0.1:2200", "[::1]:2200", "10.9.9.9:2201",
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["tcp://far.example:2376", "ssh://me@far.example"])
def test_the_ways_to_a_port_elsewhere(address: str) -> None:
    """A container of another machine is reached by what is published there, never by addresses that may be somebody
    else's here."""
    there = Container(
        "id",
        "n",
        _Engine(address),
        addresses=(("bridge", "172.17.0.2"),),
        ports=(Port(22, "0.0.0.0", 2200),),  # type: ignore[arg-type]
    )
    assert listening.endpoints(there, 22) == [Endpoint("far.example", 2200)]


def test_a_socket_on_the_loopback_can_not_be_reached() -> None:
    """Only ways that end at the listening socket are left."""
    ways = [Endpoint("10.0.0.2", 22), Endpoint("10.1.0.2", 22), Endpoint("127.0.0.1", 2200)]
    own = {"10.0.0.2", "10.1.0.2"}
    assert listening.reachable(ways, {"127.0.0.1"}, own) == []
    assert listening.reachable(ways, {"10.0.0.2"}, own) == [ways[0], ways[2]]
    assert listening.reachable(ways, {"::"}, own) == ways


def test_a_forwarder_with_nothing_behind_it_does_not_count() -> None:
    """Where it matters, only what greets as an SSH server is connected to."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as other:
        ways = [Endpoint("127.0.0.1", each.getsockname()[1]) for each in (silent, other)]
        with pytest.raises(OSError):
            listening.dial(ways[:1], 0.2, greeted=True)
        way, connection = listening.dial(ways[1:], 0.2)
        connection.close()
        assert way == ways[1]
