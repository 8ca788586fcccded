"""What follows TARGET in `dockshell forward`: what is understood, and that nothing else is an accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.errors import UsageError
from dockshell.forward.words import Forward, parse
from dockshell.ssh.forwards import Spot

_HERE = "127.0.0.1"


@pytest.mark.parametrize(
    ("words", "listen", "to"),
    [
        ("8080", Spot(_HERE, 8080), Spot(port=8080)),
        ("8080:80", Spot(_HERE, 8080), Spot(port=80)),
        ("127.0.0.1:8080:80", Spot(_HERE, 8080), Spot(port=80)),
        ("localhost:8080:80", Spot(_HERE, 8080), Spot(port=80)),
        ("[::1]:8080:80", Spot("::1", 8080), Spot(port=80)),
        ("0.0.0.0:8080:80", Spot("0.0.0.0", 8080), Spot(port=80)),
        ("*:8080:80", Spot("0.0.0.0", 8080), Spot(port=80)),
        ("*:80", Spot("0.0.0.0", 80), Spot(port=80)),
        ("127.0.0.2:80", Spot("127.0.0.2", 80), Spot(port=80)),
        ("[::1]:80", Spot("::1", 80), Spot(port=80)),
        ("0:80", Spot(_HERE, 0), Spot(port=80)),
        (":80", Spot(_HERE, 0), Spot(port=80)),
        (":0:80", Spot(_HERE, 0), Spot(port=80)),
        ("::80", Spot(_HERE, 0), Spot(port=80)),
        (":8080:80", Spot(_HERE, 8080), Spot(port=80)),
        ("127.0.0.2::80", Spot("127.0.0.2", 0), Spot(port=80)),
        ("/tmp/app.sock:80", Spot(path="/tmp/app.sock"), Spot(port=80)),
        ("./app.sock:80", Spot(path="./app.sock"), Spot(port=80)),
        ("8080:/run/app.sock", Spot(_HERE, 8080), Spot(path="/run/app.sock")),
        (":/run/app.sock", Spot(_HERE, 0), Spot(path="/run/app.sock")),
        ("[::1]:8080:/run/app.sock", Spot("::1", 8080), Spot(path="/run/app.sock")),
        ("/tmp/a.sock:/run/app.sock", Spot(path="/tmp/a.sock"), Spot(path="/run/app.sock")),
        (r"/tmp/a\:b:80", Spot(path="/tmp/a:b"), Spot(port=80)),
    ],
)
def test_words_say_where_from_and_where_to(words: str, listen: Spot, to: Spot) -> None:
    """Loopback wherever nothing else was asked for; 0, or nothing, is any free port here."""
    assert parse(words) == Forward(listen, to)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "0",
        ":",
        "http",
        "-1",
        "65536",
        "8080:0",
        "8080:",
        "8080:http",
        "8080:65536",
        "80:8080:80",
        "a:b:8080:80",
        "::1:8080:80",
        "[::1]x:80",
        "we b:8080:80",
        "web:/run/app.sock",
        "/run/app.sock",
        "127.0.0.1:/tmp/a.sock:80",
        "8080:run/app.sock",
        f"/{'a' * 107}:80",
        f"80:/{'a' * 107}",
        "80:/a\0b",
        "٣:80",
    ],
)
def test_what_says_no_forward_is_refused(words: str) -> None:
    """With one printable line that shows how it is said."""
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value).isprintable()


@given(st.text(st.sampled_from("018:/[]*.a\\- \x1b\0"), max_size=24))
def test_any_words_are_a_forward_or_an_error(words: str) -> None:
    """Nothing else comes out, and what does has a port or a path inside, and a place here that isn't everywhere unless
    that was said."""
    try:
        forward = parse(words)
    except UsageError as error:
        assert str(error).isprintable()
        return
    assert forward.to.path.startswith("/") or 0 < forward.to.port < 1 << 16
    assert forward.listen.path or 0 <= forward.listen.port < 1 << 16
    assert forward.listen.host != "0.0.0.0" or "*" in words or "0.0.0.0" in words
