"""The list to pick from, without a terminal: what fits what was typed, and cells in columns."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from dockshell.model import Container
from dockshell.picker import columns
from dockshell.picker.rows import narrowed, rows


class _Engine:
    name = "docker"

    def __init__(self, address: str = "unix:///a") -> None:
        self.address = address


def _container(name: str, id: str, created: float, engine: _Engine, **facts: Any) -> Container:
    return Container(id=id, name=name, engine=cast(Any, engine), created=created, **facts)


_HERE = _Engine()
_ALL = [
    _container("web-1", "aaaa", 1, _HERE, image="nginx"),
    _container("wide-ebony", "bbbb", 2, _HERE),
    _container(
        "api", "web0", 3, _HERE, labels={"com.docker.compose.service": "gate", "com.docker.compose.project": "p"}
    ),
]


def _found(typed: str) -> list[str]:
    return [row.name for row in narrowed(rows(_ALL), typed)]


def test_the_newest_first() -> None:
    """Of what fits at all, and so it is with nothing typed."""
    assert _found("") == _found(" ") == ["api", "wide-ebony", "web-1"]


def test_what_fits_goes_before_what_nearly_does() -> None:
    """Every word has to fit; an id by its beginning, all else anywhere; then names that have the letters."""
    assert _found("web") == ["api", "web-1", "wide-ebony"]
    assert _found("NGINX run") == ["web-1"]
    assert _found("p/gate") == ["api"]
    assert _found("eb0") == _found("web api x") == []


def test_engines_are_told_apart_only_where_there_are_several() -> None:
    """As `dockshell ls` does."""
    both = [*_ALL, _container("web-1", "cccc", 9, _Engine("unix:///b"))]
    assert next(row.name for row in rows(both)) == "docker://web-1"


_TEXT = st.text(st.sampled_from("ab 漢é-"), max_size=30)


@given(st.lists(st.tuples(_TEXT, _TEXT, _TEXT), min_size=1, max_size=5), st.integers(1, 60))
def test_a_line_has_the_width_that_there_is(lines: list[tuple[str, str, str]], room: int) -> None:
    """All of one width, whatever letters they have, and none wider than the terminal."""
    widths = columns.fitted(columns.natural(lines), ((1, 5), (2, 0), (1, 0), (0, 1)), room)
    assert len({get_cwidth(columns.aligned(line, widths)) for line in lines}) == 1
    assert all(get_cwidth(columns.aligned(line, widths)) <= room for line in lines)


@given(_TEXT, st.integers(2, 20))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    """Each line fits, and only blanks go."""
    lines = columns.wrapped(text, width)
    assert all(get_cwidth(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
