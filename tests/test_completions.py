"""Completion and the words dl and dsh, in the real bash, zsh and fish: a key is pressed, and what comes to stand on the
line is run by a function that shows its words."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from dockshell.options import VERBS
from tests.conftest import COMMAND
from tests.impostor import Impostor, listed
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

_SHELLS = ("bash", "zsh", "fish")
_SHOP = {
    "com.docker.compose.project": "shop",
    "com.docker.compose.service": "db",
    "com.docker.compose.container-number": "2",
    "app": "x=y",
}
# Each of these does something where a shell reads it, or where a terminal shows it.
_HOSTILE = [
    "$(touch pwned)", "`touch pwned`", "x;touch pwned", "x|touch pwned", "x&touch pwned", "x>pwned", "x\ntouch pwned",
    "'; touch pwned; '", '"; touch pwned; "', "a b", "~root", "*", "{a,b}", "!!", "$HOME", "${PATH}", "x\\", "#x",
    "\x1b[31mred", "x\tdescription", "=ls", "<(touch pwned)", "x" * 300, "", "-rf", "żółw",
]  # fmt: skip
_ROWS = [
    listed("web-new", id="1d2c3b4a5968"),
    listed("web-old", age=50, id="ffff00000001"),
    listed("api", age=60, id="ffff00000002", labels={**_SHOP, "evil": "$(touch pwned)", "$(touch pwned)": "x"}),
    listed("idle", age=70, id="ffff00000003", state="paused"),
    listed("over", age=80, id="ffff00000004", state="exited"),
    listed("worse", age=90, id="ffff00000005", image="$(touch pwned)\n%F{red}\x1b[31m`touch pwned`"),
    *(listed(name, age=100, image=name, labels={"com.docker.compose.service": name}) for name in _HOSTILE),
]
_OFFERED = ["web-new", "web-old", "api", "worse", "db"]


# A key that puts every candidate on the line: bash's insert-completions, zsh's _all_matches.
_PREPARE = {
    "bash": """PS1=; bind '"\\C-t": insert-completions'; bind 'set bell-style none'\n""",
    "zsh": """PS1=; setopt no_prompt_sp no_beep; zle -C all-matches complete-word _generic
    zstyle ':completion:all-matches:*' completer _all_matches _complete
    zstyle ':completion:all-matches:*' insert yes; bindkey '^T' all-matches\n""",
}
_SHOW = """for f in dockshell dsh docker-bash docker-ssh; do
    eval "function $f { printf '<'; printf '[%s]' \\"\\$@\\"; echo '>'; }"; done; echo RE''ADY\n"""


class Shell:
    """One of the three, with a home of its own whose startup file evaluates `dockshell init`, twice."""

    def __init__(self, name: str, home: Path, env: dict[str, str]) -> None:
        self.name, self.home, self.env = name, home, env
        self._terminal: pexpect.spawn[str] | None = None
        self._children: list[pexpect.spawn[str]] = []
        startup = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}[name]
        init = "dockshell init fish | source" if name == "fish" else f'eval "$(dockshell init {name})"'
        (home / startup).parent.mkdir(parents=True, exist_ok=True)
        (home / startup).write_text(f"{init}\n{init}\n")

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Runs a line after the startup file, with no terminal."""
        argv = {"bash": ["bash", "-c", f". ~/.bashrc; {line}"], "zsh": ["zsh", "-d", "-c", f". ~/.zshrc; {line}"]}
        words = argv.get(self.name, ["fish", "-c", line])
        return subprocess.run(
            words, env=self.env, cwd=self.home, capture_output=True, text=True, timeout=30, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def completed(self, line: str) -> list[str]:
        """The words of the line after TAB, without the first."""
        if self.name != "fish":
            return self._typed(line, "\t")
        found = self.offered(line)
        words = shlex.split(line + ("''" if line.endswith(" ") else ""))
        return [*words[1:-1], found[0] if len(found) == 1 else words[-1]]

    def offered(self, line: str) -> list[str]:
        """All candidates for the last word of the line, which is empty, in order."""
        if self.name != "fish":
            return self._typed(line, "\x14")[len(shlex.split(line)) - 1 :]
        done = self.run(f"complete -C {shlex.quote(line)}")
        assert done.stderr == ""
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]

    def _typed(self, line: str, key: str) -> list[str]:
        """Types the line, the key and return at a terminal; a function in the program's place shows its words."""
        if self._terminal is None:
            self._terminal = self._started()
        self._terminal.send(f"{line}{key}\r")
        self._terminal.expect(r"<((?:\[[^]]*\])*)>\r\n")
        return re.findall(r"\[([^]]*)\]", self._terminal.match[1])

    def _started(self) -> pexpect.spawn[str]:
        child = self.spawn()
        (self.home / "prepare").write_text(_PREPARE[self.name] + _SHOW)
        child.send(". ~/prepare\r")
        child.expect("READY\r\n")
        return child

    def spawn(self) -> pexpect.spawn[str]:
        """The shell at a terminal, after its startup file."""
        words = {"bash": ["--noprofile", "-i"], "zsh": ["-d", "-i"]}[self.name]
        child = pexpect.spawn(
            self.name, words, env=self.env, cwd=str(self.home), timeout=20, encoding="utf-8", dimensions=(50, 400)
        )
        child.delaybeforesend = None
        self._children.append(child)
        return child

    def close(self) -> None:
        for child in self._children:
            child.close(force=True)


@pytest.fixture
def liar() -> Iterator[Impostor]:
    """An engine with a few containers of good names, and many of bad ones."""
    with Impostor(_ROWS).serving() as engine:
        yield engine


@pytest.fixture(params=_SHELLS)
def shell(
    request: pytest.FixtureRequest, world: World, tmp_path: Path, environment: dict[str, str], liar: Impostor
) -> Iterator[Shell]:
    """Each of the three, with `dockshell` on its PATH and the liar for an engine; no name gets its will."""
    world.need_program(request.param)
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    words = shlex.join(COMMAND)
    (programs / "dockshell").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    (programs / "dockshell").chmod(0o755)
    env = {**environment, "HOME": str(home), "PATH": f"{programs}:{environment['PATH']}", "DOCKER_HOST": liar.url}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    shell = Shell(request.param, home, env)
    yield shell
    shell.close()
    assert not (home / "pwned").exists()


_COMPLETED = {
    "dockshell exec web-n": ["exec", "web-new"],
    "dockshell la": ["la"],
    "dockshell lat": ["latest"],
    "dockshell exec -it web-n": ["exec", "-it", "web-new"],
    "dockshell -v ip web-o": ["-v", "ip", "web-old"],
    "dockshell web-": ["web-"],
    "dockshell 1d2": ["1d2c3b4a5968"],
    "dockshell db:": ["db:2"],
    "dockshell shop/": ["shop/db"],
    "dockshell shop/db:": ["shop/db:2"],
    "dockshell label:app=": ["label:app=x=y"],
    "dockshell pid label:ap": ["pid", "label:app=x=y"],
    "dockshell exec @l": ["exec", "@latest"],
    "dockshell docker://web-n": ["docker://web-new"],
    "dockshell docker://@l": ["docker://@latest"],
    "dockshell podman:": ["podman://"],
    "dockshell --vi": ["--via"],
    "dockshell --via=e": ["--via=exec"],
    "dockshell --via e": ["--via", "exec"],
    "dockshell exec --env-from i": ["exec", "--env-from", "init"],
    "dockshell init z": ["init", "zsh"],
    "dockshell ssh-": ["ssh-config"],
    "dockshell ssh-config --i": ["ssh-config", "--install"],
    "dockshell ssh en": ["ssh", "enable"],
    "dockshell ssh status web-n": ["ssh", "status", "web-new"],
    "dockshell ssh disable label:ap": ["ssh", "disable", "label:app=x=y"],
    "dsh exec web-n": ["exec", "web-new"],
    "docker-bash web-n": ["web-new"],
    "docker-ssh web-n": ["web-new"],
    "dockshell idl": ["idl"],
    "dockshell ove": ["ove"],
}
_ALL_OFFERED = {
    "dockshell exec ": _OFFERED,
    "dockshell ": [*VERBS, *_OFFERED],
    "docker-bash ": _OFFERED,
    "docker-ssh ": _OFFERED,
    "dsh pid ": _OFFERED,
    "dockshell proxy ": _OFFERED,
    "dockshell init ": ["bash", "zsh", "fish"],
    "dockshell ssh ": ["enable", "disable", "status"],
    "dockshell ssh enable ": _OFFERED,
    "dockshell --via ": ["auto", "ssh", "nsenter", "exec", "toolbox"],
    "dockshell tools ": ["list", "add", "remove"],
}


def test_tab_completes(shell: Shell) -> None:
    """TAB makes each line the words beside it: verbs, options and their values, TARGETs of every kind."""
    assert {line: shell.completed(line) for line in _COMPLETED} == _COMPLETED


def test_all_that_is_offered(shell: Shell) -> None:
    """The candidates are these and no others, the newest container first; a bad name is never among them."""
    assert {line: shell.offered(line) for line in _ALL_OFFERED} == _ALL_OFFERED


def test_after_target_nothing_is_offered(shell: Shell) -> None:
    """What follows belongs to the command inside, of which nothing is known here: files of this machine are no help."""
    (shell.home / "file").touch()
    for line in ("dockshell exec api ", "dockshell exec api ls ", "docker-bash api ", "dockshell ls "):
        assert shell.offered(line) == []


def test_files_are_offered_where_an_option_wants_one(shell: Shell) -> None:
    """--key and --env-file complete names of files."""
    (shell.home / "id_test").touch()
    for notation in ("--key ", "--key=", "exec --env-file ", "exec --env-file="):
        assert shell.completed(f"dockshell {notation}id") == f"{notation}id_test".split()


def test_contexts_are_offered(shell: Shell) -> None:
    """--context completes Docker's contexts."""
    meta = shell.home / ".docker/contexts/meta/0"
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": "homelab", "Endpoints": {}}))
    assert shell.completed("dockshell --context h") == ["--context", "homelab"]


def test_the_engine_that_the_line_names_is_asked(shell: Shell, liar: Impostor) -> None:
    """`-H unix://… TAB` completes from that engine, and the colon in its address cuts no word."""
    shell.env["DOCKER_HOST"] = "unix:///nowhere.sock"
    assert shell.completed(f"dockshell -H {liar.url} exec web-n") == ["-H", liar.url, "exec", "web-new"]


def test_one_listing_is_enough(shell: Shell, liar: Impostor) -> None:
    """TAB costs the engine a single request."""
    assert shell.completed("dockshell exec web-n") == ["exec", "web-new"]
    assert [path.partition("?")[0] for path in liar.requests] == ["/containers/json"]


def test_an_option_costs_no_request(shell: Shell, liar: Impostor) -> None:
    """Where no TARGET can be meant, no engine is asked."""
    assert shell.completed("dockshell exec --vi") == ["exec", "--via"]
    assert liar.requests == []


def test_without_an_engine_tab_is_silent(shell: Shell) -> None:
    """With the engine down the verbs are still offered, and no error breaks into the line."""
    shell.env["DOCKER_HOST"] = "unix:///nowhere.sock"
    assert shell.offered("dockshell ") == list(VERBS)
    assert shell.completed("dockshell exec we") == ["exec", "we"]


def test_quotes_are_kept(shell: Shell) -> None:
    """A name may be completed within quotes."""
    if shell.name == "fish":
        assert shell.offered("dockshell exec 'web-n") == ["web-new"]
    else:
        assert shell.completed("dockshell exec 'web-n") == ["exec", "web-new"]
        assert shell.completed('dockshell exec "web-n') == ["exec", "web-new"]


def test_descriptions_are_harmless() -> None:
    """zsh and fish show what a candidate is; of an image's name only plain characters are shown."""
    with Impostor(_ROWS).serving() as engine:
        done = subprocess.run(
            [*COMMAND, "__complete", "--", "dockshell", "exec", ""],
            env={**os.environ, "DOCKER_HOST": engine.url}, capture_output=True, check=True, text=True,
        )  # fmt: skip
    rows = dict(line.split("\t") for line in done.stdout.splitlines())
    assert rows["web-new"] == "container of image"
    assert rows["db"] == "service of shop"
    assert all(re.fullmatch(r"[A-Za-z0-9_.:/@= -]+", text) for row in rows.items() for text in row)


@pytest.mark.parametrize("shell", ["zsh", "fish"], indirect=True)
def test_descriptions_are_shown(shell: Shell) -> None:
    """fish gets them with the candidates; zsh lists them below the line."""
    if shell.name == "fish":
        assert "web-new\tcontainer of image" in shell.run("complete -C 'dockshell exec '").stdout.splitlines()
        return
    child = shell.spawn()
    child.send("dockshell exec web-\t\t")
    child.expect_exact("web-new  -- container of image")


def test_a_stuck_engine_does_not_hold_up_the_line(dockshell: Run) -> None:
    """An engine that takes the request and never answers costs two seconds at the most, and no error."""
    with Impostor(_ROWS, silent=True).serving() as engine:
        began = time.monotonic()
        done = dockshell("__complete", "--", "dockshell", "", env={"DOCKER_HOST": engine.url})
        took = time.monotonic() - began
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.split(b"\t")[0].decode() for line in done.stdout.splitlines()] == list(VERBS)
    assert took < 5


@pytest.mark.parametrize(
    "words",
    [
        [], ["dockshell"], ["nonsense", ""], ["dockshell", "--debug", ""], ["dockshell", "--nonsense", "x", ""],
        ["dockshell", "-H", "nonsense://", ""], ["dockshell", "-H", "a", "--context", "b", ""], ["docker-bash", "--"],
        ["dockshell", "\udcff"], ["dockshell", "nonsense://"], ["dockshell", "--nonsense="],
    ],
    ids=repr,
)  # fmt: skip
def test_no_words_are_an_error(dockshell: Run, words: list[str]) -> None:
    """Half a line may be anything: completing it never fails and never says anything on stderr."""
    done = dockshell("__complete", "--", *map(os.fsencode, words), env={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert (done.returncode, done.stderr) == (0, b"")


def test_dl_and_dsh(shell: Shell, docker: Peer) -> None:
    """`dl` prints the newest container's id, `dsh` is dockshell, in each shell, after nothing but its startup file."""
    shell.env["DOCKER_HOST"] = docker.url
    name = docker.run("busybox")
    dl, dsh = shell.run("dl"), shell.run(f"dsh pid {name}")
    assert (dl.stdout, dl.stderr, dl.returncode) == (docker.inspect(name)["Id"][:12] + "\n", "", 0)
    assert (dsh.stdout, dsh.stderr, dsh.returncode) == (f"{docker.pid(name)}\n", "", 0)
    assert shell.run("dsh exec a").returncode == 2


def test_real_containers_are_completed(shell: Shell, docker: Peer) -> None:
    """A container of a real engine, by its name and by its id."""
    shell.env["DOCKER_HOST"] = docker.url
    name = docker.run("busybox", name=f"completed-{os.getpid()}")
    id = docker.inspect(name)["Id"]
    assert shell.completed("dockshell exec complete") == ["exec", name]
    assert shell.completed(f"dockshell {id[:10]}") == [id[:12]]
    assert shell.completed(f"dockshell {id[:14]}") == [id]


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
def test_an_alias_of_the_same_name_is_no_error(shell: Shell) -> None:
    """Who has a dl of their own keeps it, and their startup file still works."""
    startup = shell.home / f".{shell.name}rc"
    startup.write_text(f"alias dl='echo mine'\nalias dsh='echo mine'\n{startup.read_text()}")
    assert shell.completed("docker-bash web-n") == ["web-new"]


@pytest.mark.parametrize("shell", ["zsh"], indirect=True)
def test_zsh_finds_the_file_on_its_fpath(shell: Shell) -> None:
    """Installed as a file among zsh's own completions it works as well, without `dockshell init`."""
    completions = Path(__file__).parent.parent / "completions"
    (shell.home / ".zshrc").write_text(f"fpath=({completions} $fpath)\nautoload -Uz compinit && compinit -u\n")
    assert shell.completed("dockshell exec web-n") == ["exec", "web-new"]


def test_the_scripts_do_not_belong_to_a_shell_alone() -> None:
    """They are to be sourced: plain text, not executable, with nothing but ASCII."""
    completions = Path(__file__).parent.parent / "completions"
    for name in ("dockshell.bash", "dockshell.fish", "_dockshell"):
        assert (completions / name).read_bytes().isascii()
        assert not (completions / name).stat().st_mode & stat.S_IXUSR
