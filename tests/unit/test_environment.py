"""environment: who, where, with which variables and which shell, from a container's configuration and its files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.environment import DEFAULT_PATH, files_environment, login_shell, prepare
from dockshell.errors import NoShell
from dockshell.identity import Identity
from dockshell.model import Command, Container


class MemoryFiles:
    """A container's files, in memory: path → content; None is a directory."""

    def __init__(self, content: dict[str, bytes | None], executables: tuple[str, ...] = ()) -> None:
        self._content = content
        self._executables = executables

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        found = self._content.get(path)
        return None if found is None else found[:limit]

    def names(self, path: str) -> list[str]:
        inside = (each[len(path) + 1 :] for each in self._content if each.startswith(path + "/"))
        return sorted(name for name in inside if "/" not in name)

    def executable(self, path: str) -> bool:
        return path in self._executables

    def directory(self, path: str) -> bool:
        return self._content.get(path, b"") is None

    def exists(self, path: str) -> bool:
        return path in self._content or path in self._executables


PASSWD = b"root:x:0:0::/root:/bin/bash\napp:x:1000:1000::/home/app:/usr/bin/fish\n"
FILES = MemoryFiles({"/etc/passwd": PASSWD, "/etc/group": b""}, ("/bin/sh", "/bin/bash", "/usr/bin/fish"))


def container(**facts: object) -> Container:
    return Container(id="c" * 64, name="web", engine=None, **facts)  # type: ignore[arg-type]


def variables(
    command: Command, box: Container, files: MemoryFiles = FILES, initial: list[str] | None = None
) -> dict[str, str]:
    return dict(prepare(box, command, files, initial).environment)


def test_command_gets_the_configuration_and_a_path() -> None:
    """PATH where the image has none, the host's name, and the image's variables as they are."""
    found = variables(Command((b"env",)), container(env=("A=1=2", "B="), hostname="h"))
    assert found == {
        "PATH": DEFAULT_PATH, "HOSTNAME": "h", "A": "1=2", "B": "",
        "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash",
    }  # fmt: skip


def test_images_home_holds_for_the_images_user_alone() -> None:
    """An image that says HOME means its own user; -u is somebody else."""
    box = container(env=("HOME=/srv", "USER=service"), user="root")
    assert variables(Command((b"env",)), box)["HOME"] == "/srv"
    assert variables(Command((b"env",), user="app"), box)["HOME"] == "/home/app"
    assert variables(Command((b"env",), user="app"), box)["USER"] == "app"


def test_groups_of_the_containers_user_are_for_nobody_else() -> None:
    """Those that were configured on top come along for everybody; those of the container's own user stay with him."""
    box = container(user="1234:0", user_groups=("0", "27"), groups=("99",))
    assert prepare(box, Command((b"id",)), FILES).identity.groups == (0, 99, 27)
    assert prepare(box, Command((b"id",), user="app"), FILES).identity.groups == (1000, 99)


def test_command_line_has_the_last_word() -> None:
    """-e counts more than all else."""
    found = variables(Command((b"env",), env=(("HOME", "/x"), ("A", "2"))), container(env=("A=1",)))
    assert (found["HOME"], found["A"]) == ("/x", "2")


def test_process_1_takes_the_configurations_place() -> None:
    """--env-from init."""
    found = variables(Command((b"env",)), container(env=("A=1",)), initial=["B=2", "", "no variable", "=x"])
    assert found["B"] == "2" and "A" not in found and "PATH" not in found


def test_languages_are_for_logins_where_there_are_none() -> None:
    """LANG of the caller's only where the container says nothing of the kind."""
    languages = (("LANG", "de_DE.UTF-8"),)
    assert variables(Command(languages=languages), container())["LANG"] == "de_DE.UTF-8"
    assert "LANG" not in variables(Command(languages=languages), container(env=("LC_ALL=C",)))
    assert "LANG" not in variables(Command((b"env",), languages=languages), container())


def test_directories() -> None:
    """WORKDIR for a command, HOME and then / for a login, -w for both."""
    box = container(directory="/srv")
    assert prepare(box, Command((b"env",)), FILES).directories == ("/srv",)
    assert prepare(container(), Command((b"env",)), FILES).directories == ("/",)
    assert prepare(box, Command(), FILES).directories == ("/root", "/")
    assert prepare(box, Command(directory="/w"), FILES).directories == ("/w",)


def test_baseimages_files() -> None:
    """A file per variable, one newline at the end not counted; what belongs to a user is left out, and so is what can't
    be a variable."""
    at = "/etc/container_environment/"
    files = MemoryFiles({
        at + "A": b"1\n\n", at + "B": b"", at + "HOME": b"/evil", at + "C=D": b"x", at + "NUL": b"a\0b", at + "E": None,
    })  # fmt: skip
    assert files_environment(files) == {"A": "1\n", "B": ""}


USER = Identity(0, 0, (0,), "root", "/root", "/usr/bin/fish")


@pytest.mark.parametrize(
    ("own", "there", "expected"),
    [
        ("/usr/bin/fish", ("/usr/bin/fish", "/bin/bash"), "/usr/bin/fish"),
        ("/usr/bin/fish", ("/bin/sh", "/usr/bin/bash"), "/usr/bin/bash"),
        ("/sbin/nologin", ("/sbin/nologin", "/bin/ash"), "/bin/ash"),
        ("", ("/bin/sh", "/bin/zsh"), "/bin/zsh"),
        ("relative", ("relative", "/bin/sh"), "/bin/sh"),
    ],
)
def test_login_shell(own: str, there: tuple[str, ...], expected: str) -> None:
    """The user's own where it can be executed and lets in, else the first of bash, zsh, ash and sh."""
    user = Identity(0, 0, (0,), "root", "/root", own)
    assert login_shell(user, MemoryFiles({}, there)) == expected


def test_wanted_shell_comes_first() -> None:
    """As docker-bash wants bash, where there is one."""
    assert login_shell(USER, FILES, "bash") == "/bin/bash"
    assert login_shell(USER, FILES, "zsh") == "/usr/bin/fish"


def test_no_shell() -> None:
    """An error with a remedy."""
    with pytest.raises(NoShell, match="dockshell exec"):
        login_shell(USER, MemoryFiles({}))


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=40), max_size=5), st.lists(st.text(max_size=12))
)
def test_whatever_is_read_can_be_an_environment(content: dict[str, bytes], configured: list[str]) -> None:
    """Names are distinct and not empty and hold no =, whatever the files and the configuration say."""
    files = MemoryFiles(
        {f"/etc/container_environment/{name}": value for name, value in content.items()} | {"/bin/sh": b""},
        ("/bin/sh",),
    )
    start = prepare(container(env=tuple(configured)), Command(), files)
    names = [name for name, _ in start.environment]
    assert len(names) == len(set(names)) and all(name and "=" not in name for name in names)
