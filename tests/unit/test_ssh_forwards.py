"""-L, -R and -D as words, and SOCKS as bytes: what is understood, and that nothing else is an accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.errors import UsageError
from dockshell.ssh.forwards import Forward, Spot, parse
from dockshell.ssh.socks import LARGEST, Nonsense, Socks


@pytest.mark.parametrize(
    ("kind", "words", "listen", "to"),
    [
        ("L", "8080:web:80", Spot("", 8080), Spot("web", 80)),
        ("L", "localhost:8080:web:80", Spot("", 8080), Spot("web", 80)),
        ("L", "*:8080:web:80", Spot("*", 8080), Spot("web", 80)),
        ("L", ":8080:web:80", Spot("*", 8080), Spot("web", 80)),
        ("L", "[::1]:8080:[fe80::2]:80", Spot("::1", 8080), Spot("fe80::2", 80)),
        ("L", "10.0.0.1:8080:10.0.0.2:80", Spot("10.0.0.1", 8080), Spot("10.0.0.2", 80)),
        ("L", "8080:/run/a.sock", Spot("", 8080), Spot(path="/run/a.sock")),
        ("L", "127.0.0.1:8080:/run/a.sock", Spot("127.0.0.1", 8080), Spot(path="/run/a.sock")),
        ("L", "/tmp/here:web:80", Spot(path="/tmp/here"), Spot("web", 80)),
        ("L", "./here:/run/a.sock", Spot(path="./here"), Spot(path="/run/a.sock")),
        ("L", r"/tmp/with\:colon:web:80", Spot(path="/tmp/with:colon"), Spot("web", 80)),
        ("R", "0:localhost:80", Spot("", 0), Spot("localhost", 80)),
        ("R", "/run/there:/tmp/here", Spot(path="/run/there"), Spot(path="/tmp/here")),
        ("D", "1080", Spot("", 1080), None),
        ("D", "[::]:1080", Spot("::", 1080), None),
        ("D", "*:1080", Spot("*", 1080), None),
    ],
)
def test_words_are_those_of_ssh(kind: str, words: str, listen: Spot, to: Spot | None) -> None:
    """ssh(1)'s notation, with loopback where no address is given."""
    assert parse(kind, words) == Forward(kind, listen, to)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("L", ""),
        ("L", "80"),
        ("L", "80:web"),
        ("L", "0:web:80"),
        ("L", "80:web:0"),
        ("L", "80:web:65536"),
        ("L", "80:web:http"),
        ("L", "80::80"),
        ("L", "80:we b:80"),
        ("L", "a:b:80:web:80"),
        ("L", "[::1:80:web:80"),
        ("L", "[::1]x:80:web:80"),
        ("L", "1:/a:80"),
        ("L", "x:/a:web:80"),
        ("L", f"80:/{'a' * 107}"),
        ("R", "80"),
        ("D", "0"),
        ("D", "/tmp/socks"),
        ("D", "a:b:1080"),
    ],
)
def test_what_says_no_forward_is_refused(kind: str, words: str) -> None:
    """Each is wrong usage, with the form that would be right."""
    with pytest.raises(UsageError, match=r"is not a forward: it takes \[BIND:\]PORT"):
        parse(kind, words)


@given(st.sampled_from("LRD"), st.text(alphabet="0189:/[]*\\. aé\0", max_size=40))
def test_any_words_are_a_forward_or_an_error(kind: str, words: str) -> None:
    """Nothing else comes out, and what comes out can be listened at and connected to."""
    try:
        forward = parse(kind, words)
    except UsageError as error:
        assert str(error).isprintable()
        return
    assert forward.kind == kind and (forward.to is None) == (kind == "D")
    for spot in (forward.listen, *([forward.to] if forward.to else [])):
        assert bool(spot.path) != bool(spot.port or spot.host or kind == "R")
        assert 0 <= spot.port < 65536 and "\0" not in spot.path and len(spot.path.encode()) < 108


HOST = st.from_regex(r"[a-z0-9.-]{1,60}", fullmatch=True)
PORT = st.integers(0, 65535)


def _request(version: str, host: str, port: int) -> bytes:
    """What a client sends after the greeting."""
    number = port.to_bytes(2, "big")
    if version == "4a":
        return b"\4\1" + number + b"\0\0\0\1me\0" + host.encode() + b"\0"
    return b"\5\1\0\3" + bytes((len(host),)) + host.encode() + number


@given(st.sampled_from(["4a", "5"]), HOST, PORT, st.binary(max_size=20), st.lists(st.integers(1, 9), max_size=40))
def test_a_request_is_understood_in_any_pieces(
    version: str, host: str, port: int, rest: bytes, cuts: list[int]
) -> None:
    """Host and port arrive, the replies are right, and what follows the request stays whole."""
    socks, replies = Socks(), b""
    stream = (b"\5\2\1\0" if version == "5" else b"") + _request(version, host, port)
    for cut in cuts:
        replies += socks.feed(stream[:cut])
        stream = stream[cut:]
        if not stream:
            break
    if stream:
        replies += socks.feed(stream + rest)
        assert socks.rest == rest
    assert socks.target == (host, port)
    assert replies == (b"\5\0" if version == "5" else b"")
    assert socks.answer(True)[:2] == (b"\5\0" if version == "5" else b"\0\x5a")
    assert socks.answer(False)[:2] == (b"\5\5" if version == "5" else b"\0\x5b")


def test_addresses_are_understood() -> None:
    """SOCKS 4 with an IPv4 address, 5 with one of either kind."""
    for stream, host in (
        (b"\4\1\0\x50\x7f\0\0\1\0", "127.0.0.1"),
        (b"\5\1\0\5\1\0\1\x0a\0\0\1\0\x50", "10.0.0.1"),
        (b"\5\1\0\5\1\0\4" + bytes(15) + b"\1\0\x50", "::1"),
    ):
        socks = Socks()
        socks.feed(stream)
        assert socks.target == (host, 80)


@pytest.mark.parametrize(
    ("stream", "reply"),
    [
        (b"GET / HTTP/1.0\r\n", b""),
        (b"\5\1\2", b"\5\xff"),
        (b"\5\1\0\5\2\0\1\x7f\0\0\1\0\x50", b"\5\7"),
        (b"\5\1\0\5\1\0\2", b"\5\x08"),
        (b"\4\2\0\x50\x7f\0\0\1\0", b"\0\x5b"),
        (b"\5\1\0\5\1\0\3\4\xff\xff\xff\xff\0\x50", b""),
        (b"\5\1\0\5\1\0\3\0\0\x50", b""),
        (b"\4\1\0\x50\x7f\0\0\1" + b"a" * (LARGEST + 1), b""),
    ],
)
def test_what_is_no_request_to_connect_is_turned_away(stream: bytes, reply: bytes) -> None:
    """With the protocol's own word for it, and nothing is kept of what never ends."""
    with pytest.raises(Nonsense) as caught:
        Socks().feed(stream)
    assert caught.value.reply.startswith(reply) and bool(caught.value.reply) == bool(reply)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_any_bytes_are_a_request_or_nonsense(pieces: list[bytes]) -> None:
    """A client may send what it likes."""
    socks = Socks()
    try:
        for piece in pieces:
            assert len(socks.feed(piece)) < 64
            if socks.target:
                assert socks.target[0].isprintable()
                return
            assert len(socks.rest) <= LARGEST
    except Nonsense:
        return
