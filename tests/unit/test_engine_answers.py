"""What an engine says of its containers, which may be anything: a Container with the right kind of facts, or
EngineError."""

from __future__ import annotations

import base64
import copy
import io
import json
import socket
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dockshell.engines.archive import ArchiveFiles
from dockshell.engines.docker import DockerEngine, from_inspect, from_listing
from dockshell.engines.local import LocalApi
from dockshell.errors import EngineError
from dockshell.model import Container, Port, Size
from dockshell.target import fits, parse

ID = "a1" * 32
NETWORKS = {"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}}
INSPECTED: dict[str, Any] = {
    "Id": ID,
    "Name": "/web",
    "Created": "2024-02-29T12:00:00.123456789Z",
    "State": {"Status": "running", "Paused": False, "Pid": 4711, "StartedAt": "2024-02-29T14:00:01.5+02:00"},
    "Config": {
        "Image": "busybox",
        "User": "app:staff",
        "Env": ["A=1"],
        "WorkingDir": "/srv",
        "Hostname": "host",
        "Labels": {"k": "v"},
        "Umask": "0027",
    },
    "HostConfig": {"GroupAdd": ["7"], "Runtime": "runc"},
    "NetworkSettings": {**NETWORKS, "Ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "2222"}], "53/udp": None}},
}
LISTED: dict[str, Any] = {
    "Id": ID,
    "Names": ["/other/alias", "/web"],
    "Image": "busybox",
    "State": "running",
    "Created": 1709208000,
    "Labels": {"k": "v"},
    "NetworkSettings": NETWORKS,
}
HARD = st.sampled_from(
    [
        *(None, True, -1, 0, 1 << 40, 1 << 2000, 1e300, float("nan"), float("inf"), [], {}),
        *("", "x", "/", "\ud800", "9" * 400, "99999", "-0", "0o7", "999999999"),
        *("0001-01-01T00:00:00Z", "2024-01-01T00:00:nanZ", "2024-99-01T00:00:00Z", "2024-01-01T00:00:1e999Z"),
        *(f"{'9' * 400}-01-01T00:00:00Z", [None], [1], ["a", 2], {"": None}, {"a": 1}),
        *({"22/tcp": [{}]}, {"x/tcp": [{"HostPort": "1"}]}, {"22/tcp": [{"HostPort": "99999"}]}),
    ]
).map(copy.deepcopy)


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in children for found in _paths(child, (*path, key)))]


def _altered(whole: Any) -> st.SearchStrategy[Any]:
    """The answer with something else in one or two of its places, or without them."""

    def alter(changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
        altered = copy.deepcopy(whole)
        for path, value in changes:
            if not path:
                return value
            place = altered
            try:
                for key in path[:-1]:
                    place = place[key]
                if value == "x":
                    del place[path[-1]]
                else:
                    place[path[-1]] = value
            except (KeyError, IndexError, TypeError):
                continue
        return altered

    return st.lists(st.tuples(st.sampled_from(_paths(whole)), HARD), min_size=1, max_size=2).map(alter)


class Answers:
    """An Api that has one answer."""

    address = "unix:///engine.sock"
    local = True
    owner = 0

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def inspect(self, name: str) -> Any:
        return self.answer

    def containers(self, **_: object) -> Any:
        return [self.answer]


def _check(found: Container) -> None:
    """Everything in it is of the kind that it should be, and in its range."""
    texts = (found.id, found.name, found.image, found.state, found.user, found.directory, found.hostname, found.runtime)
    texts += (*found.env, *found.groups, *found.labels, *found.labels.values())
    texts += tuple(text for pair in found.addresses for text in pair)
    assert found.id and all(type(text) is str and text.encode() is not None for text in texts)
    assert type(found.pid) is int and 0 <= found.pid <= 1 << 22
    assert 0 <= found.umask <= 0o7777
    assert all(type(moment) is float and abs(moment) < 1e20 for moment in (found.created, found.started))
    assert all(
        isinstance(port, Port) and 0 <= port.inside < 1 << 16 and 0 <= port.outside < 1 << 16 for port in found.ports
    )
    assert [each.id for each in fits(parse(ID), [found])] == ([ID] if found.id == ID else [])
    assert str(found) and hash(found) is not None


def _engine(answer: Any) -> DockerEngine:
    return DockerEngine(Answers(answer))  # type: ignore[arg-type]


def test_an_honest_answer_is_understood() -> None:
    """Each fact in its place."""
    found = from_inspect(INSPECTED, _engine(INSPECTED))
    _check(found)
    assert (found.name, found.pid, found.user, found.env, found.umask) == ("web", 4711, "app:staff", ("A=1",), 0o027)
    assert (found.created, found.started) == (1709208000.123456789, 1709208001.5)
    assert found.ports == (Port(22, "0.0.0.0", 2222),) and found.addresses == (("bridge", "172.17.0.2"),)
    assert from_listing(LISTED, _engine(LISTED)).name == "web"


@pytest.mark.parametrize(
    ("podman", "docker", "umask"),
    [(None, None, 0o022), ("0077", None, 0o077), (None, 0o027, 0o027), (None, 0, 0), ("0022", 0o007, 0o007)],
)
def test_the_umask_of_an_exec(podman: str | None, docker: int | None, umask: int) -> None:
    """Podman tells it as octal text in Config, Docker from API 1.56 on as a number in HostConfig, where none is the
    runtime's own."""
    answer = copy.deepcopy(INSPECTED)
    answer["Config"]["Umask"], answer["HostConfig"]["Umask"] = podman, docker
    assert from_inspect(answer, _engine(answer)).umask == umask


@settings(max_examples=300, deadline=None)
@given(_altered(INSPECTED))
@example({**INSPECTED, "Id": None})
def test_any_answer_to_inspect_is_a_container_or_an_error(facts: Any) -> None:
    """Whatever stands in whichever place; the error can be printed."""
    try:
        found = from_inspect(facts, _engine(facts))
    except EngineError as error:
        assert str(error).isprintable()
    else:
        _check(found)


@settings(max_examples=200, deadline=None)
@given(_altered(LISTED))
@example({**LISTED, "Id": ""})
def test_any_listing_is_containers_or_an_error(facts: Any) -> None:
    """The same for each way to ask for a listing."""
    for ask in (DockerEngine.all, DockerEngine.newest, lambda engine: engine.find(parse("@latest"))):
        try:
            found = ask(_engine(facts))  # type: ignore[operator]
        except EngineError as error:
            assert str(error).isprintable()
        else:
            for each in found if isinstance(found, list) else [found] if found else []:
                _check(each)


ASK: list[Callable[[LocalApi], object]] = [
    LocalApi.server,
    LocalApi.containers,
    lambda api: api.inspect("x"),
    lambda api: api.exec_create("x", {}),
    lambda api: api.exec_start("x", terminal=False).close(),
    lambda api: api.exec_detached("x"),
    lambda api: api.exec_inspect("x"),
    lambda api: api.exec_resize("x", Size(80, 24)),
    lambda api: api.archive("x", "/", 1 << 16),
    lambda api: DockerEngine(api).find(parse("web")),
]
_BODY = json.dumps(INSPECTED).encode()
_WHOLE = b"HTTP/1.1 200 OK\r\nServer: Docker/20\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
_ANY = (
    st.binary(max_size=99)
    | st.integers(0, len(_WHOLE)).map(lambda end: _WHOLE[:end])
    | st.tuples(
        st.sampled_from([b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/9"]),
        st.sampled_from([b"200 OK", b"101 UPGRADED", b"404 Not Found", b"500 \x1b[2J", b"999", b"-1", b""]),
        st.sampled_from(
            [b"\r\n\r\n", b"\r\nContent-Length: -7\r\n\r\n", b"\r\nContent-Length: 9999999999\r\n\r\n", b"\n\n"]
        ),
        st.sampled_from(
            [b"", b"{", b"[]", b"[1]", b"null", b"7", b'"\\u001b"', b'{"message": 5}', b'{"Id": null}', b"\xff"]
        ),
    ).map(b"".join)
)


def test_any_bytes_are_an_answer_or_an_error(tmp_path: Path) -> None:
    """Garbage, or an answer cut off anywhere: soon it is an EngineError, or what was asked for."""
    path = str(tmp_path / "engine.sock")
    waiting: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(waiting[0])
                    connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()

        @settings(max_examples=100, deadline=1000)
        @given(_ANY, st.sampled_from(ASK))
        def check(answer: bytes, ask: Callable[[LocalApi], object]) -> None:
            waiting[:] = [answer]
            try:
                ask(LocalApi(path))
            except EngineError as error:
                assert str(error).isprintable()

        try:
            check()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("passwd" * 30)
        member.size = 4
        member.pax_headers = {"size": "4", "mtime": "1.5", "GNU.sparse.map": "0,1"}
        tar.addfile(member, io.BytesIO(b"root"))
    return packed.getvalue()


def _summed(tar: bytearray) -> bytes:
    """With the checksums that the headers should have."""
    for at in range(0, len(tar) - 511, 512):
        if tar[at + 257 : at + 262] == b"ustar":
            tar[at + 148 : at + 156] = b" " * 8
            tar[at + 148 : at + 156] = b"%06o\0 " % sum(tar[at : at + 512])
    return bytes(tar)


TAR = _tar()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2047), st.sampled_from(b"\0 -059=.\xff\x80\n")), max_size=4),
    st.integers(0, len(TAR)),
    st.dictionaries(st.sampled_from(["mode", "linkTarget", "size"]), HARD) | st.text(max_size=9),
)
@example([(TAR.index(b"map=0") + 4, ord("-"))], len(TAR), {"mode": 420})
@example([], 0, {"mode": 1 << 27, "linkTarget": "/"})
def test_any_archive_is_a_file_or_none(changes: list[tuple[int, int]], end: int, told: object) -> None:
    """Whatever the engine packs a file into, and whatever it tells of it before: bytes up to the limit, or nothing."""
    altered = bytearray(TAR)
    for place, byte in changes:
        altered[place] = byte
    archive = _summed(altered)[:end]
    spelled = told if isinstance(told, str) else base64.b64encode(json.dumps(told).encode()).decode()

    class Api(Answers):
        def path_stat(self, container: str, path: str) -> str:
            return spelled

        def archive(self, container: str, path: str, limit: int) -> bytes:
            return archive

    files = ArchiveFiles(Api(None), Container(id=ID, name="web", engine=_engine(None)))  # type: ignore[arg-type]
    content = files.read("/etc/group", 3)
    assert content is None or len(content) <= 3
    assert all("/" not in name for name in files.names("/etc"))
    assert files.executable("/x") in (True, False) and files.directory("/x") in (True, False)


def test_an_engine_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes the connection and never answers: after the time that there is for it, with a sentence that says
    so."""
    monkeypatch.setattr("dockshell.engines.local._TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        for ask in ASK:
            with pytest.raises(EngineError, match=r"stopped answering|no engine answers"):
                ask(LocalApi(str(tmp_path / "s")))
