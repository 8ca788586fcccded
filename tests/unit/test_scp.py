"""scp: the server of its old protocol, before OpenSSH's `scp -O` and before hostile peers; and the patterns that it
reads names by."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.bridge import scp
from dockshell.bridge.patterns import expanded, fits
from dockshell.bridge.tree import LocalTree

# The server as it runs in a container, with nothing to import from any more; the last word is what ssh(1) is given.
SERVER = """
import os, sys
from dockshell.bridge import scp, tree
there = tree.LocalTree(os.fsencode(sys.argv[1]), {}, {})
words = scp.words_of(os.fsencode(sys.argv[-1]))
sys.path.clear()
sys.meta_path.clear()
os._exit(scp.serve(there, words, 0, 1))
"""


@pytest.fixture
def client(tmp_path: Path, home: Path, here: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """client(*words): OpenSSH's `scp -O` with these words; every host is our server."""
    script, source = tmp_path / "ssh", tmp_path / "server.py"
    source.write_text(SERVER)
    root = Path(__file__).parents[2]
    script.write_text(f"#!/bin/sh\nPYTHONPATH='{root}' exec '{sys.executable}' '{source}' '{home}' \"$@\"\n")
    script.chmod(0o755)

    def run(*words: str | bytes) -> subprocess.CompletedProcess[bytes]:
        argv = ["scp", "-O", "-q", "-S", str(script), *words]
        return subprocess.run(argv, cwd=here, capture_output=True, timeout=60, check=False)

    return run


def told(home: Path, line: bytes, sent: bytes) -> tuple[int, bytes]:
    """A server in this process that is sent all of it, and then the end → its exit code and what it said."""
    words = scp.words_of(line)
    assert words is not None
    source, sink = os.memfd_create("sent"), os.memfd_create("said")
    try:
        os.write(source, sent)
        os.lseek(source, 0, os.SEEK_SET)
        code = scp.serve(LocalTree(os.fsencode(home), {}, {}), words, source, sink)
        return code, os.pread(sink, 1 << 26, 0)
    finally:
        os.close(source)
        os.close(sink)


def test_files_arrive_and_come_back(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path
) -> None:
    """A file of a few megabytes and an empty one, into home and under another name, and back."""
    content = os.urandom(5_000_011)
    (here / "file").write_bytes(content)
    (here / "empty").write_bytes(b"")
    for words in (["file", "empty", "x:"], ["file", "x:other"], ["x:other", "back"], ["x:~/empty", "empty-back"]):
        done = client(*words)
        assert (done.returncode, done.stderr) == (0, b"")
    assert (home / "file").read_bytes() == (here / "back").read_bytes() == content
    assert (home / "empty").read_bytes() == (here / "empty-back").read_bytes() == b""


def test_directories_with_times_and_modes(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path
) -> None:
    """-r takes all that is in a directory, and -p what it was; the directory's own time too, and one without a right to
    write in it."""
    (here / "dir" / "closed").mkdir(parents=True)
    (here / "dir" / "closed" / "file").write_bytes(b"deep")
    (here / "dir" / "closed" / "file").chmod(0o440)
    (here / "dir" / "closed").chmod(0o550)
    for place, second in (("dir/closed/file", 1), ("dir/closed", 2), ("dir", 3)):
        os.utime(here / place, (1_000_000, 1_000_000 + second))
    assert client("-rp", "dir", "x:").returncode == 0
    assert client("-rp", "x:dir", "back").returncode == 0
    for root in (home / "dir", here / "back"):
        for place, second, mode in (("closed/file", 1, 0o440), ("closed", 2, 0o550), (".", 3, None)):
            facts = (root / place).stat()
            assert int(facts.st_mtime) == 1_000_000 + second
            assert mode in (None, stat.S_IMODE(facts.st_mode))
        assert (root / "closed" / "file").read_bytes() == b"deep"


def test_modes_without_p(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """A new file gets the mode of the old as far as the umask lets it, one that is there keeps its own."""
    (here / "new").write_bytes(b"x")
    (here / "new").chmod(0o477)
    (here / "there").write_bytes(b"longer than before")
    (home / "there").write_bytes(b"x")
    (home / "there").chmod(0o600)
    (here / "shut").mkdir()
    (here / "shut").chmod(0o555)
    assert client("-r", "new", "there", "shut", "x:").returncode == 0
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((home / "new").stat().st_mode) == 0o477 & ~mask
    assert stat.S_IMODE((home / "shut").stat().st_mode) == 0o555 & ~mask
    assert stat.S_IMODE((home / "there").stat().st_mode) == 0o600
    assert (home / "there").read_bytes() == b"longer than before"


def test_shorter_file_takes_the_place_of_a_longer(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path
) -> None:
    """Nothing of the old content stays."""
    (home / "file").write_bytes(b"long content")
    (here / "file").write_bytes(b"short")
    assert client("file", "x:file").returncode == 0
    assert (home / "file").read_bytes() == b"short"


def test_patterns_and_quotes(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """Names are found as a shell would find them, and a quoted star is a star."""
    for name in ("one.txt", "two.txt", "three.dat", "with blank", "st*r", "stir", ".hidden"):
        (home / name).write_bytes(name.encode())
    (here / "got").mkdir()
    # -T: the client itself would take the quotes for part of the name.
    for words in (["x:*.txt"], ["x:t[h-r]*.dat"], ["x:with\\ blank"], ["-T", "x:'st*r'"]):
        done = client(*words, "got")
        assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(os.listdir(here / "got")) == ["one.txt", "st*r", "three.dat", "two.txt", "with blank"]


def test_names_are_bytes(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """A name that is no UTF-8 is kept as it is, one with a newline can't forge a line."""
    (here / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    assert client(b"\xff\xfe", "x:").returncode == 0
    assert os.listdir(os.fsencode(home)) == [b"\xff\xfe"]
    (home / "dir").mkdir()
    (home / "dir" / "a\nC0644 1 b").write_bytes(b"x")
    assert client("-r", "x:dir", "got").returncode == 0
    assert os.listdir(here / "got") == ["a\\^JC0644 1 b"]


def test_errors_are_shown_and_the_rest_is_copied(
    client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path
) -> None:
    """What can't be had is named on the client's stderr, its exit code is 1, and all else arrives."""
    (home / "file").write_bytes(b"x")
    os.mkfifo(home / "fifo")
    (home / "dir").mkdir()
    (here / "got").mkdir()
    done = client("x:missing", "x:fifo", "x:dir", "x:file", "got")
    assert done.returncode == 1
    assert b"missing: No such file or directory" in done.stderr
    assert b"fifo: not a regular file" in done.stderr
    assert b"dir: not a regular file" in done.stderr
    assert os.listdir(here / "got") == ["file"]
    done = client("got/file", "x:missing/file")
    assert done.returncode == 1 and b"missing/file: No such file or directory" in done.stderr
    done = client("got/file", "x:fifo")
    assert done.returncode == 1 and b"fifo: it is no regular file" in done.stderr
    done = client("got/file", "x:file", "x:file")
    assert done.returncode == 1 and b"Not a directory" in done.stderr


def test_deep_trees(client: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, here: Path) -> None:
    """A tree far deeper than anybody's is copied either way."""
    os.makedirs(home / "deep" / "/".join(["d"] * 300))
    assert client("-r", "x:deep", "got").returncode == 0
    assert client("-r", "got", "x:again").returncode == 0
    assert sum(1 for _ in os.walk(home / "again")) == 301


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"/etc/passwd", b"../x", b"a\0b"])
@pytest.mark.parametrize("kind", [b"C0644 1 ", b"D0755 0 "])
def test_names_that_lead_elsewhere_are_refused(home: Path, name: bytes, kind: bytes) -> None:
    """A name is that of one entry (CVE-2018-20685, CVE-2019-6111), or it ends there."""
    (home / "dir").mkdir()
    code, said = told(home, b"scp -r -t dir", kind + name + b"\nx\0E\n")
    assert code == 1
    assert said.startswith(b"\0\1scp: ")
    assert os.listdir(home) == ["dir"] and os.listdir(home / "dir") == []


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\n",
        b"C0644 99999999999999999999 x\n",
        b"C0644 -1 x\n",
        b"C9999 1 x\n",
        b"C0644 1\n",
        b"C 1 x\n",
        b"E\n",
        b"T1 0 1\n",
        b"T99999999999999 0 1 0\n",
        b"T\xff 0 1 0\n",
        b"C0644 " + b"9" * 100_000,
        b"D0755 0 dir\n",
    ],
)
def test_lines_that_make_no_sense_end_it(home: Path, sent: bytes) -> None:
    """Sizes, modes and times out of all bounds, and what isn't of the protocol at all; -r wasn't given either."""
    code, said = told(home, b"scp -t .", sent)
    assert code == 1
    assert os.listdir(home) == []
    assert len(said) < 1000


def test_size_that_lies(home: Path) -> None:
    """Fewer bytes than were promised are an error; more are no line of the protocol, and one either."""
    code, _ = told(home, b"scp -t file", b"C0644 1000000000000 file\nonly this")
    assert code == 1
    code, said = told(home, b"scp -t other", b"C0644 2 other\nmore than that\0")
    assert code == 1
    assert (home / "other").read_bytes() == b"mo"
    assert said == b"\0\0\1scp: what came is no answer to what was sent\n"


def test_peer_that_gives_up_is_no_success(home: Path) -> None:
    """\\1 in place of the last byte means that what came is not what was to come, \\2 that nothing more comes."""
    code, _ = told(home, b"scp -t file", b"C0644 1 file\nx\1scp: it broke\n")
    assert code == 1
    code, _ = told(home, b"scp -t file", b"\2the end\nC0644 1 more\nx\0")
    assert code == 1
    assert os.listdir(home) == ["file"]


def test_directory_that_was_not_left_is_no_success(home: Path) -> None:
    """The end inside of a directory is an end too early."""
    code, _ = told(home, b"scp -r -t .", b"D0755 0 dir\nC0644 1 file\nx\0")
    assert code == 1
    code, _ = told(home, b"scp -r -t .", b"D0755 0 dir\nC0644 1 file\nx\0E\n")
    assert code == 0


def test_target_that_must_be_a_directory(home: Path) -> None:
    """-d is what a client adds for more than one source."""
    (home / "file").write_bytes(b"kept")
    code, said = told(home, b"scp -d -t file", b"C0644 1 file\nx\0")
    assert (code, said) == (1, b"\1scp: file: Not a directory\n")
    assert (home / "file").read_bytes() == b"kept"


def test_fifo_does_not_hang(home: Path) -> None:
    """It is refused either way."""
    os.mkfifo(home / "fifo")
    assert told(home, b"scp -t fifo", b"C0644 1 fifo\n")[0] == 1
    assert told(home, b"scp -f fifo", b"\0\0\0")[0] == 1


def test_escapes_in_names_are_not_printed_raw(home: Path) -> None:
    """What lies in a container can't drive the client's terminal through our message."""
    _, said = told(home, b"scp -f '\x1b[2Jx'", b"\0")
    assert b"\x1b" not in said and b"\\x1b[2Jx: No such file" in said


@given(st.binary(max_size=300), st.sampled_from([b"scp -t .", b"scp -rp -t .", b"scp -f a*", b"scp -rp -f ."]))
def test_any_bytes_end_it_cleanly(sent: bytes, line: bytes) -> None:
    """Nothing is raised whatever a peer sends, and nothing outside of home is touched."""
    with tempfile.TemporaryDirectory() as top:
        home = Path(top) / "home"
        home.mkdir()
        (home / "a").write_bytes(b"x")
        for beginning in (b"", b"C0644 3 b\n", b"D0700 0 dir\n", b"T1 0 1 0\n", b"\0"):
            assert told(home, line, beginning + sent)[0] in (0, 1)
        assert os.listdir(top) == ["home"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"scp -t .", [b"scp", b"-t", b"."]),
        (b"scp -r -p -d -t  'a b'", [b"scp", b"-r", b"-p", b"-d", b"-t", b"a b"]),
        (b"scp -f -- -x", [b"scp", b"-f", b"--", b"-x"]),
        (b"scp -qrpf a b", [b"scp", b"-qrpf", b"a", b"b"]),
        (b'scp -v -f "it\'s"', [b"scp", b"-v", b"-f", b"it's"]),
        (b"scp -f *.txt ~/[ab]?", [b"scp", b"-f", b"*.txt", b"~/[ab]?"]),
        (b"scp -f '*' \\~ \"?\" a\\ b", [b"scp", b"-f", b"\\*", b"\\~", b"\\?", b"a b"]),
        (b"scp -t ''", [b"scp", b"-t", b""]),
        (b"scp -f \xff", [b"scp", b"-f", b"\xff"]),
    ],
)
def test_lines_that_ask_for_a_server(line: bytes, words: list[bytes]) -> None:
    """As clients send them; what was quoted keeps apart from what wasn't."""
    assert scp.words_of(line) == words


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"scp",
        b"scp file host:",
        b"scp -t",
        b"scp -t a b",
        b"scp -t -f a",
        b"scp -3 -t a",
        b"scpx -t a",
        b"/usr/bin/scp -t a",
        b"sudo scp -t a",
        b"scp -t a; id",
        b"scp -t $(id)",
        b"scp -t `id`",
        b'scp -t "$HOME"',
        b"scp -t $HOME",
        b"scp -t a && id",
        b"scp -t a | id",
        b"scp -t a > b",
        b"scp -f {a,b}",
        b"scp -t a\nid",
        b"scp -t 'a",
        b"scp -t a\\",
        b"scp -t a #",
        b"(scp -t a)",
        b"A=b scp -t a",
    ],
)
def test_lines_that_are_for_a_shell(line: bytes) -> None:
    """Anything else is a command, to be run by the container's own shell."""
    assert scp.words_of(line) is None


@given(st.binary(max_size=200))
def test_any_line_is_words_or_none(line: bytes) -> None:
    """Nothing is raised."""
    for each in (line, b"scp -t " + line):
        words = scp.words_of(each)
        assert words is None or words[0] == b"scp"


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_quoted_names_come_out_as_they_are(names: list[str]) -> None:
    """Whatever a client quotes as a shell wants it is the very name, with no meaning left in it."""
    line = b"scp -f -- " + b" ".join(shlex.quote(name).encode() for name in names)
    words = scp.words_of(line)
    assert words is not None
    with tempfile.TemporaryDirectory() as empty:
        tree = LocalTree(os.fsencode(empty), {}, {})
        assert [expanded(tree, word) for word in words[3:]] == [[name.encode()] for name in names]


@given(st.text("ab.*?", max_size=8), st.text("ab.", min_size=1, max_size=8))
def test_patterns_are_those_of_fnmatch(pattern: str, name: str) -> None:
    """But for a dot at the beginning, which wants one in the pattern."""
    wanted = fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))
    assert fits(name.encode(), pattern.encode()) == wanted


@pytest.mark.parametrize(
    ("pattern", "name", "fitting"),
    [
        ("[a-c]", "b", True),
        ("[!a-c]", "b", False),
        ("[^a-c]", "d", True),
        ("[]]", "]", True),
        ("[a", "[a", True),
        ("[a-]", "-", True),
        ("[a\\-c]", "b", False),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("?", "ż", True),
        ("[ż]", "ż", True),
        ("*" * 50 + "b", "a" * 200, False),
        ("*a" * 50 + "b", "a" * 200, False),
    ],
)
def test_sets_and_escapes(pattern: str, name: str, fitting: bool) -> None:
    """Sets with ranges, their opposites, and what is taken for itself; in no time, however many stars."""
    assert fits(name.encode(), pattern.encode()) is fitting


def test_patterns_go_through_directories(home: Path) -> None:
    """A pattern at each step of a path; only a directory has a slash behind it; what fits nothing stays as it is."""
    for place in ("a1/x", "a2/x", "b/x"):
        (home / place).mkdir(parents=True)
    (home / "a3").write_bytes(b"")
    tree = LocalTree(os.fsencode(home), {}, {})
    assert expanded(tree, b"a?/x") == [b"a1/x", b"a2/x"]
    assert expanded(tree, b"a*/") == [b"a1/", b"a2/"]
    assert expanded(tree, b"~/a1/*") == [os.fsencode(home) + b"/a1/x"]
    assert expanded(tree, os.fsencode(home) + b"/[b]/?") == [os.fsencode(home) + b"/b/x"]
    assert expanded(tree, b"none*/\\*") == [b"none*/*"]
    assert expanded(tree, b"~") == [os.fsencode(home)]
