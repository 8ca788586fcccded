"""The words of `dockshell cp`: where the container ends and the path begins."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.copy.words import parse
from dockshell.errors import UsageError
from dockshell.options import parse as parse_options


@pytest.mark.parametrize(
    ("word", "target", "path"),
    [
        ("web:/etc", "web", b"/etc"),
        ("web:etc", "web", b"/etc"),
        ("web:2", "web", b"/2"),
        ("web:2:/x", "web:2", b"/x"),
        ("shop/api:2:/x:y", "shop/api:2", b"/x:y"),
        ("docker://web:/x", "docker://web", b"/x"),
        ("podman://@latest:/x", "podman://@latest", b"/x"),
        ("docker://web:3:x", "docker://web:3", b"/x"),
        ("@latest:/x", "@latest", b"/x"),
        ("pid:47:/x", "pid:47", b"/x"),
        ("label:app=web:/x:/y", "label:app=web", b"/x:/y"),
        ("label:url=http://web:80:/x", "label:url=http://web:80", b"/x"),
        ("web://x", "web", b"/x"),
        ("web:/a b\n*", "web", b"/a b\n*"),
        ("./a:b", "", b"./a:b"),
        ("/a:b", "", b"/a:b"),
        ("../a:b", "", b"../a:b"),
        (".", "", b"."),
        ("name", "", b"name"),
        ("-", "", b""),
        ("web:/" + os.fsdecode(b"\xff"), "web", b"/\xff"),
    ],
)
def test_operands(word: str, target: str, path: bytes) -> None:
    """Each is what it looks like."""
    found = parse(word)
    assert (str(found.target or ""), found.path, found.stream) == (target, path, word == "-")


@pytest.mark.parametrize("word", ["", "web:", "web:2:", "b@d:/x", "label:/x", "pid:x:/y", "a\0b", "docker://:/x:y"])
def test_no_operands(word: str) -> None:
    """Each is refused in one sentence, but for what the engine's pinning leaves to the newest container."""
    if word.startswith("docker://:"):
        assert str(parse(word).target) == "docker://@latest"
        return
    with pytest.raises(UsageError):
        parse(word)


@given(st.text())
def test_any_text(word: str) -> None:
    """Whatever is typed is an operand or a UsageError."""
    try:
        operand = parse(word)
    except (UsageError, UnicodeEncodeError):
        return
    assert operand.words == word


def test_options_anywhere() -> None:
    """As with cp, options may stand behind the operands; -L and -R are cp's own there; after -- none is one."""
    arguments = parse_options(["cp", "web:/x", "-r", "y", "-L", "--chown", "a:b", "--", "-a"])
    assert arguments.words == ["web:/x", "y", "-a"]
    assert arguments.on("recursive") and arguments.on("follow_link") and not arguments.on("archive")
    assert arguments.text("chown") == "a:b"
    assert parse_options(["cp", "-RL", "a", "b"]).on("recursive")
    assert parse_options(["exec", "-L", "8080:a:80", "web", "true"]).texts("L") == ["8080:a:80"]
