"""What the pages say to type is typed, line by line, in a real bash; what they say comes of it comes; what they link to
is there."""

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

from dockshell import options
from pages import man, picture
from tests.contract import table
from tests.pages import PAGES, ROOT, Line, Page, spoken
from tests.world import Peer, World

BIN = os.path.dirname(sys.executable)
_OURS = ("dockshell", "dsh", *options.DROPINS)
# Until there are as many lines more than before. Ctrl-C needs job control, or it would be ignored.
_PREAMBLE = """set -em
lines() { wc -l <"$SAID"; }
settle() { for _ in $(seq 100); do [ $(lines) -lt $1 ] || return 0; sleep 0.1; done; return 1; }
"""


def _script(lines: list[Line]) -> str:
    script = _PREAMBLE
    for number, line in enumerate(lines):
        script += f"echo '@ {number}'\n"
        if line.beside or line.interrupted:
            command = line.command if line.beside else f"{{ {line.command}\n}} &"
            script += f"until=$(($(lines) + {line.awaited}))\n{command}\nsettle $until\n"
            script += "kill -INT -- -$!; wait $! || [ $? = 130 ]\n" if line.interrupted else ""
        else:
            script += f"{line.command}\n"
    return script


def _own_configuration(directory: Path, home: str) -> str:
    """A directory with ssh and its like that read and write in that home: the real ones do so in that of who runs the
    tests, whatever HOME says. They say yes to a host that is new."""
    last = f"Host *\n  UserKnownHostsFile {home}/.ssh/known_hosts\n  StrictHostKeyChecking accept-new\n"
    (configuration := directory / "ssh_config").write_text(f"Include {home}/.ssh/config\n{last}")
    for name in ("ssh", "scp", "sftp"):
        real = shutil.which(name)
        assert real
        wrapper = directory / name
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} -F {shlex.quote(str(configuration))} "$@"\n')
        wrapper.chmod(0o755)
    return str(directory)


@pytest.mark.parametrize("name", [name for name in PAGES if Page(name).lines])
def test_every_command_in_a_page_works(name: str, docker: Peer, environment: Mapping[str, str], tmp_path: Path) -> None:
    """In the order of the page, in one shell, each command ends with 0 and says what the page shows of it."""
    page = Page(name)
    (programs := tmp_path / "programs").mkdir()
    (here := tmp_path / "here").mkdir()
    shutil.copy(os.path.join(ROOT, "README.md"), here)
    for path, content in page.files.items():
        (here / path).parent.mkdir(exist_ok=True)
        (here / path).write_text(content)
    said = tmp_path / "said"
    path = f"{_own_configuration(programs, environment['HOME'])}:{BIN}:{environment['PATH']}"
    env = {**environment, "PATH": path, "DOCKER_HOST": docker.url, "SAID": str(said)}
    env["DOCKER_BUILDKIT"] = "0"  # its successor is a plugin, which isn't everywhere
    page.start(docker)
    try:
        with open(said, "wb") as file:
            done = subprocess.run(
                ["bash", "--norc", "-c", _script(page.lines)], env=env, cwd=here, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, timeout=240, check=False, start_new_session=True,
            )  # fmt: skip
    finally:
        page.clear(docker)
    outputs = re.split(r"^@ \d+\n", said.read_text(errors="replace"), flags=re.MULTILINE)[1:]
    assert done.returncode == 0, f"`{page.lines[len(outputs) - 1].command}` failed: {outputs[-1]}"
    for line, output in zip(page.lines, outputs, strict=True):
        assert "Traceback" not in output
        assert (lacking := line.said(output)) is None, f"`{line.command}` says no {lacking!r}, but {output}"


@pytest.mark.parametrize("name", PAGES)
def test_every_line_of_code_is_understood(name: str) -> None:
    """Also where it isn't run: each `dockshell` in it has words that dockshell takes."""
    for command in Page(name).commands:
        for program, words in spoken(command, ("dockshell", *options.DROPINS)):
            arguments = options.parse(words, program if program in options.DROPINS else "")
            assert arguments.verb in (*options.VERBS, *options.HIDDEN, *options.DROPINS), command


@pytest.mark.parametrize("name", (*PAGES, "ARCHITECTURE.md", "CHANGELOG.md"))
def test_the_options_in_a_page_exist(name: str) -> None:
    """An option that a page names is one that the program has; but for what is code of other programs."""
    known = {name for option in options.OPTIONS for name in (*option.names, *option.also)}
    page = Page(name)
    prose = re.sub(r"^```.*?^```", "", page.text, flags=re.DOTALL | re.MULTILINE)
    code = re.findall(r"`([^`]+)`", prose) + page.commands
    ours = [text for text in code if text.startswith(("-", *_OURS))]
    for text in [*ours, re.sub(r"`[^`]+`|<!--.*?-->", "", prose)]:
        for option in re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", text.partition(" -- ")[0]):
            assert option in known, f"{name} names {option}"


@pytest.mark.parametrize("name", (*PAGES, "ARCHITECTURE.md", "SECURITY.md"))
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file of the project, and to a heading in it where one is named."""
    for link in Page(name).links:
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
        assert os.path.exists(os.path.join(ROOT, target)), f"{name} links to {link}"
        assert not anchor or anchor in Page(target).anchors, f"{name} links to {link}"


def test_the_index_names_every_page() -> None:
    """docs/README.md leads to each page that is there."""
    links = {f"docs/{link.partition('#')[0]}" for link in Page("docs/README.md").links}
    assert {name for name in PAGES if name.startswith("docs/")} - {"docs/README.md"} <= links


@pytest.mark.parametrize("line", ["./dev demo", "./dev test"])
def test_the_two_commands_are_the_readmes(line: str) -> None:
    """Who has a checkout finds them in the README, and the script knows them."""
    assert any(line in block for block in Page("README.md").blocks("sh"))
    with open(os.path.join(ROOT, "dev"), encoding="utf-8") as file:
        assert f"{line.split()[1]})" in file.read()


def test_the_contracts_table_is_the_suites() -> None:
    """What docs/contract.md says of each line is what the suite has to show: its tests, but for the exceptions."""
    text = Page("docs/contract.md").text
    assert text == table.with_table(text), "run `.venv/bin/python -m tests.contract.table`"


def test_the_man_page_is_the_parsers(world: World) -> None:
    """man/dockshell.1 says what `--help` says today, names each variable that dockshell reads, and is roff that groff
    has nothing to say about."""
    world.need_program("groff")
    text = Path(man.PATH).read_text()
    assert text == man.page(), "run `./dev pages`"
    read = re.compile(r'environ(?:\.get\(|\[)"(\w+)"')
    for source in Path(ROOT, "dockshell").rglob("*.py"):
        for variable in read.findall(source.read_text()):
            if not variable.startswith("DOCKER_CLI_PLUGIN"):  # Docker's word to its plugins, and nobody else's
                assert variable in text, f"{source} reads {variable}"
    done = subprocess.run(["groff", "-ww", "-man", "-z", man.PATH], capture_output=True, check=True)
    assert done.stderr == b""


def test_the_picture_is_of_today(world: World) -> None:
    """What docs/dockshell.svg shows, typed again on an engine of its own, says the same, but for ids, ages
    and addresses."""
    for program in ("docker", "dockerd"):
        world.need_program(program)
    world.need_root()
    # A process of its own, for a World of its own.
    played = subprocess.run(
        [sys.executable, "-m", "pages.picture"], cwd=ROOT, capture_output=True, timeout=240, check=True, text=True
    )
    assert picture.alike(picture.shown()) == picture.alike(played.stdout.splitlines()), "run `./dev pages`"
