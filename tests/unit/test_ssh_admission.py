"""The script that lets a key in and takes it out, run by the shells that containers have, in a directory of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from stat import S_IMODE

import pytest

from dockshell.ssh import admission, authorized

SHELLS = {"dash": ("dash",), "bash": ("bash",), "bash-as-sh": ("bash", "--posix"), "busybox": ("busybox", "sh")}
NEW, OLD = b"SSH-2.0-OpenSSH_9.2p1 Debian-2", b"SSH-2.0-OpenSSH_7.1p2"
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43


_PARAMETERS = [pytest.param(name, marks=pytest.mark.packages if name == "busybox" else ()) for name in sorted(SHELLS)]


@pytest.fixture(params=_PARAMETERS)
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Each of them that is here; a container's is one of these."""
    words = SHELLS[request.param]
    assert shutil.which(words[0]), f"{words[0]} is not installed"
    return words


def _run(shell: Sequence[str], argv: Sequence[str]) -> int:
    done = subprocess.run([*shell, *argv[1:]], capture_output=True, check=False, timeout=30)
    assert not done.stderr and not done.stdout, done
    return done.returncode


def _put(home: Path, token: str, now: float | None = None) -> Sequence[str]:
    now = time.time() if now is None else now
    return admission.put(str(home), token, admission.line(KEY, OLD, now), now)


def _out(home: Path, token: str) -> Sequence[str]:
    return admission.take_out(str(home), token, time.time())


@pytest.mark.parametrize(
    "before",
    [
        None,
        b"",
        b"# a comment\n\n  ssh-rsa AAAA me@\xff\\n\r\n",
        b"ssh-rsa AAAA me\nssh-rsa BBBB no newline at the end",
    ],
)
def test_all_is_as_it_was(shell: tuple[str, ...], tmp_path: Path, before: bytes | None) -> None:
    """After two logins that overlap the file has its bytes and its mode, or is gone, and there is nothing else."""
    directory = tmp_path / ".ssh"
    file = directory / "authorized_keys"
    if before is not None:
        directory.mkdir()
        file.write_bytes(before)
        file.chmod(0o640)
    assert _run(shell, _put(tmp_path, "aa")) == 0
    assert _run(shell, _put(tmp_path, "bb")) == 0
    lines = file.read_bytes().splitlines()
    assert [b" token=aa " in line for line in lines[-2:]] == [True, False]
    assert S_IMODE(file.stat().st_mode) == (0o600 if before is None else 0o640)
    assert _run(shell, _out(tmp_path, "aa")) == 0
    assert b"token=bb" in file.read_bytes() and b"token=aa" not in file.read_bytes()
    assert _run(shell, _out(tmp_path, "bb")) == 0
    assert _run(shell, _out(tmp_path, "bb")) == 0
    if before is None:
        assert not os.listdir(tmp_path)
    else:
        assert os.listdir(directory) == ["authorized_keys"] and file.read_bytes() == before
        assert S_IMODE(file.stat().st_mode) == 0o640


def test_a_directory_that_was_empty_stays(shell: tuple[str, ...], tmp_path: Path) -> None:
    """Only what the script made goes again."""
    (tmp_path / ".ssh").mkdir(0o755)
    assert _run(shell, _put(tmp_path, "aa")) == _run(shell, _out(tmp_path, "aa")) == 0
    assert os.listdir(tmp_path / ".ssh") == [] and S_IMODE((tmp_path / ".ssh").stat().st_mode) == 0o755


def test_what_has_expired_goes_with_the_next(shell: tuple[str, ...], tmp_path: Path) -> None:
    """A line whose time is over, whoever's it was, is taken out; one that merely looks alike stays."""
    alike = [b"ssh-ed25519 AAAA dockshell expires=soon token=aa was=dir", b"ssh-ed25519 AAAA dockshell expires=1"]
    mine = b"ssh-rsa AAAA me\n" + b"\n".join(alike) + b"\n"
    late = b"ssh-ed25519 AAAA dockshell expires=12345 token=dead was=whole\n"
    (tmp_path / ".ssh").mkdir()
    file = tmp_path / ".ssh" / "authorized_keys"
    file.write_bytes(mine + late)
    assert _run(shell, _put(tmp_path, "aa")) == 0
    assert file.read_bytes().startswith(mine + b"ssh-ed25519 " + KEY.encode())
    assert _run(shell, _out(tmp_path, "aa")) == 0
    assert file.read_bytes() == mine


def test_many_at_once_lose_nothing(shell: tuple[str, ...], tmp_path: Path) -> None:
    """Each of a dozen that come together has its line, and when all have gone nothing is left."""
    for make in (_put, _out):
        running = [subprocess.Popen([*shell, *make(tmp_path, f"{number:04x}")[1:]]) for number in range(12)]
        assert [each.wait(30) for each in running] == [0] * 12
        if make is _put:
            assert (tmp_path / ".ssh" / "authorized_keys").read_text().count(" token=") == 12
    assert not os.listdir(tmp_path)


def test_a_lock_that_nobody_holds_is_broken(shell: tuple[str, ...], tmp_path: Path) -> None:
    """What a container's sudden end left behind keeps nobody out for more than some seconds."""
    (tmp_path / ".ssh" / ".dockshell.lock").mkdir(parents=True)
    (tmp_path / ".ssh" / ".dockshell.lock" / "dead").touch()
    (tmp_path / ".ssh" / ".dockshell.dead").touch()
    running = [subprocess.Popen([*shell, *_put(tmp_path, f"{number:04x}")[1:]]) for number in range(5)]
    assert [each.wait(30) for each in running] == [0] * 5
    assert os.listdir(tmp_path / ".ssh") == ["authorized_keys"]
    assert (tmp_path / ".ssh" / "authorized_keys").read_text().count(" token=") == 5


@pytest.mark.parametrize("trap", ["link", "dangling", "directory", "fifo", "linked .ssh", "file .ssh"])
def test_nothing_odd_is_written(shell: tuple[str, ...], tmp_path: Path, trap: str) -> None:
    """A link, or what is no file, in the place of either is refused, and what a link leads to is left alone."""
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    (other / "authorized_keys").write_text("mine\n")
    if trap == "linked .ssh":
        (home / ".ssh").symlink_to(other)
    elif trap == "file .ssh":
        (home / ".ssh").write_text("mine\n")
    else:
        (home / ".ssh").mkdir()
        file = home / ".ssh" / "authorized_keys"
        {
            "link": lambda: file.symlink_to(other / "authorized_keys"),
            "dangling": lambda: file.symlink_to(other / "new"),
            "directory": file.mkdir,
            "fifo": lambda: os.mkfifo(file),
        }[trap]()
    assert _run(shell, _put(home, "aa")) == 3
    assert os.listdir(other) == ["authorized_keys"] and (other / "authorized_keys").read_text() == "mine\n"
    assert os.listdir(home) == [".ssh"]


def test_a_home_that_is_not_there_is_said(shell: tuple[str, ...], tmp_path: Path) -> None:
    """No directory is made but .ssh."""
    assert _run(shell, _put(tmp_path / "nowhere", "aa")) == 6
    assert not os.listdir(tmp_path)


def test_a_home_may_be_called_anything(shell: tuple[str, ...], tmp_path: Path) -> None:
    """What passwd says is a word, never a piece of the script."""
    home = tmp_path / "$(touch x) `touch y` '\"; touch z #"
    home.mkdir()
    assert _run(shell, _put(home, "aa")) == 0
    assert _run(shell, _out(home, "aa")) == 0
    assert os.listdir(tmp_path) == [home.name] and not os.listdir(home)


@pytest.mark.parametrize(
    ("greeting", "knows"),
    [
        (NEW, True),
        (b"SSH-2.0-OpenSSH_7.7", True),
        (b"SSH-2.0-OpenSSH_10.0p2", True),
        (b"SSH-2.0-OpenSSH_7.6p1", False),
        (OLD, False),
        (b"SSH-2.0-dropbear_2022.83", False),
        (b"", False),
    ],
)
def test_only_a_new_sshd_is_told_of_an_end(greeting: bytes, knows: bool) -> None:
    """expiry-time came with OpenSSH 7.7; the date has come in no time zone before the line has expired."""
    now = 1_700_000_000.0
    words = admission.line(KEY, greeting, now)
    assert words.endswith(f"ssh-ed25519 {KEY}")
    assert words.startswith('expiry-time="') == knows
    if knows:
        day = time.strptime(words.split('"')[1], "%Y%m%d")
        seconds = time.mktime(day) - time.timezone
        assert now + admission.LIFETIME + 14 * 3600 < seconds < now + 3 * 86400


def test_another_login_s_line_counts_for_nobody(tmp_path: Path) -> None:
    """It may be gone before we get there, so no key stands in it."""
    assert _run(("sh",), _put(tmp_path, "aa")) == 0
    content = (tmp_path / ".ssh" / "authorized_keys").read_bytes()
    assert content and authorized.parse(content) == set()
    assert len(authorized.parse(content.partition(b" dockshell")[0])) == 1
