"""Text that somebody else wrote, in a container, in the kernel's tables, in Docker's client's own files: whatever it
is, it is understood as its format has it, or refused as this project refuses."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockshell.commands.entry import variables_in
from dockshell.engines import building, contexts, where
from dockshell.engines.kernel import _inside
from dockshell.errors import DockshellError, EngineError, UsageError, printable
from dockshell.linux.cgroup import Places, places
from dockshell.linux.credentials import Capabilities
from dockshell.ssh import authorized, hostkeys
from dockshell.ssh.listening import parse_table

ONCE = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BLOBS = st.sampled_from(sorted(hostkeys.ALGORITHMS)).flatmap(
    lambda kind: st.binary(min_size=1, max_size=40).map(
        lambda rest: (kind.encode(), len(kind).to_bytes(4, "big") + kind.encode() + rest)
    )
)
PIECES = st.sampled_from(
    [
        *(
            b" ",
            b"\t",
            b",",
            b'"',
            b"\\",
            b"#",
            b"\n",
            b"\r",
            b"\0",
            b"=",
            b"\xff\xfe",
            b"AAAA",
            b"ssh-rsa",
            b"ssh-ed25519",
        ),
        *(b'command="x y"', b'environment="A=b c"', b"pty", b"no-pty", b"cert-authority", b"ssh-ed25519 AAAA= c"),
    ]
)
ANY = st.binary(max_size=80) | st.lists(PIECES, max_size=12).map(b"".join)


@ONCE
@given(ANY)
def test_any_file_of_keys_is_read(content: bytes) -> None:
    """What it gives are keys of the kinds that are taken, each of which says its own kind; nothing is raised."""
    for blob in authorized.parse(content):
        kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode()
        assert kind in hostkeys.ALGORITHMS and base64.b64encode(blob) in content
    found = hostkeys.public_line(content)
    assert found is None or found[1] in authorized.parse(content.split(b"\n")[0]) or b"#" in content or b"\n" in content


@ONCE
@given(st.lists(st.tuples(BLOBS, st.booleans(), ANY), max_size=5))
def test_exactly_the_keys_that_stand_there_are_found(lines: list[tuple[tuple[bytes, bytes], bool, bytes]]) -> None:
    """One for each line that gives a full login, none for a comment, whatever stands behind and in between."""
    content, expected = [], set()
    for (kind, blob), counts, noise in lines:
        line = b" ".join((kind, base64.b64encode(blob), noise.replace(b"\n", b"")))
        content += [line if counts else b"# " + line, b"# " + noise.replace(b"\n", b"")]
        expected |= {blob} if counts else set()
    assert authorized.parse(b"\n".join(content)) == expected


HEX = st.text("0123456789ABCDEF", min_size=8, max_size=8)


@ONCE
@given(st.lists(st.text("0123456789ABCDEFxyz:- ", max_size=60) | st.text(max_size=20), max_size=5))
def test_any_table_of_sockets_is_read_or_refused(lines: list[str]) -> None:
    """Ports and addresses, or ValueError."""
    try:
        found = parse_table(["heading", *lines])
    except ValueError:
        return
    assert all(isinstance(port, int) and address for port, address in found)


@ONCE
@given(st.lists(st.tuples(st.integers(0, 65535), st.sampled_from(["0A", "01", "06"]), st.integers(0, 3))))
def test_exactly_the_sockets_that_listen_are_found(rows: list[tuple[int, str, int]]) -> None:
    """By the kernel's own words: an address, `:`, a port, and the state 0A."""
    lines = [f"{n:4}: 0100007F:{port:04X} 00000000:0000 {state} 00000000:0" for n, (port, state, _) in enumerate(rows)]
    assert parse_table(["heading", *lines]) == [(port, "127.0.0.1") for port, state, _ in rows if state == "0A"]


@given(
    st.integers(0, 1 << 33),
    st.lists(st.tuples(*[st.integers(0, (1 << 32) - 1)] * 2, st.integers(1, 1 << 32)), max_size=5),
)
def test_an_id_inside_is_one_that_the_map_gives(number: int, rows: list[tuple[int, int, int]]) -> None:
    """The first line that covers it, and None where none does: nobody becomes whom the kernel wouldn't make him."""
    mapping = "".join(f"{inside:10} {ours:10} {length:10}\n" for inside, ours, length in rows)
    found = _inside(number, mapping)
    if found is None:
        assert not any(o <= number < o + n and i + number - o < (1 << 32) - 1 for i, o, n in rows)
    else:
        assert 0 <= found < (1 << 32) - 1
        assert any(o <= number < o + n and found - i == number - o for i, o, n in rows)


@given(*[st.integers(0, (1 << 64) - 1)] * 3)
def test_capabilities_are_never_more_than_the_bounding_set(bounding: int, inheritable: int, ambient: int) -> None:
    """Whatever a process claims to have."""
    status = {"CapBnd": f"{bounding:016x}", "CapInh": f"{inheritable:016x}", "CapAmb": f"{ambient:016x}"}
    found = Capabilities.of(status)
    assert found.bounding == bounding
    assert (found.inheritable | found.ambient) & ~bounding == 0


@ONCE
@given(st.lists(st.tuples(st.sampled_from(["", "memory", "cpu,cpuacct", "name=x"]), st.text(max_size=9)), max_size=4))
def test_any_cgroups_have_a_place_or_are_refused(theirs: list[tuple[str, str]]) -> None:
    """Below where their hierarchy is mounted; FileNotFoundError where it isn't. Where we are already there is no need
    to go."""
    try:
        found = places(theirs, [])
    except FileNotFoundError:
        return
    assert len(found.legacy) <= len(theirs)
    assert all(any(place.endswith(path) for _, path in theirs) for place in found.legacy)
    assert places(theirs, theirs) == Places((), "")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, bytes], None]:
    """store(config, meta): Docker's client's own files: its configuration, and what is on file about context `c`."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    from hashlib import sha256

    place = tmp_path / "contexts" / "meta" / sha256(b"c").hexdigest()
    place.mkdir(parents=True)

    def write(config: bytes, meta: bytes) -> None:
        (tmp_path / "config.json").write_bytes(config)
        (place / "meta.json").write_bytes(meta)

    return write


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "c", "default", "\ud800", "/", "../..", "\x1b[m"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["Host", "docker", "x"]), inner),
    max_leaves=5,
)
HOSTS = st.sampled_from(["unix:///s", "tcp://h:1", "ssh://\x1b", "://", "\ud800", "unix://\0", "x\n", "", None, 7, []])
CONFIGS = ANY | JSON.map(lambda name: json.dumps({"currentContext": name}).encode())
METAS = (
    ANY
    | JSON.map(lambda value: json.dumps({"Name": value, "Endpoints": value}).encode())
    | HOSTS.map(lambda host: json.dumps({"Name": "c", "Endpoints": {"docker": {"Host": host}}}).encode())
)


@ONCE
@given(CONFIGS, METAS)
def test_any_context_is_an_engine_or_an_error(
    store: Callable[[bytes, bytes], None], config: bytes, meta: bytes
) -> None:
    """Whatever is on file: a place to ask, or one sentence that can be printed."""
    store(config, meta)
    for ask in (lambda: where.named("", ""), lambda: where.named("", "c"), contexts.names):
        try:
            found = ask()  # type: ignore[no-untyped-call]
            if isinstance(found, where.Address):
                where.api(found)
        except EngineError as error:
            assert str(error).isprintable()


VALUES = st.text(st.characters(exclude_characters="\n\0", codec="utf-8"), max_size=12).filter(lambda v: v[-1:] != "\r")


@ONCE
@given(
    st.lists(st.tuples(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), VALUES), max_size=5),
    st.sampled_from(["\n", "\r\n"]),
)
def test_values_of_an_environment_file_arrive_whole(tmp_path: Path, pairs: list[tuple[str, str]], newline: str) -> None:
    """Lines end where Docker has them end, and nowhere else: what other newlines there are belong to the value."""
    (tmp_path / "env").write_bytes(newline.join(f"{name}={value}" for name, value in pairs).encode())
    assert list(variables_in(str(tmp_path / "env"))) == pairs


@ONCE
@given(ANY | st.text("A=# \n\r\x0b\x85", max_size=20).map(str.encode))
def test_any_environment_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    """Names without blanks and values without NUL, which is what the kernel takes; else UsageError."""
    (tmp_path / "env").write_bytes(content)
    try:
        found = list(variables_in(str(tmp_path / "env")))
    except UsageError as error:
        assert isinstance(error, DockshellError) and str(error).isprintable()
        return
    for name, value in found:
        assert name and "=" not in name and "\0" not in name + value and not any(map(str.isspace, name))
        os.fsencode(name + value)


@given(st.lists(st.text(st.sampled_from("\x1b[]0;3m\x07\\\r\nPXaé \x9b\x00"), max_size=12), max_size=6))
def test_lines_of_a_build_are_lines(pieces: list[str]) -> None:
    """Whatever the pieces that they come in, and whatever escape sequences are in them."""
    lines = list(building._lines(({"stream": piece} for piece in pieces), "no"))
    assert len(lines) <= "".join(pieces).count("\n") + 1
    for line in lines:
        assert "\n" not in line and "\r" not in line


def test_colors_and_titles_of_a_build() -> None:
    """As Docker sends what a step writes to stderr; a bar that is drawn anew leaves its last state; the error too."""
    bar = "\x1b]0;title\x07\x1b(B10%\r20%\r\n"
    pieces = ["Step 1/2 : RUN x\n", "\x1b[91mE: broken\n\x1b[0m", bar, "\x1b[1;3", "2mend"]
    lines = list(building._lines(({"stream": piece} for piece in pieces), "no"))
    assert lines == ["Step 1/2 : RUN x", "E: broken", "20%", "end"]
    with pytest.raises(EngineError, match=r"^no: bad thing$"):
        list(building._lines([{"error": "\x1b[31mbad\nthing\x1b[0m"}], "no"))


def test_text_is_made_printable_without_an_import() -> None:
    """What could be imported may be a container's: errors are told by processes in its mount namespace."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert printable(every).isprintable()
    assert printable("a\x1b[2J\n\x9b\u2028\ud800") == r"a\x1b[2J\n\x9b\u2028\ud800"
    code = "import sys; from dockshell.errors import printable; sys.meta_path.clear(); print(printable(chr(27)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60) == "\\x1b\n"
