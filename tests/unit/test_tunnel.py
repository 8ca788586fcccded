"""ssh:// addresses → the words that ssh is started with."""

from __future__ import annotations

import pytest

from dockshell.engines import tunnel
from dockshell.errors import EngineError


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ssh://there", ["--", "there", "docker system dial-stdio"]),
        ("ssh://me@There", ["-l", "me", "--", "There", "docker system dial-stdio"]),
        ("ssh://me@there:2222", ["-l", "me", "-p", "2222", "--", "there", "docker system dial-stdio"]),
        ("ssh://[fe80::1]:22", ["-p", "22", "--", "fe80::1", "docker system dial-stdio"]),
        ("ssh://a%40b@there", ["-l", "a@b", "--", "there", "docker system dial-stdio"]),
        ("ssh://there/run/d.sock", ["--", "there", "docker --host unix:///run/d.sock system dial-stdio"]),
        ("ssh://there/a;b", ["--", "there", "docker --host 'unix:///a;b' system dial-stdio"]),
    ],
)
def test_an_address_is_spelled_for_ssh(address: str, words: list[str]) -> None:
    """User, host and port go where ssh wants them; the host's case stays; a shell over there reads the path as one
    word."""
    host = tunnel.host(address, 10)
    assert [*host.argv, "--", host.name, host.command][-len(words) :] == words


def test_podmans_service_is_reached_by_podman() -> None:
    """With the key that the connection names; where none is named, ssh chooses as ever."""
    host = tunnel.host("ssh://me@there:22/run/podman/podman.sock", 10, "/keys/a b")
    assert host.argv[-6:] == ("-l", "me", "-p", "22", "-i", "/keys/a b")
    assert host.command == "podman --url unix:///run/podman/podman.sock system dial-stdio"
    assert "-i" not in tunnel.host("ssh://there", 10, "").argv


@pytest.mark.parametrize(
    "address",
    [
        "ssh://",
        "ssh://-oProxyCommand=touch",
        "ssh://-lx@there",
        "ssh://me:secret@there",
        "ssh://there:port",
        "ssh://there?x",
        "ssh://there#x",
        "ssh://[",
    ],
)
def test_an_address_that_ssh_could_misread_is_refused(address: str) -> None:
    """No option hides in a host or a user (CVE-2017-1000117), and no password stands in an address."""
    with pytest.raises(EngineError, match="is no engine's address"):
        tunnel.host(address, 10)
