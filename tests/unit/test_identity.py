"""identity: -u's words and hostile passwd and group files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.errors import UserError
from dockshell.identity import Identity, resolve

PASSWD = b"""root:x:0:0:root:/root:/bin/bash
# a comment
app:x:1000:1001:the app:/home/app:/bin/zsh
short:x:7
nohome:x:8:8:::
broken:x:minus:one:::/bin/sh
1234:x:55:56::/odd:
"""
GROUP = b"""root:x:0:
wheel:x:10:root,app
app:x:1001:
files:x:20: app , root
bad:x:x:app
4242:x:77:
nobody
"""


def test_nothing_said_is_root() -> None:
    """An image without USER runs as root, with root's groups, its own among them (CVE-2022-36109)."""
    assert resolve("", PASSWD, GROUP) == Identity(0, 0, (0, 10), "root", "/root", "/bin/bash")


@pytest.mark.parametrize("words", ["app", "1000"])
def test_entry_by_name_and_by_number(words: str) -> None:
    """Both find the entry, and with it name, home, shell and supplementary groups."""
    assert resolve(words, PASSWD, GROUP) == Identity(1000, 1001, (1001, 10), "app", "/home/app", "/bin/zsh")


def test_group_that_is_given_stands_alone() -> None:
    """With a group in so many words there are no supplementary ones, as with docker exec."""
    assert resolve("app:wheel", PASSWD, GROUP).groups == (10,)
    assert resolve("app:31337", PASSWD, GROUP).gid == 31337


def test_number_without_an_entry() -> None:
    """It has no name, and / for a home."""
    assert resolve("4711", PASSWD, GROUP) == Identity(4711, 0, (0,), "", "/", "")


def test_no_files_at_all() -> None:
    """An image from scratch: numbers work, names don't."""
    assert resolve("65532:65532", b"", b"") == Identity(65532, 65532, (65532,), "", "/", "")
    with pytest.raises(UserError):
        resolve("app", b"", b"")


def test_extra_groups_by_name_and_number() -> None:
    """What --group-add said at the container's start."""
    assert resolve("root", PASSWD, GROUP, ("files", "99")).groups == (0, 10, 20, 99)


@pytest.mark.parametrize(
    "words", ["nobody-here", "app:nogroup", "-1", "4294967295", "99999999999", "broken", "1000 ", "٣"]
)
def test_unknown_names_are_refused(words: str) -> None:
    """With a sentence that can be printed. Numbers that are none for the kernel are names, and unknown ones."""
    with pytest.raises(UserError) as raised:
        resolve(words, PASSWD, GROUP)
    assert str(raised.value).isprintable()


def test_error_does_not_print_escape_sequences() -> None:
    """A name that would drive the terminal is spelled out."""
    with pytest.raises(UserError) as raised:
        resolve("\x1b]0;x\x07", PASSWD, GROUP)
    assert str(raised.value).isprintable()


lines = st.lists(st.text(st.characters(codec="latin-1"), max_size=40), max_size=8).map(
    lambda rows: "\n".join(rows).encode("latin-1")
)
entries = st.lists(
    st.lists(st.sampled_from(["root", "app", "0", "1000", "-5", "99999999999", "x", "", "\udcff"]), max_size=9).map(
        ":".join
    ),
    max_size=8,
).map(lambda rows: "\n".join(rows).encode("utf-8", "surrogateescape"))


@given(st.text(max_size=20), lines | entries, lines | entries)
def test_any_files_give_numbers_or_a_refusal(words: str, passwd: bytes, group: bytes) -> None:
    """Whatever stands in them: ids that the kernel takes, or UserError; nothing else is raised."""
    try:
        found = resolve(words, passwd, group, ("app",) if group else ())
    except UserError:
        return
    assert all(0 <= number < (1 << 32) - 1 for number in (found.uid, found.gid, *found.groups))
    assert len(set(found.groups)) == len(found.groups)


@given(entries, entries)
def test_number_never_becomes_another(passwd: bytes, group: bytes) -> None:
    """No file can make the number 1000 anybody but 1000, unless an entry bears it for a name, which then counts as in
    libcontainer."""
    found = resolve("1000", passwd, group)
    named = {row.split(b":")[0].strip() for row in passwd.split(b"\n")}
    assert found.uid == 1000 or b"1000" in named
