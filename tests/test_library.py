"""`from dockshell import connect`: commands in containers for programs, in this process, with what the contract
promises."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dockshell import Connection, connect
from dockshell.errors import Ambiguous, Failed, NoRoute, NotFound, NotRunning, TimedOut, UsageError, UserError
from tests.contract.watching import processes, unique, until
from tests.world import Peer, World


@pytest.fixture(params=["nsenter", "exec", "toolbox"])
def via(request: pytest.FixtureRequest) -> str:
    """The ways in that take no key."""
    return str(request.param)


def test_a_command_on_every_route(engine: Peer, via: str) -> None:
    """Output and errors apart, the words as they are, the exit code, the user, the variables and the directory."""
    name = engine.run("busybox")
    with connect(name, host=engine.url, via=via) as web:
        assert (web.container.name, web.container.state) == (name, "running")
        script = 'echo "$1" $X; pwd; id -u; echo problem >&2; exit 3'
        done = web.run(["sh", "-c", script, "-", "it's $HOME\n"], user="7", env={"X": "a b"}, directory="/tmp")
        assert (done.code, done.stdout, done.stderr, done.ok) == (
            3,
            b"it's $HOME\n a b\n/tmp\n7\n",
            b"problem\n",
            False,
        )
        assert web.run([b"printf", b"\\377%s", b"\xfe"]).stdout == b"\xff\xfe"
        assert web.run(["echo", "ä\ud800".encode("utf-8", "replace").decode()]).text == "ä?\n"


def test_bytes_both_ways(docker: Peer, via: str) -> None:
    """Megabytes of input come back as they were, though nobody reads and writes in turns; no input is an empty one."""
    data = bytes(range(256)) * 20000
    with connect(docker.run("busybox"), host=docker.url, via=via) as web:
        assert web.run(["cat"], data).stdout == data
        assert web.run(["cat"]).stdout == b""
        assert web.run(["true"], data).code == 0


def test_by_ssh(docker: Peer) -> None:
    """Where somebody asks for it, by the container's sshd."""
    with connect(docker.shared("baseimage"), host=docker.url, via="ssh") as web:
        assert web.run(["sh", "-c", "echo $SSH_CONNECTION | wc -w"]).text.strip() == "4"


def test_how_commands_end(docker: Peer, via: str) -> None:
    """128+n by a signal; 127 and 126 where there is nothing to start, with the reason."""
    with connect(docker.run("busybox"), host=docker.url, via=via) as web:
        assert web.run(["sh", "-c", "kill -TERM $$"]).code == 143
        missing = web.run(["no-such-thing"])
        assert missing.code == 127 and b"no-such-thing" in missing.stderr
        assert web.run(["/etc"]).code == 126
        with pytest.raises(Failed, match="sh ended with 4: why") as failed:
            web.run(["sh", "-c", "echo first >&2; echo why >&2; exit 4"]).check()
        assert failed.value.exit_code == 4
        assert web.run(["true"]).check().ok


def test_where_nothing_is_inside(docker: Peer) -> None:
    """The tools come along by themselves, as for the command."""
    with connect(docker.run("bare"), host=docker.url) as web:
        assert web.run(["sh", "-c", "cat"], b"through").stdout == b"through"


def test_a_time_limit_ends_the_whole_session(docker: Peer, via: str) -> None:
    """What it had written comes with the error, and none of its processes is left two seconds later."""
    word = unique()
    with connect(docker.run("busybox"), host=docker.url, via=via) as web:
        with pytest.raises(TimedOut) as late:
            web.run(["sh", "-c", f"echo begun; sleep 90.{word} & sleep 91.{word}"], timeout=1)
        assert late.value.stdout == b"begun\n"
        until(lambda: not processes(word))


def test_ctrl_c_ends_the_command(docker: Peer, via: str) -> None:
    """KeyboardInterrupt comes through, and the command is gone."""
    word = unique()
    main = threading.get_ident()
    with connect(docker.run("busybox"), host=docker.url, via=via) as web:
        timer = threading.Timer(1, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            web.run(["sleep", word])
        timer.join()
        until(lambda: not processes(word))


def test_a_container_that_stops(docker: Peer) -> None:
    """137, as everywhere; and what comes then says that it no longer runs."""
    name, word = docker.run("busybox"), unique()

    def end() -> None:
        until(lambda: processes(f"sleep\0{word}"))
        docker.sh("kill", name)

    with connect(name, host=docker.url) as web:
        ending = threading.Thread(target=end)
        ending.start()
        assert web.run(["sleep", word]).code == 137
        ending.join()
        with pytest.raises(NotRunning, match="docker start"):
            web.run(["true"])


def test_several_threads(docker: Peer, via: str) -> None:
    """Each runs its own, at once."""
    with connect(docker.run("busybox"), host=docker.url, via=via) as web, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: web.run(["sh", "-c", f"sleep 0.2; echo {n}"]).text.strip(), range(24)))
    assert found == [str(n) for n in range(24)]


def test_what_goes_wrong_is_told_by_type(docker: Peer) -> None:
    """No container, several, one that doesn't run, no such route, no such user."""
    name = docker.run("busybox")
    with pytest.raises(NotFound):
        connect("no-such-container", host=docker.url)
    with pytest.raises(UsageError):
        connect(name, host=docker.url, via="teleport").run(["true"])
    with pytest.raises(UserError, match="nosuchuser"):
        connect(name, host=docker.url).run(["true"], user="nosuchuser")
    with pytest.raises(NoRoute, match="no sshd listens"):
        connect(name, host=docker.url, via="ssh").run(["true"])
    with pytest.raises(ValueError, match="no command"):
        connect(name, host=docker.url).run([])
    one, two = (docker.run("busybox", name=f"{name}-twin-{n}") for n in "ab")
    with pytest.raises(Ambiguous, match=f"{one}.*{two}|{two}.*{one}"):
        connect(f"{name}-twin", host=docker.url)
    docker.sh("pause", one)
    with pytest.raises(NotRunning, match="unpause"):
        connect(one, host=docker.url)
    docker.sh("unpause", one)


def test_it_says_nothing_by_itself(docker: Peer, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a newer container that doesn't run nor one that stops is told on stderr."""
    name = docker.run("busybox")
    docker.sh("wait", docker.run("busybox", "true"))
    connect(host=docker.url).run(["echo", name])
    assert capfd.readouterr() == ("", "")


def test_a_config_file_does_not_count(docker: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program does the same whoever runs it."""
    (tmp_path / "dockshell").mkdir()
    (tmp_path / "dockshell/config.toml").write_text('user = "7"\nnonsense = 1\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert connect(docker.run("busybox"), host=docker.url).run(["id", "-u"]).text == "0\n"


def test_the_package_is_small_until_it_is_used() -> None:
    """`import dockshell` brings in nothing else, and has the names that the page promises, typed."""
    script = (
        "import sys, dockshell; print(sorted(m for m in sys.modules if m.startswith('dockshell')), dockshell.connect)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("['dockshell'] <function connect")
    with pytest.raises(AttributeError, match="nonsense"):
        __import__("dockshell").nonsense  # noqa: B018
    assert (Path(__import__("dockshell").__file__).parent / "py.typed").exists()
    assert isinstance(Connection, type)


def test_the_code_on_the_page_runs(docker: Peer, tmp_path: Path) -> None:
    """docs/library.md, word for word."""
    name = docker.run("busybox", name=f"page-{unique()}", options=["--label", "app=page"])
    page = (Path(__file__).parents[1] / "docs/library.md").read_text()
    code = "".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    code = code.replace('"web"', f'"{name}"').replace("app=web", "app=page")
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "DOCKER_HOST": docker.url}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert " bin\n" in done.stdout and done.stdout.endswith("3 hello \n")
    assert (tmp_path / "etc.tar").stat().st_size > 1024


def test_it_is_as_quick_as_the_rest(world: World, docker: Peer) -> None:
    """Commands in a process that is there already take less than half of what `docker exec` takes for them."""
    name = docker.run("busybox")
    ratios = []
    with connect(name, host=docker.url) as web:
        web.run(["true"])
        for _ in range(4):  # the machine may be busy with other tests
            began = time.monotonic()
            for _ in range(10):
                web.run(["true"])
            between = time.monotonic()
            for _ in range(10):
                docker.sh("exec", name, "true")
            ratios.append((between - began) / (time.monotonic() - between))
            if ratios[-1] < 0.5:
                return
    raise AssertionError(ratios)
