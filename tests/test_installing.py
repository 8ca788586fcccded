"""Installed as people install it: a wheel of this checkout, by `uv tool install` and by `pipx install`, each into a
home of its own; and what is there then, asked from outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from dockshell import __version__
from tests.impostor import Impostor, listed
from tests.test_completions import Shell
from tests.world import Peer, World

_ROOT = Path(__file__).parent.parent
_TOOLS = Path(sys.executable).parent
_SHARED = {
    "bash-completion/completions/dockshell": "completions/bash/dockshell",
    "bash-completion/completions/docker-bash": "completions/bash/dockshell",
    "bash-completion/completions/docker-ssh": "completions/bash/dockshell",
    "fish/vendor_completions.d/dockshell.fish": "completions/fish/dockshell.fish",
    "fish/vendor_completions.d/docker-bash.fish": "completions/fish/dockshell.fish",
    "fish/vendor_completions.d/docker-ssh.fish": "completions/fish/dockshell.fish",
    "zsh/site-functions/_dockshell": "completions/zsh/_dockshell",
    "man/man1/dockshell.1": "man/dockshell.1",
}  # where it goes below share/: what of the checkout


class Installed(NamedTuple):
    """programs: the directory that is to be on the PATH. share: where the rest went."""

    programs: Path
    share: Path

    def run(self, *words: str, env: Mapping[str, str]) -> str:
        """What one of the programs prints, run from the root directory."""
        argv = [str(self.programs / words[0]), *words[1:]]
        return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=True, timeout=60).stdout


def _tool(*words: str, env: Mapping[str, str] | None = None) -> None:
    """Runs uv or pipx of this virtual environment."""
    argv = [str(_TOOLS / words[0]), *words[1:]]
    merged = {**os.environ, **(env or {})}
    done = subprocess.run(argv, cwd="/", env=merged, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The wheel of this checkout, by way of its source distribution, from which distributions build."""
    place = tmp_path_factory.mktemp("dist")
    _tool("uv", "build", "--quiet", "--out-dir", str(place), str(_ROOT))
    return str(next(place.glob("*.whl")))


@pytest.fixture(scope="module")
def by_uv(wheel: str, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("uv")
    env = {"UV_TOOL_DIR": str(place / "tools"), "UV_TOOL_BIN_DIR": str(place / "bin")}
    _tool("uv", "tool", "install", "--quiet", "--python", sys.executable, wheel, env=env)
    return Installed(place / "bin", place / "tools/dockshell/share")


@pytest.fixture(scope="module")
def by_pipx(wheel: str, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("pipx")
    homes = {"HOME": "home", "BIN_DIR": "bin", "MAN_DIR": "man", "COMPLETION_DIR": "share"}
    env = {f"PIPX_{name}": str(place / home) for name, home in homes.items()}
    _tool("pipx", "install", "--quiet", "--backend", "pip", "--python", sys.executable, wheel, env=env)
    return Installed(place / "bin", place / "home/venvs/dockshell/share")


@pytest.fixture(params=["uv", "pipx"])
def installed(request: pytest.FixtureRequest) -> Installed:
    """By each of the two; made once."""
    found: Installed = request.getfixturevalue(f"by_{request.param}")
    return found


def test_installed_it_works(installed: Installed, docker: Peer, environment: dict[str, str]) -> None:
    """All three programs are there, say the version, and enter a real container; `init` has its scripts with it."""
    name = docker.run("busybox")
    env = {**environment, "DOCKER_HOST": docker.url}
    assert installed.run("dockshell", "--version", env=env) == f"dockshell {__version__}\n"
    assert installed.run("dockshell", "exec", name, "--", "id", "-u", env=env) == "0\n"
    assert installed.run("docker-bash", name, "echo", "a  b", env=env) == "a  b\n"
    assert installed.run("docker-ssh", env=env).startswith("usage: docker-ssh")
    for shell, script in {"bash": "bash/dockshell", "zsh": "zsh/_dockshell", "fish": "fish/dockshell.fish"}.items():
        told = installed.run("dockshell", "init", shell, env=env)
        assert told.startswith((_ROOT / "completions" / script).read_text())


def test_what_goes_into_images_is_installed(installed: Installed, environment: dict[str, str], tmp_path: Path) -> None:
    """An installed `dockshell image dockerfile` writes all that a checkout's does, and scripts may be executed."""
    words = ("dockshell", "-H", "unix:///nowhere", "image", "dockerfile", "--ssh", "--cron", "--syslog", "-o")
    installed.run(*words, str(tmp_path / "image"), env=environment)
    layers = _ROOT / "dockshell/image/layers"
    for part in ("init", "ssh", "cron", "syslog"):
        there = {str(path.relative_to(layers)) for path in (layers / part).rglob("*") if path.is_file()}
        written = {path for path in (tmp_path / "image" / part).rglob("*") if path.is_file()}
        assert {str(path.relative_to(tmp_path / "image")) for path in written} == there
        for path in written:
            assert os.access(path, os.X_OK) == path.read_bytes().startswith(b"#!"), path


def test_the_rest_is_where_distributions_look(installed: Installed) -> None:
    """Completions and the man page are installed below share/, under the names by which shells and man look for
    them."""
    assert {name: (installed.share / name).read_bytes() for name in _SHARED} == {
        name: (_ROOT / source).read_bytes() for name, source in _SHARED.items()
    }


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(
    request: pytest.FixtureRequest, world: World, tmp_path: Path, environment: dict[str, str], by_uv: Installed
) -> Iterator[Shell]:
    """Each of the three with the installed programs on its PATH, and nothing in its startup file but what a
    distribution's own has there."""
    world.need_program(request.param)
    loader = "/usr/share/bash-completion/bash_completion"
    world.need(request.param != "bash" or os.path.exists(loader), "bash-completion is not installed")
    environment["PATH"] = f"{by_uv.programs}:{environment['PATH']}"
    # As for a prefix that the system knows: /usr and /usr/local are in these by default.
    environment["XDG_DATA_DIRS"] = f"{by_uv.share}:/usr/local/share:/usr/share"
    with Impostor([listed("web-new"), listed("api")]).serving() as engine:
        shell = Shell(request.param, tmp_path, {**environment, "HOME": str(tmp_path), "DOCKER_HOST": engine.url})
        startup = {
            "bash": f". {loader}",
            "zsh": f"fpath=({by_uv.share}/zsh/site-functions $fpath)\nautoload -Uz compinit && compinit -u",
            "fish": "",
        }
        shell.startup.write_text(startup[shell.name] + "\n")
        yield shell
        shell.close()


@pytest.mark.parametrize("program", ["dockshell exec", "docker-bash", "docker-ssh", "sudo dockshell pid"])
def test_shells_find_the_completions(shell: Shell, program: str) -> None:
    """Installed under a prefix where the system's shells look, each program is completed without `dockshell init`, in
    whichever order they are typed."""
    assert shell.typed(f"{program} web-n")[-1] == "web-new"


def test_the_version_is_in_one_place() -> None:
    """No other file states it, but for the history. (Docker's plugins state a version of their schema, which is none of
    ours.)"""
    one = re.compile(rf'(?<![\w.])(?<!"SchemaVersion": "){re.escape(__version__)}(?![\w.])'.encode())
    stating = {
        path.relative_to(_ROOT).as_posix()
        for top in ("completions", "dockshell", "docs", "man", "pages", "scripts", ".")
        for path in (_ROOT.glob("*") if top == "." else (_ROOT / top).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and one.search(path.read_bytes())
    }
    assert stating <= {"dockshell/__init__.py", "CHANGELOG.md"}
