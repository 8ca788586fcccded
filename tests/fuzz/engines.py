"""What an engine answers: HTTP, JSON, files in a tar, and the frames of two streams."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from dockshell.engines import building, containers, path_stat
from dockshell.engines.archive import ArchiveFiles
from dockshell.engines.docker import DockerEngine
from dockshell.engines.frames import Frames
from dockshell.engines.local import LocalApi
from dockshell.errors import EngineError, SessionLost
from dockshell.model import Container, Port, Size
from dockshell.target import fits, parse

__all__ = ["engine", "frames"]


class _Answered(LocalApi):
    """The API of an engine that has one answer, whatever it is asked, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("/engine.sock")
        self._answer_to_all = answer

    def _request(self, *_: Any, **__: Any) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(self._answer_to_all)
        return ours


def _path_stat(api: LocalApi) -> None:
    try:
        path_stat.read(api.path_stat("x", "/"))
    except ValueError:
        pass  # it says so


def _downloaded(api: LocalApi) -> None:
    if download := api.download("x", "/"):
        while download.read(1000):
            pass
        download.close()


def _files(api: LocalApi) -> None:
    files = ArchiveFiles(api, Container(id="x", name="web", engine=DockerEngine(api)))
    content = files.read("/etc/group", 1000)
    assert content is None or len(content) <= 1000
    assert all(name and "/" not in name for name in files.names("/etc"))
    files.executable("/x")


def _containers(found: list[Container] | Container | None) -> None:
    """Everything in them is of the kind that it should be, and in its range."""
    for each in found if isinstance(found, list) else [found] if found else []:
        texts = (each.id, each.name, each.image, each.state, each.user, each.directory, each.hostname, *each.env)
        texts += (each.runtime, *each.groups, *each.labels, *each.labels.values())
        assert each.id and all(type(text) is str and text.encode() is not None for text in texts)
        assert type(each.pid) is int and 0 <= each.pid <= 1 << 22 and 0 <= each.umask <= 0o7777
        assert all(type(moment) is float and abs(moment) < 1e20 for moment in (each.created, each.started))
        assert all(isinstance(port, Port) and 0 <= port.inside < 1 << 16 > port.outside >= 0 for port in each.ports)
        fits(parse("web"), [each])


_ASK: list[Callable[[LocalApi], object]] = [
    LocalApi.server,
    lambda api: api.inspect("x"),
    lambda api: api.exec_create("x", {}),
    lambda api: api.exec_start("x", terminal=False).close(),
    lambda api: api.exec_inspect("x"),
    lambda api: api.exec_resize("x", Size(80, 24)),
    lambda api: api.upload("x", "/", [b"tar"], 3),
    _path_stat,
    _downloaded,
    _files,
    lambda api: _containers(DockerEngine(api).find(parse("web"))),
    lambda api: _containers(DockerEngine(api).all()),
    lambda api: _containers(DockerEngine(api).newest()),
    lambda api: DockerEngine(api).running(Container(id="x", name="web", engine=DockerEngine(api))),
    lambda api: containers.create(api, {}),
    lambda api: containers.commit(api, "x"),
    lambda api: containers.changes(api, "x"),
    lambda api: containers.image(api, "x"),
    lambda api: containers.images(api),
    lambda api: containers.volumes(api, "x"),
    lambda api: containers.remove(api, "x"),
    lambda api: [list(building._lines(each if isinstance(each, list) else [each], "no")) for each in [api.ask("", "")]],
]


def engine(data: bytes) -> None:
    """A byte that says what is asked, and the answer: what was asked for, or an EngineError that can be printed."""
    try:
        _ASK[data[0] % len(_ASK) if data else 0](_Answered(data[1:]))
    except EngineError as error:
        assert str(error).isprintable()


def frames(data: bytes) -> None:
    """A byte that says in pieces of which size the rest arrives: the same content by stream as of one piece, and never
    more than there was; or SessionLost."""
    size, data = (data[0] or 1 if data else 1), data[1:]
    outcomes = []
    for step in (size, len(data) or 1):
        reader = Frames()
        content = {1: b"", 2: b""}
        try:
            for at in range(0, len(data), step):
                for stream, piece in reader.feed(data[at : at + step]):
                    content[stream] += piece
            outcomes.append((content, reader.whole))
        except SessionLost:
            outcomes.append(({}, False))
    assert outcomes[0] == outcomes[1] and sum(map(len, outcomes[0][0].values())) <= len(data)
