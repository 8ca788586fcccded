"""identity: -u's words and hostile passwd and group files."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
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


WORDS = [
    "root",
    "app",
    "a",
    "0",
    "00",
    "7",
    "07",
    "1000",
    "4294967294",
    "4294967295",
    "-5",
    "x",
    "",
    " app",
    "#",
    "\udcff",
]
MEMBERS = st.lists(st.sampled_from(WORDS), max_size=3).map(",".join)
ENTRY = st.lists(st.sampled_from(WORDS) | MEMBERS, min_size=1, max_size=8).map(":".join)
FILE = st.lists(ENTRY, max_size=8).map(lambda rows: "\n".join(rows).encode("utf-8", "surrogateescape"))
WHO = st.sampled_from(WORDS)


def _number(text: str) -> int | None:
    return int(text) if text and set(text) <= set("0123456789") and len(text) < 11 and int(text) < 2**32 - 1 else None


def _table(content: bytes) -> list[list[str]]:
    rows = [line.split(":") for line in content.decode("utf-8", "surrogateescape").split("\n") if line[:1] != "#"]
    return [[field.strip() for field in row] + [""] * 7 for row in rows if len(row) >= 3]


def _listed(words: str, group: bytes) -> int | None:
    for row in _table(group):
        if _number(row[2]) is not None and (row[0] == words or _number(row[2]) == _number(words) is not None):
            return _number(row[2])
    return _number(words)


def _expected(user: str, wanted: str, passwd: bytes, group: bytes, extra: list[str]) -> Identity | None:
    """resolve() again, line by line and without a thought of how long that takes; None where it is to refuse."""
    user = user or "0"
    uid, gid, name, home, shell = _number(user), 0, "", "/", ""
    for row in _table(passwd):
        numbers = _number(row[2]), _number(row[3])
        if None not in numbers and (row[0] == user or numbers[0] == _number(user)):
            uid, gid, name, home, shell = numbers[0], numbers[1] or 0, row[0], row[5] or "/", row[6]
            break
    asked = [_listed(each, group) for each in ([wanted] if wanted else []) + extra]
    if uid is None or None in asked:
        return None
    own = [_number(row[2]) for row in _table(group) if name and name in row[3].split(",")]
    groups = [asked[0] if wanted else gid, *([] if wanted else own), *asked[bool(wanted) :]]
    found = [each for each in groups if each is not None]
    return Identity(uid, found[0], tuple(dict.fromkeys(found)), name, home, shell)


@settings(max_examples=150, deadline=None)
@given(WHO, WHO, FILE, FILE, st.lists(WHO, max_size=2))
def test_it_is_who_a_reading_line_by_line_finds(
    user: str, wanted: str, passwd: bytes, group: bytes, extra: list[str]
) -> None:
    """Nobody else, with no group more and none less; and a refusal exactly where there is nobody."""
    expected = _expected(user, wanted, passwd, group, extra)
    words = f"{user}:{wanted}" if wanted else user
    if expected is None:
        with pytest.raises(UserError):
            resolve(words, passwd, group, tuple(extra))
    else:
        assert resolve(words, passwd, group, tuple(extra)) == expected


@given(st.text(st.characters(codec=None), max_size=9), st.text(st.characters(codec=None), max_size=9), FILE)
def test_text_that_no_bytes_make_is_nobody(user: str, wanted: str, content: bytes) -> None:
    """An engine's JSON can hold halves of characters: they name nobody, and can be told."""
    try:
        resolve(f"{user}:{wanted}", content, content, (wanted,))
    except UserError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"".join(b"u%d:x:%d:%d::/:/bin/sh\n" % (n, n + 9, n) for n in range(100_000)),
        b"4711:x:5:1" + b":," * (2 << 20),
        b"\n" * (4 << 20),
        b"a" * (4 << 20),
    ],
    ids=["lines", "fields", "empty", "endless"],
)
def test_large_files_cost_little_more_than_themselves(content: bytes) -> None:
    """A million lines, or one without end: nothing is made of those that aren't about who is looked for."""
    tracemalloc.start()
    try:
        resolve("4711:1", content, content, ("54321",))
        assert tracemalloc.get_traced_memory()[1] < 3 * len(content) + (1 << 20)
    finally:
        tracemalloc.stop()
