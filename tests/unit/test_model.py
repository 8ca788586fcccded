"""model: the nouns, which stand in for dataclasses at run time and are to behave like them."""

from __future__ import annotations

import pytest

from dockshell.model import Command, Container, Size, Target, replace


def test_nouns_are_made_by_place_and_by_name() -> None:
    """With defaults for what isn't said."""
    assert Target("name", "web") == Target(kind="name", value="web", engine="", replica=0)
    assert Size(80, 24).rows == 24


def test_nouns_do_not_change() -> None:
    """Another is made with replace()."""
    size = Size(80, 24)
    with pytest.raises(AttributeError):
        size.rows = 25  # type: ignore[misc]
    assert replace(size, rows=25) == Size(80, 25) and size.rows == 24


def test_nouns_want_all_their_fields_and_no_other() -> None:
    """A word too many or too few is a mistake in the program."""
    for make in (lambda: Size(80), lambda: Size(80, 24, 1), lambda: Size(80, 24, depth=1), lambda: Target()):
        with pytest.raises(TypeError):
            make()


def test_nouns_are_equal_by_kind_and_content() -> None:
    """And hash alike, dictionaries in them or not."""
    assert Size(1, 2) != Target("1", "2")
    assert hash(Command((b"a",))) == hash(Command((b"a",)))
    box = Container(id="1" * 64, name="web", engine=None, labels={"a": "b"})  # type: ignore[arg-type]
    assert hash(box) == hash(replace(box)) and "web" in repr(box)


def test_target_is_spelled_as_it_is_typed() -> None:
    """What an error shows can be given back."""
    spelled = ["@latest", "web", "podman://web:2", "label:a=b", "docker://pid:7", "kernel://@latest"]
    from dockshell.target import parse

    assert [str(parse(words)) for words in spelled] == spelled


def test_command_without_words_is_a_login() -> None:
    """And one with words isn't."""
    assert Command().login and not Command((b"",)).login
    assert Container(id="abcdef0123456789", name="", engine=None).short == "abcdef012345"  # type: ignore[arg-type]
