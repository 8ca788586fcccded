"""Which Compose project is that of the current directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockshell import options
from dockshell.commands import exec as exec_verb
from dockshell.compose import FILES, here
from dockshell.errors import UsageError


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory My.Shop, which is the current one, with nothing of Compose's in the environment."""
    for name in [name for name in os.environ if name.startswith("COMPOSE_")] + ["SUDO_UID"]:
        monkeypatch.delenv(name, raising=False)
    made = tmp_path / "My.Shop"
    made.mkdir()
    monkeypatch.chdir(made)
    monkeypatch.setenv("PWD", str(made))
    return made


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_looked_for_upwards(project: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory of the nearest file is the project's, as for Compose, and its name is made of the directory's."""
    (project / "a/b").mkdir(parents=True)
    monkeypatch.chdir(project / "a/b")
    below = here()
    assert below.directories[0] == str(project / "a/b")
    assert below.directories[-1] == "/"
    assert below.usual == below.name == ""
    (project / name).touch()
    assert here().usual == ""
    (project / name).write_text("services: {}\n")
    found = here()
    assert str(project) in found.directories
    assert str(project.parent) not in found.directories
    assert (found.name, found.usual, found.only) == ("", "myshop", False)


@pytest.mark.parametrize(
    ("line", "usual"),
    [
        ("name: shop", "shop"),
        ("name: 'shop' # ours", "shop"),
        ('name: "shop"', "shop"),
        ("name: shop # ours", "shop"),
        ("name: ${SHOP}", ""),
        ("  name: shop", "myshop"),
        ("# name: shop", "myshop"),
    ],
)
def test_the_file_may_name_the_project(project: Path, line: str, usual: str) -> None:
    """A name on a line of its own; one that would have to be made of variables is not guessed."""
    (project / "compose.yaml").write_text(f"services:\n{line}\n")
    assert here().usual == usual


def test_the_environment_and_dot_env(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COMPOSE_PROJECT_NAME and COMPOSE_FILE, of the environment before those of .env."""
    other = project / "other"
    other.mkdir()
    (other / "stack.yml").write_text("name: stack\n")
    (other / ".env").write_text("COMPOSE_PROJECT_NAME=beside\n")
    (project / ".env").write_text('A=b\nexport COMPOSE_FILE="other/stack.yml:x.yml"\n#COMPOSE_PROJECT_NAME=no\n')
    found = here()
    assert (found.name, found.directories, found.usual) == ("beside", (str(other),), "stack")
    (project / ".env").write_text("COMPOSE_PROJECT_NAME = shop # ours\n")
    assert here().name == "shop"
    monkeypatch.setenv("COMPOSE_FILE", str(other / "stack.yml"))
    assert here().directories == (str(other),)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "prod")
    assert here().name == "prod"
    (project / ".env").write_text("COMPOSE_PROJECT_NAME=${X}\n")
    monkeypatch.delenv("COMPOSE_PROJECT_NAME")
    monkeypatch.delenv("COMPOSE_FILE")
    assert here().name == ""


def test_an_env_file_before_exec(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of the project counts, quoted or not, of several files the last; the environment comes before."""
    for name, said in ("one", "COMPOSE_PROJECT_NAME=no"), ("two", "COMPOSE_PROJECT_NAME='shop' # ours"):
        (project / name).write_text(f"A=b\n{said}\n")
    words = options.parse(["--env-file", "one", "--env-file", "two", "exec", "web", "true"])
    for before, name in ("", "shop"), ("prod", "prod"):
        monkeypatch.setattr(os, "environ", {**os.environ, **({"COMPOSE_PROJECT_NAME": before} if before else {})})
        exec_verb._name_project(words)
        assert here().name == name
        assert "A" not in os.environ


def test_what_is_named_on_the_command_line_is_meant_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-p NAME, -f FILE: no other project will do."""
    (project / "prod.yaml").write_text("name: prod\n")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "")
    named, filed = here("shop"), here(file="prod.yaml")
    assert (named.name, named.only) == ("shop", True)
    assert (filed.name, filed.directories, filed.usual, filed.only) == ("", (str(project),), "prod", True)
    assert here(file="-").only
    with pytest.raises(UsageError, match=r"-f none\.yaml: there is no such file"):
        here(file="none.yaml")


def test_links_and_a_directory_that_went(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory counts under the name that the shell has for it, which Compose notes, and under its real one; one
    that was removed is no project's."""
    link = project.parent / "link"
    link.symlink_to(project)
    monkeypatch.setenv("PWD", str(link))
    assert {str(link), str(project)} <= set(here().directories)
    monkeypatch.setenv("PWD", str(project.parent))
    assert here().directories[0] == str(project)
    project.rmdir()
    assert here().directories == ()


def test_files_of_others_are_not_believed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write a .env where root works doesn't choose root's container; but the files of him for whom sudo runs us
    count."""
    (project / ".env").write_text("COMPOSE_PROJECT_NAME=shop\n")
    (project / "compose.yaml").write_text("name: shop\n")
    facts = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((*facts(fd)[:4], 4711, *facts(fd)[5:])))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (here().name, here().usual) == ("", "")
    monkeypatch.setenv("SUDO_UID", "4711")
    assert (here().name, here().usual) == ("shop", "shop")


def test_what_is_no_file_is_not_waited_for(project: Path) -> None:
    """A FIFO or a directory called so holds nobody up."""
    os.mkfifo(project / ".env")
    (project / "compose.yaml").mkdir()
    assert (here().name, here().usual) == ("", "")
