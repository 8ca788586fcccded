"""`dockshell ssh-config`: what it prints, as the clients that read it understand it, and how it gets into a person's
file and out again."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncssh
import paramiko
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dockshell.bridge.ssh_config import block, found, installed, made_for_it, removed
from dockshell.errors import DockshellError
from tests.conftest import COMMAND
from tests.world import World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

_BEGIN, _END = b"# dockshell: begin\n", b"# dockshell: end\n"


@pytest.fixture
def home(environment: dict[str, str]) -> Path:
    return Path(environment["HOME"])


@pytest.fixture
def config(home: Path) -> Path:
    """The path of the person's configuration; nothing is there yet."""
    return home / ".ssh" / "config"


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on stderr of a command that went well and printed nothing."""
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    line = done.stderr.decode()
    assert line.startswith("dockshell: ") and line.count("\n") == 1
    return line


def _understood(config: Path, host: str, world: World) -> dict[str, str]:
    """What the real ssh makes of the file for a host."""
    argv = [world.need_program("ssh"), "-F", str(config), "-G", "--", host]
    lines = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def test_it_is_printed(dockshell: Run, home: Path) -> None:
    """A block between two marks; nothing on stderr, nothing in ~/.ssh."""
    done = dockshell("ssh-config")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(_BEGIN) and done.stdout.endswith(_END)
    assert not (home / ".ssh").exists()


def test_the_host_key_is_made_once(dockshell: Run, home: Path, world: World) -> None:
    """The private key for its owner alone; known_hosts names it, and is put right where it names another."""
    first = dockshell("ssh-config").stdout
    directory = home / ".local/share/dockshell"
    private, known = directory / "host_ed25519", directory / "known_hosts"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    argv = [world.need_program("ssh-keygen"), "-y", "-f", str(private)]
    public = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.split()[:2]
    assert known.read_text() == f"dockshell {' '.join(public)}\n"
    for wrong in ("", "dockshell ssh-ed25519 AAAA\n", known.read_text() * 2):
        known.write_text(wrong)
        assert dockshell("ssh-config").stdout == first
        assert known.read_text() == f"dockshell {' '.join(public)}\n"
    assert sorted(os.listdir(directory)) == ["host_ed25519", "host_ed25519.pub", "known_hosts"]


def test_the_key_counts_and_not_what_stands_beside_it(dockshell: Run, home: Path) -> None:
    """known_hosts is made of the private key itself; one that is none is named, with what to do."""
    dockshell("ssh-config")
    directory = home / ".local/share/dockshell"
    expected = (directory / "known_hosts").read_text()
    (directory / "host_ed25519.pub").write_text("ssh-ed25519 AAAA another\n")
    dockshell("ssh-config")
    assert (directory / "known_hosts").read_text() == expected
    (directory / "host_ed25519").write_text("nonsense")
    done = dockshell("ssh-config")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"is no key of ours: remove it" in done.stderr


def test_ssh_understands_it(dockshell: Run, config: Path, world: World) -> None:
    """What `ssh -G` says of web.dockshell, line by line; and that no other host is touched."""
    _said(dockshell("ssh-config", "--install"))
    understood = _understood(config, "web.dockshell", world)
    known = config.parent.parent / ".local/share/dockshell/known_hosts"
    expected = {
        "user": ".",
        "proxycommand": f"{COMMAND[0]} proxy -- '%n %h'",
        "hostkeyalias": "dockshell",
        "userknownhostsfile": str(known),
        "globalknownhostsfile": "none",
        "stricthostkeychecking": "true",
        "updatehostkeys": "false",
        "checkhostip": "no",
        "forwardx11": "no",
    }
    assert {name: understood.get(name) for name in expected} == expected
    assert understood["ciphers"].split(",")[0] == "aes128-gcm@openssh.com"
    empty = config.with_name("empty")
    empty.touch()
    for other in ("example.com", "web.dockshell.example.com", "dockshell"):
        assert _understood(config, other, world) == _understood(empty, other, world)
    assert _understood(config, "app@web.dockshell", world)["user"] == "app"


def test_others_understand_it_too(dockshell: Run, config: Path) -> None:
    """paramiko's and asyncssh's readers of the file, as Fabric and others use them."""
    _said(dockshell("ssh-config", "--install", "-H", "unix:///run/a b.sock"))
    looked_up = paramiko.SSHConfig.from_path(str(config))
    facts = looked_up.lookup("web.dockshell")
    words = [COMMAND[0], "--host", "unix:///run/a b.sock", "proxy", "--"]
    assert facts["user"] == "."
    assert facts["hostkeyalias"] == "dockshell"
    assert shlex.split(facts["proxycommand"]) == [*words, "%n web.dockshell"]  # the proxy knows that paramiko has no %n
    for other in ("example.com", "a'b.dockshell"):
        assert "proxycommand" not in looked_up.lookup(other)
    options = asyncssh.SSHClientConnectionOptions(config=str(config), host="web.dockshell")
    assert options.username == "."
    assert options.proxy_command == [*words, "web.dockshell web.dockshell"]
    assert options.host_key_alias == "dockshell"
    assert options.known_hosts == [str(config.parent.parent / ".local/share/dockshell/known_hosts")]


def test_an_odd_home_is_spelled_right(dockshell: Run, tmp_path: Path, world: World) -> None:
    """Blanks, percent signs and tokens in the path of known_hosts are its own."""
    for name in ("a b", "100%h", "#x", "it's"):
        data = tmp_path / name
        data.mkdir()
        printed = dockshell("ssh-config", env={"XDG_DATA_HOME": str(data)}).stdout
        (tmp_path / "config").write_bytes(printed)
        understood = _understood(tmp_path / "config", "web.dockshell", world)
        assert understood["userknownhostsfile"].strip('"') == f"{data}/dockshell/known_hosts"


@pytest.mark.parametrize("name", ['a"b', "a\\b", "${HOME}", "a\nb", "\x1b[m"])
def test_what_ssh_can_not_be_told_is_refused(dockshell: Run, tmp_path: Path, name: str) -> None:
    """A path that no two clients would read alike is an error that says what to do."""
    done = dockshell("ssh-config", env={"XDG_DATA_HOME": str(tmp_path / name)})
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"XDG_DATA_HOME" in done.stderr and done.stderr.decode()[:-1].isprintable()


def test_the_engine_goes_along(dockshell: Run, tmp_path: Path, world: World) -> None:
    """-H and --context reach the proxy as they were given, through ssh and its shell."""
    for options, words in (
        (["-H", "unix:///run/it's %h $(x).sock"], ["--host", "unix:///run/it's %h $(x).sock"]),
        (["-c", "home lab"], ["--context", "home lab"]),
    ):
        (tmp_path / "config").write_bytes(dockshell("ssh-config", *options).stdout)
        understood = _understood(tmp_path / "config", "web.dockshell", world)["proxycommand"]
        assert shlex.split(understood.replace("%%", "%")) == [COMMAND[0], *words, "proxy", "--", "%n %h"]
    done = dockshell("ssh-config", "-H", "unix:///a\nProxyCommand x")
    assert (done.returncode, done.stdout) == (125, b"")


_SHELLS = ("sh", "bash", "zsh", "fish")
_RECORDER = """#!/bin/sh
printf '%s\\n' "$#" "$@" >"$0.said"
"""
_NAMES = (
    "web.dockshell",
    "$(touch pwned).dockshell",
    "`touch pwned`.dockshell",
    ";touch pwned;.dockshell",
    "a\\\\;touch pwned.dockshell",
    "\\`touch pwned\\`.dockshell",
    '";touch pwned;".dockshell',
    "|touch pwned.dockshell",
    "${IFS}&touch pwned&.dockshell",
    "%h$(touch pwned)%n.dockshell",
    "!touch.dockshell",
    "\ntouch pwned\n.dockshell",
    "-oProxyCommand=touch pwned.dockshell",
    "-Hssh://x;touch pwned.dockshell",
    "';touch pwned;'.dockshell",
    "'$(touch pwned)'.dockshell",
    "\\';touch pwned;\\'.dockshell",
    "x'.dockshell';touch pwned;'.dockshell",
    "x;touch pwned;.dockshell\\",
)


def _connect(ssh: str, config: Path, name: str, shell: str, directory: Path) -> None:
    argv = [ssh, "-F", str(config), "-o", "ConnectTimeout=2", "-o", "BatchMode=yes", "--", name]
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "SHELL": shell}
    subprocess.run(argv, env=env, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A program that writes its words into a file, `recorder.said`."""
    path = tmp_path / "recorder"
    path.write_text(_RECORDER)
    path.chmod(0o755)
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty directory, in which ssh is typed."""
    directory = tmp_path / "here"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("shell", _SHELLS)
def test_no_name_is_run_by_ssh(shell: str, world: World, tmp_path: Path, recorder: Path, here: Path) -> None:
    """The real ssh runs nothing of a name, whatever the person's shell: it arrives as one word, or not at all."""
    ssh, path = world.need_program("ssh"), world.need_program(shell)
    config = tmp_path / "config"
    config.write_text(block([str(recorder)], "/dev/null"))
    said = tmp_path / "recorder.said"
    for name in _NAMES:
        said.unlink(missing_ok=True)
        _connect(ssh, config, name, path, here)
        assert "pwned" not in os.listdir(here), name
        # Newer ones refuse a host with most of these characters by themselves.
        assert not said.exists() or said.read_text() == f"3\nproxy\n--\n{name} {name.lower()}\n", name
        assert said.exists() or name != "web.dockshell"


def _as_old_ones_do(command: str, name: str, shell: str, directory: Path) -> None:
    """What OpenSSH before 9.6 does with a ProxyCommand (its sshconnect.c, CVE-2023-51385): tokens are replaced by what
    was typed, and the shell is given the whole."""
    line = "exec " + re.sub("%.", lambda token: {"%n": name, "%h": name, "%%": "%"}[token[0]], command)
    env = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    argv = [shell, "-c", line]
    subprocess.run(argv, env=env, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("shell", _SHELLS)
def test_no_name_is_run_by_older_ones(shell: str, world: World, tmp_path: Path, recorder: Path, here: Path) -> None:
    """An ssh that lets all characters through: every name without a single quote arrives as the one word that it is, in
    each of these shells; and one with such a quote is none of ours."""
    path = world.need_program(shell)
    config = tmp_path / "config"
    config.write_text(block([str(recorder)], "/dev/null", ["--host", "unix:///it's 100%n"]))
    command = _understood(config, "web.dockshell", world)["proxycommand"]
    pattern = next(line for line in config.read_text().splitlines() if line.startswith("Host *."))
    assert pattern == 'Host *.dockshell "!*\'*"'
    for name in _NAMES:
        if "'" in name:
            assert "proxycommand" not in paramiko.SSHConfig.from_path(str(config)).lookup(name)
            continue
        _as_old_ones_do(command, name, path, here)
        assert "pwned" not in os.listdir(here), name
        said = tmp_path / "recorder.said"
        if shell == "fish" and name.endswith("\\"):
            assert not said.exists()  # there it takes the quote's meaning away, and then nothing is run at all
            continue
        expected = f"5\n--host\nunix:///it's 100%n\nproxy\n--\n{name} {name}\n"
        # fish has a backslash before another stand for one, also within single quotes.
        assert said.read_text() in (expected, expected.replace("\\\\", "\\") if shell == "fish" else ""), name
        said.unlink()


def test_the_quotes_are_what_keeps_it_from_running(world: World, tmp_path: Path, here: Path) -> None:
    """The test above has teeth: the same line without them runs the name."""
    config = tmp_path / "config"
    config.write_text(block(["/bin/true"], "/dev/null"))
    command = _understood(config, "web.dockshell", world)["proxycommand"]
    _as_old_ones_do(command.replace("'%n %h'", "%n"), "$(touch pwned).dockshell", "/bin/sh", here)
    assert os.listdir(here) == ["pwned"]


def test_the_real_proxy_refuses_them(dockshell: Run, world: World, tmp_path: Path, here: Path) -> None:
    """The block as it is printed, with the real command behind it: a name that is no container's is refused, and
    nothing is run, be it an option's spelling."""
    config = tmp_path / "config"
    config.write_bytes(dockshell("ssh-config", "-H", f"unix://{tmp_path}/nowhere.sock").stdout)
    command = _understood(config, "web.dockshell", world)["proxycommand"]
    for name in _NAMES:
        if "'" not in name:
            _as_old_ones_do(command, name, "/bin/sh", here)
            assert "pwned" not in os.listdir(here), name


def test_install_into_nothing(dockshell: Run, config: Path) -> None:
    """~/.ssh and the file are made for their owner alone; remove takes the file away again."""
    assert f"added to {config}" in _said(dockshell("ssh-config", "--install"))
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    before = config.read_bytes()
    assert "has the block for *.dockshell already" in _said(dockshell("ssh-config", "--install"))
    assert config.read_bytes() == before
    assert f"{config} is removed" in _said(dockshell("ssh-config", "--remove"))
    assert not config.exists()
    assert "has no block" in _said(dockshell("ssh-config", "--remove"))


def test_it_goes_where_ssh_looks(world: World, environment: dict[str, str], tmp_path: Path) -> None:
    """Into the home directory that passwd has, wherever HOME is; and that is said."""
    world.need_root()
    (home := tmp_path / "home").mkdir()
    (passwd := tmp_path / "passwd").write_text(f"root:x:0:0:root:{home}:/bin/sh\n")

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        mounted = 'mount --bind "$0" /etc/passwd && exec "$@"'
        env = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        words = ["unshare", "--mount", "sh", "-c", mounted, str(passwd), *argv]
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False)

    looks, done = run(*COMMAND, "ssh-config", "--install").stderr.splitlines()
    assert "HOME is not the home directory of your account" in looks and str(home) in looks
    assert f"added to {home}/.ssh/config" in done
    assert not Path(environment["HOME"], ".ssh").exists()
    ssh = world.need_program("ssh")
    assert f"proxycommand {COMMAND[0]} proxy" in run(ssh, "-G", "web.dockshell").stdout
    assert "is set up" in run(*COMMAND, "doctor").stdout
    assert f"{home}/.ssh/config is removed" in run(*COMMAND, "ssh-config", "--remove").stderr


def test_a_file_that_was_made_for_it_stays_where_it_holds_more(dockshell: Run, config: Path) -> None:
    """What a person wrote into it since is theirs."""
    _said(dockshell("ssh-config", "--install"))
    with config.open("ab") as file:
        file.write(b"Host a\n  User b\n")
    _said(dockshell("ssh-config", "--remove"))
    assert config.read_bytes() == b"Host a\n  User b\n"


def test_an_empty_file_of_the_persons_own_stays(dockshell: Run, config: Path) -> None:
    """It was there before, so it is there afterwards."""
    config.parent.mkdir()
    config.touch()
    _said(dockshell("ssh-config", "--install"))
    _said(dockshell("ssh-config", "--remove"))
    assert config.read_bytes() == b""


def test_what_was_there_is_as_before(dockshell: Run, config: Path, world: World) -> None:
    """Values that hold for all hosts, those before the first Host among them, still do; mode and owner are kept; ours
    come first all the same."""
    config.parent.mkdir()
    before = b"ServerAliveInterval 77\r\nHost *\n  User somebody\n  ProxyCommand none\n  StrictHostKeyChecking no"
    config.write_bytes(before)
    config.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(config, 0, 4)
    facts = config.stat()
    _said(dockshell("ssh-config", "--install"))
    assert config.read_bytes().endswith(before)
    assert (config.stat().st_mode, config.stat().st_gid) == (facts.st_mode, facts.st_gid)
    assert _understood(config, "example.com", world)["serveraliveinterval"] == "77"
    assert _understood(config, "example.com", world)["user"] == "somebody"
    ours = _understood(config, "web.dockshell", world)
    assert (ours["user"], ours["stricthostkeychecking"]) == (".", "true")
    assert "dockshell" in ours["proxycommand"]
    assert ours["serveraliveinterval"] == "77"
    _said(dockshell("ssh-config", "--remove"))
    assert config.read_bytes() == before
    assert (config.stat().st_mode, config.stat().st_gid) == (facts.st_mode, facts.st_gid)
    assert os.listdir(config.parent) == ["config"]


def test_a_changed_block_is_replaced_in_place(dockshell: Run, config: Path) -> None:
    """There is ever only one, where the person put it."""
    _said(dockshell("ssh-config", "--install"))
    config.write_bytes(b"# mine\n" + config.read_bytes() + b"# also mine")
    assert "replaced in" in _said(dockshell("ssh-config", "--install", "-H", "unix:///other.sock"))
    content = config.read_bytes()
    assert content.startswith(b"# mine\n" + _BEGIN) and content.endswith(_END + b"# also mine")
    assert content.count(_BEGIN) == 1 and b"unix:///other.sock" in content
    _said(dockshell("ssh-config", "--remove"))
    assert config.read_bytes() == b"# mine\n# also mine"


def test_a_link_is_followed(dockshell: Run, config: Path, tmp_path: Path) -> None:
    """A configuration that lives elsewhere, as dotfiles do, is changed there, and the link stays one."""
    target = tmp_path / "dotfiles"
    target.write_bytes(b"Host a\n")
    config.parent.mkdir()
    config.symlink_to(target)
    _said(dockshell("ssh-config", "--install"))
    assert config.is_symlink() and target.read_bytes().startswith(_BEGIN)
    _said(dockshell("ssh-config", "--remove"))
    assert config.is_symlink() and target.read_bytes() == b"Host a\n"


@pytest.mark.parametrize(
    "content",
    [_BEGIN + b"Host x\n", b"Host x\n" + _END, _END + _BEGIN, _BEGIN + _END + _BEGIN + _END, _BEGIN + _BEGIN + _END],
)
def test_marks_that_do_not_fit_are_an_error(dockshell: Run, config: Path, content: bytes) -> None:
    """Where it can't be told what is ours, nothing is touched, and a line says what to do."""
    config.parent.mkdir()
    config.write_bytes(content)
    for option in ("--install", "--remove"):
        done = dockshell("ssh-config", option)
        assert (done.returncode, done.stdout) == (125, b"")
        assert str(config).encode() in done.stderr and b"by hand" in done.stderr
        assert done.stderr.count(b"\n") == 1
        assert config.read_bytes() == content


def test_what_is_no_file_is_left_alone(dockshell: Run, config: Path) -> None:
    """A directory, or a FIFO, which nobody waits at."""
    config.parent.mkdir()
    os.mkfifo(config)
    assert b"is no file" in dockshell("ssh-config", "--install").stderr
    config.unlink()
    config.mkdir()
    done = dockshell("ssh-config", "--install")
    assert done.returncode == 125 and done.stderr.count(b"\n") == 1


def test_one_of_the_two(dockshell: Run) -> None:
    """--install and --remove together are wrong usage."""
    done = dockshell("ssh-config", "--install", "--remove")
    assert done.returncode == 2 and b"one of the two" in done.stderr


def test_the_program_is_the_one_that_was_run(environment: dict[str, str], tmp_path: Path) -> None:
    """By its whole path, however it was called; as a module where there is no file to be run, and then with no word for
    a directory called dockshell that lies where ssh is typed."""
    path = tmp_path / "a b" / "dockshell"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nfrom dockshell.cli import main\nmain()\n")
    path.chmod(0o755)
    env = {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}

    def proxy(argv: Sequence[str], directory: Path) -> str:
        done = subprocess.run([*argv, "ssh-config"], env=env, cwd=directory, capture_output=True, check=True, text=True)
        return next(line.split(None, 1)[1] for line in done.stdout.splitlines() if "ProxyCommand" in line)

    assert proxy(["./dockshell"], path.parent) == f"'{path}' proxy -- '%n %h'"
    module = proxy([sys.executable, "-m", "dockshell"], tmp_path)
    assert module == f"{sys.executable} -P -m dockshell proxy -- '%n %h'"


_PIECES = st.sampled_from(
    [b"Host *\n", b"Host a\r\n", b"  User b", b"\n", b"\r", b"\r\n", b" ", b"#", b"# dockshell", b"\0", b"\xff"]
)  # fmt: skip
_CONTENT = st.lists(st.one_of(_PIECES, st.binary(max_size=8)), max_size=20).map(b"".join)
_BLOCK = block(["/usr/bin/dockshell"], "/home/ann/.local/share/dockshell/known_hosts")
_OTHER = block(["/usr/bin/dockshell"], "/known_hosts", ["--host", "unix:///x"])


@settings(max_examples=300)
@given(_CONTENT)
@example(b"")
@example(b"no newline")
@example(b"\r\n")
def test_any_content_is_as_before(content: bytes) -> None:
    """Put in, put in again, changed, and taken out: byte for byte what it was."""
    once = installed(content, _BLOCK)
    assert once == _BLOCK.encode() + content
    assert installed(once, _BLOCK) == once
    assert removed(installed(once, _OTHER)) == content
    assert removed(once) == content
    there = found(once)
    assert there and not made_for_it(there)


@given(_CONTENT, _CONTENT)
def test_a_block_is_found_wherever_it_was_moved(before: bytes, after: bytes) -> None:
    """What stands around it, with whatever ends of lines, is kept."""
    before = before + b"\n" if before and not before.endswith(b"\n") else before
    moved = before + installed(None, _BLOCK) + after
    assert removed(moved) == before + after
    there = found(moved)
    assert there and made_for_it(there)
    changed = installed(moved, _OTHER)
    there = found(changed)
    assert there and made_for_it(there) and removed(changed) == before + after
    assert removed(moved.replace(_END, _END[:-1] + b"\r\n")) == before + after


@given(st.lists(st.one_of(st.sampled_from([_BEGIN, _END, _BEGIN[:-1] + b"\r\n", b" " + _END]), _PIECES), max_size=8))
def test_marks_are_found_or_refused(pieces: list[bytes]) -> None:
    """Whatever is done to them: what is left is the content but for one block, or it is an error."""
    content = b"".join(pieces)
    try:
        there = found(content)
    except DockshellError as error:
        assert "by hand" in str(error)
        return
    left = removed(content)
    assert left == content if there is None else left == content[: there.start] + content[there.end :]
    assert found(left) is None
