"""What the README says to type is typed, line by line, in a real bash."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.table import README, with_table
from tests.world import Peer

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.dirname(sys.executable)


def _text() -> str:
    with open(README, encoding="utf-8") as file:
        return file.read()


def _commands() -> list[str]:
    """The lines after a `$` in the README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", _text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def _compose(service: str, number: int) -> list[str]:
    labels = {"project": "shop", "service": service, "container-number": str(number)}
    return [word for name, value in labels.items() for word in ("--label", f"com.docker.compose.{name}={value}")]


def _own_configuration(directory: Path, home: str) -> str:
    """A directory with ssh and scp that read the configuration in that home: the real ones read that of who runs the
    tests, whatever HOME says."""
    for name in ("ssh", "scp"):
        real = shutil.which(name)
        assert real
        wrapper = directory / name
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} -F {shlex.quote(home)}/.ssh/config "$@"\n')
        wrapper.chmod(0o755)
    return str(directory)


def test_every_command_in_the_readme_works(docker: Peer, environment: Mapping[str, str], tmp_path: Path) -> None:
    """In the order of the page, in one shell, each command ends with 0 and says nothing of an error."""
    docker.run("busybox", name="web", options=["--label", "app=web"])
    docker.run("busybox", name="shop-api-2", options=_compose("api", 2))
    commands = _commands()
    assert len(commands) > 12
    # One container named shop/api at the time; the second replica alone answers to both lines.
    script = "set -e\n" + "".join(f"echo '@ {number}' >&2\n{line}\n" for number, line in enumerate(commands))
    wrapped = _own_configuration(tmp_path, environment["HOME"])
    env = {**environment, "PATH": f"{wrapped}:{BIN}:{environment['PATH']}", "DOCKER_HOST": docker.url}
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=env, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False, text=True,
    )  # fmt: skip
    reached = int(done.stderr.rpartition("@ ")[2].split()[0])
    assert done.returncode == 0, f"`{commands[reached]}` failed: {done.stderr}"
    assert "hi\n" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", ["./dev demo", "./dev test"])
def test_the_two_commands_open_the_readme(line: str) -> None:
    """A newcomer reads them before anything else, and the script knows them."""
    assert line in _text()[:600]
    with open(os.path.join(ROOT, "dev"), encoding="utf-8") as file:
        assert f"{line.split()[1]})" in file.read()


def test_the_options_in_the_pages_exist() -> None:
    """An option that a page names is one that the program has."""
    from dockshell.options import OPTIONS

    known = {name for option in OPTIONS for name in option.names}
    for page in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            text = re.sub(r"\./dev .*", "", file.read())
        for name in re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", text):
            assert name in known, f"{page} names {name}"


def test_the_contracts_table_is_the_suites() -> None:
    """What the README says of each line is what the suite has to show: its tests, but for the exceptions."""
    assert _text() == with_table(_text()), "run `.venv/bin/python -m tests.contract.table`"
