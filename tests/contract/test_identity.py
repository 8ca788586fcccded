"""Identity: lines 15 to 18 of the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.cell import SANDBOX, Cell, direct
from tests.world.images import APP_ENV

IDS = "awk '/^(Uid|Gid|Groups):/ { print }' /proc/self/status"
APP = {1000, 2001, 2002}
PERSONAL = 'echo "$HOME:$USER:$LOGNAME:$SHELL"'


def _ids(cell: Cell, user: str, container: str = "") -> tuple[int, int, set[int]]:
    """uid, gid and all groups, the own one counted among the supplementary ones (engines differ in whether it is)."""
    done = cell.sh(IDS, container=container, options=["-u", user] if user else [])
    assert done.returncode == 0, done
    uids, gids, groups = (list(map(int, line.split(b":")[1].split())) for line in done.stdout.splitlines())
    assert len({*uids}) == len({*gids}) == 1
    return uids[0], gids[0], {*groups, gids[0]}


@pytest.mark.line(15)
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param(user, expected, id=user)
        for user, expected in {
            "root": (0, 0, {0, 2002}),
            "app": (1000, 1000, APP),
            "1000": (1000, 1000, APP),
            "4321": (4321, 0, {0}),
            "1234:5678": (1234, 5678, {5678}),
            "app:staff2": (1000, 2001, {2001}),
            "app:2002": (1000, 2002, {2002}),
            "0:app": (0, 1000, {1000}),
        }.items()
    ],
)
def test_user_is_the_one_that_was_asked_for(cell: Cell, user: str, expected: tuple[int, int, set[int]]) -> None:
    """By name or number, with a group or without, as the container's own files have it."""
    if cell.route == "ssh" and user == "root":
        expected = (0, 0, {0})  # Debian's groups
    assert _ids(cell, user, cell.people) == expected


@direct
@pytest.mark.line(15)
def test_user_is_the_configured_one(cell: Cell) -> None:
    """Without -u the image's own, with its supplementary groups."""
    assert _ids(cell, "", cell.peer.shared("app")) == (1000, 1000, APP)


@direct
@pytest.mark.line(15)
def test_groups_that_were_added_come_along(cell: Cell) -> None:
    """--group-add at the container's start counts for commands too."""
    container = cell.with_options("app", "--group-add", "7777", "--group-add", "8888")
    assert _ids(cell, "", container) == (1000, 1000, APP | {7777, 8888})


@direct
@pytest.mark.line(15)
def test_number_without_an_entry_works(cell: Cell) -> None:
    """As the image's user as well: 65532 stands in no passwd."""
    assert _ids(cell, "", cell.peer.shared("locked"))[0] == 65532


@pytest.mark.line(15)
@pytest.mark.parametrize("user", ["nobody-known", "root:no-group", "-1", "99999999999"])
def test_name_without_an_entry_is_refused(cell: Cell, user: str) -> None:
    """125 and one line that says whom it doesn't know; nothing is run."""
    done = cell.run("echo", "ran", options=["-u", user], container=cell.people)
    assert cell.refused(done), done
    said = (done.stdout + done.stderr).decode()
    assert said.count("\n") == 1 and (user.rpartition(":")[2] in said or cell.route == "ssh"), said


@pytest.mark.line(15)
@pytest.mark.parametrize("user", ["app", "root", "1000"])
def test_home_and_names_fit_the_user(cell: Cell, user: str) -> None:
    """HOME, USER, LOGNAME and SHELL are what the container's passwd says of that user."""
    wanted = f'$1 == "{user}" || $3 == "{user}" {{ print $1 ":" $6 ":" $7 }}'
    name, home, shell = cell.ask("awk", "-F:", wanted, "/etc/passwd", container=cell.people).strip().split(":")
    told = cell.sh(PERSONAL, options=["-u", user], container=cell.people).stdout.decode().strip()
    assert told == f"{home}:{name}:{name}:{shell}"


@direct
@pytest.mark.line(15)
def test_home_and_names_fit_the_configured_user(cell: Cell) -> None:
    """Without -u too."""
    container = cell.peer.shared("app")
    assert cell.sh(PERSONAL, container=container).stdout == b"/home/app:app:app:/bin/sh\n"


def _environment(told: bytes) -> dict[str, str]:
    """What `env -0` prints; without a toolbox at the end of PATH, which has a test of its own."""
    found = dict(text.split("=", 1) for text in told.decode().split("\0") if text)
    return {name: value.removesuffix(":/proc/fs/nfsd/bin") for name, value in found.items()}


@direct
@pytest.mark.line(16)
def test_environment_is_the_configured_one(cell: Cell) -> None:
    """Every variable of the image byte by byte, blanks, quotes, newlines and all, as the engine's own exec has it."""
    container = cell.peer.shared("app")
    told = _environment(cell.run("env", "-0", container=container).stdout)
    for text in APP_ENV:
        name, _, value = text.partition("=")
        assert told.pop(name) == value
    engines = _environment(cell.peer.reply(container, "env -0"))
    assert {**told, **engines}.items() >= told.items()
    assert set(told) - set(engines) <= {"USER", "LOGNAME", "SHELL"}
    assert engines["HOSTNAME"] == told["HOSTNAME"] == "apphost"


@direct
@pytest.mark.line(16)
def test_path_is_the_configured_one(cell: Cell) -> None:
    """The image's, with nothing before or behind."""
    told = cell.sh("echo $PATH", container=cell.peer.shared("app")).stdout
    assert f"PATH={told.decode().strip()}" in APP_ENV


@pytest.mark.line(16)
def test_environment_of_the_caller_stays_outside(cell: Cell) -> None:
    """Nothing of the caller's, neither for a command nor for a login shell."""
    env = {"DOCKSHELL_CANARY": "tweet", "EDITOR": "tweet", "LD_PRELOAD": None, "TERM": "tweet"}
    for told in (cell.run("env", env=env).stdout, cell.login("env", env=env).stdout):
        assert b"PATH=" in told
        assert b"tweet" not in told and b"DOCKER_HOST" not in told


@pytest.mark.line(16)
def test_environment_of_the_caller_stays_outside_at_a_terminal(cell: Cell) -> None:
    """Nothing comes along there but what kind of terminal it is."""
    child = cell.terminal("sh", "-c", "env; echo e''nd", env={"DOCKSHELL_CANARY": "tweet", "EDITOR": "tweet"})
    child.expect_exact(b"end\r\n")
    assert b"TERM=" in child.before
    assert b"tweet" not in child.before and b"DOCKER_HOST" not in child.before


@pytest.mark.line(16)
def test_environment_takes_variables_of_the_command_line(cell: Cell) -> None:
    """-e K=V as it is, -e K with the caller's value, -e K of one that isn't set not at all; the last word counts."""
    options = [
        "-e",
        "A=1  2\n3 $x 'y'",
        "-e",
        "B",
        "-e",
        "UNSET_ANYWHERE",
        "-e",
        "C=first",
        "-e",
        "C=",
        "-e",
        "PATH=/bin:/x",
    ]
    told = _environment(cell.run("env", "-0", options=options, env={"B": "callers"}).stdout)
    assert told["A"] == "1  2\n3 $x 'y'" and told["B"] == "callers" and told["C"] == "" and told["PATH"] == "/bin:/x"
    assert "UNSET_ANYWHERE" not in told


@pytest.mark.line(16)
def test_environment_takes_a_file_of_variables(cell: Cell) -> None:
    """--env-file: a line each, no quotes, comments and empty lines don't count; -e has the last word."""
    file = Path(cell.caller.place, "variables")
    file.write_text("# a comment\n\nA=1 2 'three'\nB\nC=file\nD=x=y\n")
    options = ["--env-file", str(file), "-e", "C=line"]
    told = _environment(cell.run("env", "-0", options=options, env={"B": "callers"}).stdout)
    assert [told[name] for name in "ABCD"] == ["1 2 'three'", "callers", "line", "x=y"]


@pytest.mark.line(16)
def test_environment_of_process_1(cell: Cell) -> None:
    """--env-from init: what the first process was really started with."""
    told = _environment(cell.run("env", "-0", options=["--env-from", "init"]).stdout)
    initial = _environment(Path(f"/proc/{cell.pid()}/environ").read_bytes())
    personal = ("HOME", "USER", "LOGNAME", "SHELL")
    assert initial and {k: told.get(k) for k in initial if k not in personal} == {
        k: v for k, v in initial.items() if k not in personal
    }


@pytest.mark.line(16)
def test_login_shell_honours_a_baseimages_environment(cell: Cell) -> None:
    """/etc/container_environment: the variables that stand there in files, of which one was never configured."""
    container = cell.peer.shared("baseimage")
    assert b"<kept in a file>" in cell.login('echo "<$FROM_BASEIMAGE>"', container=container).stdout
    assert cell.sh('echo "<$FROM_BASEIMAGE>"', container=container).stdout == b"<>\n"


@direct
@pytest.mark.line(16)
def test_login_shell_speaks_the_callers_language(cell: Cell) -> None:
    """LANG and LC_* come along to a login shell, where the container has none of its own, and to nothing else."""
    env = {"LANG": "xx_XX.UTF-8", "LC_TIME": "yy_YY.UTF-8"}
    container = "" if cell.home == SANDBOX else cell.peer.shared("busybox")
    assert b"<xx_XX.UTF-8 yy_YY.UTF-8>" in cell.login('echo "<$LANG $LC_TIME>"', env=env, container=container).stdout
    assert cell.sh('echo "<$LANG $LC_TIME>"', env=env, container=container).stdout == b"< >\n"


@pytest.mark.line(17)
def test_directory_of_a_command_is_the_configured_one(cell: Cell) -> None:
    """/ where the image has none."""
    assert cell.run("pwd").stdout == b"/\n"


@direct
@pytest.mark.line(17)
def test_directory_of_a_command_is_the_images(cell: Cell) -> None:
    """The image's WORKDIR."""
    assert cell.run("pwd", container=cell.peer.shared("app")).stdout == b"/srv/app\n"


@pytest.mark.line(17)
def test_directory_of_a_login_shell_is_home(cell: Cell) -> None:
    """As a login anywhere."""
    assert cell.login("pwd").stdout.splitlines()[-1:] == [b"/root"]
    if cell.home != SANDBOX:
        told = cell.login("pwd", options=["-u", "app"], container=cell.people).stdout
        assert told.splitlines()[-1:] == [b"/home/app"]


@pytest.mark.line(17)
def test_directory_is_the_one_that_was_asked_for(cell: Cell) -> None:
    """-w, for a command and a login shell, with blanks in its name too."""
    cell.ask("mkdir", "-p", "/tmp/a b")
    for directory in ("/tmp", "/tmp/a b"):
        assert cell.run("pwd", options=["-w", directory]).stdout == f"{directory}\n".encode()
        assert cell.login("pwd", options=["-w", directory]).stdout.splitlines()[-1:] == [directory.encode()]


@pytest.mark.line(17)
def test_directory_that_is_not_there(cell: Cell) -> None:
    """An error in one line that names it; nothing is run."""
    for directory in ("/nowhere", "/etc/passwd"):
        done = cell.run("echo", "ran", options=["-w", directory])
        assert done.returncode in (125, 126, 127) and b"ran" not in done.stdout, done
        said = (done.stdout + done.stderr).decode()
        assert directory in said and said.count("\n") == 1 and said.startswith(cell.speaker), said


LOGIN = 'echo "<$0 $SHELL>"'


@pytest.mark.line(18)
def test_login_shell_is_the_users_own(cell: Cell) -> None:
    """The one in passwd, started as a login shell."""
    entry = cell.ask("awk", "-F:", '$1 == "app" { print $7 }', "/etc/passwd", container=cell.people).strip()
    script = f"{LOGIN}; shopt -q login_shell 2>/dev/null; case $- in *l*) echo login;; esac"
    done = cell.login(script, options=["-u", "app"], container=cell.people)
    name = entry.rpartition("/")[2]
    assert any(word in done.stdout.decode() for word in (f"<-{name} {entry}>", f"<{entry} {entry}>")), done


@direct
@pytest.mark.line(18)
def test_login_shell_reads_its_profile(cell: Cell) -> None:
    """/etc/profile counts, as it does for a login and not for a command."""
    command = ["sh", "-c", "echo FROM_PROFILE=read >> /etc/profile; exec sleep 100000"]
    container = cell.with_options("busybox", command=command)
    assert cell.login('echo "<$FROM_PROFILE>"', container=container).stdout == b"<read>\n"


@direct
@pytest.mark.line(18)
@pytest.mark.parametrize(
    "shell", ["/bin/not-there", "/etc/passwd", "/bin", ""], ids=["missing", "file", "folder", "none"]
)
def test_login_shell_is_another_where_the_users_can_not_be_executed(cell: Cell, shell: str) -> None:
    """Then the first of bash, zsh, ash and sh that is there."""
    command = ["sh", "-c", f"echo root:x:0:0::/root:{shell} > /etc/passwd; exec sleep 100000"]
    container = cell.with_options("busybox", command=command)
    done = cell.login(LOGIN, container=container)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"/bin/ash>" in done.stdout, done


@direct
@pytest.mark.line(18)
@pytest.mark.parametrize(("there", "expected"), [("bash zsh", "bash"), ("zsh", "zsh"), ("", "ash")])
def test_login_shell_is_the_first_of_four(cell: Cell, there: str, expected: str) -> None:
    """bash, zsh, ash, sh, in that order."""
    make = "printf '#!/bin/sh\ncat >/dev/null; echo it is $0\n' > /bin/$s; chmod +x /bin/$s"
    script = f"echo root:x:0:0::/root:/none > /etc/passwd; for s in {there}; do {make}; done; exec sleep 100000"
    command = ["sh", "-c", script]
    done = cell.login('echo "it is $SHELL"', container=cell.with_options("busybox", command=command))
    assert done.stdout.decode() == f"it is /bin/{expected}\n", done


@direct
@pytest.mark.line(18)
def test_login_shell_is_sh_where_there_is_no_other(cell: Cell) -> None:
    """The last of the four."""
    command = ["sh", "-c", "echo root:x:0:0::/root:/none > /etc/passwd; rm /bin/ash; exec sleep 100000"]
    container = cell.with_options("busybox", command=command)
    assert cell.login(LOGIN, container=container).stdout.endswith(b"/bin/sh>\n")


@direct
@pytest.mark.line(18)
def test_no_login_shell_is_an_error_with_a_remedy(cell: Cell) -> None:
    """Where there is none, one line says what to do; what is there can be run."""
    container = cell.peer.shared("static")
    done = cell.login("echo ran", container=container)
    assert (done.returncode, done.stdout) == (125, b"")
    said = done.stderr.decode()
    assert said.count("\n") == 1 and "no shell" in said and "dockshell exec" in said, said
    assert cell.run("/busybox", "echo", "ran", container=container).stdout == b"ran\n"
