"""The line that sshd hands to a login shell: every shell has to read the same words in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dockshell.errors import UsageError
from dockshell.ssh.words import compose, quote
from tests.world import World

HARD = [
    b"",
    b"plain",
    b"two words",
    b"it's",
    b"\\",
    b"ends in \\",
    b"\\'\\\\'",
    b"'",
    b'"',
    b"$HOME `id` $(id)",
    b"*",
    b"~",
    b"#no",
    b"a;b&c|d>e<f",
    b"{a,b}",
    b"!!",
    b"-n",
    b"tab\there",
    b"two\nlines",
    b"\xff\xfe not UTF-8",
    b"%s \\n",
    "żółw".encode(),
    bytes(range(1, 256)),
]


_INSTALLED = [pytest.param(name, marks=pytest.mark.packages) for name in ("zsh", "fish", "busybox")]


@pytest.fixture(params=["sh", "bash", *_INSTALLED])
def shell(request: pytest.FixtureRequest, world: World) -> list[bytes]:
    """A login shell as sshd calls it."""
    words = [world.need_program(request.param)] + (["sh"] if request.param == "busybox" else [])
    return [word.encode() for word in [*words, "-c"]]


def _run(shell: list[bytes], line: bytes, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*shell, line], capture_output=True, env={"PATH": os.environ["PATH"], **env}, check=False)


def test_words_arrive_as_they_are(shell: list[bytes]) -> None:
    """Every byte but NUL passes every login shell, in arguments, the environment and the directory's place."""
    environment = [(f"V{n}", os.fsdecode(word)) for n, word in enumerate(HARD)]
    done = _run(shell, compose([b"printf", b"%s\\0", *HARD], "/", environment))
    assert done.stdout.split(b"\0")[:-1] == HARD
    done = _run(shell, compose([b"env", b"-0"], "/", environment))
    assert {f"V{n}".encode() + b"=" + word for n, word in enumerate(HARD)} <= set(done.stdout.split(b"\0"))


def test_the_exit_code_is_the_command_s(shell: list[bytes]) -> None:
    """Its own, 127 where it isn't found, 126 where it can't be executed or the directory can't be entered."""
    for argv, directory, code in (
        ([b"sh", b"-c", b"exit 7"], "/", 7),
        ([b"no-such-command"], "/", 127),
        ([b"/etc/passwd"], "/", 126),
        ([b"true"], "/no such'place", 126),
    ):
        assert _run(shell, compose(argv, directory, [("A", "b")])).returncode == code
    assert b"no such'place" in _run(shell, compose([b"true"], "/no such'place", [])).stderr


def test_a_directory_can_not_drive_a_terminal(shell: list[bytes]) -> None:
    """One that can't be entered is named in characters that can be shown; one that can be is entered by its bytes."""
    done = _run(shell, compose([b"true"], "/\x1b[2J\x07\udcff\nż%s", []))
    assert (done.returncode, done.stdout) == (126, b"")
    assert done.stderr.decode() == "dockshell: the directory /\\x1b[2J\\x07\\udcff\\nż%s cannot be entered\n"


def test_a_first_word_with_an_equals_sign_is_a_command(shell: list[bytes], tmp_path: Path) -> None:
    """Neither env nor a shell takes it for a variable."""
    (tmp_path / "a=b").write_text("#!/bin/sh\necho ran $1\n")
    (tmp_path / "a=b").chmod(0o755)
    for environment in ([], [("K", "v")]):
        path = f"{tmp_path}:{os.environ['PATH']}"
        assert _run(shell, compose([b"a=b", b"c=d"], "", environment), PATH=path).stdout == b"ran c=d\n"


def test_names_that_look_like_options_are_variables(shell: list[bytes]) -> None:
    """An environment read from a container can't give env(1) options."""
    assert b"-i=x" in _run(shell, compose([b"env"], "/", [("-i", "x"), ("KEPT", "1")])).stdout.splitlines()


def test_a_line_that_no_shell_could_take_is_refused() -> None:
    """The kernel's limit for one argument is told as such."""
    with pytest.raises(UsageError, match="128 KiB"):
        compose([b"x" * (128 << 10)], "", [])


def test_quote_leaves_plain_words_alone() -> None:
    """So that a log of the sshd's can be read."""
    assert quote(b"ls") == b"ls"
    assert quote(b"") == b"''"
