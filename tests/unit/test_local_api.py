"""engines.local and engines.json: an engine's answers, which may be anything."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.engines.json import decode
from dockshell.engines.local import LocalApi, parse_head, quote
from dockshell.errors import EngineError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 60), 1 << 60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_json_is_what_the_library_reads(value: object, ascii_only: bool, indent: int | None) -> None:
    """Whatever an engine can say in JSON comes out the same."""
    assert decode(
        json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    ) == value or any("\ud800" <= c <= "\udfff" for c in str(value))


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123eE+-.truefalsn\\u ', max_size=60).map(str.encode))
def test_no_json_is_a_value_error(content: bytes) -> None:
    """What isn't JSON raises ValueError, and nothing else."""
    try:
        found = decode(content)
    except ValueError:
        return
    assert found == json.loads(content)


@pytest.mark.parametrize("content", ["'", '"', '"\\\\x', '{"a" 1}', "[1 2]", "{1}"])
def test_no_json_is_a_value_error_before_json_is_imported(content: str) -> None:
    """As on the hot path, where nobody imports that: the scanner then has no error to raise (Python 3.11 and 3.12)."""
    code = (
        "import sys\nfrom dockshell.engines.json import decode\nassert 'json.decoder' not in sys.modules\n"
        f"try: decode({content.encode()!r})\nexcept ValueError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "refused\n", done.stderr


@given(st.binary(max_size=300))
def test_any_head_can_be_parsed(head: bytes) -> None:
    """A status of three digits or 0; nothing is raised."""
    status, fields = parse_head(head)
    assert 0 <= status <= 999
    assert all(name == name.strip().lower() for name in fields)


def test_head() -> None:
    """Status and fields, whatever the case of their names."""
    assert parse_head(b"HTTP/1.1 101 UPGRADED\r\nServer: Libpod/4\r\nX:1") == (101, {"server": "Libpod/4", "x": "1"})


@given(st.text(st.characters(codec="utf-8")))
def test_quoted_text_has_no_meaning_in_a_url(text: str) -> None:
    """Only unreserved characters are left as they are, and all comes back."""
    from urllib.parse import unquote

    quoted = quote(text)
    assert quoted.isascii() and not set(quoted) & set("/?#&=+ \r\n")
    assert unquote(quoted, errors="surrogateescape") == text


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[list[bytes]]:
    """A socket at tmp_path/s where each connection gets the next of these answers, and then its end."""
    answers: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    answer = answers.pop(0)
                    connection.sendall(answer)
                    if answer.startswith(b"HTTP/1.1"):
                        connection.recv(1)  # kept open, for another request
                except OSError:
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    yield answers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.0 %s\r\nServer: Docker/20.10\r\n\r\n%s" % (status.encode(), body)


def test_answer_is_decoded(answering: list[bytes], tmp_path: Path) -> None:
    """What the engine says of a container, and what kind of engine it is."""
    answering.append(_http("200 OK", b'{"Id": "x"}'))
    api = LocalApi(str(tmp_path / "s"))
    assert api.inspect("x") == {"Id": "x"} and api.server() == "docker"


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"\0" * 200_000, _http("200 OK", b"<html>"),
        _http("500 Oh", b'{"message": "broken"}'), _http("404 No", b"\xff\xfe"), _http("400 No", b"[]"),
    ],
    ids=["nothing", "ssh", "cut", "endless", "html", "500", "404", "400"],
)  # fmt: skip
def test_bad_answer_is_an_engine_error(answering: list[bytes], tmp_path: Path, answer: bytes) -> None:
    """With one printable sentence."""
    answering.append(answer)
    with pytest.raises(EngineError) as raised:
        LocalApi(str(tmp_path / "s")).inspect("x")
    assert str(raised.value).isprintable()


def test_engines_words_are_printed_safely(answering: list[bytes], tmp_path: Path) -> None:
    """An error's text can't drive the terminal, and its status is known."""
    answering.append(_http("409 Conflict", b'{"message": "\\u001b[31m\\nred"}'))
    with pytest.raises(EngineError) as raised:
        LocalApi(str(tmp_path / "s")).inspect("x")
    assert raised.value.status == 409 and str(raised.value).isprintable()


def test_exec_that_is_refused_does_not_wait(answering: list[bytes], tmp_path: Path) -> None:
    """The engine keeps that connection open, and the answer is as long as it says."""
    answering.append(b'HTTP/1.1 409 Conflict\r\nContent-Length: 21\r\n\r\n{"message": "paused"}')
    with pytest.raises(EngineError, match="paused") as raised:
        LocalApi(str(tmp_path / "s")).exec_start("x", terminal=False)
    assert raised.value.status == 409


def test_nobody_listens(tmp_path: Path) -> None:
    """A socket that isn't there, and one where nobody is, each with what to do."""
    with pytest.raises(EngineError, match="no such socket"):
        LocalApi(str(tmp_path / "none")).inspect("x")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    with pytest.raises(EngineError, match="start it"):
        LocalApi(str(tmp_path / "left")).inspect("x")
