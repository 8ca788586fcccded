"""Completion and the words dl and dsh, in the real bash, zsh and fish: a key is pressed, and what comes to stand on the
line is run by a function that shows its words."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pexpect
import pytest

from dockshell.options import VERBS
from tests.conftest import COMMAND
from tests.impostor import Impostor, listed
from tests.world import Peer, World
from tests.world.person import let_in, person

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
    "fish": "function fish_prompt; end; set fish_greeting\n",
}
_SHOW = """for f in dockshell dsh docker-bash docker-ssh sudo; do
    eval "function $f { printf '<'; printf '[%s]' \\"\\$@\\"; echo '>'; }"; done; echo RE''ADY\n"""
_SHOW_FISH = """for f in dockshell dsh docker-bash docker-ssh sudo
    eval "function $f; printf '<'; printf '[%s]' \\$argv; echo '>'; end"; end; echo RE''ADY\n"""


class Shell:
    """One of the three, with a home of its own. startup: its startup file, which evaluates `dockshell init`, twice."""

    def __init__(self, name: str, home: Path, env: dict[str, str]) -> None:
        self.name, self.home, self.env = name, home, env
        self._terminal: pexpect.spawn[str] | None = None
        self._children: list[pexpect.spawn[str]] = []
        self.startup = home / {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}[name]
        init = "dockshell init fish | source" if name == "fish" else f'eval "$(dockshell init {name})"'
        self.startup.parent.mkdir(parents=True, exist_ok=True)
        self.startup.write_text(f"{init}\n{init}\n")

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Runs a line after the startup file, with no terminal."""
        argv = {"bash": ["bash", "-c", f". ~/.bashrc; {line}"], "zsh": ["zsh", "-d", "-c", f". ~/.zshrc; {line}"]}
        words = argv.get(self.name, ["fish", "-c", line])
        return subprocess.run(
            words, env=self.env, cwd=self.home, capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def completed(self, line: str) -> list[str]:
        """The words of the line after TAB, without the first."""
        if self.name != "fish":
            return self.typed(line, "\t")
        found = self.offered(line)
        words = shlex.split(line + ("''" if line.endswith(" ") else ""))
        return [*words[1:-1], found[0] if len(found) == 1 else words[-1]]

    def offered(self, line: str) -> list[str]:
        """All candidates for the last word of the line, in order."""
        if self.name != "fish":
            complete = shlex.split(line if line.endswith(" ") else line.rpartition(" ")[0])
            return self.typed(line, "\x14")[len(complete) - 1 :]
        done = self.run(f"complete -C {shlex.quote(line)}")
        assert done.stderr == ""
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]

    def typed(self, line: str, key: str = "\t") -> list[str]:
        """Types the line, the key and return at a terminal → the words, which a function in the program's place
        shows."""
        if self._terminal is None:
            self._terminal = self._started()
        self._terminal.send(f"{line}{key}\r")
        self._terminal.expect(r"<((?:\[[^]]*\])*)>\r\n")
        return re.findall(r"\[([^]]*)\]", self._terminal.match[1])

    def _started(self) -> pexpect.spawn[str]:
        child = self.spawn()
        (self.home / "prepare").write_text(_PREPARE[self.name] + (_SHOW_FISH if self.name == "fish" else _SHOW))
        child.send(". ~/prepare\r")
        child.expect("READY\r\n")
        return child

    def spawn(self) -> pexpect.spawn[str]:
        """The shell at a terminal, after its startup file."""
        words = {"bash": ["--noprofile", "-i"], "zsh": ["-d", "-i"], "fish": ["-i"]}[self.name]
        child = pexpect.spawn(
            self.name, words, env=self.env, cwd=str(self.home), timeout=60, encoding="utf-8", dimensions=(50, 400)
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
    "dockshell exec api,web-n": ["exec", "api,web-new"],
    "dockshell exec api,db:": ["exec", "api,db:2"],
    "dockshell ls --filter sta": ["ls", "--filter", "status="],
    "dockshell ls --filter status=pau": ["ls", "--filter", "status=paused"],
    "dockshell ls -f name=web-n": ["ls", "-f", "name=web-new"],
    "dockshell ls --format=j": ["ls", "--format=json"],
    "dockshell exec --label app=": ["exec", "--label", "app=x=y"],
    "dockshell docker://@l": ["docker://@latest"],
    "dockshell podman:": ["podman://"],
    "dockshell --vi": ["--via"],
    "dockshell --via=e": ["--via=exec"],
    "dockshell --via e": ["--via", "exec"],
    "dockshell exec --env-from i": ["exec", "--env-from", "init"],
    "dockshell init z": ["init", "zsh"],
    "dockshell cp web-n": ["cp", "web-new:"],
    "dockshell cp web-new:/x web-o": ["cp", "web-new:/x", "web-old:"],
    "dockshell cp web-new:/x --rec": ["cp", "web-new:/x", "--recursive"],
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
    "dockshell init ": ["bash", "zsh", "fish", "docker"],
    "dockshell doctor ": _OFFERED,
    "dockshell exec --service ": ["db", "shop/db"],
    "dockshell exec --all ": [],
    "dockshell ssh ": ["enable", "disable", "status"],
    "dockshell ssh enable ": _OFFERED,
    "dockshell --via ": ["auto", "ssh", "nsenter", "exec", "toolbox"],
    "dockshell tools ": ["list", "add", "remove"],
    "dockshell help ser": ["serve", "services"],
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


def test_the_command_at_the_cursor_counts(shell: Shell) -> None:
    """What stands before it on the line, or sets a variable for it, is none of its words."""
    for before in ("true; dockshell", "X=a:b dockshell", "true 'x  y' | dockshell"):
        assert shell.typed(f"{before} exec web-n") == ["exec", "web-new"]


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
    assert took < 60


def test_a_second_stuck_engine_is_not_even_asked(dockshell: Run, tmp_path: Path) -> None:
    """The two seconds are for all engines together."""
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for engine, name in (first, "docker.sock"), (second, "podman/podman.sock"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            engine.bind(str(path))
            engine.listen()
            engine.setblocking(False)
        env = {"XDG_RUNTIME_DIR": str(tmp_path)}
        done = dockshell("__complete", "--", "dockshell", "exec", "", env=env, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        with pytest.raises(BlockingIOError):
            second.accept()


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


@pytest.fixture
def web(shell: Shell, docker: Peer) -> str:
    """A container of a real engine, which is the shell's from here on."""
    shell.env["DOCKER_HOST"] = docker.url
    return docker.run("busybox")


def test_paths_inside_are_completed(shell: Shell, web: str, docker: Peer) -> None:
    """TAB completes what is in the container: sources and destinations of cp, -w, and paths in a command's words; a
    directory's slash with no blank, so that one can go on, and a file with one."""
    docker.sh("exec", web, "mkdir", "/srv/app/deep")
    wanted = {
        f"dockshell cp {web}:/et": ["cp", f"{web}:/etc/x"],
        f"dockshell cp {web}:et": ["cp", f"{web}:etc/x"],
        f"dockshell cp {web}:/etc/pas": ["cp", f"{web}:/etc/passwd", "x"],
        f"dockshell cp docker://{web}:/etc/pas": ["cp", f"docker://{web}:/etc/passwd", "x"],
        f"dockshell cp /etc/hosts {web}:/srv/a": ["cp", "/etc/hosts", f"{web}:/srv/app/x"],
        "dockshell exec -w /srv/app/d": ["exec", "-w", "/srv/app/deep/x"],
        "dockshell exec --workdir=/srv/a": ["exec", "--workdir=/srv/app/x"],
        f"dockshell exec {web} -- cat /etc/pas": ["exec", web, "--", "cat", "/etc/passwd", "x"],
        f"docker-bash {web} /bin/whoa": [web, "/bin/whoami", "x"],
    }
    assert {line: shell.typed(line, "\tx") for line in wanted} == wanted


def test_names_inside_are_spelled_for_the_shell(shell: Shell, web: str, docker: Peer) -> None:
    """A file's name, whatever a shell could find in it, comes to stand on the line as one word that is the file's path,
    and nothing in it is run; one that can't be seen as it is, is not offered."""
    names = [name for name in _HOSTILE if name and len(name) < 256]
    make = 'for n; do i=$((i + 1)); mkdir -p "/tmp/$i"; : >"/tmp/$i/$n"; done'
    docker.sh("exec", web, "sh", "-c", make, "sh", *names)
    expected = [f"{web}:/tmp/{number}/" + name * name.isprintable() for number, name in enumerate(names, 1)]
    typed = [shell.typed(f"dockshell cp {web}:/tmp/{number}/")[1] for number in range(1, len(names) + 1)]
    assert typed == expected
    # Once more from within the name, as it was spelled, and within quotes.
    path = f"{web}:/tmp/{names.index('a b') + 1}/a"
    for begun in (f"{path}\\ ", f"'{path}", f'"{path} '):
        assert shell.typed(f"dockshell cp {begun}")[1] == f"{path} b"


def test_bash_spells_within_open_quotes(world: World) -> None:
    """Within a quote that is open a name is spelled so that, with the quote closed, it is that name again; where that
    can't be done it is not offered."""
    world.need_program("bash")
    script = Path(__file__).parent.parent / "completions/bash/dockshell"
    check = """. "$0"; for name; do for quote in "" "'" '"'; do
        _dockshell_quote "$name" "$quote" || continue
        eval "word=$quote$text$quote"; [[ $word == "$name" ]] && printf '%s\\0' "$quote$name"
    done; done"""
    names = [name for name in _HOSTILE if name and name.isprintable()]
    done = subprocess.run(["bash", "-c", check, script, *names], capture_output=True, check=True, text=True)
    assert done.stderr == ""
    spelled = done.stdout.split("\0")
    assert set(names) <= set(spelled)
    for quote, not_within in (("'", "'"), ('"', '"$`\\!')):
        assert [name for name in names if quote + name in spelled] == [n for n in names if not set(n) & set(not_within)]


def test_users_inside_are_completed(shell: Shell, web: str, docker: Peer) -> None:
    """-u completes the users of the container that the line names, be it behind the cursor, else of the newest; behind
    a colon groups; and cp's --chown those of where the copies go."""
    back = "\x02"
    behind = f" {web} true"
    assert shell.typed("dockshell exec --user=ap") == ["exec", "--user=app"]
    assert shell.typed("dockshell exec -u app:vid") == ["exec", "-u", "app:video2"]
    assert shell.typed(f"dockshell cp ./x {web}:/tmp --chown ap") == ["cp", "./x", f"{web}:/tmp", "--chown", "app"]
    docker.run("static")  # the newest from here on, in which there are no users
    assert shell.typed("dockshell exec -u ap") == ["exec", "-u", "ap"]
    if shell.name != "fish":  # which doesn't tell a completion what stands behind the cursor
        typed = shell.typed(f"dockshell exec -u ap{behind}" + back * len(behind))
        assert typed == ["exec", "-u", "app", web, "true"]


def _asked(command: Sequence[str], env: Mapping[str, str], *words: str) -> list[str]:
    """The candidates, as the program answers them."""
    argv = [*command, "__complete", "--", "dockshell", *words]
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return [line.partition("\t")[0] for line in done.stdout.decode().splitlines()]


def test_without_root_the_same_is_offered(world: World, docker: Peer, environment: dict[str, str]) -> None:
    """Who may not look at a container's processes is offered the same names in it: by the shell inside, or where there
    is none, or the container doesn't run, by the engine's archive."""
    world.need_root()
    web, bare, stopped = docker.run("busybox"), docker.run("static"), docker.run("busybox")
    fill = "cd /tmp; mkdir .dotted; touch .file 'a b' $'a\\nc'; ln -s /bin to; ln -s no gone"
    docker.sh("exec", web, "sh", "-c", fill)
    docker.sh("stop", "-t", "0", stopped)
    let_in(os.path.dirname(docker.url.removeprefix("unix://")), os.path.dirname(world.scratch))
    lines = {
        ("cp", f"{web}:/"): f"{web}:/etc/",
        ("cp", f"{web}:/tmp/"): f"{web}:/tmp/to/",
        ("cp", f"{web}:/tmp/a"): f"{web}:/tmp/a b",
        ("cp", f"{web}:/tmp/."): f"{web}:/tmp/.dotted/",
        ("cp", f"{web}:/bin/"): f"{web}:/bin/busybox",
        ("cp", f"{web}:/nowhere/"): "",
        ("cp", f"{bare}:/"): f"{bare}:/busybox",
        ("exec", bare, "/bus"): "/busybox",
        ("cp", f"{stopped}:/etc/pas"): f"{stopped}:/etc/passwd",
    }  # fmt: skip
    with person(65534, [65534, os.stat(docker.url.removeprefix("unix://")).st_gid]) as somebody:
        for words, one in lines.items():
            env = {"DOCKER_HOST": docker.url}
            offered = _asked(COMMAND, {**environment, **env}, *words)
            assert (one in offered) == bool(one)
            assert _asked(somebody.command, {**somebody.environment, **env}, *words) == offered


def test_ports_inside_are_offered(docker: Peer, environment: dict[str, str]) -> None:
    """`forward web 80:<TAB>`: where something listens inside, and what the engine published."""
    web = docker.run("busybox", "httpd", "-f", "-p", "8181", options=["--publish", "127.0.0.1::70"])
    env = {**environment, "DOCKER_HOST": docker.url}
    until = time.monotonic() + 60
    while "80:8181" not in (offered := _asked(COMMAND, env, "forward", web, "80:")) and time.monotonic() < until:
        time.sleep(0.05)
    assert offered == ["80:70", "80:8181"]


def test_a_shell_inside_that_lies(world: World, docker: Peer) -> None:
    """What a container's own shell says when it is asked for names is offered only where it can be a name, and it has
    two seconds to say it in."""
    world.need_root()
    web = docker.run("busybox")
    told = r"/etc/\033[31mred\0/etc/a/b\0/elsewhere\0/etc/\0/etc/../\0/etc/one\ntwo\0/etc/this\0/etc/that"
    lie = f"#!/bin/ash\nprintf '{told}'; sleep 1000\n"
    docker.sh("exec", web, "ash", "-c", 'printf %s "$1" >/lie; chmod +x /lie; mv /lie /bin/sh', "ash", lie)
    let_in(os.path.dirname(docker.url.removeprefix("unix://")), os.path.dirname(world.scratch))
    with person(65534, [65534, os.stat(docker.url.removeprefix("unix://")).st_gid]) as somebody:
        began = time.monotonic()
        env = {**somebody.environment, "DOCKER_HOST": docker.url}
        assert _asked(somebody.command, env, "cp", f"{web}:/etc/") == [f"{web}:/etc/this"]
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
def test_an_alias_of_the_same_name_is_no_error(shell: Shell) -> None:
    """Who has a dl of their own keeps it, and their startup file still works."""
    aliases = "alias dl='echo mine'\nalias dsh='echo mine'\n"
    shell.startup.write_text(aliases + shell.startup.read_text())
    assert shell.completed("docker-bash web-n") == ["web-new"]


@pytest.mark.parametrize("shell", ["zsh"], indirect=True)
def test_zsh_finds_the_file_on_its_fpath(shell: Shell) -> None:
    """Installed as a file among zsh's own completions it works as well, without `dockshell init`."""
    folder = Path(__file__).parent.parent / "completions/zsh"
    shell.startup.write_text(f"fpath=({folder} $fpath)\nautoload -Uz compinit && compinit -u\n")
    assert shell.completed("dockshell exec web-n") == ["exec", "web-new"]


def test_the_scripts_do_not_belong_to_a_shell_alone() -> None:
    """They are to be sourced: plain text, not executable, with nothing but ASCII."""
    completions = Path(__file__).parent.parent / "completions"
    for name in ("bash/dockshell", "fish/dockshell.fish", "zsh/_dockshell"):
        assert (completions / name).read_bytes().isascii()
        assert not (completions / name).stat().st_mode & stat.S_IXUSR
