"""The authorized keys of `dockshell serve`: who is let in, and that nothing that isn't understood lets anybody in."""

from __future__ import annotations

import base64
import calendar
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dockshell.bridge.authorized import NOBODY, Entry, Reader, complaints, parse
from dockshell.errors import DockshellError
from tests.world import World


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _public(key: Any) -> bytes:
    public: bytes = key.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH)
    return public


def _line(kind: bytes, *parts: bytes) -> bytes:
    return kind + b" " + base64.b64encode(b"".join(map(_string, (kind, *parts))))


_POINT = base64.b64decode(_public(ec.generate_private_key(ec.SECP256R1())).split()[1])[-65:]
_KEYS = {
    "ed25519": _public(ed25519.Ed25519PrivateKey.generate()),
    "nistp256": _public(ec.generate_private_key(ec.SECP256R1())),
    "nistp384": _public(ec.generate_private_key(ec.SECP384R1())),
    "nistp521": _public(ec.generate_private_key(ec.SECP521R1())),
    "rsa": _public(rsa.generate_private_key(65537, 2048)),
    "sk-ed25519": _line(b"sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
    "sk-ecdsa": _line(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", _POINT, b"ssh:"),
}
_KEY = _KEYS["ed25519"]
_BLOB = base64.b64decode(_KEY.split()[1])


def _entry(options: str) -> Entry:
    entries, reasons = parse(options.encode() + b" " + _KEY)
    assert not reasons, reasons
    return entries[0]


def _refused(line: bytes) -> str:
    """Why a line lets nobody in."""
    entries, reasons = parse(line)
    assert not entries and len(reasons) == 1, entries
    return reasons[0][1]


@pytest.mark.parametrize("name", _KEYS)
def test_sound_keys_are_taken(name: str) -> None:
    """Each kind of key that is sound today, as its own program writes it, with no limits."""
    kind, encoded = _KEYS[name].split()
    entries, reasons = parse(_KEYS[name] + b" ann at her desk\n")
    assert not reasons
    assert entries == [Entry(kind.decode(), base64.b64decode(encoded), comment="ann at her desk", line=1)]
    assert entries[0].admits("anything") and entries[0].valid("192.0.2.1", time.time())


@pytest.mark.parametrize(
    "line",
    [
        _public(rsa.generate_private_key(65537, 1024)),
        _line(b"ssh-dss", bytes(20)),
        _line(b"ssh-ed25519-cert-v01@openssh.com", bytes(32)),
        _line(b"ssh-ed25519", bytes(31)),
        _line(b"ssh-ed25519", bytes(32), b"more"),
        _line(b"ssh-ed25519", bytes(32)).replace(b"ssh-ed25519 ", b"ssh-rsa "),
        _line(b"ecdsa-sha2-nistp256", b"nistp384", _POINT),
        _line(b"ecdsa-sha2-nistp256", b"nistp256", b"\2" + _POINT[1:33]),
        _line(b"ssh-rsa", b"\1\0\1", b"\0\0" + b"\xff" * 256),
        _line(b"ssh-rsa", b"\1\0\1", b"\xff" * 256),
        _line(b"ssh-rsa", b"", b"\0" + b"\xff" * 256),
        _KEY[:-4],
        _KEY.replace(b"ssh-ed25519 ", b"ssh-ed25519 !"),
        b"ssh-ed25519",
        b"ssh-ed25519 AAAA",
        b"restrict",
        b"restrict " + _line(b"ssh-dss", bytes(20)),
        b"\0" + _KEY,
        _KEY + b" \0",
    ],
)  # fmt: skip
def test_other_keys_are_not(line: bytes) -> None:
    """A key that is too short, old, a certificate, damaged, or of another kind than it says lets nobody in."""
    assert _refused(line).isprintable()


def test_comments_and_blank_lines_are_nothing() -> None:
    """They are neither entries nor complained of; lines are counted with them."""
    entries, reasons = parse(b"# " + _KEY + b"\n\n \t \r\n  " + _KEY + b"\r\n#\n" + _KEY)
    assert [each.line for each in entries] == [4, 6] and not reasons
    assert entries[0].comment == ""


def test_options_restrict() -> None:
    """All of the options at once, in one line."""
    entry = _entry(
        'container="web,api-*,!api-secret",user="app:staff",command="say \\"hi there\\", \\n",no-forwarding,no-pty,'
        'from="10.0.0.0/8,!10.0.0.1",expiry-time="20301231Z"'
    )
    assert entry.containers == ("web", "api-*", "!api-secret")
    assert entry.user == "app:staff"
    assert entry.command == b'say "hi there", \\n'
    assert (entry.forwarding, entry.agent, entry.pty) == (False, False, False)
    assert entry.sources == ("10.0.0.0/8", "!10.0.0.1")
    assert entry.expires == 1924905600
    assert entry.blob == _BLOB


@pytest.mark.parametrize(
    ("globs", "inside", "outside"),
    [
        ("web", ["web"], ["web2", "Web", "", "aweb"]),
        ("web,api-*", ["web", "api-", "api-1"], ["api", "webapi-1"]),
        ("*,!db*", ["web"], ["db", "db-1"]),
        ("!db*,*", ["web"], ["db", "db-1"]),
        ("web?", ["web1"], ["web", "web12"]),
    ],
)
def test_a_key_is_for_its_containers(globs: str, inside: list[str], outside: list[str]) -> None:
    """A name that a glob fits and none with a `!` does, wherever that stands; the whole name, with its capitals."""
    entry = _entry(f'container="{globs}"')
    assert all(entry.admits(name) for name in inside)
    assert not any(entry.admits(name) for name in outside)


@pytest.mark.parametrize(
    ("patterns", "inside", "outside"),
    [
        ("192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.10", "", "here"]),
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "::a00:1"]),
        ("10.0.0.0/8,!10.0.0.1", ["10.0.0.2"], ["10.0.0.1"]),
        ("!10.0.0.0/24,10.*", ["10.1.0.1"], ["10.0.0.1"]),
        ("2001:DB8::/32", ["2001:db8::1", "2001:db8::1%eth0"], ["2001:db9::1", "10.0.0.1"]),
        ("192.0.2.?", ["192.0.2.1"], ["192.0.2.10"]),
    ],
)
def test_a_key_is_for_its_places(patterns: str, inside: list[str], outside: list[str]) -> None:
    """Addresses, networks and globs; what is no address comes from nowhere."""
    entry = _entry(f'from="{patterns}"')
    assert all(entry.valid(address, 0) for address in inside)
    assert not any(entry.valid(address, 0) for address in outside)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20300102Z", (2030, 1, 2, 0, 0, 0)),
        ("203001021530Z", (2030, 1, 2, 15, 30, 0)),
        ("20300102153045Z", (2030, 1, 2, 15, 30, 45)),
    ],
)
def test_a_key_is_for_its_time(text: str, moment: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the moment and not at it; without the Z in the local time zone."""
    expected = calendar.timegm((*moment, 0, 0, 0))
    assert _entry(f'expiry-time="{text}"').expires == expected
    assert _entry(f'expiry-time="{text}"').valid("::1", expected - 1)
    assert not _entry(f'expiry-time="{text}"').valid("::1", expected)
    monkeypatch.setenv("TZ", "XXX-2")  # two hours ahead (tzset(3))
    time.tzset()
    try:
        assert _entry(f'expiry-time="{text[:-1]}"').expires == expected - 7200
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("no-forwarding", "pty"),
        ("no-port-forwarding", "agent pty"),
        ("no-agent-forwarding,NO-PTY", "forwarding"),
        ("restrict", ""),
        ("restrict,pty", "pty"),
        ("pty,restrict", ""),
        ("restrict,no-pty,pty", ""),
        ("no-forwarding,port-forwarding,agent-forwarding", "pty"),
        ("no-X11-forwarding,no-user-rc", "forwarding agent pty"),
        ("port-forwarding,agent-forwarding,pty", "forwarding agent pty"),
    ],
)
def test_what_is_barred_stays_so(options: str, left: str) -> None:
    """`restrict` can be lifted in part by what stands behind it; what a `no-` takes is gone."""
    entry = _entry(options)
    assert [name for name in ("forwarding", "agent", "pty") if getattr(entry, name)] == left.split()


@pytest.mark.parametrize(
    "options",
    [
        "future-option", "container", "container=web", 'container=""', 'container="!web"', 'container="a b"',
        'container="web,,api"', 'container="[ab]"', 'container="web"x', 'container="web', 'container="web\\"',
        'container="a",container="b"', 'user=""', 'user="a b"', 'user=".hidden"', 'user="a:"', 'user="a\tb"', "command",
        'command=""', 'command="a",command="b"', 'from=""', 'from="example.com"', 'from="!10.0.0.1"',
        'from="10.0.0.1/8"',
        'from="*.example.com"', 'from="10.0.0.1,!evil.example"', 'expiry-time="soon"', 'expiry-time="20300230Z"',
        'expiry-time="2030010Z"', 'expiry-time="00010101"', 'expiry-time="203001021561Z"', 'no-pty="yes"',
        "no-pty,,restrict", 'command="x\\"',
        "no-pty,", ",no-pty", "cert-authority", 'permitopen="host:1"', 'environment="A=b"', "verify-required",
        "restrict restrict", '"quoted"', "no-pty;restrict", "x=", 'tunnel="0"', "no-pty,no-pty", 'user="żółw"',
    ],
)  # fmt: skip
def test_what_is_not_understood_lets_nobody_in(options: str) -> None:
    """An unknown option, or a value that makes no sense, makes the whole line worthless: it may have been a limit."""
    assert _refused(options.encode() + b" " + _KEY).isprintable()


def test_others_are_let_in_all_the_same() -> None:
    """A line that isn't understood takes no other with it."""
    entries, reasons = parse(b"nonsense " + _KEY + b"\n" + _KEY + b"\n")
    assert [each.line for each in entries] == [2] and [number for number, _ in reasons] == [1]


_WORDS = st.sampled_from(
    [
        "restrict", "no-pty", "pty", "no-forwarding", 'container="web"', 'container="web,!db"', 'user="app"',
        "command=",
        'command="ls"', 'from="10.0.0.0/8"', 'from="', 'expiry-time="20200101Z"', '"', "\\", '\\"', ",", "=", " ", "\t",
        "\0", "#", "ssh-ed25519", "AAAA", "\udcff", "\r", "x",
    ]
)  # fmt: skip


@settings(max_examples=500)
@given(st.lists(st.one_of(_WORDS, st.text(max_size=4)), max_size=12), st.booleans())
@example(['container="web\\'], True)
def test_no_line_is_wider_than_it_says(words: list[str], keyed: bool) -> None:
    """Whatever stands before a key: the line is refused, or each limit that it spells is one of the entry's."""
    before = "".join(words).replace("\n", "")
    line = before.encode("utf-8", "surrogateescape" if before.isascii() else "replace")
    entries, reasons = parse(line + (b" " + _KEY if keyed else b""))
    assert len(entries) + len(reasons) <= 1
    for _, reason in reasons:
        assert reason.isprintable()
    for entry in entries:
        options = line[: line.find(b"ssh-ed25519")]
        outside = options if b'"' not in options else b"".join(options.split(b'"')[::2])
        assert entry.blob == _BLOB or not keyed
        assert b"container" not in outside or not entry.admits("other")
        assert b"user=" not in outside or entry.user
        assert b"command=" not in outside or entry.command
        assert b"from=" not in outside or not entry.valid("192.0.2.1", 0)
        assert b"expiry-time=" not in outside or not entry.valid("10.0.0.1", 2e9)
        assert b"no-pty" not in outside or not entry.pty
        assert b"restrict" not in outside or not (entry.forwarding and entry.agent)


@given(st.binary(max_size=400))
@example(b"\n\v\n")
def test_any_bytes_are_read(content: bytes) -> None:
    """No content brings it down, and chance lets nobody in."""
    entries, reasons = parse(content)
    assert not entries
    assert all(reason.isprintable() for _, reason in reasons)


@given(st.binary(max_size=60), st.integers(0, 300))
def test_a_damaged_key_is_no_key(damage: bytes, at: int) -> None:
    """Bytes put anywhere into a key's blob: it is refused, or still a key of its own kind."""
    kind, encoded = _KEYS["nistp256"].split()
    blob = base64.b64decode(encoded)
    damaged = blob[:at] + damage + blob[at + len(damage) :]
    entries, _ = parse(kind + b" " + base64.b64encode(damaged))
    assert not entries or (len(damaged) == len(blob) and entries[0].blob == damaged)


def test_nobody_comes_in_by_no_key() -> None:
    """The entry that stands for none has an empty key, which no client can show."""
    assert NOBODY.blob == b"" and NOBODY.kind == ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(_KEY + b" ann\nnonsense " + _KEY + b"\n")
    path.chmod(0o644)
    return path


def test_a_file_is_read(file: Path) -> None:
    """The lines that are understood, and a sentence with its number about each that isn't."""
    assert [(each.blob, each.comment) for each in Reader(str(file)).entries()] == [(_BLOB, "ann")]
    assert len(complaints(str(file))) == 1
    assert complaints(str(file))[0].startswith(f"{file}, line 2: nonsense is no option that is known")


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    """As by sshd's StrictModes."""
    file.chmod(mode)
    with pytest.raises(DockshellError, match=r"others could write .*chmod go-w"):
        Reader(str(file)).entries()


def test_a_file_of_somebody_else_is_refused(world: World, file: Path) -> None:
    """Whoever owns it may write it."""
    world.need_root()  # to give it away
    os.chown(file, 65534, -1)
    with pytest.raises(DockshellError, match="others could write"):
        Reader(str(file)).entries()


def test_a_directory_that_others_can_write_is_refused(file: Path, tmp_path: Path) -> None:
    """For they could put another file there; also where the file is a link's target. /tmp itself, with its sticky bit,
    will do."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    os.link(file, open_to_all / "keys")
    (tmp_path / "link").symlink_to(open_to_all / "keys")
    open_to_all.chmod(0o777)
    for path in (open_to_all / "keys", tmp_path / "link"):
        with pytest.raises(DockshellError, match=f"could put another .*{open_to_all}"):
            Reader(str(path)).entries()
    open_to_all.chmod(0o1777)
    assert Reader(str(open_to_all / "keys")).entries()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, a FIFO (without waiting at it), nothing, and what is too large to be one."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"#" * (2 << 20))
    for name in ("fifo", "large", "missing", "."):
        with pytest.raises(DockshellError) as error:
            Reader(str(tmp_path / name)).entries()
        assert "--authorized-keys" in str(error.value) or "MiB" in str(error.value)


@pytest.mark.packages
def test_keys_of_ssh_keygen_are_taken(world: World, tmp_path: Path) -> None:
    """What OpenSSH's own program makes, comment and all."""
    program = world.need_program("ssh-keygen")
    for kind in ("ed25519", "ecdsa", "rsa"):
        path = tmp_path / kind
        argv = [program, "-q", "-t", kind, "-N", "", "-C", f"my {kind} key", "-f", str(path)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        entries, reasons = parse(path.with_suffix(".pub").read_bytes())
        assert [each.comment for each in entries] == [f"my {kind} key"] and not reasons
