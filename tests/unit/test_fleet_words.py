"""A fleet's words: which containers they mean, and what is told of them."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell import options
from dockshell.errors import UsageError
from dockshell.fleet.reports import ByLine, summary, worst
from dockshell.fleet.selection import select
from dockshell.fleet.words import Pattern, marks, parse
from dockshell.fleet.worker import Result
from dockshell.model import Container, Target
from dockshell.resolve import Place
from dockshell.target import several
from dockshell.voice import Voice


def _container(name: str, state: str = "running", **labels: str) -> Container:
    spelled = {key.replace("_", "."): value for key, value in labels.items()}
    return Container(name, name, cast(Any, None), state=state, labels=spelled)


def _compose(name: str, project: str, service: str) -> Container:
    return _container(name, com_docker_compose_project=project, com_docker_compose_service=service)


@pytest.mark.parametrize(
    ("word", "many"),
    [
        ("web", False), ("web,db", True), ("api-*", True), ("api-?", True), ("api-[12]", True),
        ("docker://api-*", True), ("label:app=a*,b", False),
        ("docker://label:app=*", False), ("pid:4711", False), ("shop/web:2", False),
    ],
)  # fmt: skip
def test_what_means_many(word: str, many: bool) -> None:
    """A list or a pattern does; what a label's value holds doesn't make it one."""
    assert several(word) is many


def test_the_parts_of_a_list() -> None:
    """Each part is a pattern, or a TARGET with all that one may be; either may pick its engine."""
    assert parse("web,api-*,shop/db:2,podman://x?,docker://y,@latest") == (
        Target("name", "web"),
        Pattern("api-*"),
        Target("name", "shop/db", replica=2),
        Pattern("x?", "podman"),
        Target("name", "y", "docker"),
        Target("latest"),
    )


@pytest.mark.parametrize("word", ["web,", ",web", "web,,db", "web,not a name", "nonsense://a*", "a,label:"])
def test_parts_that_are_none(word: str) -> None:
    """A slip is refused, before anything is looked for."""
    with pytest.raises(UsageError):
        parse(word)


@pytest.mark.parametrize(("labels", "services"), [(["=x"], []), ([""], []), ([], ["a b"]), ([], ["web:2"]), ([], [""])])
def test_marks_that_are_none(labels: list[str], services: list[str]) -> None:
    """So are labels and services that none can have."""
    with pytest.raises(UsageError):
        marks(labels, services)


def test_which_ones_are_marked() -> None:
    """Several labels narrow, several services widen, and both together narrow; without any it is all."""
    front = _container("front", app="web", tier="1")
    back = _container("back", app="web", tier="2")
    shop, blog = _compose("shop-web-1", "shop", "web"), _compose("blog-web-1", "blog", "web")
    everyone = [front, back, shop, blog]

    def fitting(labels: list[str], services: list[str]) -> list[Container]:
        return [each for each in everyone if marks(labels, services).fits(each)]

    assert fitting(["app"], []) == [front, back]
    assert fitting(["app=web", "tier=2"], []) == [back]
    assert fitting([], ["web"]) == [shop, blog]
    assert fitting([], ["shop/web"]) == [shop]
    assert fitting([], ["shop/web", "blog/web"]) == [shop, blog]
    assert fitting(["app"], ["web"]) == []
    assert fitting([], []) == everyone


class _Engine:
    api = None
    name = "docker"
    address = "nowhere"

    def __init__(self, *containers: Container) -> None:
        self._containers = list(containers)

    def all(self) -> list[Container]:
        return self._containers


def test_the_order_and_each_once() -> None:
    """Those of a pattern come by name, numbers in it counted; one that several parts mean comes once, and one that
    doesn't run only if it lives."""
    engine = _Engine(
        *map(_container, ("api-10", "api-9", "db", "api-1")),
        _container("api-0", "exited"),
        _container("api-2", "paused"),
    )
    found = select(parse("*-1*,api-*"), Place(only=cast(Any, engine)), Voice())
    assert [each.name for each in found] == ["api-1", "api-10", "api-2", "api-9"]


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        (["--all", "--", "ls", "-l"], ["ls", "-l"]),
        (["--all", "ls"], ["ls"]),
        (["--label", "a=b", "ls", "--", "x"], ["ls", "--", "x"]),
        (["--service", "web", "-j", "4", "--", "ls"], ["ls"]),
        (["web,db", "--", "ls"], ["web,db", "ls"]),
        (["--all=false", "web", "ls"], ["web", "ls"]),
    ],
)
def test_where_the_command_begins(words: list[str], rest: list[str]) -> None:
    """With options that choose the containers there is no TARGET, and every word is the command's."""
    assert options.parse(["exec", *words]).words == rest


@pytest.mark.parametrize("words", [["--all"], ["--label", "a", "--"], ["web,db"]])
def test_a_command_there_must_be(words: list[str]) -> None:
    """All of them without a command is refused."""
    with pytest.raises(UsageError, match="usage"):
        options.parse(["exec", *words])


class _Names:
    apart = True

    def before_lines(self, number: int, stream: int) -> bytes:
        return b"%d: " % number


def _by_line() -> tuple[ByLine, list[tuple[int, bytes]]]:
    written: list[tuple[int, bytes]] = []
    return ByLine(cast(Any, _Names()), lambda stream, data: written.append((stream, data))), written


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_lines_are_whole_however_they_come(pieces: list[bytes]) -> None:
    """Each line has the name in front and its own bytes; the last gets a newline if it has none."""
    report, written = _by_line()
    for piece in pieces:
        report.wrote(3, 1, piece)
    report.ended(3, Result(0), 0)
    data = b"".join(pieces)
    lines = (data if data.endswith(b"\n") or not data else data + b"\n").split(b"\n")[:-1]
    assert b"".join(data for _, data in written) == b"".join(b"3: " + line + b"\n" for line in lines)
    assert all(data.endswith(b"\n") for _, data in written)


def test_a_line_without_an_end() -> None:
    """A line that doesn't end is told in parts: what is kept of it is bounded."""
    report, written = _by_line()
    for _ in range(100):
        report.wrote(0, 2, b"x" * 10000)
    assert sum(data.count(b"x") for _, data in written) > 900_000
    assert {stream for stream, _ in written} == {2}


def test_the_summary_and_the_worst() -> None:
    """How many went well, which did not and how; the highest code is that of all, and one that kept some from beginning
    counts as its signal."""
    containers = [_container(name) for name in ("a", "b", "c", "d", "e\x1b", *"fghijkl")]
    results = {0: Result(0), 1: Result(0), 2: Result(3), 3: Result(125, error="paused"), 4: Result(143, 15)}
    assert summary(containers[:5], results) == "2 ok, 1 exit 3 (c), 1 not entered (d), 1 signal 15 (e\\x1b)"
    assert summary(containers, {}) == "12 not begun (a, b, c, d, e\\x1b and 7 more)"
    assert worst(results, 0) == 143
    assert worst({0: Result(0)}, 2) == 130
    assert worst({0: Result(137)}, 2) == 137
