"""The Dockerfile: what is asked for and nothing else, and every value as it was given."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.errors import UsageError
from dockshell.image import family, plan
from dockshell.image.context import entries, write_directory
from dockshell.image.family import ALPINE, DEBIAN, Base
from dockshell.image.plan import Plan
from dockshell.image.recipe import dockerfile, in_files


def _text(wanted: Plan, base: Base | None = None) -> str:
    return dockerfile(wanted, base or Base(DEBIAN), "dockshell image dockerfile")


@pytest.mark.parametrize(
    ("part", "package"), [("ssh", "openssh-server"), ("cron", "cron"), ("syslog", "busybox-syslogd")]
)
def test_each_part_only_when_asked_for(part: str, package: str) -> None:
    """Its package is installed and its files are copied when it is asked for, and else neither."""
    plain, more = _text(Plan()), _text(Plan(**{part: True}))
    assert package not in plain.split() and f"{part}/" not in plain.split()
    assert package in more.split() and f"{part}/" in more.split()


def test_without_python_there_is_none() -> None:
    """No package of Python, no my_init, and the text says what is missing."""
    text = _text(Plan(python=False, ssh=True))
    assert "python" not in text.lower().replace("without python", "")
    assert "my_init" not in text.partition("FROM")[2] and "tini" in text.split()
    assert "no my_init and no setuser" in text.partition("FROM")[0]


def test_a_base_s_user_and_entrypoint_give_way() -> None:
    """What is installed takes root, and process 1 is the image's own init."""
    text = _text(Plan(), Base(DEBIAN, "app", True))
    assert text.index("USER root") < text.index("RUN ") and "ENTRYPOINT []\nCMD" in text
    assert "USER" not in _text(Plan()) and "ENTRYPOINT" not in _text(Plan())


def test_alpine_has_its_own_words() -> None:
    """apk in apt-get's place, and no packages for what its busybox has."""
    text = _text(Plan(ssh=True, cron=True, syslog=True), Base(ALPINE))
    assert "apk add --no-cache runit python3 openssh-server openssh-keygen \\\n" in text
    assert "apt-get" not in text and "groupadd" not in text


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ('ID=debian\nPRETTY_NAME="Debian"', DEBIAN),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian', DEBIAN),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'", DEBIAN),
        ("ID=alpine", ALPINE),
        ("ID=postmarketos\nID_LIKE=alpine", ALPINE),
        ("ID=fedora\nID_LIKE=rhel", None),
        ("ID=debianish", None),
        ("", None),
    ],
)
def test_a_family_by_its_release(release: str, expected: family.Family | None) -> None:
    """os-release(5) tells; what is neither gets no Dockerfile that can't work."""
    assert family.of(release) is expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [("alpine:3.20", ALPINE), ("python:3-alpine", ALPINE), ("alpine.example/debian:12", DEBIAN), ("ubuntu", DEBIAN)],
)
def test_a_family_by_its_name(image: str, expected: family.Family) -> None:
    """The registry's name does not count."""
    assert family.named(image).family is expected


def _unquoted(line: str) -> str:
    """What Docker reads of NAME="VALUE": a backslash before one of these stands for that one."""
    assert re.fullmatch(r'ENV [A-Za-z_]\w*="(?:[^"\\$]|\\["\\$])*"', line), line
    return re.sub(r'\\(["\\$])', r"\1", line.partition("=")[2][1:-1])


_TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40)
_BYTES = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


@given(_TEXTS | _BYTES)
def test_any_value_arrives(value: str) -> None:
    """In the Dockerfile, or where that can't spell it in a file: one of the two, and as it was."""
    wanted = Plan(variables=(("NAME", value),))
    lines = [line for line in _text(wanted).split("\n") if line.startswith("ENV ")]
    if in_files(wanted):
        assert lines == []
        found = {entry.path: entry.data for entry in entries(wanted, "")}
        assert found["environment/NAME"] == value.encode("utf-8", "surrogateescape") + b"\n"
    else:
        assert [_unquoted(line) for line in lines] == [value]


@pytest.mark.parametrize("word", ["", "=", "A", "=x", "1A=x", "A B=x", "A\n=x", "-a=x", "A$(id)=x"])
def test_what_sets_no_variable(word: str) -> None:
    """Refused, and the value isn't shown: it may be a secret."""
    with pytest.raises(UsageError) as refusal:
        plan.variables([word])
    assert "--env takes K=V" in str(refusal.value)


def test_services_and_startup_files_are_looked_at(tmp_path: Path) -> None:
    """A directory without `run`, a file that isn't there, a name twice or one of ours: each refused by its name."""
    good = tmp_path / "a" / "web"
    good.mkdir(parents=True)
    (good / "run").write_text("#!/bin/sh\n")
    other = tmp_path / "b" / "web"
    other.mkdir(parents=True)
    (other / "run").write_text("#!/bin/sh\n")
    (tmp_path / "empty").mkdir()
    ours = tmp_path / "sshd"
    ours.mkdir()
    (ours / "run").write_text("#!/bin/sh\n")
    assert plan.services([f"{good}/"]) == (("web", f"{good}/"),)
    for paths, said in (
        ([tmp_path / "none"], "is none"),
        ([tmp_path / "empty"], "has no `run`"),
        ([good, other], "web is there already"),
        ([ours], "another name"),
        ([tmp_path / "a b"], "letters"),
        (["/"], "letters"),
    ):
        with pytest.raises(UsageError, match=said):
            plan.services(map(str, paths))
    assert plan.startup([str(good / "run")]) == (("run", str(good / "run")),)
    with pytest.raises(UsageError, match="is none"):
        plan.startup([str(good)])


def test_a_directory_to_commit(tmp_path: Path) -> None:
    """Scripts may be executed and nothing else may; links stay; a directory with something in it is left alone."""
    service = tmp_path / "web"
    service.mkdir()
    (service / "run").write_text("#!/bin/sh\nexec sleep 1\n")
    (service / "notes").write_text("x")
    (service / "supervise").symlink_to("/run/web")
    wanted = Plan(ssh=True, services=(("web", str(service)),))
    out = tmp_path / "out"
    write_directory(str(out), entries(wanted, "FROM x\n"))
    assert (out / "Dockerfile").read_text() == "FROM x\n"
    assert os.access(out / "services/web/run", os.X_OK) and not os.access(out / "services/web/notes", os.X_OK)
    assert os.readlink(out / "services/web/supervise") == "/run/web"
    assert os.access(out / "init/sbin/my_init", os.X_OK) and os.access(out / "ssh/etc/service/sshd/run", os.X_OK)
    assert not (out / "cron").exists()
    with pytest.raises(UsageError, match="has something in it"):
        write_directory(str(out), entries(wanted, "FROM x\n"))


def test_what_no_image_can_have(tmp_path: Path) -> None:
    """A pipe in a service's directory is named, not read for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe"):
        list(entries(Plan(services=(("web", str(tmp_path)),)), ""))


def test_scripts_are_posix() -> None:
    """Each shell script in the images is read by a plain sh without complaint."""
    layers = Path(__file__).parents[2] / "dockshell/image/layers"
    files = [path for path in layers.rglob("*") if path.is_file()]
    scripts = [path for path in files if path.read_bytes().startswith(b"#!/bin/sh")]
    assert len(scripts) > 5
    for path in scripts:
        assert subprocess.run(["sh", "-n", str(path)], check=False, capture_output=True).stderr == b"", path
