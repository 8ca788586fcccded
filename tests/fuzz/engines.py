"""What an engine answers: HTTP, JSON, files in a tar, and the frames of two streams."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from dockshell.bridge.archive_tree import ArchiveTree
from dockshell.engines import building, containers, path_stat
from dockshell.engines.archive import ArchiveFiles
from dockshell.engines.docker import DockerEngine
from dockshell.engines.frames import Frames
from dockshell.engines.host_config import confinement
from dockshell.engines.json import encode
from dockshell.engines.local import LocalApi
from dockshell.errors import EngineError, SessionLost
from dockshell.identity import Identity
from dockshell.model import Container, Port, Size
from dockshell.standin import likeness
from dockshell.target import fits, parse
from dockshell.tools import images
from tests.fuzz.answers import altered

__all__ = ["engine", "facts", "frames"]


_SOMEBODY = Identity(1000, 1000, (1000, 50), "app", "/etc", "/bin/sh")


class _Answered(LocalApi):
    """The API of an engine that has one answer, whatever it is asked, and hangs up. It is root's."""

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


def _tree(api: LocalApi) -> None:
    """The tree that sftp has of a container without a shell."""
    try:
        tree = ArchiveTree(api, Container(id="x", name="web", engine=DockerEngine(api)), _SOMEBODY)
    except EngineError:
        return
    for act in (
        lambda: tree.stat(b"/etc/group"),
        lambda: tree.readlink(b"/etc/group"),
        lambda: tree.list(b"/etc").read(9),
        lambda: tree.open(b"/etc/group", os.O_RDONLY).abandon(),
    ):
        try:
            act()
        except OSError:
            pass  # as the kernel would


def _likeness(api: LocalApi) -> None:
    """What a stand-in and a sidecar are made of."""
    facts = api.inspect("x")
    for podman in (False, True):
        encode(likeness.likeness(facts, "image", podman))
        assert all(type(each) is str for each in likeness.networks(facts, podman))
        encode(confinement(facts["HostConfig"] if isinstance(facts.get("HostConfig"), dict) else {}, "x", podman))
    likeness.binds(facts)
    likeness.blanked(facts)
    likeness.kept_config(facts, {"a": "b"})
    likeness.kept_changes(facts, {"a": "b"})


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
    lambda api: images._engines_own(api, containers.image(api, "x") or {}),
    _tree,
    _likeness,
    lambda api: [list(building._lines(each if isinstance(each, list) else [each], "no")) for each in [api.ask("", "")]],
]


def engine(data: bytes) -> None:
    """A byte that says what is asked, and the answer: what was asked for, or an EngineError that can be printed."""
    _asked(data[0] if data else 0, data[1:])


def facts(data: bytes) -> None:
    """How the JSON of a right answer is altered: the same, whatever is asked."""
    answer = b"HTTP/1.1 200 OK\r\nServer: Docker\r\n\r\n" + altered(data)
    for which in range(len(_ASK)):
        _asked(which, answer)


def _asked(which: int, answer: bytes) -> None:
    try:
        _ASK[which % len(_ASK)](_Answered(answer))
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
