"""Who is let in by `dockshell serve`: what a server asks may be made up by somebody who has taken it over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dockshell.bridge import library

library.load()

import asyncssh  # noqa: E402

from dockshell.bridge.admission import Visitor  # noqa: E402
from dockshell.bridge.authorized import Entry  # noqa: E402

_KEY = asyncssh.generate_private_key("ssh-ed25519")
_HASH = bytes(32)


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _request(key: asyncssh.SSHKey, name: bytes = b"web", algorithm: bytes = b"", **changed: bytes) -> bytes:
    parts = {"service": b"ssh-connection", "method": b"publickey", "signed": b"\1", "more": b"", **changed}
    head = b"\x32" + b"".join(map(_string, (name, parts["service"], parts["method"]))) + parts["signed"]
    return head + _string(algorithm or key.algorithm) + _string(key.public_data) + parts["more"]


def _visitor(*entries: Entry, exchanged: bool = True) -> Visitor:
    visitor = Visitor("192.0.2.1", lambda data: b"signed " + data, lambda: list(entries))
    if exchanged:
        assert visitor.sign(_HASH) == b"signed " + _HASH
    return visitor


def _entry(key: asyncssh.SSHKey, **more: Any) -> Entry:
    return Entry(key.algorithm.decode(), key.public_data, **more)


def _signed(request: bytes, key: asyncssh.SSHKey, algorithm: bytes = b"", session: bytes = _HASH) -> bytes:
    return key.sign(_string(session) + request, algorithm or key.algorithm)


def test_who_signs_is_let_in_once() -> None:
    """With what the line of the key says, and the name that was signed."""
    visitor = _visitor(_entry(_KEY, containers=("w*",), user="app", command=b"x", pty=False))
    request = _request(_KEY)
    assert visitor.knows(_KEY.public_data)
    allowed = visitor.lets_in(request, _signed(request, _KEY))
    assert allowed is not None
    assert (allowed.target, allowed.admitted, allowed.user, allowed.line) == ("web", ("w*",), "app", b"x")
    assert allowed.terminals is False and allowed.key.startswith("SHA256:")
    assert visitor.lets_in(request, _signed(request, _KEY)) is None


@pytest.mark.parametrize(
    "changed",
    [{"service": b"ssh-userauth"}, {"method": b"none"}, {"signed": b"\0"}, {"more": b"\0"}],
    ids=["service", "method", "a question", "more"],
)
def test_nothing_else_is_a_login(changed: dict[str, bytes]) -> None:
    """Whatever else that key has signed."""
    request = _request(_KEY, **changed)
    assert _visitor(_entry(_KEY)).lets_in(request, _signed(request, _KEY)) is None


def test_what_is_not_signed_for_this_session() -> None:
    """By another key, for another session, before there is one, for another name."""
    other = asyncssh.generate_private_key("ssh-ed25519")
    request, entry = _request(_KEY), _entry(_KEY)
    signature = _signed(request, _KEY)
    assert _visitor(entry).lets_in(request, _signed(request, other)) is None
    assert _visitor(entry).lets_in(request, _signed(request, _KEY, session=b"\1" * 32)) is None
    assert _visitor(entry, exchanged=False).lets_in(request, signature) is None
    assert _visitor(entry).lets_in(_request(_KEY, b"db"), signature) is None
    assert _visitor(_entry(other)).lets_in(request, signature) is None
    assert _visitor(_entry(_KEY, expires=1.0)).lets_in(request, signature) is None
    assert _visitor(_entry(_KEY, sources=("10.0.0.0/8",))).lets_in(request, signature) is None
    # Later key exchanges of the session don't change its id: RFC 4253, 7.2.
    again = _visitor(entry)
    again.sign(b"\1" * 32)
    assert again.lets_in(request, signature) is not None


def test_sha1_is_no_signature() -> None:
    """RSA with SHA-256 and SHA-512 alone."""
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    for algorithm, let_in in ((b"rsa-sha2-256", True), (b"rsa-sha2-512", True), (b"ssh-rsa", False)):
        request = _request(key, algorithm=algorithm)
        found = _visitor(_entry(key)).lets_in(request, _signed(request, key, algorithm))
        assert (found is not None) is let_in
    request = _request(key, algorithm=b"rsa-sha2-256")
    assert _visitor(_entry(key)).lets_in(request, _signed(request, key, b"rsa-sha2-512")) is None


def test_the_host_key_signs_hashes_alone() -> None:
    """A few, before a login: nothing that could be taken for anything else."""
    visitor = _visitor()
    assert visitor.sign(b"x" * 100) is None
    assert visitor.sign(b"") is None
    assert visitor.sign(b"y" * 64) is not None
    assert visitor.sign(b"y" * 64) is None


def test_keys_are_tried_a_few_times() -> None:
    """Twenty in all."""
    visitor = _visitor(_entry(_KEY))
    assert [visitor.knows(_KEY.public_data) for _ in range(25)] == [True] * 20 + [False] * 5


@given(some.binary(max_size=200), some.binary(max_size=200))
def test_any_bytes_are_no_login(request: bytes, signature: bytes) -> None:
    """… nor an error."""
    assert _visitor(_entry(_KEY)).lets_in(request, signature) is None
