"""What the config file says: which value holds for which container, and which line an error names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell import config
from dockshell.config.file import SETTINGS, read
from dockshell.config.held import Config
from dockshell.config.keys import keys
from dockshell.engines.kernel import KernelEngine
from dockshell.errors import UsageError
from dockshell.model import Container

_FILE = """\
# what I like
user = "app"
via = [
  "exec",   # the engine's own
  "nsenter",
]

[container."web-*"]
shell = "zsh"

[container.web-1]
user = "root"
shell = "ash"

[container."api[0-9]"]
shell = "bash"

[image."debian:*"]
user = "nobody"
tools = "net"
"""


def _container(name: str, image: str = "") -> Container:
    return Container("1" * 64, name, KernelEngine(), image=image)


def _written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("odd", ["\x85", "\u2028", "\u2029"])
def test_lines_end_at_newlines_alone(tmp_path: Path, odd: str) -> None:
    """As an editor counts them: what else Python's splitlines() splits at is part of a line."""
    path = _written(tmp_path, f'# a{odd}comment\nuser = "a{odd}b"\n\nshell = 3\n')
    with pytest.raises(UsageError, match=r"config\.toml, line 4: "):
        read(path)


@pytest.mark.parametrize(
    ("name", "image", "held"),
    [
        ("db", "", {"user": "app", "via": "exec,nsenter"}),
        ("db", "debian:12", {"user": "nobody", "via": "exec,nsenter", "tools": "net"}),
        ("web-2", "debian:12", {"user": "nobody", "via": "exec,nsenter", "tools": "net", "shell": "zsh"}),
        ("web-1", "debian:12", {"user": "root", "via": "exec,nsenter", "tools": "net", "shell": "ash"}),
        ("Web-1", "", {"user": "app", "via": "exec,nsenter"}),
        ("api7", "", {"user": "app", "via": "exec,nsenter", "shell": "bash"}),
        ("apix", "", {"user": "app", "via": "exec,nsenter"}),
    ],
)
def test_the_most_particular_value_holds(tmp_path: Path, name: str, image: str, held: dict[str, str]) -> None:
    """A container's section goes before an image's, that before the top; of two that fit, the later one."""
    found = Config("", read(_written(tmp_path, _FILE))).settings(_container(name, image))
    assert {setting: value for setting, (value, _) in found.items()} == held


def test_each_value_tells_its_line(tmp_path: Path) -> None:
    """Where it begins, also of a list of several lines."""
    path = _written(tmp_path, _FILE)
    found = Config(path, read(path))
    told = {name: found.origin(section, name) for name, (_, section) in found.settings(_container("web-1")).items()}
    assert told == {"user": f"{path}:12", "via": f"{path}:3", "shell": f"{path}:13"}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("usr = 'x'", 1, "no setting is called usr: did you mean user?"),
        ("\n# x\n\nnonsense = 1\nuser = 'x'\n", 4, "no setting is called nonsense: there are via, user"),
        ("user = 'x'\n[container.web]\nuser = 3\n", 3, "user takes a text in quotes"),
        ("pick = 'yes'", 1, "pick takes true or false"),
        ("record_input = 1", 1, "record_input takes true or false"),
        ("user = 'x'\nvia = [\n 'exec',\n 1,\n]\n", 2, "via takes a text in quotes or a list of texts"),
        ("via = {exec = 1}", 1, "via takes a text in quotes or a list of texts"),
        ("user = 1979-05-27", 1, "user takes a text in quotes"),
        ("user = 'x'\n\n[container]\nweb = 1\n", 4, "container wants a name or a pattern"),
        ("image = 'debian'", 1, "image begins a section"),
        ("[image.'*']\npick = true", 2, "pick is about no container in particular"),
        ("\ndetach_key = 'ctrl-!'", 2, "detach_key: 'ctrl-!' is not a key"),
        ("\"us\\u001ber\" = 'x'", 1, "no setting is called us\\x1ber: did you mean user?"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    """An unknown key, a wrong type or a section in the wrong place: one sentence with the line."""
    with pytest.raises(UsageError) as error:
        read(_written(tmp_path, text))
    assert f"config.toml, line {line}: {says}" in str(error.value)
    assert str(error.value).isprintable()


def test_what_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    """A slip of the pen, likewise."""
    with pytest.raises(UsageError, match=r"is no TOML: .*line 2"):
        read(_written(tmp_path, "user = 'x'\nvia = exec\n"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A directory in its place, or no text at all, is an error and not an empty file."""
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        read(str(tmp_path))
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read(str(tmp_path / "config.toml"))


def test_a_home_that_is_somebody_else_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where one may not look nothing is configured; a file that is there and can't be read is an error."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert config.load() is None
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "dockshell/config.toml").mkdir(parents=True)
    with pytest.raises(UsageError, match="can't be read"):
        config.load()


@given(st.text())
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No file brings it down: it is understood, or a UsageError of printable text."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read(str(path))
    except UsageError as error:
        assert str(error).isprintable()


def test_what_it_said_is_kept_until_it_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second time it isn't parsed; a change of the file counts at once, and a broken cache not at all."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "dockshell").mkdir(0o700)
    path = _written(tmp_path / "dockshell", _FILE)
    first = config.load()
    with monkeypatch.context() as patched:
        patched.setattr("dockshell.config.file.read", None)
        second = config.load()
    assert first and second and first.sections == second.sections and len(first.sections) == 5
    (tmp_path / "dockshell/config").write_text("nonsense")
    third = config.load()
    assert third and third.sections == first.sections
    Path(path).write_text('user = "root"\n')
    changed = config.load()
    assert changed and changed.settings()["user"][0] == "root"


def test_a_relative_xdg_directory_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is in $XDG_CONFIG_HOME/dockshell if that is absolute, else in ~/.config/dockshell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    assert config.path() == f"{tmp_path}/.config/dockshell/config.toml"
    assert config.load() is None
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert config.path() == f"{tmp_path}/x/dockshell/config.toml"


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("ctrl-]", b"\x1d"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("~,.", b"~."),
        ("CTRL-A", b"\x01"),
        ("ctrl-@", b"\0"),
        ("x", b"x"),
    ],
)
def test_keys(words: str, sent: bytes) -> None:
    """Docker's notation."""
    assert keys(words) == sent


@pytest.mark.parametrize("words", ["", "ctrl-", "ctrl-ab", "ctrl-1", "ab", "a,", "ä", "\x1b"])
def test_what_is_no_key(words: str) -> None:
    """Is refused with what would be one."""
    with pytest.raises(ValueError, match="is not a key"):
        keys(words)


def test_every_setting_has_its_line_on_the_page() -> None:
    """docs/config.md names each."""
    page = (Path(__file__).parents[2] / "docs/config.md").read_text()
    assert [name for name in SETTINGS if f"`{name}`" not in page] == []
