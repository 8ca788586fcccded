"""variables: formats that give back what they were given, whatever that is; secrets by name and value; what differs."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockshell.environment import files_environment
from dockshell.errors import DockshellError
from dockshell.linux.rootfs import RootFiles
from dockshell.variables import directory
from dockshell.variables.differing import differences
from dockshell.variables.formats import as_docker, as_json, as_sh
from dockshell.variables.secrets import secret


def _text(data: bytes) -> str:
    """Whatever execve(2) takes, as text: PEP 383."""
    return data.decode("utf-8", "surrogateescape")


_TEXT = st.binary(max_size=40).map(lambda data: _text(data.replace(b"\0", b"'")))
_NAMES = st.one_of(
    st.sampled_from(["A", "b_1", "OPTIND", "UID", "RANDOM", "PATH", "IFS", "a-b", "1A", "#A", "é", ".", "..", "x/y"]),
    st.binary(min_size=1, max_size=40).map(lambda data: _text(data.replace(b"\0", b"'").replace(b"=", b" "))),
)
_VARIABLES = st.dictionaries(
    _NAMES, _TEXT | st.sampled_from(["a[$(echo pwned >&2)]", "it's", "$(exit)", "`exit`", "\\'"])
)


def _raw(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {
        name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
        for name, value in variables.items()
    }


@given(_VARIABLES, st.sampled_from(["dash", "bash"]))
@settings(max_examples=60, deadline=None)
def test_a_shell_sets_what_it_is_given(variables: dict[str, str], shell: str) -> None:
    """Every byte of each variable that isn't told to be left out, and nothing is executed by it."""
    script, unfit = as_sh(variables)
    # `_` is whatever a shell last did.
    expected = _raw({name: value for name, value in variables.items() if name not in (*unfit, "_")})
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(script)
        words = [shutil.which(shell) or shell, "-c", f". {file.name}; {shutil.which('env')} -0; :"]
        done = subprocess.run(words, env={}, capture_output=True, check=True)
    found = dict(pair.split(b"=", 1) for pair in done.stdout.removesuffix(b"\0").split(b"\0") if b"=" in pair)
    assert {name: found.get(name) for name in expected} == expected
    assert done.stderr == b""


@pytest.mark.parametrize("name", ["OPTIND", "RANDOM", "SRANDOM", "SECONDS", "COLUMNS", "LINES", "TMOUT"])
def test_a_number_is_no_sum(name: str) -> None:
    """What a shell reckons would execute what is in it, so that it gets numbers alone."""
    assert as_sh({name: "80"}) == (f"export {name}='80'\n".encode(), [])
    for value in ("a[$(id)]", "", "1+1", "²", "99999999999", "-1"):
        assert as_sh({name: value}) == (b"", [name])


@given(_VARIABLES)
def test_an_env_file_has_a_line_for_each(variables: dict[str, str]) -> None:
    """Taken apart as Docker's command does, it is what was given, but for what is told to be left out."""
    content, unfit = as_docker(variables)
    assert content.decode().count("\n") == len(variables) - len(unfit)
    # bufio.ScanLines takes a \r off each end of a line.
    lines = [line.removesuffix("\r") for line in content.decode().split("\n")[:-1]]
    found = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert found == {name: value for name, value in variables.items() if name not in unfit}
    assert all(name == "".join(name.split()) for name in found)


def test_a_line_that_is_too_long_for_an_env_file() -> None:
    """Docker's command reads none of 64 KiB."""
    assert as_docker({"A": "x" * (64 << 10)})[1] == ["A"]
    assert as_docker({"A": "x" * ((64 << 10) - 4)})[1] == []


@given(_VARIABLES)
def test_json_is_given_back(variables: dict[str, str]) -> None:
    """In ASCII, surrogates and all."""
    content = as_json(variables)
    assert json.loads(content) == variables and content.isascii()


@given(st.dictionaries(_NAMES, _TEXT))
@settings(deadline=None)
def test_a_directory_is_given_back(variables: dict[str, str]) -> None:
    """By what reads a baseimage's: every byte, but for what is told to be left out and for what is a user's. Nothing
    is written outside it."""
    with tempfile.TemporaryDirectory() as place:
        unfit = directory.write(f"{place}/etc", variables)
        assert [each.name for each in Path(place).iterdir()] == ["etc"]
        found = files_environment(_In(place))
    personal = {"HOME", "USER", "LOGNAME", "GROUP", "UID", "GID", "SHELL"}
    kept = {name: value for name, value in variables.items() if name not in unfit and name not in personal}
    assert found == kept
    assert set(unfit) == {name for name in variables if "/" in name or name in (".", "..")}


class _In(RootFiles):
    """A directory's `etc`, as a container's /etc/container_environment."""

    def __init__(self, place: str) -> None:
        self._root = os.open(place, os.O_PATH)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        return super().read(path.replace("/etc/container_environment", "/etc"), limit)

    def names(self, path: str) -> list[str]:
        return super().names(path.replace("/etc/container_environment", "/etc"))


def test_a_directory_takes_all_or_nothing(tmp_path: Path) -> None:
    """A name that is too long is told of; a directory that isn't empty, a file, or one in which nothing can be made is
    refused, and left as it was."""
    assert directory.write(str(tmp_path / "a"), {"A" * 256: "1", "B": "2"}) == ["A" * 256]
    with pytest.raises(DockshellError, match="is not empty"):
        directory.write(str(tmp_path / "a"), {"C": "3"})
    assert [each.name for each in (tmp_path / "a").iterdir()] == ["B"]
    (tmp_path / "file").touch()
    for path, reason in (("file", "Not a directory"), ("no/where", "No such file"), ("../" * 2000, "too long")):
        with pytest.raises(DockshellError, match=reason):
            directory.write(str(tmp_path / path), {"C": "3"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(DockshellError, match="File too large"):
            directory.write(str(tmp_path / "b"), {"C": "3", "D": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "file"]


SECRET_NAMES = (
    "PASSWORD DB_PASSWORD DB_PASSWORD_2 PASSWORD1 dbPassword db-pass MYSQL_PWD PGPASSWORD ClientSecret SECRET_KEY_BASE"
    " API_KEY APIKEY MY_APIKEY2 apiKey GITHUB_TOKEN AUTH_HEADER PRIVATE_THING AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID"
    " GOOGLE_APPLICATION_CREDENTIALS SIGNING_KEY jwt SSH_PASSPHRASE"
)
PLAIN_NAMES = (
    "COMPASS AUTHOR AUTHORS BYPASS PASSENGER PASSAGE SECRETARY TOKENIZER PRIVATELY PWD OLDPWD SSH_AUTH_SOCK GPG_KEY"
    " KEYBOARD MONKEY XAUTHORITY PATH HOME API_URL ACCESS_LOG OAUTHLIB CREDIT"
)
SECRET_VALUES = (
    "postgres://me:pw@db/x",
    "-Durl=redis://:pw@cache:6379 -Dx=y",
    "https://me:p@ss/w#o?rd@host/",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nx",
    "-----BEGIN PRIVATE KEY-----\\nx",
    "AKIAIOSFODNN7EXAMPLE",
    "x ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_0123456789abcdefghij",
    "glpat-0123456789abcdefghij",
    "xoxb-0123456789-abc",
    "sk_live_0123456789abc",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "Server=db;User=me;Password=pw;",
    '{"user": "me", "password": "pw"}',
    "Bearer 0123456789abcdef",
)
PLAIN_VALUES = (
    "https://host:8080/path",
    "https://me@host/",
    "http://proxy:3128,http://other:3128",
    "-----BEGIN CERTIFICATE-----\nx",
    "AKIA",
    "a password that is none",
    "eyJ",
    "risk-0123456789abcdefghijklmnop",
    "me@host: hello",
    "tokenizer=fast",
)


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_secret_by_its_name(name: str) -> None:
    """A word that stands for a secret is a whole part of the name, however its parts are put together; with nothing in
    it there is nothing to hide."""
    assert secret(name, "x") and not secret(name, "")


@pytest.mark.parametrize("name", PLAIN_NAMES.split())
def test_not_secret_by_its_name(name: str) -> None:
    """The same letters in another word are no secret."""
    assert not secret(name, "x")


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_secret_by_its_value(value: str) -> None:
    """What is a password or a key by its shape, under any name."""
    assert secret("X", value)


@pytest.mark.parametrize("value", PLAIN_VALUES)
def test_not_secret_by_its_value(value: str) -> None:
    """What only looks a little like it."""
    assert not secret("X", value)


@pytest.mark.parametrize(
    "piece", ["://:", "eyJ", "eyJa.", "-----BEGIN ", "AKIA", "password ", "sk-", "bearer ", "a1B", "\0"]
)
def test_no_value_takes_its_time(piece: str) -> None:
    """A container can't stall whoever looks: the time grows with the length, no faster."""
    value = piece * (2_000_000 // len(piece))
    begun = time.process_time()
    secret("X", value)
    secret(value, "x")
    assert time.process_time() - begun < 5


@given(st.dictionaries(_NAMES, _TEXT), st.dictionaries(_NAMES, _TEXT))
def test_what_differs(one: dict[str, str], other: dict[str, str]) -> None:
    """By the differences the one becomes the other; each is one, and its mark says what happened."""
    changed = dict(one)
    for each in differences(one, other):
        assert (each.mark == "+") == (each.name not in one) and (each.mark == "-") == (each.name not in other)
        assert each.one == one.get(each.name) != each.other
        changed.pop(each.name, None)
        if each.other is not None:
            changed[each.name] = each.other
    assert changed == other
    assert differences(one, one) == []


def test_what_differs_in_long_values() -> None:
    """What both begin with is left out of them, but for a few characters that tell where they part; short ones are
    whole."""
    at = "/usr/local/sbin:/usr/local/bin:/usr"
    assert differences({"A": f"{at}/bin"}, {"A": f"{at}/sbin"})[0].briefly == ("…usr/bin", "…usr/sbin")
    assert differences({"A": "/usr/bin"}, {"A": "/usr/sbin"})[0].briefly == ("/usr/bin", "/usr/sbin")
    assert differences({"A": at}, {})[0].briefly == (at, None)
    assert differences({"A": at}, {"A": "x"})[0].briefly == (at, "x")
