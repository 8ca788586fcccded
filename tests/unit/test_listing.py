"""What `ls` shows of a container, where no engine is needed for it."""

from __future__ import annotations

import json

import pytest

from dockshell.engines.docker import DockerEngine
from dockshell.engines.local import LocalApi
from dockshell.errors import UsageError
from dockshell.listing.fields import letters, words
from dockshell.listing.rows import Row
from dockshell.listing.template import Template
from dockshell.model import Container
from dockshell.output.tables import justified
from dockshell.routes import UNSEEN

_DIGITS = "0123456789abcdef" * 4
_ENGINE = DockerEngine(LocalApi("/nowhere.sock"))


def _row(name: str = "web", image: str = "nginx:1.25") -> Row:
    ways = (("ssh", UNSEEN), ("nsenter", None), ("exec", "no"), ("toolbox", None))
    return Row(Container(id=_DIGITS, name=name, engine=_ENGINE, image=image), name, ways=ways)


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (f"sha256:{_DIGITS}", _DIGITS[:12]),
        (_DIGITS, _DIGITS[:12]),
        (f"nginx:1.25@sha256:{_DIGITS}", "nginx:1.25"),
        (f"host:5000/nginx@sha256:{_DIGITS}", f"host:5000/nginx@sha256:{_DIGITS}"),
        ("nginx", "nginx"),
        ("sha256:beef", "sha256:beef"),
        ("", ""),
    ],
)
def test_images_ids_are_short(image: str, shown: str) -> None:
    """As `docker ps` shows them; and in full where that is asked for."""
    assert _row(image=image).container.short_image == shown
    assert Template("{image} {{.ID}}").filled([_row(image=image)]) == [f"{shown} {_DIGITS[:12]}"]
    assert Template("{image} {{.ID}}", whole=True).filled([_row(image=image)]) == [f"{image} {_DIGITS}"]


def test_templates_know_json() -> None:
    """A field, or all that Docker has a name for; what a container is called can't end the line."""
    line, whole = Template("<{{json .Names}}>\\t{{ json .Image }}"), Template("{{json .}}")
    assert line.filled([_row('a"b\n')]) == ['<"a\\"b\\n">\t"nginx:1.25"']
    (filled,) = whole.filled([_row("a\nb")])
    facts = json.loads(filled)
    assert (facts["Names"], facts["ID"], facts["State"]) == ("a\nb", _DIGITS[:12], "running")
    assert {"image", "age"} <= whole.fields


def test_templates_know_tables() -> None:
    """Docker's headings above its names and ours above ours, in columns as docker has them."""
    table = Template(r"table {{.ID}}\t{{.Names}}\t{age}")
    heading, first, second = table.filled([_row(), _row("a-very-long-name")])
    assert heading == "CONTAINER ID   NAMES              AGE"
    assert first.startswith("0123456789ab   web                ")
    assert second.startswith("0123456789ab   a-very-long-name   ")


@pytest.mark.parametrize(
    "form", ["{{upper .Names}}", "{{json .Size}}", "{{json}}", "{{.}}", "{{json . .}}", "{{Names}}"]
)
def test_what_else_go_knows_is_refused(form: str) -> None:
    """With what is known."""
    with pytest.raises(UsageError, match="json in front of one"):
        Template(form)


def test_columns_begin_below_one_another() -> None:
    """Rows may have different numbers of cells, and nothing is filled up behind the last one."""
    assert justified([["a", "b"], ["long one", "c", "d"], ["e"]], 3) == ["a          b", "long one   c   d", "e"]
    assert justified([["a", "b"]], 3, 10) == ["a         b"]


def test_the_ways_in_short_are_no_word() -> None:
    """In a narrow terminal a letter each, apart, so that nothing reads as a word or an option."""
    assert (words(_row()), letters(_row())) == ("ssh?, nsenter, toolbox", "s? n t")
