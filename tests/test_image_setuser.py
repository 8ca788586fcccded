"""setuser, in an image that `dockshell image build` made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Setuser = Callable[..., "subprocess.CompletedProcess[bytes]"]

_USERS = """
groupadd --gid 2001 staff2
groupadd --gid 2002 1002
useradd --uid 1000 --home-dir /srv/app --shell /bin/bash --groups staff2 app
exec sleep infinity
"""
_SHOW = 'echo $(id -u) $(id -g) $(id -G); echo "$USER $LOGNAME $HOME $SHELL $UID $GID $KEPT"'


@pytest.fixture
def setuser(docker: Peer, dockshell: Run) -> Setuser:
    """setuser(*words, options=()): runs it in a container that all these tests share."""

    def start() -> str:
        tag = docker.adopt(f"dockshell-test/setuser-{os.getpid()}")
        words = ("image", "build", "--from", docker.image("slim"), "-t", tag)
        done = dockshell(*words, engine=docker, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return docker.run(tag, "sh", "-ec", _USERS)

    name = docker.kept("setuser", start)
    while docker.sh("exec", name, "grep", "-q", "^app:", "/etc/passwd", check=False).returncode:
        assert docker.inspect(name)["State"]["Running"]

    def run(*words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        return docker.sh("exec", *options, name, "/sbin/setuser", *words, check=False)

    return run


@pytest.mark.parametrize(
    ("words", "ids", "variables"),
    [
        ("app", "1000 1000 1000 2001", "app app /srv/app /bin/bash 1000 1000 kept"),
        ("1000", "1000 1000 1000 2001", "app app /srv/app /bin/bash 1000 1000 kept"),
        ("app:staff2", "1000 2001 2001", "app app /srv/app /bin/bash 1000 2001 kept"),
        ("4711", "4711 0 0", "4711 4711 / /bin/sh 4711 0 kept"),
        ("4711:4712", "4711 4712 4712", "4711 4711 / /bin/sh 4711 4712 kept"),
        ("root", "0 0 0", "root root /root /bin/bash 0 0 kept"),
        ("app:1002", "1000 2002 2002", "app app /srv/app /bin/bash 1000 2002 kept"),
    ],
)
def test_names_and_numbers(setuser: Setuser, words: str, ids: str, variables: str) -> None:
    """The ids, the groups and the variables are those of the user, also of one without an entry; all else stays."""
    done = setuser(words, "dash", "-c", _SHOW, options=("-e", "KEPT=kept", "-e", "HOME=/elsewhere"))
    assert (done.returncode, done.stdout.decode().splitlines(), done.stderr) == (0, [ids, variables], b"")


def test_it_does_as_the_engine_does(docker: Peer, setuser: Setuser) -> None:
    """`docker exec --user` makes the same ids of the same words."""
    name = docker.kept("setuser", lambda: "")
    for words in ("app", "1000", "4711", "app:staff2", "1000:5", "4711:4712"):
        assert setuser(words, "id").stdout == docker.sh("exec", "-u", words, name, "id").stdout, words


def test_the_command_is_as_it_was(setuser: Setuser) -> None:
    """Its arguments arrive to the byte, its status comes back, no signal is ignored for it, and nothing is added to the
    environment but what is the user's."""
    odd = ["a b", "", "'", '"', "$HOME", "new\nline", "--", "-x"]
    done = setuser("app", "printf", "%s|", *odd)
    assert done.stdout.decode() == "".join(f"{each}|" for each in odd)
    script = 'odd=$(printf "\\377\\n\\001x"); /sbin/setuser app printf %s "$odd"'
    assert setuser("root", "sh", "-c", script).stdout == b"\xff\n\x01x"
    assert setuser("app", "sh", "-c", "exit 7").returncode == 7
    assert b"SigIgn:\t0000000000000000" in setuser("app", "cat", "/proc/self/status").stdout
    added = setuser("root", "env", "-i", "/sbin/setuser", "app", "/usr/bin/env").stdout.decode()
    assert sorted(line.partition("=")[0] for line in added.splitlines()) == [
        "GID", "HOME", "LOGNAME", "SHELL", "UID", "USER",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ([], 2, "usage: setuser NAME|UID[:GROUP|GID] COMMAND…"),
        (["app"], 2, "usage: setuser"),
        (["app:", "id"], 2, "usage: setuser"),
        (["nobody-here", "id"], 125, "setuser: there is no user nobody-here: add one to the image (`useradd`)"),
        (["app:nothing", "id"], 125, "setuser: there is no group nothing: add one"),
        (["4294967295", "id"], 125, "setuser: 4294967295 is too large for an id"),
        (["app", "no-such-program"], 127, "setuser: no-such-program is not found"),
        (["app", "/etc"], 126, "setuser: /etc can't be executed: Permission denied"),
        (["app", "/sbin/setuser", "root", "id"], 125, "setuser: root can't be taken on (Operation not permitted)"),
    ],
)
def test_what_it_says_when_it_fails(setuser: Setuser, words: list[str], status: int, told: str) -> None:
    """One sentence with the remedy, and the status that env(1) or a shell would give."""
    done = setuser(*words)
    assert (done.returncode, done.stdout) == (status, b"")
    assert done.stderr.decode().startswith(told) and done.stderr.count(b"\n") == 1
