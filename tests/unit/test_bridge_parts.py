"""The bridge's pure parts, and what reads hostile text in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dockshell.bridge import library as bridge
from dockshell.bridge.errand import Allowed, Errand, pack, permitted, unpack
from dockshell.bridge.journal import Journal
from dockshell.bridge.names import Names, ResolvConf, parse
from dockshell.bridge.sockets import carrier, listening
from dockshell.errors import DockshellError
from dockshell.linux import passing
from dockshell.model import Container, replace

_words = some.text(some.characters(blacklist_categories=("Cs",)))


@given(
    some.builds(
        Errand,
        what=_words,
        target=_words,
        admitted=some.none() | some.lists(_words).map(tuple),
        user=_words,
        line=some.binary(),
        terminal=some.just(()) | some.tuples(some.integers(1, 0xFFFF), some.integers(1, 0xFFFF)),
        env=some.lists(some.tuples(_words, _words)).map(tuple),
        words=some.lists(some.binary()).map(tuple),
        host=_words,
        port=some.integers(0, 0xFFFF),
        path=some.binary(),
    )
)
def test_an_errand_arrives_as_it_was(errand: Errand) -> None:
    """Whatever a client put into it, bytes that are no text included."""
    assert unpack(pack(errand)) == errand


@given(some.binary(max_size=300) | some.text().map(str.encode))
def test_any_message_is_an_errand_or_nonsense(content: bytes) -> None:
    """What the process that speaks SSH sends may be anything."""
    with contextlib.suppress(ValueError):
        assert isinstance(unpack(content), Errand)


@pytest.mark.parametrize(
    "change",
    [
        {"what": "delete"},
        {"what": 1},
        {"port": "80"},
        {"port": True},
        {"port": 70000},
        {"terminal": [80]},
        {"terminal": [0, 24]},
        {"line": "a\0b"},
        {"line": "x" * 200_000},
        {"line": "\u2026"},
        {"path": "x" * 5000},
        {"env": [["TERM"]]},
        {"env": [["TERM", "x\0"]]},
        {"env": [["TERM", "x"]] * 100},
        {"more": 1},
    ],
)
def test_an_errand_that_makes_no_sense(change: dict[str, Any]) -> None:
    """… and is looked through before anything comes of it."""
    fields = {**json.loads(pack(Errand("command", line=b"true"))), **change}
    with pytest.raises((ValueError, DockshellError)):
        permitted(unpack(json.dumps(fields).encode()), Allowed("web"))


def test_what_a_line_allows() -> None:
    """Whatever is asked for: the container and user are the line's, and so is what runs; and nothing is set but what a
    client may set."""
    allowed = Allowed("web", "app", ("w*",), line=b"deploy", forwarding=False, agent=False, terminals=False)
    lies: dict[str, Any] = {"target": "db", "user": "root", "admitted": None, "words": (b"scp", b"-t", b"/")}
    env = (("LD_PRELOAD", "/x"), ("LC_ALL", "C"), ("SSH_ORIGINAL_COMMAND", "nothing"), ("TERM", "xterm"))
    got = permitted(Errand("command", line=b"sh", terminal=(80, 24), env=env, host="h", **lies), allowed)
    assert (got.target, got.user, got.admitted) == ("web", "app", ("w*",))
    assert (got.what, got.line, got.words, got.terminal, got.host) == ("command", b"deploy", (), (), "")
    assert dict(got.env) == {"LC_ALL": "C", "TERM": "xterm", "SSH_ORIGINAL_COMMAND": "sh"}
    assert permitted(Errand("files", **lies), allowed).line == b"deploy"
    for what in ("connect", "listen", "connect-path", "listen-path", "agent"):
        with pytest.raises(DockshellError):
            permitted(Errand(what, **lies), allowed)
        assert permitted(Errand(what, **lies), Allowed("web")).target == "web"
    copy = permitted(Errand("command", line=b"scp -t /tmp"), replace(allowed, line=None))
    assert (copy.what, copy.words, copy.line) == ("files", (b"scp", b"-t", b"/tmp"), b"")
    assert permitted(Errand("command", line=b"anything"), replace(allowed, line=b"scp -f /srv")).what == "files"


class _Files:
    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def read(self, path: str, limit: int = 0) -> bytes | None:
        return self._files.get(path)


def _container(files: dict[str, bytes]) -> Container:
    class Engine:
        def files(self, container: Container) -> _Files:
            return _Files(files)

    return Container("a" * 64, "web", cast(Any, Engine()))


def test_names() -> None:
    """Numbers are themselves, the loopback is known without asking, others are as the container's hosts file has
    them."""
    hosts = b"127.0.0.1 localhost\n10.1.2.3  db db.local # the database\nfe80::1 db\nnonsense db\n"
    names = Names(_container({"/etc/hosts": hosts}))

    def found(host: str) -> list[str]:
        return list(names.addresses(host, 0))

    assert found("db") == found("DB") == ["10.1.2.3", "fe80::1"]
    assert found("10.9.8.7") == ["10.9.8.7"]
    assert found("localhost") == found("") == ["127.0.0.1", "::1"]
    with pytest.raises(DockshellError, match="don't answer"):
        found("unknown")  # there is no time left to ask


def test_resolv_conf() -> None:
    """As resolv.conf(5) has it: the last search or domain line counts, and each option within its bounds."""
    text = """
# nameserver 9.9.9.9
nameserver 10.0.0.1
 nameserver 10.0.0.9
nameserver\t10.0.0.2 10.0.0.8
nameserver https://elsewhere.example/dns
nameserver 10.0.0.3
nameserver 10.0.0.4
domain first.example
search one.example two.example
options ndots:20 timeout:0 attempts:2 rotate
options attempts:9 use-vc nonsense ndots:x:y
"""
    conf = parse(text, "web.host.example")
    assert conf.servers == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert conf.domains == ("one.example", "two.example")
    assert (conf.ndots, conf.timeout, conf.attempts) == (1, 1, 5) and conf.rotate and conf.tcp and not conf.edns
    assert parse(text + "domain last.example ignored\n").domains == ("last.example",)
    assert parse("options ndots:20").ndots == 15
    assert parse("", "web.host.example\n") == ResolvConf(domains=("host.example",))
    assert parse("search . \n").candidates("db") == ["db"]
    long = "search " + " ".join(f"{number}.example" for number in range(20_000))
    assert len(parse(long).domains) == 32
    assert sum(map(len, parse("search " + f"{'x' * 200} " * 30).domains)) <= 2048


def test_candidates() -> None:
    """ndots says what comes first; a name that ends in a dot is that name alone."""
    conf = parse("search a.example b.example\noptions ndots:2\n")
    assert conf.candidates("db.x") == ["db.x.a.example", "db.x.b.example", "db.x"]
    assert conf.candidates("db.x.y") == ["db.x.y", "db.x.y.a.example", "db.x.y.b.example"]
    assert conf.candidates("db.") == ["db."]


@given(some.binary(), some.binary(), some.text(max_size=300))
def test_any_files_and_any_name_have_an_answer(hosts: bytes, resolv: bytes, name: str) -> None:
    """Addresses, whatever the container's files hold, or an error of ours; only addresses are ever asked. (Here the
    time is over before anybody is.)"""
    try:
        for address in Names(_container({"/etc/hosts": hosts, "/etc/resolv.conf": resolv})).addresses(name, 0):
            assert any(_is(family, address) for family in (socket.AF_INET, socket.AF_INET6))
    except DockshellError:
        pass
    conf = parse(resolv.decode("utf-8", "replace"), name)
    assert 1 <= len(conf.servers) <= 3 and len(conf.candidates(name)) <= 33


def _is(family: int, address: str) -> bool:
    try:
        return bool(socket.inet_pton(family, address))
    except OSError:
        return False


def test_listening() -> None:
    """On the loopback, unless an address is given; names are not looked up."""
    with listening("", 0, privileged=False) as made:
        assert made.getsockname()[0] == "127.0.0.1"
    with pytest.raises(DockshellError, match="no address"):
        listening("example.com", 0, privileged=False)


@given(some.text(max_size=50), some.integers(0, 0xFFFF))
def test_a_carrier_s_host_is_no_script(host: str, port: int) -> None:
    """It is an argument of its own."""
    argv = carrier(host, port)
    assert argv[:2] == (b"/bin/sh", b"-c") and argv[3:] == (
        b"sh",
        host.encode("utf-8", "surrogateescape"),
        b"%d" % port,
    )


def test_descriptors_are_passed(tmp_path: Path) -> None:
    """With a message, and without one at its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, (tmp_path / "file").open("wb+") as file:
        file.write(b"content")
        file.flush()
        passing.send(ours, b"look", [file.fileno(), 0])
        content, (first, second) = passing.receive(theirs)
        assert content == b"look" and os.pread(first, 10, 0) == b"content"
        assert not os.get_inheritable(first)
        os.close(first)
        os.close(second)
        ours.close()
        assert passing.receive(theirs) == (b"", [])


def test_the_journal(tmp_path: Path) -> None:
    """A line of JSON for each event, in which nothing drives a terminal and nothing goes on for ever."""
    with (tmp_path / "journal").open("wb") as file:
        journal = Journal(file.fileno(), connection=7).about(peer="\x1b[2J" * 100)
        journal.tell("login", target="web\n\x00", code=None)
    (line,) = (tmp_path / "journal").read_text().splitlines()
    told = json.loads(line)
    assert told["event"] == "login" and told["connection"] == 7 and "code" not in told
    assert told["target"] == "web\\n\\x00" and len(told["peer"]) <= 200 and "\\x1b" in told["peer"]
    assert told["time"].endswith("Z") and "\x1b" not in line


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-\xff\r\n",
        b"SSH-2.0-x\r\n\0\0\0\x0c\x0b" + bytes(11),  # a packet without anything in it
        b"SSH-2.0-x\r\n\0\0\0\x5c\x04\x14" + bytes(16) + b"\0\0\0\x02\xff\xff" + bytes(65) + bytes(4),
    ],
    ids=["version", "empty", "kexinit"],
)
def test_a_client_that_makes_no_sense_is_refused(sent: bytes) -> None:
    """asyncssh fails at it with an error of Python's; that is no mistake of ours to tell of, but a login that failed,
    which costs its network."""
    asyncssh = cast(Any, bridge.load())
    from dockshell.bridge import server

    class Gate:
        host_key = asyncssh.load_keypairs(asyncssh.generate_private_key("ssh-ed25519"))[0]
        refusals: list[str] = []

        def refused(self, name: str, why: str) -> None:
            self.refusals.append(why)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        asyncio.run(server._serve(ours.fileno(), ours.fileno(), Gate(), ()))  # type: ignore[arg-type]
    assert Gate.refusals == ["it sent what is no SSH"]


def test_orphans_end_where_there_can_be_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steward ends itself what a killed errand left, and goes on."""
    from dockshell.bridge import steward

    def refused() -> int:
        raise BlockingIOError("no more processes")

    ours, theirs = socket.socketpair()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as orphan, ours, theirs:
        running = steward._Running(orphan.pid, "", cast(Any, ours))
        running.keeps(orphan.pid, os.pidfd_open(orphan.pid))
        monkeypatch.setattr(os, "fork", refused)
        steward._Desk(cast(Any, theirs), cast(Any, None))._end_orphans(running)
        assert orphan.wait(60) < 0 and (running.command, running.leader) == (0, -1)
        os.close(running.pidfd)
